"""A predictor that needs no weights: it answers from the prompt alone, to test the command line with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from anypose.masks import Masks
from anypose.people import People
from anypose.prompt import Prompt
from anypose.skeleton import COCO17


def somebody(size: tuple[int, int], left: float = 0.25, score: float = 0.9) -> People:
    """One person that fills the middle of a picture of `size` (H, W), starting at `left` of its width."""
    height, width = size
    box = np.array([left * width, 0.1 * height, min(1.0, left + 0.5) * width, 0.9 * height], np.float32)
    steps = np.linspace(0.1, 0.9, len(COCO17), dtype=np.float32)[:, None]
    bitmap = np.zeros(size, bool)
    x0, y0, x1, y1 = (int(value) for value in box)
    bitmap[y0:y1, x0:x1] = True
    return People(
        size=size,
        boxes=box[None],
        scores=np.array([score]),
        keypoints=(box[:2] + steps * (box[2:] - box[:2]))[None],
        confidence=np.full((1, len(COCO17)), 0.9),
        state=np.broadcast_to(np.array([0.8, 0.2, 0.0]), (1, len(COCO17), 3)),
        masks=Masks.from_bitmaps(bitmap[None]),
    )


@dataclass(frozen=True)
class StandInScene:
    """Everybody is two people, "a giraffe" is nobody, and any other prompt is one person."""

    size: tuple[int, int]

    def find(self, prompts: Prompt | Sequence[Prompt], *, threshold: float | None = None) -> Any:
        if isinstance(prompts, Prompt):
            return self._answer(prompts)
        return [self._answer(prompt) for prompt in prompts]

    def _answer(self, prompt: Prompt) -> People:
        if prompt.is_everybody:
            return People.concatenate([somebody(self.size, 0.0, 0.8), somebody(self.size, 0.5, 0.7)])
        if prompt.text == "a giraffe":
            return People.empty(self.size, reason="no person fits these words")
        return somebody(self.size)


@dataclass
class StandIn:
    """Keeps what it was shown; `interrupt_at` presses Ctrl-C at that picture."""

    name: str = "promptable/pointer"
    pictures: list[Any] = field(default_factory=list)
    prompts: list[Prompt] = field(default_factory=list)
    interrupt_at: int | None = None

    def encode(self, image: Any) -> StandInScene:
        if self.interrupt_at == len(self.pictures):
            raise KeyboardInterrupt
        self.pictures.append(image)
        return StandInScene((image.shape[0], image.shape[1]))
