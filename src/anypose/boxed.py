"""Asking a system that answers about one crop at a time: a box is a crop, other prompts get theirs from a locator."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import affine as affines
from .people import People
from .pictures import crop
from .predictor import Predictor, Scene, from_mask, taken
from .prompt import Prompt
from .runtime import NotedEngine
from .skeleton import Skeleton

MARGIN = 1.25  # of a crop around the box
_AS_IT_IS = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])  # no letterbox


class BoxPredictor(Predictor):
    """Args:
    name: of the system.
    engine: runs its graph, whose notes hold the skeleton and the size of a crop.
    locator: makes the predictor whose boxes answer prompts that are no box and no mask; it is made when the first
        such prompt comes.
    variant: size of the system, where that is known.
    """

    graphs = ("see",)
    rows = ("see",)

    def __init__(
        self, name: str, engine: NotedEngine, locator: Callable[[], Predictor], *, variant: str | None = None
    ) -> None:
        notes = engine.notes("see")
        missing = [note for note in ("skeleton", "size") if note not in notes]
        if missing:
            raise ValueError(f"the graph of {name} does not say its {missing[0]}: write it anew with `anypose export`")
        super().__init__(name, engine, Path(), Skeleton.from_dict(json.loads(notes["skeleton"])))
        self.variant = variant
        self._make_locator = locator
        self._locator: Predictor | None = None
        height, width = json.loads(notes["size"])
        self.crop_size = (int(height), int(width))

    @property
    def locator(self) -> Predictor:
        """Who finds the boxes."""
        if self._locator is None:
            self._locator = self._make_locator()
        return self._locator

    def encode(self, image: Any) -> BoxScene:
        """The picture; nothing of it is known before there is a box."""
        return BoxScene(self, taken(image), _AS_IT_IS, {})


@dataclass(frozen=True, eq=False)
class BoxScene(Scene):
    """A picture whose boxes are looked at: keypoints may lie beyond them and beyond the picture.

    A box (or the box of a mask) is taken as it is; the locator finds the boxes of all other prompts, by its threshold.
    """

    predictor: BoxPredictor
    _located: dict[str, Any] = field(default_factory=dict, repr=False)

    def _answers(self, prompts: Sequence[Prompt], threshold: float | None) -> list[People]:
        found: list[People | None] = [self._drawn(prompt) for prompt in prompts]
        asked = [prompt for prompt, people in zip(prompts, found) if people is None]
        located = iter(self._scene().find(asked, threshold=threshold) if asked else ())
        answers = [next(located) if people is None else people for people in found]
        return self._looked(answers) if answers else []

    def _drawn(self, prompt: Prompt) -> People | None:
        """Whom a box or a mask means; None where the prompt has neither."""
        if prompt.box is None and prompt.mask is None:
            return None
        box = from_mask(prompt.mask)[1] if prompt.box is None else prompt.box
        joints = len(self.predictor.skeleton)
        return People(
            size=self.size,
            boxes=np.asarray(box, np.float32)[None],
            scores=np.ones(1, np.float32),
            keypoints=np.zeros((1, joints, 2), np.float32),
            confidence=np.zeros((1, joints), np.float32),
            state=np.zeros((1, joints, 3), np.float32),
            skeleton=self.predictor.skeleton,
            names=None if prompt.name is None else (prompt.name,),
        )

    def _scene(self) -> Any:
        """The picture as the locator sees it; it looks once."""
        if not self._located:
            self._located["scene"] = self.predictor.locator.encode(self.picture)
        return self._located["scene"]

    def _looked(self, answers: Sequence[People]) -> list[People]:
        """The people with this system's keypoints; boxes, masks, names and reasons stay."""
        boxes = np.concatenate([people.boxes for people in answers]).astype(np.float64)
        seen = self._see(boxes) if len(boxes) else {}
        looked = []
        first = 0
        joints = len(self.predictor.skeleton)
        for people in answers:
            rows = slice(first, first + len(people))
            first += len(people)
            if not len(people):
                looked.append(People.empty(self.size, self.predictor.skeleton, people.reason))
                continue
            looked.append(
                People(
                    size=self.size,
                    boxes=people.boxes,
                    # Who draws a box has seen somebody; of the others the locator is as sure as it says.
                    scores=seen["scores"][rows] * people.scores,
                    keypoints=seen["keypoints"][rows],
                    confidence=seen["confidence"][rows],
                    state=np.zeros((len(people), joints, 3), np.float32),
                    masks=people.masks,
                    skeleton=self.predictor.skeleton,
                    names=people.names,
                    presence=people.presence,
                    reason=people.reason,
                )
            )
        return looked

    def _see(self, boxes: NDArray[np.float64]) -> dict[str, NDArray[np.float32]]:
        cuts = [crop(self.picture, around(box, self.predictor.crop_size), self.predictor.crop_size, 0) for box in boxes]
        seen = self.predictor._engine.run_rows("see", {"crops": np.stack([pixels for pixels, _ in cuts])})
        backs = [affines.invert(to_crop) for _, to_crop in cuts]
        keypoints = np.stack([affines.apply(back, places) for back, places in zip(backs, seen["keypoints"])])
        return {**seen, "keypoints": keypoints.astype(np.float32)}


def around(box: NDArray[np.float64], size: tuple[int, int], margin: float = MARGIN) -> NDArray[np.float64]:
    """What a crop of a box (4,) covers: grown to the shape of crops of `size` (height, width), and by the margin."""
    centre, sides = (box[:2] + box[2:]) / 2, np.maximum(box[2:] - box[:2], 4)
    height = max(sides[1], sides[0] * size[0] / size[1]) * margin
    half = np.array([height * size[1] / size[0], height]) / 2
    return np.concatenate((centre - half, centre + half))
