"""Triangles onto pixels by a z-buffer, in torch: no display, and no GPU, though one is used where it is asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

NEAR = 0.05
"""Triangles nearer than this to the camera, metres, are left out."""
DEVICES = ("auto", "cpu", "cuda")


class DeviceError(ValueError):
    """The device that was asked for is not there; the message says what to do."""


def device_named(name: str) -> torch.device:
    """The device of a name: "cpu", "cuda" (or "cuda:1"), or "auto", a GPU where there is one.

    Raises:
        DeviceError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind not in DEVICES or (number and not (kind == "cuda" and number.isdigit())):
        raise DeviceError(f"there is no device {name!r}; give {', '.join(DEVICES)}")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise DeviceError(f"torch finds no CUDA device for {name!r} here; give cpu, or auto to use one where it is")
    return torch.device(name)


@dataclass(frozen=True)
class Fragments:
    """P places where triangles cover the centre of a pixel, hidden ones too.

    Attributes:
        pixel: (P,) index into the flattened picture.
        face: (P,) which triangle.
        weights: (P, 3) of the triangle's corners, in space and not in the picture.
        depth: (P,) metres.
        nearest: (P,) whether nothing is nearer at that pixel.
        buffer: (H * W,) metres to what is nearest, inf where nothing is.
    """

    pixel: np.ndarray
    face: np.ndarray
    weights: np.ndarray
    depth: np.ndarray
    nearest: np.ndarray
    buffer: np.ndarray

    def front(self) -> Fragments:
        """Only what is not hidden."""
        near = self.nearest
        return Fragments(
            self.pixel[near], self.face[near], self.weights[near], self.depth[near], near[near], self.buffer
        )


def rasterize(
    points: np.ndarray,
    faces: np.ndarray,
    size: tuple[int, int],
    two_sided: np.ndarray | None = None,
    device: torch.device | str = "cpu",
) -> Fragments:
    """Everything that triangles cover.

    Args:
        points: (V, 3) x, y in pixels and depth in metres.
        faces: (F, 3); seen from the outside they run counter-clockwise in space.
        size: height and width of the picture.
        two_sided: (F,) bool, triangles that are seen from behind too; None for none.
        device: that does it. Another device may round a depth or a weight otherwise, and no more.
    """
    height, width = size
    corners = torch.as_tensor(points.astype(np.float32), device=device)[_moved(faces, device)]  # F 3 3
    x, y, z = corners.unbind(-1)
    area = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])
    # y points down in the picture, so that outsides have a negative area.
    shown = area < -1e-9
    if two_sided is not None:
        shown |= _moved(two_sided, device) & (area > 1e-9)
    low_x, high_x = _span(x, width)
    low_y, high_y = _span(y, height)
    which = torch.nonzero(shown & (z.amin(1) > NEAR) & (high_x > low_x) & (high_y > low_y))[:, 0]  # f
    wide, low_x, low_y = (high_x - low_x)[which], low_x[which], low_y[which]
    counts = wide * (high_y[which] - low_y)
    row = torch.repeat_interleave(counts)
    step = torch.arange(len(row), device=device) - (counts.cumsum(0) - counts)[row]
    down = torch.div(step, wide[row], rounding_mode="floor")
    right = step - down * wide[row] + low_x[row]
    down = down + low_y[row]
    at_x, at_y = right.float() + 0.5, down.float() + 0.5
    flat = [a[row] * at_x + b[row] * at_y + c[row] for a, b, c in _planes(x[which], y[which], area[which])]
    inside = torch.nonzero((flat[0] >= 0) & (flat[1] >= 0) & (flat[2] >= 0))[:, 0]  # P
    row, pixel = row[inside], (down * width + right)[inside]
    # Depth's inverse is linear in the picture; so are weights over depth.
    over = torch.stack([weight[inside] for weight in flat], 1) * (1 / z[which])[row]
    depth = 1 / over.sum(1)
    buffer = torch.full((height * width,), float("inf"), device=device)
    buffer.scatter_reduce_(0, pixel, depth, "amin")
    found = (pixel, which[row], over * depth[:, None], depth, depth <= buffer[pixel], buffer)
    return Fragments(*(values.cpu().numpy() for values in found))


def _moved(values: np.ndarray, device: torch.device | str) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(values), device=device)


def _span(corners: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """(F, 3) coordinates of corners -> the first pixel whose centre can be covered and the one after the last."""
    low, high = torch.ceil(corners.amin(1) - 0.5), torch.floor(corners.amax(1) - 0.5) + 1
    return low.clamp(0, size).long(), high.clamp(0, size).long()


def _planes(x: Tensor, y: Tensor, area: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Corners (f, 3) -> for each corner a, b and c (f,): its weight in the picture is a x + b y + c."""
    out = []
    for corner in range(3):
        one, two = (corner + 1) % 3, (corner + 2) % 3
        out.append(
            (
                (y[:, one] - y[:, two]) / area,
                (x[:, two] - x[:, one]) / area,
                (x[:, one] * y[:, two] - x[:, two] * y[:, one]) / area,
            )
        )
    return out
