"""What lifters of keypoints export: one graph."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from anypose.runtime.graph import Graph


class Lift(nn.Module):
    """A lifter whose answer is a tuple of one; of hypotheses the mean, drawn from noise of a fixed seed."""

    def __init__(self, lifter: nn.Module) -> None:
        super().__init__()
        self.lifter: Any = lifter

    def forward(self, keypoints: Tensor) -> tuple[Tensor]:
        if not hasattr(self.lifter, "hypotheses"):
            return (self.lifter(keypoints),)
        denoiser = getattr(self.lifter, "denoiser", None)
        told = {"words": self.lifter.silence(len(keypoints))} if getattr(denoiser, "text", None) is not None else {}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return (self.lifter(keypoints, **told).mean(1),)


def graphs(model: nn.Module) -> dict[str, Graph]:
    """The graph "lift" of a lifter: keypoints (B, T, J, 2) to joints (B, T, J, 3), metres from the root.

    The number of clips varies; that of frames too where the system says `any_length`, or looks at each by itself,
    else it is the system's. Lifters with noise have a graph as well, which PyTorch runs and nobody exports.

    Raises ValueError for a system that answers for frames of its own choice, which make no sequence.
    """
    system: Any = model
    if system.answers not in ("all", "centre"):
        raise ValueError(f"{type(model).__name__} answers for the {system.answers} frames alone: no sequence to lift")
    frames, skeleton = int(system.frames), system.skeleton
    varies = frames == 1 or getattr(system, "any_length", False)
    example = torch.randn(2, max(frames, 2), len(skeleton), 2) * 0.3
    sides = {0: "clips", 1: "frames"} if varies else {0: "clips"}
    notes = {
        "skeleton": skeleton.name,
        "frames": str(frames),
        "answers": system.answers,
        "length": "any" if varies else "fixed",
    }
    return {"lift": Graph(Lift(model), {"keypoints": example}, ("joints",), {"keypoints": sides}, notes=notes)}
