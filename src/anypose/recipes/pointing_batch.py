"""A batch in the making: pictures, prompts and crops as tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.random import Generator
from PIL import Image

from anypose.data.composing import HIDDEN, VISIBLE, View
from anypose.data.things import COCO_THINGS
from anypose.models.promptable.pointer.first_look import MASK_STRIDE, NOTHING, Prompts
from anypose.models.promptable.pointer.losses import NOBODY, OUTSIDE, Batch

CROP = (256, 192)
PLACES = 16  # points of a prompt
WORDS = 32
PAD_COLOUR = 114


@dataclass
class Asked:
    """One prompt in the making; places are letterbox pixels."""

    person: int
    words: Sequence[int] = ()
    points: list[tuple[float, float]] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    box: np.ndarray | None = None


class Parts:
    """A batch in the making."""

    def __init__(self, canvas: tuple[int, int]) -> None:
        self.canvas = canvas
        self.pictures: list[np.ndarray] = []
        self.sizes: list[tuple[float, float]] = []
        self.listed: list[bool] = []
        self.people: list[np.ndarray] = []
        self.people_picture: list[int] = []
        self.people_masks: list[np.ndarray] = []
        self.people_mask_known: list[bool] = []
        self.crowds: list[np.ndarray] = []
        self.crowds_picture: list[int] = []
        self.asked: list[Asked] = []
        self.prompt_picture: list[int] = []
        self.crops: list[tuple[np.ndarray, ...]] = []
        self.crop_person: list[int] = []
        self.crop_mask_known: list[bool] = []
        self.hint_known: list[bool] = []
        self.captions: list[Asked] = []
        self.captions_name: list[np.ndarray] = []

    def add_picture(self, view: View, scale: float) -> int:
        """Returns the number of the first of the view's people."""
        height, width = self.canvas
        rows, columns = max(1, round(view.size[0] * scale)), max(1, round(view.size[1] * scale))
        canvas = np.full((height, width, 3), PAD_COLOUR, np.uint8)
        small = Image.fromarray(view.image).resize((columns, rows), Image.Resampling.BILINEAR)
        canvas[:rows, :columns] = np.asarray(small)[:height, :width]
        picture = len(self.pictures)
        first = len(self.people)
        self.pictures.append(canvas)
        self.sizes.append((min(rows, height), min(columns, width)))
        self.listed.append(view.everyone_listed)
        for box, mask in zip(view.boxes, view.masks, strict=True):
            self.people.append(box * scale)
            self.people_picture.append(picture)
            self.people_mask_known.append(mask is not None)
            self.people_masks.append(_cells(mask, (rows, columns), self.canvas))
        self.crowds += [box * scale for box in view.crowds]
        self.crowds_picture += [picture] * len(view.crowds)
        return first

    def add_prompt(self, asked: Asked, first: int) -> None:
        self.asked.append(replace(asked, person=NOBODY if asked.person == NOBODY else first + asked.person))
        self.prompt_picture.append(len(self.pictures) - 1)

    def add_crop(self, view: View, person: int, number: int, scale: float | None, rng: Generator) -> None:
        """A person's crop; `scale` is from the view to the letterbox, None where there is no picture."""
        box = jittered(view.boxes[person], rng, 0.05)
        keypoints, known = view.keypoints[person], view.known[person].copy()
        region = _half_body(box, keypoints, known, rng) if rng.random() < 0.15 else box
        to_view = _crop_affine(region, rng)
        to_crop = np.linalg.inv(np.vstack((to_view, (0, 0, 1))))[:2]
        crop = warped(view.image, to_view, CROP)
        places = keypoints @ to_crop[:, :2].T + to_crop[:, 2]
        mask = view.masks[person]
        stretched = to_view * (2, 2, 1)  # the mask is made at half the crop's size
        truth: np.ndarray = np.zeros((CROP[0] // 2, CROP[1] // 2), np.float32)
        if mask is not None:
            truth = warped(mask.astype(np.uint8) * 255, stretched, truth.shape).astype(np.float32) / 255
        if rng.random() < 0.15:
            crop, truth, known = _cut_off(crop, truth, places, known, rng)
        elif rng.random() < 0.25:
            crop, known = _cut_out(crop, places, known, rng)
        outside = ((places < 0) | (places >= (CROP[1], CROP[0]))).any(1) & (known != OUTSIDE)
        known = np.where(outside, 0, known)
        known = _beyond_border(view, person, known)
        zoom = abs(np.linalg.det(to_crop[:, :2]))
        area = (
            mask.sum() if mask is not None else 0.53 * np.prod(view.boxes[person, 2:] - view.boxes[person, :2])
        ) * zoom
        letterbox = to_view * (scale or 1.0)
        self.crops.append((crop, box * (scale or 1.0), letterbox, places, known, area, truth))
        self.crop_person.append(number)
        self.crop_mask_known.append(mask is not None)
        self.hint_known.append(number != NOBODY and rng.random() < 0.8)

    def add_caption(self, words: Sequence[int], names: Set[str]) -> None:
        """What somebody said of any picture, and the kinds of things it names."""
        self.captions.append(Asked(NOBODY, words=words))
        self.captions_name.append(np.array([thing in names for thing in COCO_THINGS]))

    def batch(self, sigmas: torch.Tensor) -> Batch:
        cells = (self.canvas[0] // MASK_STRIDE, self.canvas[1] // MASK_STRIDE)
        # Without crops the first look is trained alone.
        crops, boxes, to_picture, places, known, area, masks = zip(*self.crops) if self.crops else ((),) * 7
        height, width = CROP

        def rows(arrays: Sequence[np.ndarray], *shape: int) -> torch.Tensor:
            return torch.from_numpy(np.array(arrays, np.float32).reshape(-1, *shape))

        return Batch(
            pictures=torch.from_numpy(np.stack(self.pictures)).permute(0, 3, 1, 2).float(),
            sizes=torch.tensor(self.sizes, dtype=torch.float32),
            everyone_listed=torch.tensor(self.listed),
            people=rows(self.people, 4),
            people_picture=torch.tensor(self.people_picture, dtype=torch.int64),
            people_masks=rows(self.people_masks, *cells),
            people_mask_known=torch.tensor(self.people_mask_known, dtype=torch.bool),
            crowds=rows(self.crowds, 4),
            crowds_picture=torch.tensor(self.crowds_picture, dtype=torch.int64),
            prompts=_prompts(self.asked),
            prompt_picture=torch.tensor(self.prompt_picture, dtype=torch.int64),
            prompt_person=torch.tensor([a.person for a in self.asked], dtype=torch.int64),
            crops=rows(crops, height, width, 3).permute(0, 3, 1, 2).contiguous(),
            crop_person=torch.tensor(self.crop_person, dtype=torch.int64),
            crop_box=rows(boxes, 4),
            crop_to_picture=rows(to_picture, 2, 3),
            keypoints=rows(places, len(sigmas), 2),
            known=rows(known, len(sigmas)).long(),
            area=rows(area),
            crop_masks=rows(masks, height // 2, width // 2),
            crop_mask_known=torch.tensor(self.crop_mask_known, dtype=torch.bool),
            hint_known=torch.tensor(self.hint_known, dtype=torch.bool),
            sigmas=sigmas,
            captions=_prompts(self.captions).words,
            captions_name=rows(self.captions_name, len(COCO_THINGS)),
            things=torch.zeros(len(self.pictures), 0, len(COCO_THINGS)),
        )


def _prompts(asked: Sequence[Asked]) -> Prompts:
    """Prompts padded to common lengths."""
    count = len(asked)
    words = np.zeros((count, WORDS), np.int64)
    points = np.zeros((count, PLACES, 2), np.float32)
    kinds = np.full((count, PLACES), NOTHING, np.int64)
    boxes = np.zeros((count, 4), np.float32)
    for i, one in enumerate(asked):
        words[i, : len(one.words)] = one.words
        if one.points:
            points[i, : len(one.points)] = one.points
            kinds[i, : len(one.kinds)] = one.kinds
        if one.box is not None:
            boxes[i] = one.box
    has_box = np.array([one.box is not None for one in asked], bool).reshape(count)
    return Prompts(*(torch.from_numpy(a) for a in (words, points, kinds, boxes, has_box)))


def _cells(mask: np.ndarray | None, size: tuple[int, int], canvas: tuple[int, int]) -> np.ndarray:
    """The part of each cell of 8 pixels that is the person."""
    cells = np.zeros((canvas[0] // MASK_STRIDE, canvas[1] // MASK_STRIDE), np.float32)
    if mask is None:
        return cells
    whole = np.zeros(canvas, np.uint8)
    small = Image.fromarray(mask.astype(np.uint8) * 255).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    part = np.asarray(small)[: canvas[0], : canvas[1]]
    whole[: part.shape[0], : part.shape[1]] = part
    return whole.reshape(cells.shape[0], MASK_STRIDE, cells.shape[1], MASK_STRIDE).mean((1, 3)) / np.float32(255)


def _half_body(box: np.ndarray, keypoints: np.ndarray, known: np.ndarray, rng: Generator) -> np.ndarray:
    """The box of the upper or the lower body alone."""
    part = np.arange(0, 11) if rng.random() < 0.6 else np.arange(11, len(keypoints))
    part = part[known[part] > 0]
    if len(part) < 4:
        return box
    low, high = keypoints[part].min(0), keypoints[part].max(0)
    size = np.maximum(high - low, 8)
    return np.concatenate((low - 0.15 * size, high + 0.15 * size)).astype(np.float32)


def _crop_affine(box: np.ndarray, rng: Generator) -> np.ndarray:
    """Crop pixels to picture pixels (2, 3): the box grown by 1.25 to the crop's shape, turned and scaled."""
    centre, size = (box[:2] + box[2:]) / 2, np.maximum(box[2:] - box[:2], 4)
    height = max(size[1], size[0] * CROP[0] / CROP[1]) * 1.25 * math.exp(float(np.clip(rng.normal(0, 0.12), -0.3, 0.3)))
    step = height / CROP[0]
    angle = math.radians(float(np.clip(rng.normal(0, 20), -45, 45))) if rng.random() < 0.5 else 0.0
    cos, sin = math.cos(angle) * step, math.sin(angle) * step
    linear = np.array([[cos, -sin], [sin, cos]])
    return np.column_stack((linear, centre - linear @ (CROP[1] / 2, CROP[0] / 2)))


def warped(image: np.ndarray, to_image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear, after shrinking where pixels would be skipped; black outside."""
    step = math.sqrt(abs(np.linalg.det(to_image[:, :2])))
    picture = Image.fromarray(image)
    if step > 1.4:
        small = (max(1, round(picture.width / step)), max(1, round(picture.height / step)))
        ratio = np.array([[small[0] / picture.width], [small[1] / picture.height]])
        picture = picture.resize(small, Image.Resampling.BILINEAR)
        to_image = to_image * ratio
    data = tuple(to_image.flatten())
    return np.asarray(picture.transform((size[1], size[0]), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR))


def _cut_off(
    crop: np.ndarray, truth: np.ndarray, places: np.ndarray, known: np.ndarray, rng: Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The picture ends inside the crop: what lies beyond is black and the keypoints there are outside."""
    crop, truth, known = crop.copy(), truth.copy(), known.copy()
    if rng.random() < 0.6:
        line = int(rng.uniform(0.5, 0.95) * CROP[0])
        crop[line:], truth[line // 2 :] = 0, 0
        beyond = places[:, 1] >= line
    else:
        line = int(rng.uniform(0.1, 0.4) * CROP[1])
        if rng.random() < 0.5:
            crop[:, :line], truth[:, : line // 2] = 0, 0
            beyond = places[:, 0] < line
        else:
            crop[:, -line:], truth[:, -(line // 2) :] = 0, 0
            beyond = places[:, 0] >= CROP[1] - line
    known[beyond & (known > 0)] = OUTSIDE
    return crop, truth, known


def _cut_out(crop: np.ndarray, places: np.ndarray, known: np.ndarray, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """A plain rectangle in front."""
    crop, known = crop.copy(), known.copy()
    h, w = (rng.uniform(0.1, 0.3, 2) * CROP).astype(int)
    y, x = int(rng.uniform(0, CROP[0] - h)), int(rng.uniform(0, CROP[1] - w))
    crop[y : y + h, x : x + w] = rng.integers(0, 256, 3)
    covered = (places[:, 0] >= x) & (places[:, 0] < x + w) & (places[:, 1] >= y) & (places[:, 1] < y + h)
    known[covered & (known == VISIBLE)] = HIDDEN
    return crop, known


def _beyond_border(view: View, person: int, known: np.ndarray) -> np.ndarray:
    """Unlabelled ankles and knees of a person who touches the picture's lower edge lie outside it."""
    if view.boxes[person, 3] >= view.size[0] - 2 and (known[11:] > 0).sum() < 4 and len(known) == 17:
        known = known.copy()
        for upper, lower in ((11, 13), (13, 15), (12, 14), (14, 16)):
            if known[lower] == 0 and (known[upper] in (0, OUTSIDE)) and (known[5:7] > 0).any():
                known[lower] = OUTSIDE
    return known


def jittered(box: np.ndarray, rng: Generator, amount: float) -> np.ndarray:
    """The box as a hand or the first look errs."""
    size = np.maximum(box[2:] - box[:2], 2)
    noise = rng.normal(0, amount, 4) * np.tile(size, 2)
    box = box + noise.astype(np.float32)
    box[2:] = np.maximum(box[2:], box[:2] + 2)
    return box
