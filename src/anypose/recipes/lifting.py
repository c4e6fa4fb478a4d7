"""Lifting: the recipe of lifting systems over CMU's motion and simulated cameras."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from anypose import zoo
from anypose.data import cmu
from anypose.data.simulated import USUAL, Detector, Rig
from anypose.ops.poses import Clips
from anypose.recipes.lifting_data import LiftingData, People
from anypose.recipes.recipe import Recipe


class Lifting(Recipe):
    """Trains a lifting system of H36M17 keypoints.

    Args:
        out: folder of the run; nothing but the run itself is kept there.
        system: its name, such as "lifting/lever", with a variant if it has some.
        motion: `cmu_60hz.npz`.
        subject: who is never seen, or None; of the others the last fifth of the clips is not seen either.
        model: options of the system's constructor.
        data: options of `LiftingData`; `people`, `detector` and `rig` as dicts of theirs, `detector` None for true
            keypoints. Clips have as many frames as the system reads, unless told otherwise.
        weights: a safetensors file to go on from, or None.
    """

    def __init__(
        self,
        *,
        out: Path,
        system: str = "lifting/lever",
        motion: str,
        subject: str | None = "02",
        model: dict[str, Any] | None = None,
        data: dict[str, Any] | None = None,
        weights: str | None = None,
        lr: float = 1e-3,
        seed: int = 0,
    ) -> None:
        torch.manual_seed(seed)
        lifter = zoo.create(system, weights, **(model or {}))
        if lifter.skeleton.name != "h36m17":
            raise ValueError(f"{system} reads {lifter.skeleton.name}; this recipe has keypoints of h36m17")
        super().__init__(model=lifter, groups=[{"params": list(lifter.parameters()), "lr": lr}])
        clips = cmu.read(motion)
        options = {"frames": lifter.frames, "seed": seed, **(data or {})}
        for name, kind in (("people", People), ("detector", Detector), ("rig", Rig)):
            if isinstance(options.get(name), dict):
                options[name] = kind(**options[name])
        options.setdefault("rig", USUAL)
        self._data = LiftingData([clips[name] for name in cmu.split(clips, subject).train], **options)

    def batches(self, start: int, stride: int = 1) -> Iterator[Clips]:
        return self._data.batches(start, stride)
