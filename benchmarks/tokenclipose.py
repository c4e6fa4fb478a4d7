"""TokenCLIPose's speed: each backbone with tokens beside the same backbone with heat maps, one crop and a batch.

    python benchmarks/tokenclipose.py [--backbones lite ...] [--batch 32] [--threads 2] [--runs 5] [--json FILE]

Crops of 256 x 192, random weights, PyTorch, and for the small backbone ONNX Runtime too, as `anypose find` runs it. A
heat-map head is what its own paper has: a 1x1 convolution of the finest map, and for ResNet-50 three deconvolutions
before it (SimpleBaseline). Rounds run every row once, so that a busy machine slows all of them: ratios of one run
count.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from anypose.models.promptable.tokenclipose import VARIANTS, TokenCLIPose
from anypose.models.promptable.tokenclipose.graphs import graphs
from anypose.runtime.export import export
from anypose.runtime.onnx import OnnxEngine

BACKBONES = ("lite", "resnet-50", "mspn-50", "hrnet-w48")
TARGET = 1.5  # times the rate of single crops that a batch is to reach


class HeatMaps(nn.Module):
    """The same backbone with a heat-map head of 17 keypoints."""

    def __init__(self, model: TokenCLIPose, deconvolved: bool) -> None:
        super().__init__()
        self.model = model
        channels, layers = model.backbone.channels, []
        width = channels[-1] if deconvolved else channels[0]
        for _ in range(3 if deconvolved else 0):
            layers += [nn.ConvTranspose2d(width, 256, 4, 2, 1, bias=False), nn.BatchNorm2d(256), nn.ReLU()]
            width = 256
        self.level = -1 if deconvolved else 0
        self.head = nn.Sequential(*layers, nn.Conv2d(width, 17, 1))

    def forward(self, crops: Tensor) -> Tensor:
        return self.head(self.model.backbone(crops)[self.level])


def rows(name: str, batch: int, threads: int, folder: Path) -> dict[str, tuple[int, Callable[[], object]]]:
    """What to run by its name: the number of crops, and how."""
    torch.manual_seed(0)
    model = TokenCLIPose(**VARIANTS[name]).eval()
    maps = HeatMaps(model, name == "resnet-50").eval()
    crops = torch.rand(batch, 3, *model.size) * 255
    todo: dict[str, tuple[int, Callable[[], object]]] = {}
    for count in (1, batch):
        given = crops[:count]
        todo[f"{name}: tokens, {count}"] = (count, partial(model, given))
        todo[f"{name}: heat maps, {count}"] = (count, partial(maps, given))
    if name == "lite":
        export(graphs(model), folder)
        engine = OnnxEngine(folder, ("see",), threads)
        pixels = crops.permute(0, 2, 3, 1).numpy().astype(np.uint8)
        for count in (1, batch):
            todo[f"{name}: tokens by ONNX Runtime, {count}"] = (
                count,
                partial(engine.run, "see", {"crops": pixels[:count]}),
            )
    return todo


def measured(name: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Crops a second of each row of a backbone: medians."""
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        todo = rows(name, arguments.batch, arguments.threads, Path(folder))
        seconds: dict[str, list[float]] = {row: [] for row in todo}
        for round_ in range(arguments.runs + 1):
            for row, (_, run) in todo.items():
                start = time.perf_counter()
                run()
                if round_:  # the first one warms up
                    seconds[row].append(time.perf_counter() - start)
        return {row: todo[row][0] / statistics.median(times) for row, times in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbones", nargs="+", choices=BACKBONES, default=BACKBONES)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    table = Table("backbone", "head", "one crop", f"batch of {arguments.batch}", "batch / one", title="crops a second")
    figures: dict[str, float] = {}
    for name in arguments.backbones:
        found = measured(name, arguments)
        figures |= found
        for head in dict.fromkeys(row.split(": ")[1].rsplit(",", 1)[0] for row in found):
            one, many = (found[f"{name}: {head}, {count}"] for count in (1, arguments.batch))
            figures[f"{name}: {head}, batch / one"] = many / one
            aim = f"{many / one:.2f}" + (f" (at least {TARGET})" if head.startswith("tokens") else "")
            table.add_row(name, head, f"{one:.2f}", f"{many:.2f}", aim)
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
