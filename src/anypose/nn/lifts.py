"""What lifters of keypoints export: one graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from anypose.runtime.graph import Graph


class Lift(nn.Module):
    """A lifter whose answer is a tuple of one."""

    def __init__(self, lifter: nn.Module) -> None:
        super().__init__()
        self.lifter = lifter

    def forward(self, keypoints: Tensor) -> tuple[Tensor]:
        return (self.lifter(keypoints),)


def graphs(model: nn.Module) -> dict[str, Graph]:
    """The graph "lift" of a deterministic lifter: keypoints (B, T, J, 2) to joints (B, T, J, 3), metres from the root.

    The number of clips varies; that of frames too where the system looks at each by itself, else it is the system's.
    """
    frames, skeleton = int(model.frames), model.skeleton  # type: ignore[arg-type]
    example = torch.randn(2, max(frames, 2), len(skeleton), 2) * 0.3  # type: ignore[arg-type]
    sides = {0: "clips"} if frames > 1 else {0: "clips", 1: "frames"}
    return {"lift": Graph(Lift(model), {"keypoints": example}, ("joints",), {"keypoints": sides})}
