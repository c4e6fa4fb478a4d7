"""Asking a system that answers with one person for a prompt, given in words or by places, out of one graph each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from . import affine as affines
from .masks import Masks
from .people import People
from .pictures import letterbox
from .predictor import Predictor, Scene, evenly, from_mask, listed, taken
from .prompt import Prompt, PromptError
from .runtime import SizedEngine
from .skeleton import COCO17, Skeleton

LONG_SIDE = 640
STEP = 16  # sides of a padded picture are multiples of it
PLACES = 12  # that a scribble, a box or a mask is read at
WORD_PADDING = 1
TOKENIZER = "FacebookAI/roberta-base"


class ReferringPredictor(Predictor):
    """Args:
    name: of the system.
    engine: runs its graphs.
    tokenizer: RoBERTa's tokenizer.json; where it is not there, the published one is fetched and kept.
    skeleton: of the keypoints it gives.
    words: most word pieces that are read.
    cut: whether longer text is cut, with a note, and not refused.
    variant: size of the system, where that is known.
    """

    graphs = ("encode", "words", "places")
    rows = ()

    def __init__(
        self,
        name: str,
        engine: SizedEngine,
        tokenizer: Path,
        skeleton: Skeleton = COCO17,
        *,
        words: int = 512,
        cut: bool = False,
        variant: str | None = None,
    ) -> None:
        super().__init__(name, engine, tokenizer, skeleton)
        self.variant = variant
        self._sides = engine.sides
        self._limit, self._cut = words, cut

    def encode(self, image: Any) -> ReferringScene:
        """Everything about a picture that no prompt changes; see `Predictor.encode`."""
        picture = taken(image)
        height, width = picture.shape[:2]
        fixed = self._sides("encode", "picture")[:2]
        long_side = LONG_SIDE
        if fixed[0] is not None and fixed[1] is not None:
            long_side = max(1, int(min(fixed[0] / height, fixed[1] / width) * max(height, width) + 1e-6))
        small, affine = letterbox(picture, long_side, STEP, fill=0)
        size = np.array([round(affine[1, 1] * height), round(affine[0, 0] * width)], np.int64)
        if fixed[0] is not None and fixed[1] is not None:
            small = np.pad(small, ((0, fixed[0] - small.shape[0]), (0, fixed[1] - small.shape[1]), (0, 0)))
        features = self._engine.run("encode", {"picture": small, "size": size})
        return ReferringScene(self, picture, affine, {**features, "size": size})

    def find(self, image: Any, prompts: Prompt | Sequence[Prompt] | None = None) -> Any:
        """`encode(image).find(prompts)`, for one question about a picture; prompts are read before it is encoded."""
        if prompts is not None and not isinstance(prompts, Prompt):
            prompts = listed(prompts)
        picture = taken(image)
        for prompt in [prompts] if isinstance(prompts, Prompt) else prompts or ():
            self._check(prompt)
            prompt.check((picture.shape[0], picture.shape[1]))
        return self.encode(picture).find(prompts)

    def _check(self, prompt: Prompt) -> tuple[list[int], str | None]:
        """The words' pieces, and a note on what is not read.

        Raises:
            PromptError: the system cannot be asked so.
        """
        placed = [kind for kind in prompt.kinds if kind != "text"]
        if prompt.is_everybody:
            raise PromptError(f"{self.name} answers with one person: say or show who is meant")
        if prompt.text is not None and placed:
            raise PromptError(f"{self.name} reads words or places, not both: leave out the text or the {placed[0]}")
        if prompt.labels is not None and not prompt.labels.all():
            raise PromptError(f"{self.name} knows no points that are not on the person; leave them out")
        if prompt.text is None:
            return [], None
        # A word is a piece or more: what is too long by far needs no tokenizer to be refused.
        least = len(prompt.text.split()) + 2
        if least > self._limit and not self._cut:
            raise PromptError(
                f"the text has {least} word pieces or more; {self.name} reads at most {self._limit}: shorten it"
            )
        pieces = self._words(prompt.text)
        if len(pieces) <= self._limit:
            return pieces, None
        count = f"{len(pieces)} word pieces; {self.name} reads at most {self._limit}"
        if not self._cut:
            raise PromptError(f"the text has {count}: shorten it")
        # The last piece says that the text ends.
        return [*pieces[: self._limit - 1], pieces[-1]], f"the text has {count}, the rest was not read"

    def _words(self, text: str) -> list[int]:
        if self._tokenizer is None and not self._tokenizer_file.is_file():
            self._tokenizer_file = _published_tokenizer(self._tokenizer_file)
        return super()._words(text)


def _published_tokenizer(wanted: Path) -> Path:
    try:
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(TOKENIZER, "tokenizer.json"))
    except Exception as error:  # the hub's, the network's and a missing package's errors have no base of their own
        raise PromptError(
            f"words need RoBERTa's tokenizer.json, which is not at {wanted} and could not be fetched from "
            f"huggingface.co/{TOKENIZER}; put it there, or connect once. Points, scribbles and boxes need none"
        ) from error


@dataclass(frozen=True, eq=False)
class ReferringScene(Scene):
    """A picture that has been looked at; see `predictor.Scene`."""

    predictor: ReferringPredictor

    @overload
    def find(self, prompts: None = None, *, threshold: float | None = None, candidates: int = 1) -> People: ...
    @overload
    def find(self, prompts: Prompt, *, threshold: float | None = None, candidates: int = 1) -> People: ...
    @overload
    def find(
        self, prompts: Sequence[Prompt], *, threshold: float | None = None, candidates: int = 1
    ) -> list[People]: ...
    def find(
        self,
        prompts: Prompt | Sequence[Prompt] | None = None,
        *,
        threshold: float | None = None,
        candidates: int = 1,
    ) -> People | list[People]:
        """Whom the prompts mean.

        Args:
            prompts: one gives the one person that it means, or nobody, with the reason in `People.reason`; a list
                is answered in one batch of those in words and one of the others, one People each.
            threshold: least probability that a prompt means somebody (0.5 unless told otherwise); a model that was
                not calibrated always answers.
            candidates: how many answers to give for each prompt, best first.

        Raises:
            PromptError: a prompt does not fit the picture or the system.
        """
        if prompts is None or isinstance(prompts, Prompt):
            return self.find([prompts or Prompt()], threshold=threshold, candidates=candidates)[0]
        if candidates < 1:
            raise ValueError(f"candidates is {candidates}; ask for one answer or more")
        prompts = listed(prompts)
        read = []
        for prompt in prompts:
            prompt.check(self.size)
            read.append(self.predictor._check(prompt))
        answers: dict[int, People] = {}
        for graph in ("words", "places"):
            rows = [i for i, prompt in enumerate(prompts) if (prompt.text is None) == (graph == "places")]
            if not rows:
                continue
            if graph == "words":
                inputs = _padded_words([read[i][0] for i in rows])
            else:
                inputs = _padded_places([self._places(prompts[i]) for i in rows])
            ranks = np.arange(candidates)
            given = {**self.features, **inputs, "ranks": ranks}
            found = self.predictor._engine.run(graph, given)
            for row, i in enumerate(rows):
                one = {name: value[row] for name, value in found.items()}
                answers[i] = self._people(prompts[i], one, 0.5 if threshold is None else threshold, read[i][1])
        return [answers[i] for i in range(len(prompts))]

    def _places(self, prompt: Prompt) -> NDArray[np.float64]:
        """Where a prompt points, in pixels of the resized picture: (S, 2)."""
        parts = []
        if prompt.points is not None:
            parts.append(prompt.points)
        if prompt.scribble is not None:
            # As many places as it was trained on are taken as they stand.
            line = prompt.scribble
            parts.append(line if len(line) == PLACES else evenly(line, PLACES))
        if prompt.box is not None:
            parts.append(middle_line(prompt.box))
        if prompt.mask is not None:
            parts.append(from_mask(prompt.mask)[0])
        return affines.apply(self.affine, np.concatenate(parts))

    def _people(self, prompt: Prompt, found: dict[str, NDArray[Any]], threshold: float, note: str | None) -> People:
        sure = float(found["presence"])
        if sure < threshold:
            what = f'"{prompt.text}"' if prompt.text is not None else f"under that {prompt.kinds[0]}"
            reason = f"nobody here is {what} ({sure:.0%} sure that somebody is)"
            return People.empty(self.size, self.predictor.skeleton, "; ".join(filter(None, (reason, note))))
        back = affines.invert(self.affine)
        height, width = self.size
        boxes = np.clip(affines.apply_to_boxes(back, found["boxes"]), 0, (width, height, width, height))
        number = len(boxes)
        joints = found["keypoints"].shape[1]
        return People(
            size=self.size,
            boxes=boxes.astype(np.float32),
            scores=found["scores"],
            keypoints=affines.apply(back, found["keypoints"]).astype(np.float32),
            confidence=found["confidence"],
            state=np.zeros((number, joints, 3), np.float32),
            masks=Masks.from_bitmaps(np.stack([self._bitmap(mask) for mask in found["masks"]])),
            skeleton=self.predictor.skeleton,
            names=None if prompt.name is None else (prompt.name,) * number,
            reason=note,
        )

    def _bitmap(self, logits: NDArray[np.float32]) -> NDArray[np.bool_]:
        """A mask (H, W) of the padded picture at the picture's own resolution."""
        height, width = self.features["size"]
        inside = Image.fromarray(logits[:height, :width].astype(np.float32))
        return np.asarray(inside.resize(self.size[::-1], Image.Resampling.BILINEAR)) > 0


def middle_line(box: NDArray[Any]) -> NDArray[np.float64]:
    """A box (4,) as places (12, 2) on the middle line along its longer side, where a body is."""
    centre, size = (box[:2] + box[2:]) / 2.0, np.asarray(box[2:] - box[:2], np.float64)
    size[int(size.argmin())] = 0
    return centre + np.linspace(-0.375, 0.375, PLACES)[:, None] * size


def _padded_words(words: list[list[int]]) -> dict[str, NDArray[Any]]:
    ids = np.full((len(words), max(map(len, words))), WORD_PADDING, np.int64)
    for row, pieces in zip(ids, words):
        row[: len(pieces)] = pieces
    return {"words": ids}


def _padded_places(places: list[NDArray[np.float64]]) -> dict[str, NDArray[Any]]:
    longest = max(map(len, places))
    padded = np.zeros((len(places), longest, 2), np.float32)
    unused = np.ones((len(places), longest), bool)
    for i, some in enumerate(places):
        padded[i, : len(some)], unused[i, : len(some)] = some, False
    return {"places": padded, "unused": unused}
