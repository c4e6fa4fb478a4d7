"""Lifting systems against their plain eager forms, as ratios in one run.

    python benchmarks/lifting.py [--rows mixste hot-mixste ktpformer gla-gcn diffpose] [--threads 2] [--runs 3]
        [--toy] [--json FILE]

The plain form has the same weights and gives the same answers, computed as papers write them: attention as a softmax
of products, one after the other; frames laid out anew for every block; each subset of edges convolved by itself; one
call a hypothesis. Sizes are the published ones, 243 frames, one clip, random weights. Each round runs every row once,
so that a busy machine slows all of them: trust the ratios there. Wall time is what a user waits; processor time says
the same of a machine that others use too.

"Products alone" are the linear layers' matrix products with nothing between them: no form of the network in float32 is
faster than these. "int8" is what `anypose.load(..., precision="int8")` runs: products of eight bits.
"""

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from anypose.models.lifting import gla_gcn
from anypose.models.lifting.diffpose import DiffPose, heatmaps_of
from anypose.models.lifting.gla_gcn import GLAGCN, AdaptiveGraph, TemporalConvolution
from anypose.models.lifting.hot import VARIANTS, HoT
from anypose.models.lifting.ktpformer import KTPFormer
from anypose.nn.eight_bits import in_eight_bits
from anypose.nn.space_time import Attention, Block, CrossAttention

FRAMES = 243
HYPOTHESES = 200
LEAST = {"mixste": 1.5, "hot-mixste": 1.5, "ktpformer": 1.5, "gla-gcn": 1.5, "diffpose": 15}
HOT_AT_MOST = 0.70
TOY = {"frames": 9, "width": 32, "depth": 2, "heads": 4}
TOYS: dict[str, dict[str, Any]] = {  # to see that everything runs
    "mixste": {**TOY, "hidden": 64},
    "hot-mixste": {**TOY, "hidden": 64, "tokens": 3, "level": 1},
    "ktpformer": TOY,
    "gla-gcn": {"widths": (3, 3), "channels": 16},
    "diffpose": {"places": 8, "samples": 8, "width": 64, "condition": 4, "steps": 5, "layers": 1},
}


def softmax_of_products(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    weights = ((q @ k.transpose(-2, -1)) * q.shape[-1] ** -0.5).softmax(-1)
    return weights @ v


def plain_attention(self: Attention, x: Tensor) -> Tensor:
    rows, count, width = x.shape
    q, k, v = self.qkv(x).reshape(rows, count, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
    return self.proj(softmax_of_products(q, k, v).transpose(1, 2).reshape(rows, count, width))


def plain_cross_attention(self: CrossAttention, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    def split(x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, -1).permute(0, 2, 1, 3)

    answer = softmax_of_products(*map(split, (self.linear_q(queries), self.linear_k(keys), self.linear_v(values))))
    return self.proj(answer.transpose(1, 2).flatten(2))


def plain_block(self: Block, x: Tensor) -> Tensor:
    x = x + self.attn(self.norm1(x))
    return x + self.mlp.fc2(F.gelu(self.mlp.fc1(self.norm2(x))))


def plain_graph(self: AdaptiveGraph, x: Tensor) -> Tensor:
    batch, channels, frames, joints = x.shape
    gathered: Any = None
    for i in range(gla_gcn.SUBSETS):
        one = self.conv_a[i](x).permute(0, 3, 1, 2).reshape(batch, joints, -1)
        other = self.conv_b[i](x).reshape(batch, -1, joints)
        graph = (one @ other / one.shape[-1]).softmax(-2) + self.edges[i] + self.PA[i]
        seen = (x.reshape(batch, channels * frames, joints) @ graph).reshape(batch, channels, frames, joints)
        part = self.conv_d[i](seen)
        gathered = part if gathered is None else gathered + part
    return (self.bn(gathered) + self.down(x)).relu()


def plain_frames(self: TemporalConvolution, x: Tensor) -> Tensor:
    return self.bn(self.conv(x))


def plain_gla_gcn(self: GLAGCN, keypoints: Tensor) -> Tensor:
    x = self.input_norm(keypoints.flatten(2).transpose(1, 2))
    x = self.expand(x.reshape(x.shape[0], -1, 2, x.shape[2]).permute(0, 2, 3, 1))  # B C T J
    for i, width in enumerate(self.widths):
        kept = x[:, :, width // 2 :: width]
        x = kept + self.units[2 * i + 1](self.units[2 * i](x))
    return self.head(x.mean(2)).transpose(1, 2)[:, None]


@contextmanager
def plainly() -> Iterator[None]:
    """Inside, systems compute as papers write it."""
    changes: list[tuple[Any, Callable[..., Tensor]]] = [
        (Attention, plain_attention),
        (CrossAttention, plain_cross_attention),
        (Block, plain_block),
        (AdaptiveGraph, plain_graph),
        (TemporalConvolution, plain_frames),
        (GLAGCN, plain_gla_gcn),
    ]
    kept = [kind.forward for kind, _ in changes]
    for kind, forward in changes:
        kind.forward = forward
    try:
        yield
    finally:
        for (kind, _), forward in zip(changes, kept):
            kind.forward = forward


def plain(model: nn.Module, keypoints: Tensor) -> Tensor:
    with plainly():
        return model(keypoints)


def products_alone(model: nn.Module, keypoints: Tensor) -> Callable[[], Tensor]:
    """The matrix products of a model's linear layers, as often and as large as it asks for them."""
    calls: list[tuple[nn.Linear, torch.Size]] = []
    linears = [module for module in model.modules() if isinstance(module, nn.Linear)]
    hooks = [linear.register_forward_hook(lambda m, given, _: calls.append((m, given[0].shape))) for linear in linears]
    with torch.inference_mode():
        model(keypoints)
    for hook in hooks:
        hook.remove()
    inputs = {shape: torch.randn(shape) for _, shape in calls}
    return lambda: [linear(inputs[shape]) for linear, shape in calls][-1]


def rows(wanted: list[str], toy: bool = False) -> dict[str, Callable[[], Tensor]]:
    """What is timed: each system and its plain form."""
    torch.manual_seed(0)
    keypoints = torch.randn(1, TOY["frames"] if toy else FRAMES, 17, 2) * 0.3
    todo: dict[str, Callable[[], Tensor]] = {}
    builds: dict[str, Callable[..., nn.Module]] = {
        "mixste": lambda **sizes: HoT(**{**VARIANTS["mixste"], **sizes}),
        "hot-mixste": lambda **sizes: HoT(**{**VARIANTS["hot-mixste"], **sizes}),
        "ktpformer": KTPFormer,
        "gla-gcn": GLAGCN,
    }
    for name in wanted:
        if name not in builds:
            continue
        model = builds[name](**TOYS[name] if toy else {}).eval()
        todo[f"{name}, plain"] = lambda model=model: plain(model, keypoints)
        todo[name] = lambda model=model: model(keypoints)
        if hasattr(model, "EIGHT_BITS"):
            todo[f"{name}, products alone"] = products_alone(model, keypoints)
            small = copy.deepcopy(model)
            in_eight_bits(small, small.EIGHT_BITS)
            todo[f"{name}, int8"] = lambda small=small: small(keypoints)
    if "diffpose" in wanted:
        model = DiffPose(**TOYS["diffpose"] if toy else {}).eval()
        hypotheses = 10 if toy else HYPOTHESES
        heatmaps = heatmaps_of(keypoints[0, :1])
        noise = torch.randn(model.diffusion.steps + 1, 1, hypotheses, 48)
        draws = torch.rand(1, hypotheses, model.samples - 1, 16)
        todo["diffpose, plain"] = lambda: torch.cat(
            [model.draw(heatmaps, 1, noise[:, :, i : i + 1], draws[:, i : i + 1]) for i in range(hypotheses)],
            1,
        )
        todo["diffpose"] = lambda: model.draw(heatmaps, hypotheses, noise, draws)
    return todo


def measured(todo: dict[str, Callable[[], Tensor]], runs: int) -> dict[str, dict[str, float]]:
    """Medians of wall and processor seconds, one round after the other, and how far answers are from the plain ones."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in todo}
    with torch.inference_mode():
        answers = {name: work() for name, work in todo.items()}
        for _ in range(runs):
            for name, work in todo.items():
                wall, processor = time.perf_counter(), time.process_time()
                work()
                seconds[name].append((time.perf_counter() - wall, time.process_time() - processor))
    figures = {
        name: {kind: statistics.median(run[i] for run in taken) for i, kind in enumerate(("wall", "processor"))}
        for name, taken in seconds.items()
    }
    for name in todo:
        first = f"{name.split(',')[0]}, plain"
        if name == first:
            continue
        for kind in ("wall", "processor"):
            figures[name][f"times {kind}"] = figures[first][kind] / figures[name][kind]
        if not name.endswith("alone"):
            figures[name]["apart"] = float((answers[name] - answers[first]).abs().max())
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description="Lifting systems against their plain forms.")
    parser.add_argument("--rows", nargs="*", default=list(LEAST), choices=list(LEAST))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    figures = measured(rows(arguments.rows, arguments.toy), arguments.runs)
    table = Table(
        "", "wall s", "processor s", "times faster", "of processor time", "at least", "apart", title="Lifting"
    )
    for name, row in figures.items():
        ratios = [f"{row[f'times {kind}']:.2f}" if f"times {kind}" in row else "" for kind in ("wall", "processor")]
        least = f"{LEAST[name]:g}" if name in LEAST else ""
        apart = f"{row['apart']:.1g}" if "apart" in row else ""
        table.add_row(name, f"{row['wall']:.3f}", f"{row['processor']:.3f}", *ratios, least, apart)
    console = Console()
    console.print(table)
    if {"mixste", "hot-mixste"} <= figures.keys():
        shares = {kind: figures["hot-mixste"][kind] / figures["mixste"][kind] for kind in ("wall", "processor")}
        figures["hot-mixste"] |= {f"of its host, {kind}": share for kind, share in shares.items()}
        console.print(
            f"HoT-MixSTE takes {shares['wall']:.2f} of its host's time, {shares['processor']:.2f} of its processor "
            f"time (at most {HOT_AT_MOST:.2f})"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
