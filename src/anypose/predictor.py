"""Predictor: what `load` returns. A picture is encoded once and asked as often as one likes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from . import affine as affines
from . import wordpiece
from .masks import Masks
from .people import People
from .pictures import crop, letterbox, open_picture
from .prompt import Prompt
from .runtime import Engine
from .skeleton import COCO17, Skeleton

LONG_SIDE = 416  # of the letterboxed picture
MASK_STRIDE = 8  # of the coarse masks over it
CROP = (256, 192)  # height, width
MARGIN = 1.25  # of a crop around the box
STROKE_PLACES = 12
WORDS = 32
NOTHING, POSITIVE, NEGATIVE, STROKE = range(4)  # kinds of a prompt's places
VIEWS = ((1.0, False), (0.9, True))  # of a person: the part of the crop that is seen, and whether it is mirrored
NEARER = 4  # a person smaller than this part of a picture is seen again in a part so many times as large as they are


class Predictor:
    """A promptable system: picture and prompt in, People out.

    Attributes:
        name: of the system.
        skeleton: of the keypoints it gives.
        quick: whether everybody is looked at once. Otherwise each person's mirror image is looked at too and the two
            answers are averaged, and who is small and not meant by words or a mask is first seen from nearer: more
            right, and slower.
    """

    graphs: tuple[str, ...] = ("encode", "look", "choose")  # the largest first, since two are opened at a time
    rows: tuple[str, ...] = ("look",)  # that have a row for each person

    def __init__(self, name: str, engine: Engine, tokenizer: Path, skeleton: Skeleton = COCO17) -> None:
        self.name = name
        self.skeleton = skeleton
        self.quick = False
        self._engine = engine
        self._tokenizer_file = tokenizer
        self._tokenizer: Any = None

    def encode(self, image: Any) -> Scene:
        """Everything about a picture that no prompt changes.

        Args:
            image: (H, W, 3) uint8 RGB, or whatever `anypose.pictures.open_picture` opens.

        Raises:
            PictureError: it is not a picture.
        """
        picture = taken(image)
        small, affine = letterbox(picture, LONG_SIDE)
        height, width = picture.shape[:2]
        size = np.array([affine[1, 1] * height, affine[0, 0] * width], np.float32)
        features = self._engine.run("encode", {"picture": small, "size": size})
        return Scene(self, picture, affine, features)

    def find(self, image: Any, prompts: Prompt | Sequence[Prompt] | None = None) -> Any:
        """`encode(image).find(prompts)`, for one question about a picture."""
        return self.encode(image).find(prompts)

    def _words(self, text: str) -> list[int]:
        if self._tokenizer is None:
            self._tokenizer = wordpiece.read(self._tokenizer_file)
        return self._tokenizer.encode(text).ids


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture that has been looked at.

    Attributes:
        predictor: who looked.
        picture: (H, W, 3) uint8 RGB.
        affine: (2, 3), picture pixels to letterbox pixels.
        features: what the first look found, by name.
        near: whether the first look saw a part of the picture only.
    """

    predictor: Predictor
    picture: NDArray[np.uint8]
    affine: NDArray[np.float64]
    features: dict[str, NDArray[Any]]
    near: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture."""
        return self.picture.shape[0], self.picture.shape[1]

    @overload
    def find(self, prompts: None = None, *, threshold: float | None = None) -> People: ...
    @overload
    def find(self, prompts: Prompt, *, threshold: float | None = None) -> People: ...
    @overload
    def find(self, prompts: Sequence[Prompt], *, threshold: float | None = None) -> list[People]: ...
    def find(
        self, prompts: Prompt | Sequence[Prompt] | None = None, *, threshold: float | None = None
    ) -> People | list[People]:
        """Whom the prompts mean.

        Args:
            prompts: a prompt gives the one person that it means, or nobody, with the reason in `People.reason`;
                a list is answered in one batch, one People each. None, or the empty prompt, means everybody.
            threshold: least probability that words, points or a scribble mean somebody (0.5 unless told
                otherwise; a box or a mask is always answered), or, for everybody, that a person is there (0.2).

        Raises:
            PromptError: a prompt does not fit the picture.
            TypeError: what is asked is no prompt.
        """
        if prompts is None or isinstance(prompts, Prompt):
            return self.find([prompts or Prompt()], threshold=threshold)[0]
        prompts = listed(prompts)
        for prompt in prompts:
            prompt.check(self.size)
        return self._answers(prompts, threshold)

    def _answers(self, prompts: Sequence[Prompt], threshold: float | None) -> list[People]:
        """People for each prompt; all fit the picture."""
        asked = [prompt for prompt in prompts if not prompt.is_everybody]
        answers = iter(self._ask(asked, 0.5 if threshold is None else threshold) if asked else ())
        everyone: People | None = None
        found = []
        for prompt in prompts:
            if prompt.is_everybody:
                everyone = everyone or self._everyone(0.2 if threshold is None else threshold)
                found.append(everyone)
            else:
                found.append(next(answers))
        return found

    def _ask(self, prompts: Sequence[Prompt], threshold: float) -> list[People]:
        inputs, notes = self._arrays(prompts)
        choice = self.predictor._engine.run("choose", {**self.features, **inputs})
        presence, boxes, coarse = choice["presence"], choice["chosen"], choice["coarse"].copy()
        for i, prompt in enumerate(prompts):
            if prompt.mask is not None:
                coarse[i] = self._cells(prompt.mask)
        # Who draws a box or a mask has seen somebody: the answer comes, its score says how sure it is.
        drawn = np.array([prompt.box is not None or prompt.mask is not None for prompt in prompts])
        means = (presence >= threshold) | drawn
        answers: dict[int, People] = {}
        for i, prompt in enumerate(prompts):
            if scene := self._nearer(prompt, boxes[i] if means[i] else None):
                person = scene._ask([prompt], threshold)[0]
                if len(person):
                    answers[i] = person
        rows = [int(i) for i in np.flatnonzero(means) if i not in answers]
        looked = self._look(boxes[rows], coarse[rows], presence[rows])
        for row, i in enumerate(rows):
            named = None if prompts[i].name is None else (prompts[i].name,)
            answers[i] = replace(looked[row], names=named, reason=notes[i])
        for i, prompt in enumerate(prompts):
            if i not in answers:
                reason = f"nobody here is {_said(prompt)} ({presence[i]:.0%} sure that somebody is)"
                reason = "; ".join(filter(None, (reason, notes[i])))
                answers[i] = People.empty(self.size, self.predictor.skeleton, reason)
        return [answers[i] for i in range(len(prompts))]

    def _nearer(self, prompt: Prompt, box: NDArray[Any] | None) -> Scene | None:
        """The part of the picture around whom a prompt points at, looked at for itself.

        Args:
            box: (4,), who seems to be meant, letterbox pixels; None for nobody.

        Returns: None where it would show no more, and where words or a mask are of the whole picture.
        """
        if self.near or self.predictor.quick or prompt.text is not None or prompt.mask is not None:
            return None
        corners: list[NDArray[Any]] = []
        if box is not None:
            corners.append(affines.apply_to_boxes(affines.invert(self.affine), box).reshape(2, 2))
        if prompt.box is not None:
            corners = [np.asarray(prompt.box, np.float64).reshape(2, 2)]
        else:
            if prompt.points is not None:
                corners.append(prompt.points[prompt.labels == 1])
            if prompt.scribble is not None:
                corners.append(prompt.scribble)
        whole = max(self.size)
        least = 0 if box is not None else whole / 16  # where nobody was seen there is at least this to look at
        places = np.concatenate(corners) if corners else np.zeros((0, 2))
        if not len(places):
            return None
        low, high = places.min(0), places.max(0)
        half = max(*(high - low), least, 6 * whole / LONG_SIDE) * NEARER / 2
        if 2 * half >= whole:
            return None
        region = np.concatenate(((low + high) / 2 - half, (low + high) / 2 + half))
        small, to_part = crop(self.picture, region, (LONG_SIDE, LONG_SIDE))
        size = np.array([LONG_SIDE, LONG_SIDE], np.float32)
        features = self.predictor._engine.run("encode", {"picture": small, "size": size})
        return replace(self, affine=to_part, features=features, near=True)

    def _everyone(self, threshold: float) -> People:
        sure = self.features["everyone"]
        rows = np.flatnonzero(sure >= threshold)
        rows = rows[np.argsort(-sure[rows], kind="stable")]
        if not len(rows):
            return People.empty(self.size, self.predictor.skeleton, "nobody is in the picture, as far as can be seen")
        return self._look(self.features["refined"][rows], self.features["masks"][rows], sure[rows])

    def _arrays(self, prompts: Sequence[Prompt]) -> tuple[dict[str, NDArray[Any]], list[str | None]]:
        """Prompts as the networks read them, padded to common lengths, and notes on what was left out."""
        words: list[list[int]] = []
        places: list[list[tuple[float, float, int]]] = []
        boxes = np.zeros((len(prompts), 4), np.float32)
        has_box = np.zeros(len(prompts), bool)
        notes: list[str | None] = []
        for i, prompt in enumerate(prompts):
            small = prompt.warp(self.affine)
            ids = [] if prompt.text is None else self.predictor._words(prompt.text)
            words.append(ids[:WORDS])
            cut = len(ids) - WORDS
            notes.append(f"the last {cut} of {len(ids)} word pieces were not read" if cut > 0 else None)
            marks: list[tuple[float, float, int]] = []
            if small.points is not None:
                marks += [(x, y, POSITIVE if label else NEGATIVE) for (x, y), label in zip(small.points, small.labels)]
            if small.scribble is not None:
                marks += [(x, y, STROKE) for x, y in evenly(small.scribble, STROKE_PLACES)]
            box = small.box
            if prompt.mask is not None:
                inside, around = from_mask(prompt.mask)
                marks += [(x, y, STROKE) for x, y in affines.apply(self.affine, inside)]
                box = affines.apply_to_boxes(self.affine, around) if box is None else box
            places.append(marks)
            if box is not None:
                boxes[i], has_box[i] = box, True
        ids_array = np.zeros((len(prompts), max(1, *map(len, words))), np.int64)
        longest = max(1, *map(len, places))
        points = np.zeros((len(prompts), longest, 2), np.float32)
        kinds = np.zeros((len(prompts), longest), np.int64)
        for i, (ids, marks) in enumerate(zip(words, places)):
            ids_array[i, : len(ids)] = ids
            for j, (x, y, kind) in enumerate(marks):
                points[i, j], kinds[i, j] = (x, y), kind
        named: dict[str, NDArray[Any]] = {
            "words": ids_array,
            "points": points,
            "point_kinds": kinds,
            "prompt_boxes": boxes,
            "has_box": has_box,
        }
        return named, notes

    def _cells(self, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """A given mask as coarse logits."""
        rows, columns = self.features["masks"].shape[-2:]
        cell = np.array([[MASK_STRIDE, 0, 0], [0, MASK_STRIDE, 0]]) / [[self.affine[0, 0]], [self.affine[1, 1]]]
        wide = (columns * cell[0, 0], rows * cell[1, 1])
        part = Image.fromarray(mask.astype(np.uint8) * 255)
        part = part.transform((columns, rows), Image.Transform.EXTENT, (0, 0, *wide), Image.Resampling.BILINEAR)
        return ((np.asarray(part, np.float32) / 255 - 0.5) * 12).astype(np.float32)

    def _look(self, boxes: NDArray[Any], coarse: NDArray[Any], presence: NDArray[Any]) -> People:
        """The second look at boxes (N, 4) in letterbox pixels."""
        if not len(boxes):
            return People.empty(self.size, self.predictor.skeleton)
        to_picture = affines.invert(self.affine)
        boxes = _inside(affines.apply_to_boxes(to_picture, boxes), self.size)
        views = VIEWS[:1] if self.predictor.quick else VIEWS
        regions = [[_region(box, part) for box in boxes] for part, _ in views]
        cuts = [self._crops(of_all, coarse, presence) for of_all in regions]
        inputs = [_mirrored(each) if mirror else each for (each, _), (_, mirror) in zip(cuts, views)]
        together = {name: np.concatenate([each[name] for each in inputs]) for name in inputs[0]}
        seen = self.predictor._engine.run_rows("look", together)
        answers = []
        for i, ((_, backs), (_, mirror)) in enumerate(zip(cuts, views)):
            answer = {name: values[i * len(boxes) : (i + 1) * len(boxes)] for name, values in seen.items()}
            answer = _unmirrored(answer, self.predictor.skeleton) if mirror else answer
            answers.append(answer | {"keypoints": np.stack(list(map(affines.apply, backs, answer["keypoints"])))})
        mean: dict[str, NDArray[Any]] = {}
        for name in ("scores", "keypoints", "confidence", "state"):
            mean[name] = np.stack([answer[name] for answer in answers]).mean(0, dtype=np.float32)
        rle = []
        for i in range(len(boxes)):
            seen_of_one = [(answer["fine"][i], of_all[i]) for answer, of_all in zip(answers, regions)]
            rle += Masks.from_bitmaps(_paste(seen_of_one, self.size)[None]).rle()
        return People(
            size=self.size,
            boxes=boxes.astype(np.float32),
            scores=mean["scores"],
            keypoints=mean["keypoints"],
            confidence=mean["confidence"],
            state=mean["state"],
            masks=Masks.from_rle(rle, self.size),
            skeleton=self.predictor.skeleton,
            presence=presence.astype(np.float32),
        )

    def _crops(
        self, regions: Sequence[NDArray[Any]], coarse: NDArray[Any], presence: NDArray[Any]
    ) -> tuple[dict[str, NDArray[Any]], list[NDArray[Any]]]:
        """What the second look is given of some regions, and the affines from crop to picture pixels."""
        crops, backs = [], []
        for region in regions:
            pixels, to_crop = crop(self.picture, region, CROP, fill=0)
            crops.append(pixels)
            backs.append(affines.invert(to_crop))
        to_letterbox = [affines.compose(back, self.affine) for back in backs]
        inputs: dict[str, NDArray[Any]] = {
            "crops": np.stack(crops),
            "coarse": np.ascontiguousarray(coarse, np.float32),
            "crop_to_picture": np.stack(to_letterbox).astype(np.float32),
            "presence": presence.astype(np.float32),
        }
        return inputs, backs


def _mirrored(inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The crops from right to left; what they are cut from stays as it is."""
    crops, to_picture = inputs["crops"], inputs["crop_to_picture"]
    turned = to_picture.copy()
    turned[:, :, 0] *= -1
    turned[:, :, 2] += to_picture[:, :, 0] * crops.shape[2]
    return {**inputs, "crops": np.ascontiguousarray(crops[:, :, ::-1]), "crop_to_picture": turned}


def _unmirrored(seen: dict[str, NDArray[Any]], skeleton: Skeleton) -> dict[str, NDArray[Any]]:
    """What was seen of mirrored crops, as if they had not been."""
    order = skeleton.mirror
    keypoints = seen["keypoints"][:, order].copy()
    keypoints[..., 0] = CROP[1] - 1 - keypoints[..., 0]  # pixel 0 becomes the last one
    by_joint = {name: seen[name][:, order] for name in ("confidence", "state")}
    return {**seen, **by_joint, "keypoints": keypoints, "fine": seen["fine"][:, :, ::-1]}


def _said(prompt: Prompt) -> str:
    """The prompt in words, for "nobody here is ..."."""
    if prompt.text is not None:
        return f'"{prompt.text}"'
    if prompt.points is not None:
        x, y = prompt.points[0]
        return f"at ({x:g}, {y:g})"
    return "in that box" if prompt.box is not None else "under that " + prompt.kinds[0]


def evenly(line: NDArray[Any], count: int) -> NDArray[np.float64]:
    """`count` places (count, 2) at even distances along a polyline (S, 2)."""
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    walked = np.concatenate(([0.0], steps.cumsum()))
    at = np.linspace(0, walked[-1], count)
    return np.stack([np.interp(at, walked, line[:, axis]) for axis in (0, 1)], 1)


def taken(image: Any) -> NDArray[np.uint8]:
    """A picture (H, W, 3) that nobody can write to; whoever gave an array may use it again."""
    picture = open_picture(image)
    if isinstance(image, np.ndarray):
        picture = picture.copy()
    picture.setflags(write=False)
    return picture


def listed(prompts: Iterable[Prompt]) -> list[Prompt]:
    """The prompts, from wherever they come. Raises TypeError for what is no prompt."""
    if isinstance(prompts, str):
        raise TypeError(f"a prompt is a Prompt: write find(Prompt(text={prompts!r}))")
    return list(prompts)


def from_mask(mask: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Places (12, 2) spread over a mask, and its box (4,), in picture pixels."""
    ys, xs = np.nonzero(mask)
    index = np.linspace(0, len(ys) - 1, STROKE_PLACES).round().astype(int)
    places = np.stack((xs[index] + 0.5, ys[index] + 0.5), 1)
    return places, np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], np.float64)


def _inside(boxes: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float64]:
    """Boxes cut to the picture, at least one pixel wide and high."""
    height, width = size
    boxes = np.clip(boxes, 0, (width, height, width, height))
    low = np.minimum(boxes[:, :2], (max(width - 1, 0), max(height - 1, 0)))
    return np.concatenate((low, np.maximum(boxes[:, 2:], low + 1)), 1)


def _region(box: NDArray[Any], part: float = 1.0) -> NDArray[np.float64]:
    """What a crop of the box covers: of the crop's shape, with a margin; or a part of that around its middle."""
    centre, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    height = max(size[1], size[0] * CROP[0] / CROP[1]) * MARGIN * part
    half = np.array([height * CROP[1] / CROP[0], height]) / 2
    return np.concatenate((centre - half, centre + half))


def _paste(views: Sequence[tuple[NDArray[Any], NDArray[Any]]], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Views of a person's mask, logits (h, w) and their region, the largest first, as one bitmap of the picture."""
    height, width = size
    largest = views[0][1]
    x0, y0 = (max(0, int(np.floor(v))) for v in largest[:2])
    x1, y1 = min(width, int(np.ceil(largest[2]))), min(height, int(np.ceil(largest[3])))
    bitmap = np.zeros(size, bool)
    if x1 <= x0 or y1 <= y0:
        return bitmap
    total = np.zeros((y1 - y0, x1 - x0), np.float32)
    for logits, region in views:
        scale = logits.shape[1] / (region[2] - region[0])
        extent = tuple((v - r) * scale for v, r in zip((x0, y0, x1, y1), (*region[:2], *region[:2])))
        # Beyond its region a view says 0, which leaves the word to the others.
        part = Image.fromarray(logits.astype(np.float32)).transform(
            (x1 - x0, y1 - y0), Image.Transform.EXTENT, extent, Image.Resampling.BILINEAR
        )
        total += np.asarray(part)
    bitmap[y0:y1, x0:x1] = total > 0
    return bitmap
