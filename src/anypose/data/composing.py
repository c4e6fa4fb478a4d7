"""Pictures made from pictures: mirrored, cropped, set side by side, people of one pasted into another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image

from anypose.data.describe import mirror_words
from anypose.data.sample import Sample
from anypose.masks import Masks
from anypose.people import People
from anypose.skeleton import Skeleton

HIDDEN, VISIBLE = 1, 2
Thing = tuple[str, np.ndarray, float]


@dataclass(frozen=True)
class View:
    """A picture in memory and its N people; what is changed is a new view.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        boxes: (N, 4) pixels.
        keypoints: (N, K, 2) pixels.
        known: (N, K) 0 where nothing is known, 1 hidden, 2 visible.
        masks: for each person (H, W) bool, or None.
        skeleton: of the keypoints.
        everyone_listed: no further person is in the picture.
        crowds: (C, 4) boxes of people who are not told apart.
        captions: for each person, human sentences about it.
        things: (class, box, score) of things seen in the picture; None where nothing looked for them.
        strangers: (S, 4) boxes of people who were detected but not labelled.
    """

    image: np.ndarray
    boxes: np.ndarray
    keypoints: np.ndarray
    known: np.ndarray
    masks: tuple[np.ndarray | None, ...]
    skeleton: Skeleton
    everyone_listed: bool = True
    crowds: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    captions: tuple[tuple[str, ...], ...] = ()
    things: tuple[Thing, ...] | None = None
    strangers: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))

    @classmethod
    def of(cls, sample: Sample, image: np.ndarray) -> View:
        """A data set's sample, its picture given."""
        people = sample.people
        count = len(people)
        known = np.where(people.confidence > 0, np.where(people.state[..., 1] > 0.5, HIDDEN, VISIBLE), 0)
        captions: list[tuple[str, ...]] = [() for _ in range(count)]
        if count == 1 and sample.fully_labelled and sample.crowds is None:
            captions = [sample.captions]
        for i, caption in enumerate(sample.person_captions):
            captions[i] = (caption, *captions[i]) if caption else captions[i]
        masks: list[np.ndarray | None] = [None] * count
        if people.masks is not None:
            masks = [people.masks.bitmap(i) if people.masks.known[i] else None for i in range(count)]
        crowds = sample.crowds.boxes() if sample.crowds is not None else np.zeros((0, 4), np.float32)
        return cls(
            image=image,
            boxes=people.boxes,
            keypoints=people.keypoints,
            known=known,
            masks=tuple(masks),
            skeleton=people.skeleton,
            everyone_listed=sample.fully_labelled,
            crowds=crowds,
            captions=tuple(captions),
        )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.image.shape[0], self.image.shape[1]

    def people(self) -> People:
        """The view's labels as People."""
        count, keypoints = self.known.shape
        state = np.zeros((count, keypoints, 3), np.float32)
        state[..., 0] = self.known == VISIBLE
        state[..., 1] = self.known == HIDDEN
        height, width = self.size
        rle = [Masks.from_bitmaps(m[None]).rle()[0] if m is not None else None for m in self.masks]
        return People(
            size=self.size,
            boxes=self.boxes.astype(np.float32),
            scores=np.ones(count, np.float32),
            keypoints=self.keypoints.astype(np.float32),
            confidence=(self.known > 0).astype(np.float32),
            state=state,
            masks=Masks.from_rle(rle, (height, width)),
            skeleton=self.skeleton,
        )

    def mirrored(self) -> View:
        """Left and right exchanged, in keypoints and captions too."""
        width = self.size[1]

        def flip(boxes: np.ndarray) -> np.ndarray:
            return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)

        mirror = self.skeleton.mirror
        keypoints = self.keypoints[:, mirror].copy()
        keypoints[..., 0] = width - keypoints[..., 0]
        return replace(
            self,
            image=np.ascontiguousarray(self.image[:, ::-1]),
            boxes=flip(self.boxes),
            keypoints=keypoints,
            known=self.known[:, mirror],
            masks=tuple(None if m is None else m[:, ::-1] for m in self.masks),
            crowds=flip(self.crowds),
            captions=tuple(tuple(mirror_words(c) for c in own) for own in self.captions),
            things=_moved(self.things, flip),
            strangers=flip(self.strangers),
        )

    def cropped(self, window: Sequence[int]) -> View:
        """The part x0 y0 x1 y1, whole pixels. People keep what lies outside; boxes are cut."""
        x0, y0, x1, y1 = window
        shift = np.array([x0, y0, x0, y0], np.float32)
        limit = np.array([x1 - x0, y1 - y0, x1 - x0, y1 - y0], np.float32)

        def cut(boxes: np.ndarray) -> np.ndarray:
            return np.clip(boxes - shift, 0, limit)

        keypoints = self.keypoints - shift[:2]
        outside = ((keypoints < 0) | (keypoints >= limit[:2])).any(-1)
        return replace(
            self,
            image=self.image[y0:y1, x0:x1],
            boxes=cut(self.boxes),
            keypoints=keypoints,
            known=np.where(outside, 0, self.known),
            masks=tuple(None if m is None else m[y0:y1, x0:x1] for m in self.masks),
            crowds=cut(self.crowds),
            things=_moved(self.things, cut),
            strangers=cut(self.strangers),
        )

    def resized(self, size: tuple[int, int]) -> View:
        """The whole at another size."""
        height, width = size
        scale = np.array([width / self.size[1], height / self.size[0]], np.float32)
        twice = np.tile(scale, 2)

        def shrink(mask: np.ndarray) -> np.ndarray:
            return np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))

        return replace(
            self,
            image=np.asarray(Image.fromarray(self.image).resize((width, height), Image.Resampling.BILINEAR)),
            boxes=self.boxes * twice,
            keypoints=self.keypoints * scale,
            masks=tuple(None if m is None else shrink(m) for m in self.masks),
            crowds=self.crowds * twice,
            things=_moved(self.things, lambda boxes: boxes * twice),
            strangers=self.strangers * twice,
        )


def _moved(things: tuple[Thing, ...] | None, move: Callable[[np.ndarray], np.ndarray]) -> tuple[Thing, ...] | None:
    if things is None:
        return None
    return tuple((name, move(box[None])[0], score) for name, box, score in things)


def beside(left: View, right: View) -> View:
    """Two views side by side, at the height of the lower one."""
    height = min(left.size[0], right.size[0])
    left, right = (
        view if view.size[0] == height else view.resized((height, round(view.size[1] * height / view.size[0])))
        for view in (left, right)
    )
    offset = left.size[1]
    width = offset + right.size[1]
    shift = np.array([offset, 0, offset, 0], np.float32)

    def widen(mask: np.ndarray | None, at: int) -> np.ndarray | None:
        if mask is None:
            return None
        whole = np.zeros((height, width), bool)
        whole[:, at : at + mask.shape[1]] = mask
        return whole

    moved = _moved(right.things, lambda boxes: boxes + shift)
    return replace(
        left,
        image=np.concatenate((left.image, right.image), 1),
        boxes=np.concatenate((left.boxes, right.boxes + shift)),
        keypoints=np.concatenate((left.keypoints, right.keypoints + shift[:2])),
        known=np.concatenate((left.known, right.known)),
        masks=tuple(widen(m, 0) for m in left.masks) + tuple(widen(m, offset) for m in right.masks),
        everyone_listed=left.everyone_listed and right.everyone_listed,
        crowds=np.concatenate((left.crowds, right.crowds + shift)),
        captions=left.captions + right.captions,
        things=None if left.things is None or right.things is None else left.things + (moved or ()),
        strangers=np.concatenate((left.strangers, right.strangers + shift)),
    )


def pasted(view: View, donor: View, person: int, scale: float, corner: tuple[int, int]) -> View | None:
    """One person of `donor`, cut out by its mask, in front of everybody in `view`.

    Args:
        view, donor: the pictures.
        person: who of the donor; its mask must be known.
        scale: of the person's size.
        corner: x, y of the person's box in the view.

    Returns: None where the person would hide more than half of somebody, or hardly be in the picture.
    """
    mask = donor.masks[person]
    assert mask is not None
    x0, y0 = np.maximum(np.floor(donor.boxes[person, :2]).astype(int), 0)
    x1, y1 = np.ceil(donor.boxes[person, 2:]).astype(int)
    columns, rows = max(2, round((x1 - x0) * scale)), max(2, round((y1 - y0) * scale))
    cut = Image.fromarray(donor.image[y0:y1, x0:x1]).resize((columns, rows), Image.Resampling.BILINEAR)
    alpha = Image.fromarray(mask[y0:y1, x0:x1].astype(np.uint8) * 255).resize((columns, rows))
    canvas = Image.fromarray(view.image)
    canvas.paste(cut, corner, alpha)
    stamp = Image.new("L", canvas.size)
    stamp.paste(alpha, corner)
    front = np.asarray(stamp) > 127
    if front.sum() < 0.5 * (np.asarray(alpha) > 127).sum():
        return None
    known, masks, boxes = view.known.copy(), list(view.masks), view.boxes.copy()
    for i, behind in enumerate(view.masks):
        if behind is not None and (behind & ~front).sum() < 0.5 * behind.sum():
            return None
        if behind is None and _covered(view.boxes[i], front) > 0.5:
            return None
        if behind is not None and (behind & front).any():
            masks[i] = left = behind & ~front
            boxes[i] = _extent(left)  # a box is of what is seen, as in COCO
        places = np.clip(view.keypoints[i].astype(int), 0, (front.shape[1] - 1, front.shape[0] - 1))
        covered = front[places[:, 1], places[:, 0]] & (known[i] == VISIBLE)
        known[i][covered] = HIDDEN
    keypoints = (donor.keypoints[person] - (x0, y0)) * scale + corner
    height, width = view.size
    outside = ((keypoints < 0) | (keypoints >= (width, height))).any(-1)
    return replace(
        view,
        image=np.asarray(canvas),
        boxes=np.concatenate((boxes, _extent(front)[None])),
        keypoints=np.concatenate((view.keypoints, keypoints[None].astype(np.float32))),
        known=np.concatenate((known, np.where(outside, 0, donor.known[person])[None])),
        masks=(*masks, front),
        captions=(*(view.captions or [()] * len(view.boxes)), ()),
        things=None,
    )


def _extent(mask: np.ndarray) -> np.ndarray:
    """The box (4,) of a mask that has a pixel."""
    ys, xs = np.nonzero(mask)
    return np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], np.float32)


def _covered(box: np.ndarray, front: np.ndarray) -> float:
    x0, y0, x1, y1 = np.clip(box, 0, None).astype(int)
    part = front[y0:y1, x0:x1]
    return float(part.mean()) if part.size else 0.0
