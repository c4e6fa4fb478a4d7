"""UniPHD's speed and memory against its plain form, as ratios in one run.

    python benchmarks/uniphd.py [--variant swin-t] [--size 480 640] [--threads 2] [--runs 3] [--compile] [--json FILE]

The plain form is the authors' program in float32 without a compiled operator: `grid_sample` over whole pictures,
the masks of all groups one after the other, and the backbone again for each prompt. Weights are random. Each round runs
every row once, so that a busy machine slows all of them: trust the ratios there. Wall time is what a user waits;
processor time says the same of a machine that others use too. Each row's peak memory is that of a process of its own.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console
from rich.table import Table

from anypose.models.promptable.uniphd import VARIANTS, UniPHD
from anypose.models.promptable.uniphd.answers import found
from anypose.models.promptable.uniphd.masks import pixels
from anypose.models.promptable.uniphd.prompts import Prompts
from anypose.nn.deformable import DeformableAttention

PLAIN = "plain form, one prompt"
FAST = "one prompt"
EIGHT = "eight prompts together"
APART = "eight prompts apart"
TARGETS = {FAST: (PLAIN, 0.5), EIGHT: (APART, 0.8)}
MEMORY = 1300  # MB, most that one prompt may take


def random_model(variant: str) -> UniPHD:
    torch.manual_seed(0)
    model = UniPHD(**VARIANTS[variant]).eval()
    with torch.no_grad():
        for head in (*model.decoder.pose, *model.decoder.box):
            last_weight, _ = list(head.parameters())[-2:]
            last_weight.normal_(0, 0.02)
    return model


def sampling(model: UniPHD, way: Literal["auto", "grid"]) -> None:
    for module in model.modules():
        if isinstance(module, DeformableAttention):
            module.sampling = way


def plain(model: UniPHD, picture: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """One prompt as the authors' program answers it; the best group's keypoints and mask, flat."""
    from anypose.models.promptable.uniphd import encoder

    sampling(model, "grid")
    together, encoder.CHUNK = encoder.CHUNK, 10**9
    try:
        seen = model.encode(picture, torch.tensor([picture.shape[-2:]]))
        prompts = Prompts.from_places(places)
        answer = model.ask(seen, prompts)
        groups = answer.layers[-1].scores.shape[1]
        masks = [
            pixels(model.refined(seen, prompts, model.masks(seen, prompts, answer, torch.tensor([[group]]))))
            for group in range(groups)
        ]
        best = answer.layers[-1].scores[0, :, 1].argmax()
        size = torch.tensor([picture.shape[-1], picture.shape[-2]])
        return torch.cat(((answer.layers[-1].keypoints[0, best] * size).flatten(), masks[int(best)].flatten()))
    finally:
        encoder.CHUNK = together
        sampling(model, "auto")


def fast(model: UniPHD, picture: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Any number of prompts about one picture; the first's keypoints and mask, flat."""
    seen = model.encode(picture, torch.tensor([picture.shape[-2:]]))
    prompts = Prompts.from_places(places, pictures=torch.zeros(len(places), dtype=torch.int64))
    best = found(model, seen, prompts, model.ask(seen, prompts), torch.arange(1))
    return torch.cat((best.keypoints[0, 0].flatten(), best.masks[0, 0].flatten()))


def rows(model: UniPHD, size: tuple[int, int]) -> dict[str, Callable[[], torch.Tensor]]:
    torch.manual_seed(1)
    picture = torch.rand(1, 3, *size) * 255
    places = torch.rand(8, 12, 2) * torch.tensor([size[1], size[0]])
    return {
        PLAIN: lambda: plain(model, picture, places[:1]),
        FAST: lambda: fast(model, picture, places[:1]),
        EIGHT: lambda: fast(model, picture, places),
        APART: lambda: torch.cat([fast(model, picture, places[i : i + 1]) for i in range(8)]),
    }


def measured(wanted: list[str], arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Medians of wall and processor seconds of each row, one round after the other."""
    torch.set_num_threads(arguments.threads)
    model = random_model(arguments.variant)
    if arguments.compile:
        for name in ("encode", "ask"):
            setattr(model, name, torch.compile(getattr(model, name)))
    todo = rows(model, tuple(arguments.size))
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in wanted}
    with torch.inference_mode():
        answers = {name: todo[name]() for name in wanted}
        for _ in range(arguments.runs):
            for name in wanted:
                wall, processor = time.perf_counter(), time.process_time()
                todo[name]()
                seconds[name].append((time.perf_counter() - wall, time.process_time() - processor))
    found_rows = {
        name: {kind: statistics.median(run[i] for run in runs) for i, kind in enumerate(("wall", "processor"))}
        for name, runs in seconds.items()
    }
    if PLAIN in answers and FAST in answers:
        apart = (answers[PLAIN] - answers[FAST]).abs()
        found_rows[FAST] |= {"keypoints apart": float(apart[:34].max()), "mask apart": float(apart[34:].max())}
    return found_rows


def peak(name: str, arguments: argparse.Namespace) -> float:
    """Peak MB of a process that does one row once."""
    command = [sys.executable, __file__, "--only", name, "--runs", "0", "--variant", arguments.variant]
    command += ["--threads", str(arguments.threads), "--size", *map(str, arguments.size)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def _peak_megabytes() -> float:
    """Of this process. Its resource usage would not do: that begins with the memory of the process that started it."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return float(line.split()[1]) * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description="UniPHD against its plain form.")
    parser.add_argument("--variant", choices=VARIANTS, default="swin-t")
    parser.add_argument("--size", type=int, nargs=2, default=(480, 640), help="height and width, multiples of 16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="torch.compile (needs a C++ compiler)")
    parser.add_argument("--skip", nargs="*", default=[], help="rows to leave out")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        torch.set_num_threads(arguments.threads)
        with torch.inference_mode():
            rows(random_model(arguments.variant), tuple(arguments.size))[arguments.only]()
        print(_peak_megabytes())
        return
    wanted = [name for name in (PLAIN, FAST, EIGHT, APART) if name not in arguments.skip]
    figures = measured(wanted, arguments)
    for name in {PLAIN, FAST} & set(wanted):
        figures[name]["peak MB"] = peak(name, arguments)
    table = Table("", "wall s", "processor s", "ratio wall", "ratio processor", "at most", "peak MB", title="UniPHD")
    for name in wanted:
        row = figures[name]
        against, most = TARGETS.get(name, (PLAIN, None))
        ratios = [row[kind] / figures[against][kind] if against in figures else None for kind in ("wall", "processor")]
        row["ratio wall"], row["ratio processor"] = (ratio or float("nan") for ratio in ratios)
        shown = [f"{row['wall']:.2f}", f"{row['processor']:.2f}", *("" if r is None else f"{r:.2f}" for r in ratios)]
        memory = f"{row['peak MB']:.0f}" + (f" (at most {MEMORY})" if name == FAST else "") if "peak MB" in row else ""
        table.add_row(name, *shown, "" if most is None else f"{most:g} of {against}", memory)
    console = Console()
    console.print(table)
    if "mask apart" in figures.get(FAST, {}):
        row = figures[FAST]
        console.print(
            f"one prompt beside the plain form: keypoints at most {row['keypoints apart']:.2g} pixels apart, "
            f"mask logits {row['mask apart']:.2g}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
