"""Refining: the pointer's second look, taught by what it says of a crop and of its mirror image together.

A crop and its mirror image averaged are right more often than either (docs/pointer.md), at twice the price. Learning
from that average gives a part of it for nothing, and needs no labels: every keypoint of every crop has a teacher.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anypose.data import coco
from anypose.models.promptable.pointer import Pointer
from anypose.models.promptable.pointer.losses import Batch, hints_of, second_losses
from anypose.nn.lite_hrnet import ShuffleUnit, StridedShuffleUnit
from anypose.recipes.pointing_data import Photographs, PointingData
from anypose.recipes.recipe import Recipe

TAUGHT = 1000.0  # as much as labelled heat maps count


class Refining(Recipe):
    """Trains the second look alone.

    Args:
        out: folder of the run.
        people: COCO keypoint file, and the folder of its pictures.
        athletes: another one of single people, for crops without a picture around, and its folder; or None.
        synthetic: people.json and the folder of pictures that `anypose data synthesize` wrote; or None.
        words: folder with tokenizer.json (experiments/words.py).
        weights: a safetensors file of the pointer to go on from.
        teacher: one whose second look teaches; None: `weights` as they are at the start.
        model: options of `Pointer`.
        data: options of `PointingData`.
        lr: peak learning rate of what follows the trunk; `lr_trunk` of the trunk and its heat maps.
        workers: processes that prepare batches; 0 prepares them between steps.
    """

    blocks = (ShuffleUnit, StridedShuffleUnit)

    def __init__(
        self,
        *,
        out: Path,
        people: tuple[str, str],
        athletes: tuple[str, str] | None = None,
        synthetic: tuple[str, str] | None = None,
        words: str,
        weights: str,
        teacher: str | None = None,
        model: dict[str, Any] | None = None,
        data: dict[str, Any] | None = None,
        lr: float = 1e-3,
        lr_trunk: float = 2e-4,
        workers: int = 1,
        seed: int = 0,
    ) -> None:
        del out  # Nothing is kept between runs.
        torch.manual_seed(seed)
        pointer = Pointer(**(model or {}))
        print(f"new: {', '.join(pointer.go_on_from(weights)) or 'nothing'}")
        pointer.first.requires_grad_(requires_grad=False)
        teaching = Pointer(**(model or {})) if teacher else copy.deepcopy(pointer)
        if teacher:
            teaching.go_on_from(teacher)
        # Not a module of the model's: it is neither learned nor kept.
        self._teacher = teaching.second.eval().requires_grad_(requires_grad=False)
        second = pointer.second
        trunk = [*second.trunk.parameters(), *second.heatmaps.parameters()]
        known = {id(parameter) for parameter in trunk}
        rest = [parameter for parameter in second.parameters() if id(parameter) not in known]
        super().__init__(model=pointer, groups=[{"params": trunk, "lr": lr_trunk}, {"params": rest, "lr": lr}])
        samples = [s for part in (people, synthetic) if part for s in coco.read(*part) if len(s.people)]
        others = list(coco.read(*athletes)) if athletes else []
        options = {"seed": seed, "prompts_each": 0, **(data or {})}
        tokenizer = Path(words) / "tokenizer.json"
        self._data = PointingData(Photographs(samples, {}), Photographs(others, {}), tokenizer, **options)
        self._mirror = torch.tensor(samples[0].people.skeleton.mirror)
        self._workers = workers

    def batches(self, start: int, stride: int = 1) -> Iterator[Batch]:
        self._data.start, self._data.stride = start, stride
        prefetch = 2 if self._workers else None
        return iter(
            torch.utils.data.DataLoader(
                self._data, batch_size=None, num_workers=self._workers, prefetch_factor=prefetch
            )
        )

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        pointer = self.model
        assert isinstance(pointer, Pointer)
        device = next(pointer.parameters()).device
        batch = batch.to(device)
        teacher = self._teacher.to(device)
        with torch.no_grad():
            candidates = pointer.first.eval().encode(batch.pictures, batch.sizes)
            hints, _ = hints_of(pointer, candidates, batch)
            taught = teacher.heatmaps_both_ways(batch.crops, hints, self._mirror.to(device))  # N K H/4 W/4
        seen = pointer.second(batch.crops, hints)
        return {**second_losses(seen, batch), "taught": TAUGHT * (seen.heatmaps - taught).square().mean()}
