"""The baseline: YOLOX-Nano finds people, PP-TinyPose reads their pose. What thirty lines of one's own would
reach.

    python benchmarks/baseline.py WEIGHTS_DIR DATA.json --images DIR

WEIGHTS_DIR holds yolox_nano_416.onnx and tinypose_256x192.onnx (Apache-2.0, as published). A box prompt is
read as it is given; a point means the detection that holds it, nearest to its centre; everyone is every
detection above 0.2 after suppression at an IoU of 0.6. It gives no masks and takes neither scribbles nor
words.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from anypose.data.coco import read
from anypose.evaluation import box_iou, examine, figures_of, print_table
from anypose.people import People
from anypose.prompt import Prompt

SCORE, OVERLAP = 0.2, 0.6
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


class Baseline:
    """Both networks, loaded from `weights`; `threads` is for each of them."""

    def __init__(self, weights: Path, threads: int = 2) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.yolox, self.tinypose = (
            onnxruntime.InferenceSession(weights / name, options, providers=["CPUExecutionProvider"])
            for name in ("yolox_nano_416.onnx", "tinypose_256x192.onnx")
        )

    def encode(self, image: NDArray[np.uint8]) -> "BaselineScene":
        """Detect the people of a picture (H, W, 3) uint8 RGB."""
        picture = Image.fromarray(image)
        return BaselineScene(self, picture, *self.detect(picture))

    def detect(self, picture: Image.Image) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Boxes (N, 4) x0 y0 x1 y1 in pixels and scores (N,), best first."""
        scale = 416 / max(picture.size)
        width, height = (round(side * scale) for side in picture.size)
        placed = np.full((416, 416, 3), 114, np.float32)
        placed[:height, :width] = _sampled(picture, (width, height), 1 / scale, 0, 0)[..., ::-1]
        cells = self.yolox.run(None, {"images": placed.transpose(2, 0, 1)[None]})[0][0]
        sides = [416 // stride for stride in (8, 16, 32)]
        corners = np.concatenate([np.indices((side, side)).reshape(2, -1).T[:, ::-1] for side in sides])
        strides = np.repeat([8, 16, 32], [side**2 for side in sides])[:, None]
        centres, sizes = (cells[:, :2] + corners) * strides, np.exp(cells[:, 2:4]) * strides
        boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], 1) / scale
        scores = cells[:, 4] * cells[:, 5]
        kept: list[int] = []
        for row in np.argsort(-scores):
            if scores[row] > SCORE and (not kept or box_iou(boxes[row], boxes[kept]).max() <= OVERLAP):
                kept.append(int(row))
        return boxes[kept], scores[kept]

    def pose(self, picture: Image.Image, boxes: NDArray[np.float64], scores: NDArray[np.float64]) -> People:
        """The people in `boxes` (N, 4) with `scores` (N,)."""
        size = picture.height, picture.width
        if not len(boxes):
            return People.empty(size, reason="no detection fits")
        scale = 1.25 * np.max((boxes[:, 2:] - boxes[:, :2]) / (192, 256), axis=1)  # picture pixels a crop's pixel
        start = (boxes[:, :2] + boxes[:, 2:]) / 2 - scale[:, None] * (96, 128)
        crops = [_sampled(picture, (192, 256), step, x, y) for step, (x, y) in zip(scale, start)]
        planes = ((np.stack(crops) / 255 - MEAN) / DEVIATION).transpose(0, 3, 1, 2)
        maps = np.concatenate(
            [self.tinypose.run(None, {"image": plane[None]})[0] for plane in planes.astype(np.float32)]
        )
        places, confidence = _decoded(maps)
        sure = confidence > SCORE
        mean = (confidence * sure).sum(1) / np.maximum(sure.sum(1), 1)
        return People(
            size=size,
            boxes=boxes,
            scores=scores * mean,
            keypoints=start[:, None] + scale[:, None, None] * 4 * places,
            confidence=confidence.clip(0, 1),
            state=np.zeros((*confidence.shape, 3)),
        )


@dataclass(frozen=True)
class BaselineScene:
    """A picture and the boxes (N, 4) found in it with their scores (N,)."""

    baseline: Baseline
    picture: Image.Image
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]

    def find(self, prompts: list[Prompt] | None = None) -> People | list[People]:
        """Everybody, or the person of each prompt: a box or one point."""
        if prompts is None:
            return self.baseline.pose(self.picture, self.boxes, self.scores)
        return [self.baseline.pose(self.picture, *self.meant(prompt)) for prompt in prompts]

    def meant(self, prompt: Prompt) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The one box (1, 4) that a prompt means and its score (1,), or none."""
        if prompt.box is not None:
            return prompt.box[None].astype(float), np.ones(1)
        point = prompt.points[0]
        holding = np.flatnonzero((self.boxes[:, :2] <= point).all(1) & (point <= self.boxes[:, 2:]).all(1))
        boxes, scores = self.boxes[holding], self.scores[holding]
        away = np.linalg.norm((boxes[:, :2] + boxes[:, 2:]) / 2 - point, axis=1)
        first = np.lexsort(((boxes[:, 2:] - boxes[:, :2]).prod(1), -scores, away))[:1]
        return boxes[first], scores[first]


def _sampled(picture: Image.Image, size: tuple[int, int], step: float, x: float, y: float) -> NDArray[np.float32]:
    """(height, width, 3) of `size` (width, height): bilinear samples every `step` pixels from x, y on."""
    grid = (step, 0, x, 0, step, y)
    moved = picture.transform(size, Image.Transform.AFFINE, grid, Image.Resampling.BILINEAR)
    return np.asarray(moved, np.float32)


def _decoded(maps: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places (N, K, 2) in heat-map pixels and confidence (N, K) of maps (N, K, 64, 48).

    DARK (Zhang et al. 2020): one Newton step on the log of the blurred map, at most one pixel.
    """
    count, joints, height, width = maps.shape
    flat = maps.reshape(count, joints, -1)
    peak = flat.argmax(-1)
    at = np.stack([peak % width, peak // width], -1)
    blurred = _blur(height) @ maps @ _blur(width)
    blurred *= (flat.max(-1) / np.maximum(blurred.max((2, 3)), 1e-9))[..., None, None]
    log = np.log(np.pad(np.maximum(blurred, 1e-10), ((0, 0), (0, 0), (2, 2), (2, 2)), mode="edge"))
    rows, columns = np.ogrid[:count, :joints]

    def seen(x: int, y: int) -> NDArray[np.float64]:
        return log[rows, columns, at[..., 1] + 2 + y, at[..., 0] + 2 + x]

    slope = np.stack([seen(1, 0) - seen(-1, 0), seen(0, 1) - seen(0, -1)], -1) / 2
    bend_x, bend_y = (
        (seen(2, 0) - 2 * seen(0, 0) + seen(-2, 0)) / 4,
        (seen(0, 2) - 2 * seen(0, 0) + seen(0, -2)) / 4,
    )
    twist = (seen(1, 1) - seen(-1, 1) - seen(1, -1) + seen(-1, -1)) / 4
    volume = bend_x * bend_y - twist**2
    inside = ((at > 1) & (at < (width - 2, height - 2))).all(-1) & (volume > 1e-9)
    step = (
        np.stack(
            [twist * slope[..., 1] - bend_y * slope[..., 0], twist * slope[..., 0] - bend_x * slope[..., 1]],
            -1,
        )
        / np.where(inside, volume, 1)[..., None]
    )
    return at + (step * inside[..., None]).clip(-1, 1), flat.max(-1)


def _blur(side: int) -> NDArray[np.float64]:
    """(side, side) matrix that blurs along one axis: a Gaussian of 11 places, sigma 2."""
    apart = np.subtract.outer(np.arange(side), np.arange(side))
    return np.exp(-(apart**2) / 8) * (abs(apart) <= 5) / np.exp(-(np.arange(-5, 6) ** 2) / 8).sum()


def main() -> None:
    """Print the table that `anypose evaluate` prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("weights", type=Path, metavar="WEIGHTS_DIR")
    parser.add_argument("data", type=Path, metavar="DATA.json")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N pictures")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    samples = read(options.data, options.images)[: options.limit]
    exam = examine(Baseline(options.weights, options.threads), samples, ("point", "box", "everyone"))
    figures = figures_of(exam)
    print_table(Console(), figures, f"baseline on {options.data.name}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
