"""Reaching: the recipe of `promptable/tokenclipose`, whose keypoints may lie beyond the crop (paper section 4.1)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from anypose.data import coco
from anypose.models.promptable.tokenclipose import VARIANTS, Batch, TokenCLIPose
from anypose.models.promptable.tokenclipose.image import start_backbone
from anypose.nn.lite_hrnet import ShuffleUnit, StridedShuffleUnit
from anypose.recipes.reaching_data import Crowd, View, Views, cut, shrunk
from anypose.recipes.recipe import Recipe
from anypose.runtime.export import export
from anypose.runtime.graph import Graph
from anypose.runtime.onnx import OnnxEngine
from anypose.skeleton import COCO17, SKELETONS, Skeleton

TOGETHER = 16  # crops whose maps are computed at a time


class Reaching(Recipe):
    """Trains TokenCLIPose on people in boxes, also such as are too small for them.

    Args:
        out: folder of the run.
        people: COCO keypoint file and the folder of its pictures.
        judged: another such, whose people are judged at every checkpoint; or None.
        skeleton: of the keypoints: one that is known here by its name, or a file that `Skeleton.load` reads.
        variant: of TokenCLIPose. model: options of it that differ.
        trunk: published weights of the backbone (see `start_backbone`); None starts from nothing.
        weights: a safetensors file of TokenCLIPose to go on from, or None.
        least: labelled keypoints that a person needs to be shown.
        views: options of `Views`.
        kept: 0 shows everybody anew each time and the backbone learns on; else so many views of each person are
            passed through the backbone once, their maps are kept in memory and the backbone stays as it is.
        cut_targets: keypoints beyond the crop count as unknown. For comparison: it is what the paper's purpose forbids.
        batch: people of a step.
        lr: peak rate of what is new; lr_backbone of the backbone.
    """

    blocks = (ShuffleUnit, StridedShuffleUnit)

    def __init__(
        self,
        *,
        out: Path,
        people: tuple[str, str],
        judged: tuple[str, str] | None = None,
        skeleton: str = COCO17.name,
        variant: str = "lite",
        model: dict[str, Any] | None = None,
        trunk: str | None = None,
        weights: str | None = None,
        least: int = 6,
        views: dict[str, Any] | None = None,
        kept: int = 0,
        cut_targets: bool = False,
        batch: int = 32,
        lr: float = 1e-3,
        lr_backbone: float = 5e-5,
        seed: int = 0,
    ) -> None:
        torch.manual_seed(seed)
        if variant not in VARIANTS:
            raise ValueError(f"there is no variant {variant!r} of TokenCLIPose; there are {', '.join(VARIANTS)}")
        meant = SKELETONS[skeleton] if skeleton in SKELETONS else Skeleton.load(skeleton)
        ours = TokenCLIPose(**{**VARIANTS[variant], "skeleton": meant, **(model or {})})
        ours.start_tokens()
        if trunk is not None:
            start_backbone(ours.backbone, trunk)
        if weights is not None:
            ours.load_state_dict({key: value.float() for key, value in load_file(weights).items()})
        ours.backbone.requires_grad_(not kept)
        super().__init__(ours, _groups(ours, lr, lr_backbone))
        self._views, self._cut = Views(**(views or {})), cut_targets
        self._crowd = Crowd(coco.read(*people, meant), ours.size, least)
        self._judged = None if judged is None else Crowd(coco.read(*judged, meant), ours.size, least)
        self._batch, self._seed = batch, seed
        self._kept = Kept.of(ours, self._crowd, self._views, kept, seed) if kept else None

    def batches(self, start: int, stride: int = 1) -> Iterator[Batch]:
        number = start
        while True:
            rng = np.random.default_rng((self._seed, number))
            if self._kept is not None:
                batch = self._kept.batch(rng.integers(len(self._kept.known), size=self._batch))
                yield beyond_unknown(batch) if self._cut else batch
            else:
                chosen = rng.integers(len(self._crowd), size=self._batch)
                shown = [self._crowd.view(int(person), self._views, rng) for person in chosen]
                yield batch_of([cut(view) for view in shown] if self._cut else shown)
            number += stride

    def judge(self) -> dict[str, float]:
        """Share of keypoints that are right to a fifth of the person's diagonal: outside the crop, and inside."""
        if self._judged is None:
            return {}
        model = self.model
        assert isinstance(model, TokenCLIPose)
        judged = trials(self._judged)
        return pck(answered(model, judged), judged)


def batch_of(views: Sequence[View]) -> Batch:
    """Views as a model takes them."""
    crops = torch.from_numpy(np.stack([view.crop for view in views])).permute(0, 3, 1, 2).float()
    keypoints, known = (np.stack([getattr(view, name) for view in views]) for name in ("keypoints", "known"))
    return Batch(crops, (), torch.from_numpy(keypoints), torch.from_numpy(known))


def beyond_unknown(batch: Batch) -> Batch:
    """The batch without targets beyond the crops."""
    inside = (batch.keypoints.abs() <= 0.5).all(-1)
    return batch._replace(known=batch.known * inside)


class Kept:
    """Views whose maps are computed once, as float16.

    Args:
        maps: (V, D, h, w) for each level. keypoints: (V, K, 2). known: (V, K).
    """

    def __init__(self, maps: list[NDArray[np.float16]], keypoints: Tensor, known: Tensor) -> None:
        self.maps, self.keypoints, self.known = maps, keypoints, known

    @classmethod
    def of(cls, model: TokenCLIPose, crowd: Crowd, views: Views, each: int, seed: int) -> Kept:
        """`each` views of everybody; a view depends on the seed, the person and its number alone."""
        shown = (
            crowd.view(person, views, np.random.default_rng((seed, person, number)))
            for person in range(len(crowd))
            for number in range(each)
        )
        return cls.seen(model, shown)

    @classmethod
    def seen(cls, model: TokenCLIPose, shown: Iterator[View]) -> Kept:
        """Views through the model's backbone, by ONNX Runtime, which is some times as fast there."""
        with tempfile.TemporaryDirectory() as folder:
            crops = torch.zeros(1, 3, *model.size)
            learning = model.training
            see = _See(model).eval()  # before the first crop, which batch norms would learn from
            with torch.no_grad():
                names = tuple(f"map{level}" for level in range(len(model.see(crops))))
            export({"see": Graph(see, {"crops": crops}, names, {"crops": {0: "people"}})}, Path(folder))
            model.train(learning)
            engine = OnnxEngine(Path(folder), ("see",), threads=torch.get_num_threads())
            parts: list[list[NDArray[np.float16]]] = [[] for _ in names]
            keypoints, known = [], []
            for views in _together(shown):
                batch = batch_of(views)
                maps = engine.run("see", {"crops": batch.crops.numpy()})
                for part, name in zip(parts, names):
                    part.append(maps[name].astype(np.float16))
                keypoints.append(batch.keypoints)
                known.append(batch.known)
        return cls([np.concatenate(part) for part in parts], torch.cat(keypoints), torch.cat(known))

    def batch(self, chosen: NDArray[np.integer[Any]]) -> Batch:
        """The views of these numbers."""
        maps = tuple(torch.from_numpy(level[chosen].astype(np.float32)) for level in self.maps)
        rows = torch.from_numpy(np.asarray(chosen, np.int64))
        return Batch(torch.empty(0), maps, self.keypoints[rows], self.known[rows])


class _See(nn.Module):
    def __init__(self, model: TokenCLIPose) -> None:
        super().__init__()
        self.model = model

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model.see(crops))


def _together(shown: Iterator[View]) -> Iterator[list[View]]:
    part: list[View] = []
    for view in shown:
        part.append(view)
        if len(part) == TOGETHER:
            yield part
            part = []
    if part:
        yield part


class Trial(NamedTuple):
    """A view that is judged: the person's diagonal in pixels of the picture, and those of a crop's width and height."""

    view: View
    diagonal: float
    extent: NDArray[np.float64]


def trials(crowd: Crowd, seed: int = 0) -> list[Trial]:
    """Everybody once in a box that leaves three or more keypoints out, where there is such; always the same."""
    found = []
    for person in range(len(crowd)):
        box, keypoints, known = crowd.labels(person)
        region = shrunk(box, keypoints, known, np.random.default_rng((seed, person)), crowd.size)
        if region is not None:
            diagonal = float(np.hypot(*(box[2:] - box[:2])))
            found.append(Trial(crowd.shown(person, region), diagonal, region[2:] - region[:2]))
    return found


def pck(found: NDArray[np.float32], judged: Sequence[Trial], share: float = 0.2) -> dict[str, float]:
    """Share of known keypoints that `found` (N, K, 2) has right to a `share` of the diagonal, outside and inside."""
    right: dict[str, list[NDArray[np.bool_]]] = {"outside": [], "inside": []}
    for places, (view, diagonal, extent) in zip(found, judged):
        near = np.linalg.norm((places - view.keypoints) * extent, axis=1) <= share * diagonal
        known, inside = view.known > 0, (np.abs(view.keypoints) <= 0.5).all(1)
        right["outside"].append(near[known & ~inside])
        right["inside"].append(near[known & inside])
    return {name: float(np.concatenate(rows).mean()) for name, rows in right.items()}


@torch.no_grad()
def answered(model: TokenCLIPose, judged: Sequence[Trial]) -> NDArray[np.float32]:
    """The model's keypoints of each trial, (N, K, 2)."""
    parts = [
        model(batch_of([trial.view for trial in judged[i : i + TOGETHER]]).crops).keypoints
        for i in range(0, len(judged), TOGETHER)
    ]
    return torch.cat(parts).numpy()


def _groups(model: TokenCLIPose, lr: float, lr_backbone: float) -> list[dict[str, Any]]:
    own = [value for value in model.backbone.parameters() if value.requires_grad]
    backbone = {id(value) for value in model.backbone.parameters()}
    rest = [value for value in model.parameters() if id(value) not in backbone]
    # Tokens start from unit vectors, which decay would take from them.
    table = [value for value in rest if value is model.table]
    groups = [
        {"params": own, "lr": lr_backbone},
        {"params": table, "lr": lr, "weight_decay": 0.0},
        {"params": [value for value in rest if value is not model.table], "lr": lr},
    ]
    return [group for group in groups if group["params"]]
