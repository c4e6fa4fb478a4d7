"""UniPHD's speed and memory against its plain form, as ratios in one run.

    python benchmarks/uniphd.py [--variant swin-t] [--size 480 640] [--threads 2] [--runs 3] [--compile] [--json FILE]

The plain form is the authors' program in float32 without a compiled operator: transformers' own Swin, `grid_sample`
over whole pictures, the pose of every cell, the masks of all groups one after the other with all their channels, and
the backbone again for each prompt. The three levels under the masks are made one size once a prompt, as in the
authors' measured times, not once a mask. Weights are random. Each round runs every row once, so that a busy machine
slows all of them: trust the ratios there. Wall time is what a user waits; processor time says the same of a machine
that others use too. Each row's peak memory is that of a process of its own.

On a GPU, where there is one: pictures a second of batches of 24 at 640 x 640, scribbles, bfloat16 (`--graphics`).
"""

import argparse
import copy
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table

from anypose.models.promptable.uniphd import VARIANTS, UniPHD
from anypose.models.promptable.uniphd.answers import found, found_in
from anypose.models.promptable.uniphd.masks import CHANNELS, MaskHead
from anypose.models.promptable.uniphd.prompts import Prompts
from anypose.nn import parts
from anypose.nn.deformable import DeformableAttention
from anypose.nn.dynamic_masks import dynamic_sizes
from anypose.runtime.torch import prepared

PLAIN = "plain form, one prompt"
FAST = "one prompt"
FIRST = "one prompt, maps channels first"
FASTEST = "one prompt, fastest setting"
COMPILED = "one prompt, compiled"
EIGHT = "eight prompts together"
APART = "eight prompts apart"
ROWS = (PLAIN, FAST, FIRST, FASTEST, COMPILED, EIGHT, APART)
TARGETS = {FAST: (PLAIN, 0.5), FASTEST: (PLAIN, 1 / 3.5), EIGHT: (APART, 0.8)}
MEMORY = 1300  # MB, most that one prompt may take
PICTURES = 300  # a second on a GPU of the H100 class, at least


def random_model(variant: str) -> UniPHD:
    torch.manual_seed(0)
    model = UniPHD(**VARIANTS[variant]).eval()
    with torch.no_grad():
        for head in (*model.decoder.pose, *model.decoder.box):
            last_weight, _ = list(head.parameters())[-2:]
            last_weight.normal_(0, 0.02)
    return model


@contextmanager
def as_the_authors(model: UniPHD) -> Iterator[list[torch.Tensor]]:
    """The model without what this project made faster; what the backbone last saw is put into the list."""
    backbone, mask, together = model.backbone, model.mask, parts.PART
    maps: list[torch.Tensor] = []

    def see(pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
        maps[:] = backbone.model(pictures).feature_maps
        return tuple(maps)

    attentions = [module for module in model.modules() if isinstance(module, DeformableAttention)]
    backbone.forward = see
    model.mask, parts.PART = None, 10**9
    for attention in attentions:
        attention.sampling = "grid"
    try:
        yield maps
    finally:
        del backbone.forward
        model.mask, parts.PART = mask, together
        for attention in attentions:
            attention.sampling = "auto"


def plain(model: UniPHD, picture: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """One prompt as the authors' program answers it; the best group's keypoints and mask, flat."""
    head = model.mask
    assert head is not None
    assert model.two_stage.pose is not None
    with as_the_authors(model) as maps:
        seen = model.encode(picture, torch.tensor([picture.shape[-2:]]))
        answer = model.ask(seen, Prompts.from_places(places))
        model.two_stage.pose(answer.choice.memory)  # of every cell, of which the chosen ones are used
        last, shapes = answer.layers[-1], seen.ground.shapes
        levels = answer.memory.split([h * w for h, w in shapes], 1)
        squares = [level.transpose(1, 2).unflatten(-1, shape) for level, shape in zip(levels, shapes[:3])]
        features = sum(F.interpolate(square, shapes[0], mode="bicubic") for square in squares)
        masks = [
            plain_mask(head, features, maps, last.queries[0, group, 0], last.references[0, group, 0])
            for group in range(last.scores.shape[1])
        ]
    best = int(last.scores[0, :, 1].argmax())
    size = torch.tensor([picture.shape[-1], picture.shape[-2]])
    return torch.cat(((last.keypoints[0, best] * size).flatten(), masks[best].flatten()))


def plain_mask(
    head: MaskHead, features: torch.Tensor, maps: list[torch.Tensor], person: torch.Tensor, centre: torch.Tensor
) -> torch.Tensor:
    """One group's mask (1, 1, H, W): the convolutions over all channels, one after the other."""
    width, (h, w) = features.shape[1], features.shape[-2:]
    first, second, first_bias, second_bias = head.controller(person).split(dynamic_sizes(width, CHANNELS))
    x, y = centre[0] * 8 * w - torch.arange(w) * 8 - 4, centre[1] * 8 * h - torch.arange(h) * 8 - 4
    offsets = torch.stack((x.expand(h, w), y[:, None].expand(h, w)))[None]
    mask = F.conv2d(torch.cat((features, offsets), 1), first.view(CHANNELS, width + 2, 1, 1), first_bias).relu()
    mask = F.conv2d(mask, second.view(CHANNELS, CHANNELS, 1, 1), second_bias)
    for step, seen in ((head.eighth, maps[1]), (head.quarter, maps[0])):
        if seen.shape[-2:] != mask.shape[-2:]:
            mask = F.interpolate(mask, seen.shape[-2:], mode="bilinear")
        mask = mask + step.say(step.see(torch.cat((mask, seen), 1).relu()).relu())
    return F.pixel_shuffle(mask, 4)


def fast(model: UniPHD, picture: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Any number of prompts about one picture; the first's keypoints and mask, flat."""
    seen = model.encode(picture, torch.tensor([picture.shape[-2:]]))
    prompts = Prompts.from_places(places, pictures=torch.zeros(len(places), dtype=torch.int64))
    best = found(model, seen, prompts, model.ask(seen, prompts), torch.arange(1))
    return torch.cat((best.keypoints[0, 0].flatten(), best.masks[0, 0].flatten()))


def channels_first(model: UniPHD) -> Callable[[torch.Tensor], tuple[torch.Tensor, ...]]:
    """A backbone whose maps are put into another order, as convolutions have them by default."""
    seen = type(model.backbone).forward

    def forward(pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(m.contiguous() for m in seen(model.backbone, pictures))

    return forward


def rows(model: UniPHD, size: tuple[int, int], wanted: list[str]) -> dict[str, Callable[[], torch.Tensor]]:
    """What to run for each row; models of rows that are not wanted are not made."""
    torch.manual_seed(1)
    picture = torch.rand(1, 3, *size) * 255
    places = torch.rand(8, 12, 2) * torch.tensor([size[1], size[0]])
    todo = {
        PLAIN: lambda: plain(model, picture, places[:1]),
        FAST: lambda: fast(model, picture, places[:1]),
        EIGHT: lambda: fast(model, picture, places),
        APART: lambda: torch.cat([fast(model, picture, places[i : i + 1]) for i in range(8)]),
    }
    if FIRST in wanted:
        first = copy.copy(model)
        first._modules = dict(model._modules, backbone=copy.copy(model.backbone))
        first.backbone.forward = channels_first(model)
        todo[FIRST] = lambda: fast(first, picture, places[:1])
    if FASTEST in wanted:
        quick = copy.deepcopy(model)
        half = prepared(quick, "fastest") == "bfloat16"

        def fastest() -> torch.Tensor:
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                return fast(quick, picture, places[:1]).float()

        todo[FASTEST] = fastest
    if COMPILED in wanted:
        compiled = torch.compile(fast)
        todo[COMPILED] = lambda: compiled(model, picture, places[:1])
    return todo


def measured(wanted: list[str], arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Medians of wall and processor seconds of each row, one round after the other."""
    torch.set_num_threads(arguments.threads)
    todo = rows(random_model(arguments.variant), tuple(arguments.size), wanted)
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
    for name in {FAST, FIRST, COMPILED} & set(wanted) if PLAIN in answers else ():
        apart = (answers[PLAIN] - answers[name]).abs()
        found_rows[name] |= {"keypoints apart": float(apart[:34].max()), "mask apart": float(apart[34:].max())}
    return found_rows


def graphics(
    model: UniPHD, device: str, batch: int, side: int, runs: int, *, compiled: bool = False
) -> dict[str, float]:
    """Pictures a second, and peak MB of the GPU, of whole batches by scribbles in bfloat16."""
    model = model.to(device)
    torch.manual_seed(1)
    pictures = (torch.rand(batch, 3, side, side) * 255).to(device)
    sizes = torch.full((batch, 2), side, device=device)
    prompts = Prompts.from_places((torch.rand(batch, 12, 2) * side).to(device))
    ranks = torch.arange(1, device=device)
    ask = torch.compile(found_in) if compiled else found_in
    gpu = torch.device(device).type == "cuda"

    def once() -> torch.Tensor:
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            best = ask(model, pictures, sizes, prompts, ranks)
        return torch.stack((best.keypoints.float().mean(), best.masks.float().mean())).cpu()  # waits for the GPU

    with torch.inference_mode():
        for _ in range(3 if gpu else 1):  # the first ones choose kernels
            assert once().isfinite().all()
        times = []
        for _ in range(runs):
            start = time.perf_counter()
            once()
            times.append(time.perf_counter() - start)
    peak_bytes = torch.cuda.max_memory_allocated() if gpu else 0
    return {"pictures a second": batch / statistics.median(times), "GPU MB": peak_bytes / 1e6}


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


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="UniPHD against its plain form.")
    parser.add_argument("--variant", choices=VARIANTS, default="swin-t")
    parser.add_argument("--size", type=int, nargs=2, default=(480, 640), help="height and width, multiples of 16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="a row by torch.compile (needs a C++ compiler; minutes)")
    parser.add_argument("--skip", nargs="*", default=[], help="rows to leave out")
    parser.add_argument("--graphics", action="store_true", help="the GPU's row alone")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    return parser.parse_args()


def shown(wanted: list[str], figures: dict[str, dict[str, float]], console: Console) -> None:
    """The table of all rows, with the ratios, which are put among the figures."""
    table = Table("", "wall s", "processor s", "ratio wall", "ratio processor", "at most", "peak MB", title="UniPHD")
    for name in wanted:
        row = figures[name]
        against, most = TARGETS.get(name, (PLAIN, None))
        ratios = [row[kind] / figures[against][kind] if against in figures else None for kind in ("wall", "processor")]
        row["ratio wall"], row["ratio processor"] = (ratio or float("nan") for ratio in ratios)
        numbers = [f"{row['wall']:.2f}", f"{row['processor']:.2f}", *("" if r is None else f"{r:.2f}" for r in ratios)]
        memory = f"{row['peak MB']:.0f}" + (f" (at most {MEMORY})" if name == FAST else "") if "peak MB" in row else ""
        table.add_row(name, *numbers, "" if most is None else f"{most:.2g} of {against}", memory)
    console.print(table)
    for name in wanted:
        if "mask apart" in figures[name]:
            console.print(
                f"{name}, beside the plain form: keypoints at most {figures[name]['keypoints apart']:.2g} pixels "
                f"apart, mask logits {figures[name]['mask apart']:.2g}"
            )


def main() -> None:
    arguments = parsed()
    console = Console()
    if arguments.only:
        torch.set_num_threads(arguments.threads)
        with torch.inference_mode():
            rows(random_model(arguments.variant), tuple(arguments.size), [arguments.only])[arguments.only]()
        print(_peak_megabytes())
        return
    figures: dict[str, dict[str, float]] = {}
    if not arguments.graphics:
        skipped = {*arguments.skip, *(() if arguments.compile else (COMPILED,))}
        wanted = [name for name in ROWS if name not in skipped]
        figures = measured(wanted, arguments)
        for name in {PLAIN, FAST} & set(wanted):
            figures[name]["peak MB"] = peak(name, arguments)
        shown(wanted, figures, console)
    if torch.cuda.is_available():
        for compiled in (False, True) if arguments.compile else (False,):
            what = f"{torch.cuda.get_device_name()}, batch 24{', compiled' if compiled else ''}"
            figures[what] = graphics(random_model(arguments.variant), "cuda", 24, 640, 10, compiled=compiled)
            speed, memory = figures[what].values()
            console.print(f"{what}: {speed:.0f} pictures a second (at least {PICTURES}), {memory:.0f} MB")
    else:
        console.print("PyTorch sees no GPU here: the row of 24 pictures of 640 x 640 in bfloat16 was not measured")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
