"""Poses in space as tensors: what lifters learn from, and their losses."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# How much a joint counts in the loss of MixSTE and its kin: what moves far from the trunk counts more.
WEIGHTS = {
    "h36m17": (1, 1, 2.5, 2.5, 1, 2.5, 2.5, 1, 1, 1, 1.5, 1.5, 4, 4, 1.5, 4, 4),
    "humaneva15": (1, 1, 2.5, 2.5, 1, 2.5, 2.5, 1, 1.5, 1.5, 4, 4, 1.5, 4, 4),
}


class Clips(NamedTuple):
    """What a lifter learns from.

    keypoints: (B, T, J, 2) in screen-normalised coordinates. joints: (B, T, J, 3) metres in the camera's frame,
    relative to the root.
    """

    keypoints: Tensor
    joints: Tensor

    def to(self, device: torch.device) -> Clips:
        return Clips(self.keypoints.to(device), self.joints.to(device))


def joint_weights(skeleton: str, count: int) -> Tensor:
    """Weights of a skeleton's joints, (count,); 1 for all where none are published."""
    return torch.tensor(WEIGHTS.get(skeleton, (1.0,) * count))


def distance(found: Tensor, expected: Tensor) -> Tensor:
    """Mean distance of joints (..., 3): the MPJPE, in the unit of the joints."""
    return (found - expected).norm(dim=-1).mean()


def weighted_distance(found: Tensor, expected: Tensor, weights: Tensor) -> Tensor:
    """Mean distance of joints (..., J, 3), each times its weight (J,)."""
    return (weights * (found - expected).norm(dim=-1)).mean()


def scaled_distance(found: Tensor, expected: Tensor) -> Tensor:
    """Mean distance after the best scale of each frame (..., J, 3): the N-MPJPE."""
    products = (expected * found).sum(-1).mean(-1), found.square().sum(-1).mean(-1)
    scale = products[0] / products[1].clamp(min=1e-12)
    return distance(scale[..., None, None] * found, expected)


def velocity_distance(found: Tensor, expected: Tensor) -> Tensor:
    """Mean distance of the steps from frame to frame of (B, T, J, 3)."""
    return distance(found.diff(dim=1), expected.diff(dim=1))


def unsteadiness(found: Tensor, weights: Tensor) -> Tensor:
    """Mean square of the steps from frame to frame of (B, T, J, 3), each joint times its weight (J,)."""
    return (weights[:, None] * found.diff(dim=1).square()).mean()


def sequence_losses(found: Tensor, expected: Tensor, weights: Tensor) -> dict[str, Tensor]:
    """The losses of MixSTE and its kin for (B, T, J, 3), weighted; over single frames the first alone."""
    losses = {"joints": weighted_distance(found, expected, weights)}
    if found.shape[1] > 1:
        losses["steadiness"] = 0.5 * unsteadiness(found, weights)
        losses["velocity"] = 2.0 * velocity_distance(found, expected)
    return losses


def mirrored(poses: Tensor, mirror: Tensor) -> Tensor:
    """Poses (..., J, 2 or 3 and more) as a mirror shows them: x turned round, left and right changed.

    Args:
        mirror: (J,) indices, those of `Skeleton.mirror`.
    """
    swapped = poses.index_select(-2, mirror)
    return torch.cat((-swapped[..., :1], swapped[..., 1:]), -1)


def rooted(poses: Tensor, root: int = 0) -> Tensor:
    """Poses (..., J, 3) relative to their root."""
    return poses - poses[..., root : root + 1, :]
