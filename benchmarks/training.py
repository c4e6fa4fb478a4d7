"""The training loop against a bare one over the same model and data, in one run.

    python benchmarks/training.py EXPERIMENT.py [--set NAME=VALUE]... [--steps 12] [--rounds 3] [--long 10000]
        [--json FILE]

The bare loop is what one would write by hand: forward, backward, clip, AdamW. Both read the same batches, made before,
and run in turn, so that a busy machine slows both; the fastest round of each counts. Then what a run waits for data,
how long it takes to go on from a checkpoint, and whether memory grows over many steps of a model of a few numbers.
"""

import argparse
import contextlib
import gc
import io
import itertools
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from anypose.recipes import experiment as experiments
from anypose.recipes.loop import Settings, train
from anypose.recipes.recipe import Recipe

AIMS = {"loop / bare, samples a second": 0.95, "waiting for data": 0.05, "going on from a checkpoint, seconds": 10.0}


class Line(nn.Module):
    """A model of two numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(1, 1)

    def loss(self, batch: Tensor) -> dict[str, Tensor]:
        """Squared error of y = 2 x + 1."""
        return {"error": (self.line(batch) - 2 * batch - 1).square().mean()}


class Fitting(Recipe):
    """Fits the line."""

    def __init__(self) -> None:
        model = Line()
        super().__init__(model, [{"params": list(model.parameters()), "lr": 1e-2}])

    def batches(self, start: int, stride: int = 1) -> Iterator[Tensor]:
        for number in itertools.count(start, stride):
            yield torch.from_numpy(np.random.default_rng(number).normal(size=(16, 1)).astype(np.float32))


def bare(model: nn.Module, groups: list[dict[str, Any]], batches: list[Any], weight_decay: float, clip: float) -> float:
    """Seconds a step."""
    model.train()
    optimiser = torch.optim.AdamW([dict(group) for group in groups], weight_decay=weight_decay)
    began = time.perf_counter()
    for batch in batches:
        optimiser.zero_grad(set_to_none=True)
        torch.stack(list(model.loss(batch).values())).sum().backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimiser.step()
    return (time.perf_counter() - began) / len(batches)


def metrics(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def memory() -> float:
    """Megabytes that this process holds."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def compared(recipe: Recipe, settings: dict[str, Any], steps: int, rounds: int, folder: Path) -> dict[str, float]:
    """The loop and the bare one in turn over the same batches."""
    source = recipe.batches(0)
    batches = [next(source) for _ in range(steps)]
    given = Settings(**{**settings, "steps": steps, "log_every": steps, "save_every": 10**9})
    seconds: dict[str, list[float]] = {"bare": [], "loop": []}
    bare(recipe.model, recipe.groups, batches, given.weight_decay, given.clip)  # warm
    for number in range(rounds):
        seconds["bare"].append(bare(recipe.model, recipe.groups, batches, given.weight_decay, given.clip))
        recipe.batches = lambda start, stride=1: iter(batches)
        out = folder / f"round-{number}"
        train(recipe, given, out)
        del recipe.batches
        seconds["loop"].append(metrics(out)[-1]["seconds_a_step"])
    best = {name: min(values) for name, values in seconds.items()}
    return {
        "bare: seconds a step": best["bare"],
        "loop: seconds a step": best["loop"],
        "loop / bare, samples a second": best["bare"] / best["loop"],
    }


def fed(recipe: Recipe, settings: dict[str, Any], steps: int, folder: Path) -> dict[str, float]:
    """With data made as training goes on: the share of waiting, and how long a second start takes."""
    given = {**settings, "log_every": 1, "save_every": 10**9}
    train(recipe, Settings(**{**given, "steps": steps}), folder)
    lines = metrics(folder)[min(4, steps // 2) :]  # the first batch is waited for by anybody
    spent = sum(line["seconds_a_step"] for line in lines)
    waited = sum(line["seconds_a_step"] * line["waiting"] for line in lines)
    began = time.perf_counter()
    train(recipe, Settings(**{**given, "steps": steps + 1}), folder, resume=True)
    again = time.perf_counter() - began
    step = metrics(folder)[-1]
    worked = step["seconds_a_step"] * (1 - step["waiting"])
    return {"waiting for data": waited / spent, "going on from a checkpoint, seconds": again - worked}


def grown(steps: int, folder: Path) -> dict[str, float]:
    """Memory after all steps over memory after a tenth of them."""
    settings = {"device": "cpu", "log_every": 100, "save_every": 1000}
    train(Fitting(), Settings(**{**settings, "steps": max(1, steps // 10)}), folder)
    before = memory()
    train(Fitting(), Settings(**{**settings, "steps": steps}), folder, resume=True)
    return {f"memory after {steps} steps / after a tenth of them": memory() / before}


def main() -> None:
    parser = argparse.ArgumentParser(description="The training loop's own speed.")
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--set", dest="changes", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--long", type=int, default=10_000, help="steps of the memory row")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_flush_denormal(True)
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(io.StringIO()):
        folder = Path(name)
        try:
            recipe, settings = experiments.build(experiments.read(asked.experiment, asked.changes), folder / "recipe")
        except (ValueError, OSError) as error:
            parser.error(str(error))
        values = vars(settings) | {"diverge": 0.0}
        torch.set_num_threads(values["threads"] or torch.get_num_threads())
        rows = compared(recipe, values, asked.steps, asked.rounds, folder)
        rows |= fed(recipe, values, asked.steps, folder / "fed")
        rows |= grown(asked.long, folder / "long")
    table = Table("what", "value", "aim")
    for what, value in rows.items():
        aim = AIMS.get(what)
        bound = "" if aim is None else f"{'at least' if 'samples' in what else 'below'} {aim:g}"
        table.add_row(what, f"{value:.3f}", bound)
    Console().print(table)
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
