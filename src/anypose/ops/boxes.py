"""Boxes x0 y0 x1 y1, as torch functions."""

from __future__ import annotations

import torch
from torch import Tensor


def area(boxes: Tensor) -> Tensor:
    """(..., 4) to (...)."""
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)


def intersection(left: Tensor, right: Tensor) -> Tensor:
    """Area shared by each pair: (..., N, 4) and (..., M, 4) to (..., N, M)."""
    low = torch.maximum(left[..., :, None, :2], right[..., None, :, :2])
    high = torch.minimum(left[..., :, None, 2:], right[..., None, :, 2:])
    return (high - low).clamp(min=0).prod(-1)


def iou(left: Tensor, right: Tensor) -> Tensor:
    """Intersection over union of each pair: (..., N, 4) and (..., M, 4) to (..., N, M)."""
    shared = intersection(left, right)
    return shared / (area(left)[..., :, None] + area(right)[..., None, :] - shared).clamp(min=1e-6)


def generalised_iou(left: Tensor, right: Tensor) -> Tensor:
    """Row by row (Rezatofighi et al., 2019): (..., 4) and (..., 4) to (...)."""
    low = torch.maximum(left[..., :2], right[..., :2])
    high = torch.minimum(left[..., 2:], right[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    union = (area(left) + area(right) - shared).clamp(min=1e-6)
    hull = torch.maximum(left[..., 2:], right[..., 2:]) - torch.minimum(left[..., :2], right[..., :2])
    hull_area = hull.clamp(min=0).prod(-1).clamp(min=1e-6)
    return shared / union - (hull_area - union) / hull_area


def refine(boxes: Tensor, deltas: Tensor) -> Tensor:
    """Moves centres by parts of the size and scales sizes by exponentials: (..., 4), (..., 4) to (..., 4)."""
    size = boxes[..., 2:] - boxes[..., :2]
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2 + deltas[..., :2] * size
    size = size * deltas[..., 2:].clamp(-2, 2).exp()
    return torch.cat((centre - size / 2, centre + size / 2), -1)


def distinct(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Suppression of repeats without a loop (Fast NMS, Bolya et al., YOLACT, 2019).

    Args:
        boxes: (..., N, 4).
        scores: (..., N); of two that are equal the first is the better.
        threshold: IoU with a better box from which a box is a repeat.

    Returns: (..., N) bool.
    """
    count = boxes.shape[-2]
    before = torch.ones(count, count, dtype=torch.bool, device=boxes.device).triu(1)
    row, column = scores[..., :, None], scores[..., None, :]
    better = (row > column) | ((row == column) & before)
    overlap = iou(boxes, boxes) * better
    return overlap.amax(-2) <= threshold
