"""Prompts: what a user says or draws to mean one person."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import affine as affines

KINDS = ("text", "point", "scribble", "box", "mask")

_EXAMPLE = "goalie: text=the goalie; point=12,40,0; scribble=1,2 3,4; box=1,2,30,40"


class PromptError(ValueError):
    """A prompt that cannot be meant: one line with the value, what was expected and what to do."""


@dataclass(frozen=True, eq=False)
class Prompt:
    """One person, meant by any combination of words, clicks, a scribble, a box and a mask.

    text: words, such as "the goalie". points: (P, 2) float32 pixels; one (x, y) is enough. labels: (P,)
    int64, 1 for a point on the person and 0 for one that is not; all 1 by default. scribble: (S, 2) float32
    pixels, a polyline over the person. box: (4,) float32 pixels x0 y0 x1 y1 around the person. mask: (H, W)
    bool over the whole picture. name: what to call the person in the results; it means nothing to the
    model.

    `Prompt()` means everybody. Prompts compare by value, and their arrays cannot be written to.

    Raises PromptError for what is wrong in any picture; `check` looks for what is wrong in one of a given
    size.
    """

    text: str | None = None
    points: Any = None
    labels: Any = None
    scribble: Any = None
    box: Any = None
    mask: Any = None
    name: str | None = None

    def __post_init__(self) -> None:
        keep = object.__setattr__
        keep(self, "text", _words(self.text, "text"))
        if self.text is not None and not any(map(str.isalnum, self.text)):
            raise PromptError(f'text "{self.text}" holds no word; say who is meant')
        keep(self, "name", _words(self.name, "name"))
        keep(self, "points", _places(self.points, "points"))
        keep(self, "scribble", _places(self.scribble, "scribble"))
        keep(self, "labels", _labels(self.labels, self.points))
        keep(self, "box", _box(self.box))
        keep(self, "mask", _mask(self.mask))
        if self.scribble is not None and len(self.scribble) < 2:
            raise PromptError("a scribble is a line of two places or more; give one place as a point")
        self._check_points()
        if self.kinds == ("point",) and not self.labels.any():
            raise PromptError(
                f"only negative points ({_place(self.points[0])}, 0): they say where the person is not; "
                "add a point on the person, or words, a scribble or a box"
            )

    def _check_points(self) -> None:
        """Points that contradict each other or the box mean nobody."""
        if self.points is None:
            return
        on, off = self.points[self.labels == 1], self.points[self.labels == 0]
        both = (on[:, None] == off[None]).all(-1).any(1)
        if both.any():
            raise PromptError(f"point {_place(on[both][0])} is said to be on the person and not on it; give it once")
        if self.box is not None:
            outside = ((on < self.box[:2]) | (on > self.box[2:])).any(1)
            if outside.any():
                place, box = _place(on[outside][0]), _place(self.box)
                raise PromptError(f"point {place} lies outside the box {box} around the same person; leave one out")

    @property
    def kinds(self) -> tuple[str, ...]:
        """Which of "text", "point", "scribble", "box" and "mask" are present, in this order."""
        parts = (self.text, self.points, self.scribble, self.box, self.mask)
        return tuple(kind for kind, part in zip(KINDS, parts) if part is not None)

    @property
    def is_everybody(self) -> bool:
        """Whether this prompt singles nobody out."""
        return not self.kinds

    def check(self, size: tuple[int, int]) -> None:
        """Raise PromptError when the prompt cannot be meant in a picture of `size` (height, width)."""
        height, width = size
        picture = f"the picture of {width} x {height} (width x height)"
        advice = f"x runs from 0 to {width} to the right and y from 0 to {height} downwards, in pixels"
        for what, places in (("point", self.points), ("scribble place", self.scribble)):
            if places is None:
                continue
            outside = ((places < 0) | (places > (width, height))).any(axis=1)
            if outside.any():
                place = _place(places[outside][0])
                raise PromptError(f"{what} {place} lies outside {picture}; {advice}")
        if self.box is not None:
            x0, y0, x1, y1 = (float(value) for value in self.box)
            shown = max(0.0, min(x1, width) - max(x0, 0.0)) * max(0.0, min(y1, height) - max(y0, 0.0))
            if shown < (x1 - x0) * (y1 - y0) / 2:
                share = "outside" if shown == 0 else "mostly outside"
                raise PromptError(f"box {_place(self.box)} lies {share} {picture}; {advice}")
        if self.mask is not None and self.mask.shape != (height, width):
            given = f"{self.mask.shape[1]} x {self.mask.shape[0]}"
            raise PromptError(f"the mask is {given}, but {picture} needs one of its own size; resize the mask")

    def warp(self, affine: ArrayLike) -> "Prompt":
        """The prompt with points, scribble and box moved by `affine` (2, 3); the mask stays as it is.

        A turned box becomes the upright box around it.
        """

        def moved(places: Any, mapping: Callable[..., NDArray[np.float64]] = affines.apply) -> Any:
            return None if places is None else mapping(affine, places)

        return Prompt(
            text=self.text,
            points=moved(self.points),
            labels=self.labels,
            scribble=moved(self.scribble),
            box=moved(self.box, affines.apply_to_boxes),
            mask=self.mask,
            name=self.name,
        )

    @classmethod
    def parse(cls, line: str) -> "Prompt":
        """The prompt that a line such as this one means, its name before the first colon:

        goalie: text=the goalie; point=12,40,0; scribble=1,2 3,4; box=1,2,30,40

        The name may be left out, and parts may be, in any order; `point` may come several times, and its
        third number is 1 (on the person, the default) or 0. Raises PromptError naming the part that cannot
        be read.
        """
        named = re.match(r"([^=;:]*):(.*)", line, re.DOTALL)
        name, body = (named.group(1), named.group(2)) if named else (None, line)
        parts: dict[str, Any] = {}
        for part in filter(None, (piece.strip() for piece in body.split(";"))):
            key, separator, value = (piece.strip() for piece in part.partition("="))
            if not separator or key not in _READERS:
                raise PromptError(
                    f'cannot read "{part}" in the prompt "{line}"; write it like this: "{_EXAMPLE}" '
                    "(a text must not hold a semicolon)"
                )
            if key in parts and key != "point":
                raise PromptError(f'"{key}" comes twice in the prompt "{line}"; a prompt means one person')
            parts.setdefault(key, []).append(_READERS[key](value))
        if not parts:
            raise PromptError(f'the prompt "{line}" means nobody; write it like this: "{_EXAMPLE}"')
        clicks = parts.pop("point", [])
        return cls(
            name=name,
            points=[click[:2] for click in clicks] or None,
            labels=[click[2] for click in clicks] or None,
            **{key: values[0] for key, values in parts.items()},
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Prompt):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        parts = [f"{key}={value!r}" for key, value in (("name", self.name), ("text", self.text)) if value is not None]
        for key, places in (("points", self.points), ("labels", self.labels), ("scribble", self.scribble)):
            parts += [] if places is None else [f"{key}={places.tolist()}"]
        parts += [] if self.box is None else [f"box={self.box.tolist()}"]
        parts += [] if self.mask is None else [f"mask=<{int(self.mask.sum())} pixels of {self.mask.shape}>"]
        return f"Prompt({', '.join(parts)})"

    def _values(self) -> tuple[Any, ...]:
        """Everything there is, as values that compare and hash; -0.0 and 0.0 are the same place."""
        arrays = (self.points, self.labels, self.scribble, self.box, self.mask)
        return (
            self.text,
            self.name,
            *(None if array is None else (array.shape, (array + 0).tobytes()) for array in arrays),
        )


def read_point(text: str) -> tuple[float, float, int]:
    """(x, y, label) of "x,y" or "x,y,0" or "x,y,1" in pixels; PromptError otherwise."""
    numbers = _numbers(text, "point", "x,y or x,y,1 (on the person) or x,y,0 (not on the person)", (2, 3))
    label = numbers[2] if len(numbers) == 3 else 1
    if label not in (0, 1):
        raise PromptError(f"point {text} has the label {label:g}; it is 1 (on the person) or 0 (not on the person)")
    return numbers[0], numbers[1], int(label)


def read_scribble(text: str) -> list[tuple[float, float]]:
    """The (x, y) pixels of "x,y x,y ..."; PromptError otherwise."""
    pairs = (_numbers(pair, "scribble", "x,y x,y ...", (2,)) for pair in text.split())
    return [(x, y) for x, y in pairs]


def read_box(text: str) -> tuple[float, ...]:
    """(x0, y0, x1, y1) pixels of "x0,y0,x1,y1"; PromptError otherwise."""
    return tuple(_numbers(text, "box", "x0,y0,x1,y1", (4,)))


_READERS: dict[str, Callable[[str], Any]] = {
    "text": str,
    "point": read_point,
    "scribble": read_scribble,
    "box": read_box,
}


def _numbers(text: str, what: str, form: str, counts: tuple[int, ...]) -> list[float]:
    try:
        numbers = [float(number) for number in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in counts:
        raise PromptError(f'cannot read the {what} "{text}"; write it as {form}, in pixels')
    return numbers


def _place(values: ArrayLike) -> str:
    """Numbers as a user writes them: (700, 40)."""
    return "(" + ", ".join(f"{float(value):.6g}" for value in np.asarray(values).ravel()) + ")"


def _words(text: Any, what: str) -> str | None:
    if text is None:
        return None
    if not isinstance(text, str):
        raise PromptError(f"{what} must be words, not {type(text).__name__} {text!r}")
    if not text.strip():
        raise PromptError(f'{what} is empty ("{text}"); say something, or leave it out')
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PromptError(f"{what} {text!r} is not valid text (UTF-8) at its character {error.start + 1}") from None
    return text.strip()


def _finite(values: Any, what: str, shape: str) -> NDArray[np.float32]:
    """`values` as a float32 array of its own that cannot be written to."""
    try:
        with np.errstate(over="ignore"):
            array = np.array(values, dtype=np.float32)
    except (TypeError, ValueError):
        raise PromptError(f"{what} must be {shape} in pixels, not {str(values)[:80]!r}") from None
    if not np.isfinite(array).all():
        raise PromptError(f"{what} {_place(array)} holds a value that is not finite; give pixels")
    array.flags.writeable = False
    return array


def _places(values: Any, what: str) -> NDArray[np.float32] | None:
    if values is None:
        return None
    shape = f"{'P' if what == 'points' else 'S'} pairs of x, y"
    array = _finite(values, what, shape)
    if array.shape == (2,):
        array = array[None]
    if array.ndim != 2 or array.shape[1] != 2 or not len(array):
        raise PromptError(f"{what} must be {shape} in pixels; got the shape {array.shape}")
    return array


def _labels(values: Any, points: NDArray[np.float32] | None) -> NDArray[np.int64] | None:
    if points is None:
        if values is not None:
            raise PromptError(f"labels {values!r} without points; give the points they belong to")
        return None
    try:
        labels: NDArray[Any] = np.ones(len(points)) if values is None else np.array(values)
    except ValueError:
        raise PromptError(f"labels {values!r}: give 1 or 0 for each point") from None
    if labels.shape not in ((), (len(points),)) or (labels.shape == () and len(points) != 1):
        raise PromptError(f"labels has {labels.size} values for {len(points)} points; give one for each point")
    if not np.isin(labels, (0, 1)).all():
        raise PromptError(f"labels {labels.tolist()}: a label is 1 (on the person) or 0 (not on the person)")
    labels = labels.reshape(len(points)).astype(np.int64)
    labels.flags.writeable = False
    return labels


def _box(values: Any) -> NDArray[np.float32] | None:
    if values is None:
        return None
    box = _finite(values, "box", "x0, y0, x1, y1")
    if box.shape != (4,):
        raise PromptError(f"box must be x0, y0, x1, y1 in pixels; got the shape {box.shape}")
    x0, y0, x1, y1 = box
    if x1 <= x0 or y1 <= y0:
        raise PromptError(
            f"box {_place(box)} is empty or turned round; give x0, y0 (upper left) and x1, y1 (lower right)"
        )
    return box


def _mask(values: Any) -> NDArray[np.bool_] | None:
    if values is None:
        return None
    try:
        mask = np.array(values)
    except ValueError:
        raise PromptError("mask must be (H, W) of bool or 0 and 1; its rows differ in length") from None
    if mask.ndim != 2 or (mask.dtype != bool and not np.isin(mask, (0, 1)).all()):
        raise PromptError(f"mask must be (H, W) of bool or 0 and 1; got {mask.shape} of {mask.dtype}")
    mask = mask.astype(bool)
    if not mask.any():
        raise PromptError("mask marks no pixel; mark the person, or leave it out")
    mask.flags.writeable = False
    return mask
