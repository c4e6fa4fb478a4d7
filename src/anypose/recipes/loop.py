"""The training loop. A run is a folder: settings, metrics as JSON lines, checkpoints; it can stop at any moment."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from anypose.files import write_atomically
from anypose.recipes.recipe import Recipe


class TrainingError(RuntimeError):
    """The run cannot go on; the message says why and what is kept."""


@dataclass(frozen=True)
class Settings:
    """How long and how fast.

    Attributes:
        steps: number of optimiser steps.
        warmup: steps until the peak learning rate; it then falls by a cosine to `floor` of it.
        drop: part of the steps after which the rate is a tenth, in place of the cosine; 0 for the cosine.
        clip: largest norm of the gradient.
        weight_decay: of AdamW.
        ema: decay of the average of weights that is kept and shipped; it starts lower and rises.
        save_every: steps between checkpoints.
        log_every: steps between lines of metrics.
        keep: number of checkpoints kept.
        threads: of torch, 0 for its own choice.
        device: "cpu", "cuda", or "auto".
    """

    steps: int = 3000
    warmup: int = 100
    floor: float = 0.02
    drop: float = 0.0
    clip: float = 20.0
    weight_decay: float = 0.01
    ema: float = 0.998
    save_every: int = 100
    log_every: int = 10
    keep: int = 2
    threads: int = 0
    device: str = "auto"


class Average:
    """Exponential moving average of a model's weights."""

    def __init__(self, model: nn.Module) -> None:
        self.weights = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, decay: float) -> None:
        for name, value in model.state_dict().items():
            kept = self.weights[name]
            if kept.dtype.is_floating_point:
                kept.lerp_(value, 1 - decay)
            else:
                kept.copy_(value)


def rate(step: int, settings: Settings) -> float:
    """The part of the peak learning rate at a step."""
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    if settings.drop:
        return 0.1 if step >= settings.drop * settings.steps else 1.0
    part = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return settings.floor + (1 - settings.floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, part)))


# oneDNN keeps 1024 compiled primitives unless told otherwise; a training step of two networks needs more, and
# making them anew costs seconds a step.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16384")


def train(recipe: Recipe, settings: Settings, out: Path, *, resume: bool = False) -> nn.Module:
    """Runs a recipe to its end.

    Args:
        recipe: what is learned.
        settings: how long and how fast.
        out: folder of the run; made if it is not there.
        resume: go on from the newest checkpoint in `out`, as if nothing had happened.

    Returns: the model, holding the averaged weights.

    Raises:
        TrainingError: the loss is not a number, or the folder holds a run and `resume` was not asked for.
    """
    out.mkdir(parents=True, exist_ok=True)
    found = checkpoints(out)
    if found and not resume:
        raise TrainingError(f"{out} holds a run already: go on with --resume, or choose another folder")
    if settings.threads:
        torch.set_num_threads(settings.threads)
    device = settings.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    model = recipe.model.to(device).train()
    optimiser = torch.optim.AdamW(recipe.groups, weight_decay=settings.weight_decay)
    peaks = [group["lr"] for group in optimiser.param_groups]
    average, start = Average(model), 0
    if found:
        start = _restore(found[-1], model, optimiser, average)
    write_atomically(out / "settings.json", json.dumps(asdict(settings), indent=1))
    _trim(out / "metrics.jsonl", start)
    clock, logged = time.monotonic(), start
    sums: dict[str, float] = {}
    batches = recipe.batches(start)
    with _Stop() as stop:
        for step in range(start, settings.steps):
            waited = time.monotonic()
            batch = next(batches)
            sums["wait"] = sums.get("wait", 0.0) + time.monotonic() - waited
            for group, peak in zip(optimiser.param_groups, peaks):
                group["lr"] = peak * rate(step, settings)
            optimiser.zero_grad(set_to_none=True)
            losses = recipe.step(batch)
            norm = nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
            if not math.isfinite(float(norm)) or not math.isfinite(losses["total"].item()):
                raise TrainingError(f"the loss is not a number at step {step} ({_terms(losses)}): {_advice(out)}")
            optimiser.step()
            average.update(model, min(settings.ema, (1 + step) / (10 + step)))
            for name, value in {**losses, "gradient": norm}.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach())
            done = step + 1
            if done % settings.log_every == 0 or done == settings.steps:
                _log(out, done, settings.steps, sums, done - logged, time.monotonic() - clock)
                clock, logged, sums = time.monotonic(), done, {}
            if done % settings.save_every == 0 or done == settings.steps or stop.asked:
                save(out, done, model, optimiser, average, settings.keep)
            if stop.asked:
                print(f"stopped at step {done} of {settings.steps}; go on with --resume")
                break
    model.load_state_dict(average.weights)
    return model.eval()


class _Stop:
    """The first Ctrl-C ends the run after the step in hand; a second one ends it at once.

    Signals are handled so inside the `with` alone.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Stop:
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        except ValueError:  # not in the main thread: whoever started the thread handles signals
            pass
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


def checkpoints(out: Path) -> list[Path]:
    """The run's checkpoints, oldest first."""
    return sorted(out.glob("step-*.pt"))


def save(out: Path, step: int, model: nn.Module, optimiser: torch.optim.Optimizer, average: Average, keep: int) -> None:
    """Writes a checkpoint whole or not at all, then removes old ones."""
    path = out / f"step-{step:07d}.pt"
    waiting = path.with_suffix(".partial")
    torch.save(
        {
            "step": step,
            "model": model.state_dict(),
            "average": average.weights,
            "optimiser": optimiser.state_dict(),
            "torch_random": torch.get_rng_state(),
            "python_random": random.getstate(),
        },
        waiting,
    )
    waiting.replace(path)
    for old in checkpoints(out)[:-keep]:
        old.unlink()


def _restore(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, average: Average) -> int:
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TrainingError(f"{path} cannot be read ({error}): remove it to go on from the one before") from error
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    for name, value in state["average"].items():
        average.weights[name].copy_(value)
    torch.set_rng_state(state["torch_random"])
    version, words, gauss = state["python_random"]
    random.setstate((version, tuple(words), gauss))
    return int(state["step"])


def _trim(path: Path, start: int) -> None:
    """Drops lines of steps that are done again."""
    if path.exists():
        lines = [line for line in path.read_text().splitlines() if json.loads(line)["step"] <= start]
        write_atomically(path, "".join(line + "\n" for line in lines))


def _log(out: Path, step: int, steps: int, sums: dict[str, float], count: int, seconds: float) -> None:
    means = {name: value / count for name, value in sums.items() if name != "wait"}
    line = {"step": step, "seconds_a_step": seconds / count, "waiting": sums["wait"] / seconds, **means}
    with (out / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({k: v if k == "step" else round(v, 6) for k, v in line.items()}) + "\n")
    left = seconds / count * (steps - step) / 60
    print(
        f"step {step} of {steps}  loss {means['total']:.3f}  {seconds / count:.2f} s a step  {left:.0f} min left",
        flush=True,
    )


def _advice(out: Path) -> str:
    if checkpoints(out):
        return f"the last checkpoint in {out} is sound; go on from it with a lower learning rate"
    return "start again with a lower learning rate"


def _terms(losses: dict[str, Tensor]) -> str:
    return ", ".join(f"{name} {value.item():.3g}" for name, value in losses.items())
