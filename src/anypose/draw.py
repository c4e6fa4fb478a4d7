"""People on a picture: skeletons, translucent masks, labels, and the prompts that asked for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

if TYPE_CHECKING:
    from anypose.people import People
    from anypose.prompt import Prompt
    from anypose.skeleton import Skeleton

Colour = tuple[int, int, int]
Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]

# Blue and orange stay apart for colour-blind eyes; a bone that crosses the body is neither.
LEFT: Colour = (64, 170, 255)
RIGHT: Colour = (255, 140, 40)
MIDDLE: Colour = (244, 244, 240)
INK: Colour = (18, 20, 26)
PAPER: Colour = (255, 255, 255)
PEOPLE_COLOURS: tuple[Colour, ...] = (
    (38, 204, 176),
    (240, 92, 168),
    (245, 200, 40),
    (150, 118, 245),
    (116, 208, 76),
    (246, 96, 92),
    (70, 210, 235),
    (208, 158, 110),
)
_FACE = ("nose", "eye", "ear")
_WIDTH_OF_PERSON = 0.011  # bone width over the diagonal of the person
_MASK_OPACITY = 0.28


def draw(
    image: Picture,
    people: People,
    *,
    masks: bool = True,
    skeletons: bool = True,
    labels: bool = True,
    boxes: bool = False,
    prompts: Sequence[Prompt] = (),
    confidence: float = 0.3,
) -> Picture:
    """Draw people on a copy of a picture.

    Left limbs are blue, right limbs orange (the person's own left and right). A keypoint is left out when its
    confidence is below `confidence`, when it lies outside the picture, or when its state says that it does;
    it is faded when it is doubtful and hollow when it is hidden.

    Args:
        image: (H, W, 3) uint8 RGB; it is not changed.
        people: the people of this picture, coordinates in its pixels.
        masks: fill and outline the masks that are known.
        skeletons: draw bones and keypoints.
        labels: write each person's name and score (0 to 1) at its box.
        boxes: outline the boxes.
        prompts: prompts to mark on the picture: points, scribbles and boxes, in its pixels.
        confidence: keypoints below this confidence (0 to 1) are left out.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: if the picture is not (H, W, 3) uint8 or not of the people's size.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image must be (H, W, 3) uint8 RGB, got {image.shape} {image.dtype}")
    if tuple(people.size) != image.shape[:2]:
        raise ValueError(
            f"people are of a picture of size {tuple(people.size)} (height, width), but the image is {image.shape[:2]}"
        )
    canvas = Image.fromarray(np.ascontiguousarray(image)).copy()
    # The nearest people tend to be the largest: drawn first, they leave the small ones readable.
    order = [int(i) for i in np.argsort(-_diagonals(people), kind="stable")]
    widths = _bone_widths(people)
    if masks and people.masks is not None:
        for i in order:
            _draw_mask(canvas, people, i, widths[i])
    if boxes:
        for i in order:
            _draw_box(canvas, people.boxes[i], _colour(i), widths[i])
    if skeletons:
        for i in order:
            _draw_skeleton(canvas, people, i, widths[i], confidence)
    for prompt in prompts:
        _draw_prompt(canvas, prompt)
    if labels:
        _draw_labels(canvas, people)
    return np.array(canvas)


def _colour(person: int) -> Colour:
    return PEOPLE_COLOURS[person % len(PEOPLE_COLOURS)]


def _diagonals(people: People) -> Floats:
    """Diagonal of each person's box in pixels, (N,)."""
    sides = people.boxes[:, 2:] - people.boxes[:, :2]
    return np.hypot(sides[:, 0], sides[:, 1]).astype(np.float32)


def _bone_widths(people: People) -> list[float]:
    """Bone width in pixels for each person: thin on small people, never heavier than the picture bears."""
    heaviest = max(2.0, 0.008 * max(people.size))
    return [float(np.clip(_WIDTH_OF_PERSON * d, 1.2, heaviest)) for d in _diagonals(people)]


# Soft shapes: a distance in pixels becomes a coverage of 0 to 1, so that edges are smooth at any width.


def _blend(canvas: Image.Image, top: int, left: int, coverage: Floats, colour: Colour) -> None:
    """Lay a colour over the canvas where coverage (h, w) says, with its corner at (top, left)."""
    canvas.paste(colour, (left, top), Image.fromarray((coverage * 255 + 0.5).astype(np.uint8)))


def _window(canvas: Image.Image, corners: Floats, margin: float) -> tuple[int, int, int, int] | None:
    """The part of the canvas (top, left, bottom, right) that holds points (P, 2) and a margin, or None."""
    low, high = corners.min(axis=0) - margin, corners.max(axis=0) + margin
    left, top = max(0, int(np.floor(low[0]))), max(0, int(np.floor(low[1])))
    right = min(canvas.width, int(np.ceil(high[0])) + 1)
    bottom = min(canvas.height, int(np.ceil(high[1])) + 1)
    return (top, left, bottom, right) if left < right and top < bottom else None


def _distance(window: tuple[int, int, int, int], start: Floats, end: Floats) -> Floats:
    """Distance in pixels from each pixel's centre in the window to the segment start-end, (h, w)."""
    top, left, bottom, right = window
    x = np.arange(left, right, dtype=np.float32)[None, :] + 0.5 - start[0]
    y = np.arange(top, bottom, dtype=np.float32)[:, None] + 0.5 - start[1]
    along = end - start
    length = float(along @ along)
    t = np.clip((x * along[0] + y * along[1]) / length, 0.0, 1.0) if length > 1e-6 else np.float32(0.0)
    return np.hypot(x - t * along[0], y - t * along[1]).astype(np.float32)


def _coverage(distance: Floats, radius: float) -> Floats:
    return np.clip(radius + 0.5 - distance, 0.0, 1.0)


def _stroke(canvas: Image.Image, line: Floats, width: float, colour: Colour, halo: float, closed: bool = False) -> None:
    """Draw a polyline (P, 2) of a width with an ink halo around it, both in pixels."""
    ends = np.roll(line, -1, axis=0) if closed else line[1:]
    segments = list(zip(line if closed else line[:-1], ends)) or [(line[0], line[0])]
    for extra, tint, strength in ((halo, INK, 0.8), (0.0, colour, 1.0)):
        for start, end in segments:
            window = _window(canvas, np.stack([start, end]), width / 2 + extra + 1)
            if window is not None:
                cover = _coverage(_distance(window, start, end), width / 2 + extra)
                _blend(canvas, window[0], window[1], cover * np.float32(strength), tint)


# Skeletons


def _draw_skeleton(canvas: Image.Image, people: People, person: int, width: float, threshold: float) -> None:
    points = people.keypoints[person]
    strength = _strength(people, person, threshold)
    shown = strength > 0
    if not shown.any():
        return
    halo = max(0.8, 0.45 * width)
    window = _window(canvas, points[shown], 2 * width + halo + 2)
    if window is None:
        return
    top, left = window[:2]
    shade = np.zeros((window[2] - top, window[3] - left), np.float32)
    parts = []
    for start, end, radius, colour, alpha in _parts(people.skeleton, points, strength, width):
        here = _window(canvas, np.stack([start, end]), radius + halo + 1)
        if here is None:
            continue
        distance = _distance(here, start, end)
        part = shade[here[0] - top : here[2] - top, here[1] - left : here[3] - left]
        np.maximum(part, _coverage(distance, radius + halo) * np.float32(0.78 * alpha), out=part)
        parts.append((here, _coverage(distance, radius) * np.float32(alpha), colour))
    # One shade for the whole person: bones that cross do not darken each other.
    _blend(canvas, top, left, shade, INK)
    for here, cover, colour in parts:
        _blend(canvas, here[0], here[1], cover, colour)
    hidden = people.state[person, :, 1] > people.state[person, :, 0]
    for k in np.flatnonzero(hidden & shown):
        _hollow(canvas, points[k], _joint_radius(people.skeleton.keypoints[k], width))


def _parts(
    skeleton: Skeleton, points: Floats, strength: Floats, width: float
) -> Iterator[tuple[Floats, Floats, float, Colour, float]]:
    """Bones, then keypoints: start, end, radius in pixels, colour, opacity."""
    names = skeleton.keypoints
    for a, b in skeleton.bones:
        alpha = float(min(strength[a], strength[b]))
        if alpha > 0:
            thin = 0.7 if _is_face(names[a]) or _is_face(names[b]) else 1.0
            yield points[a], points[b], thin * width / 2, _side(names[a], names[b]), alpha
    for k in np.flatnonzero(strength > 0):
        yield points[k], points[k], _joint_radius(names[k], width), _side(names[k]), float(strength[k])


def _strength(people: People, person: int, threshold: float) -> Floats:
    """How strongly each keypoint is drawn, (K,) 0 to 1: 0 leaves it out."""
    height, width = people.size
    points, confidence = people.keypoints[person], people.confidence[person]
    x, y = points[:, 0], points[:, 1]
    seen = np.isfinite(points).all(axis=1) & (x >= 0) & (y >= 0) & (x <= width) & (y <= height)
    seen &= (people.state[person, :, 2] <= 0.5) & (confidence >= threshold) & (confidence > 0)
    rise = np.clip((confidence - threshold) / 0.35, 0.0, 1.0)
    return np.where(seen, 0.35 + 0.65 * rise, 0.0).astype(np.float32)


def _is_face(name: str) -> bool:
    return name.endswith(_FACE)


def _joint_radius(name: str, width: float) -> float:
    return (0.75 if _is_face(name) else 1.0) * 0.95 * width


def _side(*names: str) -> Colour:
    sides = {name.split("_", 1)[0] for name in names} & {"left", "right"}
    if sides == {"left"}:
        return LEFT
    return RIGHT if sides == {"right"} else MIDDLE


def _hollow(canvas: Image.Image, point: Floats, radius: float) -> None:
    """Open the middle of a keypoint: its place is inferred, not seen."""
    window = _window(canvas, point[None], radius + 1)
    if window is not None:
        cover = _coverage(_distance(window, point, point), 0.55 * radius)
        _blend(canvas, window[0], window[1], cover, INK)


# Masks, boxes, prompts


def _draw_mask(canvas: Image.Image, people: People, person: int, width: float) -> None:
    assert people.masks is not None
    if not people.masks.known[person]:
        return
    bitmap = people.masks.bitmap(person)
    rows, columns = np.flatnonzero(bitmap.any(axis=1)), np.flatnonzero(bitmap.any(axis=0))
    if not len(rows):
        return
    line = float(np.clip(0.4 * width, 1.0, 3.0))
    pad = int(np.ceil(3 * line)) + 1
    top, left = max(0, int(rows[0]) - pad), max(0, int(columns[0]) - pad)
    part = bitmap[top : rows[-1] + 1 + pad, left : columns[-1] + 1 + pad]
    soft = Image.fromarray(part.astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(line))
    level: Floats = np.asarray(soft, np.float32) / np.float32(255)
    colour = _colour(person)
    filled: Floats = np.clip(2.5 * level - 0.75, 0, 1) * np.float32(_MASK_OPACITY)
    outline: Floats = np.clip(1.4 - 4.5 * np.abs(level - 0.42), 0, 1) * np.float32(0.9)
    _blend(canvas, top, left, filled, colour)
    _blend(canvas, top, left, outline, colour)


def _draw_box(canvas: Image.Image, box: Floats, colour: Colour, width: float) -> None:
    x0, y0, x1, y1 = (float(v) for v in box)
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], np.float32)
    _stroke(canvas, corners, max(1.0, 0.6 * width), colour, 0.8, closed=True)


def _draw_prompt(canvas: Image.Image, prompt: Prompt) -> None:
    """Mark what was pointed at: a green dot on the person, a red one off it, a white line, a white box."""
    size = max(3.0, 0.008 * max(canvas.size))
    if prompt.box is not None:
        _draw_box(canvas, np.asarray(prompt.box, np.float32), PAPER, 0.6 * size)
    if prompt.scribble is not None:
        _stroke(canvas, np.asarray(prompt.scribble, np.float32), 0.7 * size, PAPER, 0.25 * size)
    if prompt.points is not None:
        points = np.asarray(prompt.points, np.float32)
        labels = np.ones(len(points), int) if prompt.labels is None else np.asarray(prompt.labels)
        for point, label in zip(points, labels):
            _stroke(canvas, point[None], 2 * size, PAPER, 0.3 * size)
            _stroke(canvas, point[None], 1.1 * size, (40, 170, 70) if label else (215, 40, 40), 0.0)


# Labels


def _draw_labels(canvas: Image.Image, people: People) -> None:
    """Write a tag above each box, moved where it would leave the picture or cover another tag."""
    if not len(people):
        return
    largest = max(11.0, 0.026 * max(people.size))
    pen = ImageDraw.Draw(canvas)
    taken: list[tuple[int, int, int, int]] = []
    for i, diagonal in enumerate(_diagonals(people)):
        text_size = round(float(np.clip(0.06 * diagonal, 10.0, largest)))
        font = ImageFont.load_default(size=text_size)
        text = _label(people, i)
        pad = max(2, text_size // 4)
        ink = pen.textbbox((0, 0), text, font=font)
        width, height = int(ink[2] - ink[0]) + 2 * pad, text_size + pad
        tag = _free_place(people.boxes[i], width, height, people.size, taken)
        taken.append(tag)
        pen.rounded_rectangle(
            (tag[0], tag[1], tag[2] - 1, tag[3] - 1), radius=pad, fill=_colour(i), outline=INK, width=1
        )
        middle = (tag[1] + tag[3]) / 2
        pen.text((tag[0] + pad - ink[0], middle), text, font=font, fill=INK, anchor="lm")


def _label(people: People, person: int) -> str:
    name = people.names[person] if people.names is not None else None
    score = f"{float(people.scores[person]):.2f}"
    if name is None:
        return score
    return f"{name if len(name) <= 40 else name[:39] + '…'}  {score}"


def _free_place(
    box: Floats, width: int, height: int, size: tuple[int, int], taken: list[tuple[int, int, int, int]]
) -> tuple[int, int, int, int]:
    """The first free place for a tag (x0, y0, x1, y1): above the box, inside its top, inside its bottom."""
    x0, y0, x1, y1 = (float(v) for v in np.nan_to_num(box))
    starts = (y0 - height - 1, y0 + 1, y1 - height - 1, y1 + 1, y0 - 2 * height - 2, y0 + height + 2)
    places = []
    for x in (x0, x1 - width):
        for y in starts:
            left = int(np.clip(x, 0, max(0, size[1] - width)))
            top = int(np.clip(y, 0, max(0, size[0] - height)))
            places.append((left, top, left + width, top + height))
    for place in places:
        if not any(place[0] < t[2] and t[0] < place[2] and place[1] < t[3] and t[1] < place[3] for t in taken):
            return place
    return places[0]
