"""The default model in int8 beside float32: how fast, how large, how right.

Command:
    python experiments/pointer_precision.py TRAIN.json TRAIN_IMAGES DATA.json IMAGES [--weights FOLDER] [--limit N]

The convolutions of `encode` and `look` are quantised by ONNX Runtime's own tool (QDQ, a scale for each channel, ranges
from what 60 pictures of TRAIN.json give); `choose` stays as it is. Both forms answer the same prompts; times are the
medians of turns taken one after the other.
Expected on dev.json: see docs/pointer.md.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

import anypose
from anypose import load
from anypose.data.coco import read
from anypose.evaluation import examine, figures_of, point_prompt
from anypose.runtime import Engine

PICTURES = 60
QUANTISED = ("encode", "look")
PACKAGE = Path(anypose.__file__).parent / "weights/pointer"


class Recorded(CalibrationDataReader):
    """What a graph was given, once more."""

    def __init__(self, inputs: list[dict[str, NDArray[Any]]]) -> None:
        self._left = iter(inputs)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next(self._left, None)


class Recorder(Engine):
    """An engine that keeps what it is given."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.given: dict[str, list[dict[str, NDArray[Any]]]] = {name: [] for name in QUANTISED}

    def run(self, graph: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        if graph in self.given:
            self.given[graph].append(dict(inputs))
        return self.engine.run(graph, inputs)


def recorded(samples: list[Any], weights: Path) -> dict[str, list[dict[str, NDArray[Any]]]]:
    """What the graphs are given when people of these pictures are clicked."""
    predictor = load(weights=weights, engine="onnx")
    predictor._engine = recorder = Recorder(predictor._engine)
    for sample in samples:
        predictor.encode(sample.image()).find(point_prompt(sample.people[[0]], 0))
    return recorder.given


def quantise(weights: Path, out: Path, given: dict[str, list[dict[str, NDArray[Any]]]]) -> None:
    """The folder `weights` once more in `out`, with convolutions in int8."""
    shutil.copytree(weights, out, dirs_exist_ok=True)
    for name in QUANTISED:
        ready = out / f"{name}.ready.onnx"
        quant_pre_process(str(weights / f"{name}.onnx"), str(ready), skip_symbolic_shape=True)
        quantize_static(
            str(ready),
            str(out / f"{name}.onnx"),
            Recorded(given[name]),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={"QuantizeBias": False},
        )
        ready.unlink()


def seconds(predictor: Any, image: NDArray[np.uint8], prompt: Any, graph: str) -> float:
    if graph == "encode":
        start = time.perf_counter()
        predictor.encode(image)
        return time.perf_counter() - start
    scene = predictor.encode(image)
    start = time.perf_counter()
    scene.find(prompt)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description="The default model in int8 beside float32.")
    parser.add_argument("train", type=Path)
    parser.add_argument("train_images", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--weights", type=Path, default=PACKAGE)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    samples = read(asked.data, asked.images)[: asked.limit]
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "int8"
        quantise(asked.weights, small, recorded(read(asked.train, asked.train_images)[:PICTURES], asked.weights))
        paths = {"float32": asked.weights, "int8": small}
        forms = {n: load(weights=path, engine="onnx", threads=asked.threads) for n, path in paths.items()}
        first = samples[0]
        image, prompt = first.image(), point_prompt(first.people[[0]], 0)
        for graph in ("encode", "prompt"):
            taken: dict[str, list[float]] = {name: [] for name in forms}
            for turn in range(23):
                for name, predictor in forms.items():
                    spent = seconds(predictor, image, prompt, graph)
                    if turn > 2:
                        taken[name].append(spent)
            ratio = statistics.median(b / a for a, b in zip(taken["float32"], taken["int8"]))
            print(f"{graph}: int8 takes {ratio:.2f} of float32's time")
        for name, predictor in forms.items():
            files = [paths[name] / f"{graph}.onnx" for graph in (*QUANTISED, "choose")]
            size = sum(file.stat().st_size for file in files)
            figures = figures_of(examine(predictor, samples, ("box", "point")))
            row = {kind: (part["pose_ap"], part["miou"], part["right_person"]) for kind, part in figures.items()}
            said = "; ".join(f"{k}: pose AP {a:.1%}, mIoU {m:.1%}, right {r:.1%}" for k, (a, m, r) in row.items())
            print(f"{name}, {size / 1e6:.1f} MB: {said}")


if __name__ == "__main__":
    main()
