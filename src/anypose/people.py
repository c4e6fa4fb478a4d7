"""People: N people in one picture. What a model answers and what an annotator wrote are both this."""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import affine as affines
from .files import write_atomically
from .masks import Masks, Size, check_size, rows
from .skeleton import COCO17, Skeleton

_FORMAT = "anypose people 1"

# The fields with one row a person, and the shape of a row; K stands for the skeleton's keypoints.
_ROWS: dict[str, tuple[str | int, ...]] = {
    "boxes": (4,),
    "scores": (),
    "keypoints": ("K", 2),
    "confidence": ("K",),
    "state": ("K", 3),
}
_OPTIONAL = ("ids", "stated_areas", "presence")  # one value a person, or None as a whole


@dataclass(frozen=True, eq=False, repr=False)
class People:
    """N people in one picture of `size` (height, width), with K keypoints each.

    boxes: (N, 4) float32 pixels, x0 y0 x1 y1. scores: (N,) float32, how sure the model is that this person
    is there and is the one that was asked for (1 in labels). keypoints: (N, K, 2) float32 pixels, x y.
    confidence: (N, K) float32, the probability that the location is right (in labels 1 where labelled, 0
    where not). state: (N, K, 3) float32, probabilities of visible, hidden, outside the picture; all 0 when
    unknown. masks: N masks or None. skeleton: what the K keypoints are. names, ids: one for each person, or
    None. stated_areas: (N,) float32 square pixels where a data set states its own area of each person, else
    None. presence: (N,) float32, the probability that what was asked for is there and is this person, whatever
    the keypoints are worth, or None. reason: words on why there is nobody, or on anything else worth saying.

    Pixels are those of the picture as displayed: x to the right, y downwards, pixel i covers [i, i + 1).
    The arrays are copies that cannot be written to. `len`, iteration and indexing by an integer, a slice,
    integers or booleans keep all fields together.

    Raises ValueError when the fields do not fit together, are not finite or leave their range.
    """

    size: Size
    boxes: NDArray[Any]
    scores: NDArray[Any]
    keypoints: NDArray[Any]
    confidence: NDArray[Any]
    state: NDArray[Any]
    masks: Masks | None = None
    skeleton: Skeleton = COCO17
    names: tuple[str | None, ...] | None = None
    ids: NDArray[Any] | None = None
    reason: str | None = None
    stated_areas: NDArray[Any] | None = None
    presence: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        keep = object.__setattr__
        keep(self, "size", check_size(self.size))
        number = _rows_of_boxes(self.boxes)
        joints = len(self.skeleton)
        for name, row in _ROWS.items():
            shape = tuple(joints if side == "K" else int(side) for side in row)
            what = f" of {joints} keypoints ({self.skeleton.name})" if "K" in row else ""
            keep(self, name, _column(getattr(self, name), name, number, shape, what))
        for name in ("stated_areas", "presence"):
            if getattr(self, name) is not None:
                keep(self, name, _column(getattr(self, name), name, number, (), ""))
        if self.ids is not None:
            keep(self, "ids", _whole_numbers(self.ids, number))
        if self.names is not None:
            keep(self, "names", tuple(self.names))
        for name in ("masks", "names"):
            rows_of = getattr(self, name)
            if rows_of is not None and len(rows_of) != number:
                raise ValueError(f"{name} has {_count(len(rows_of), 'row')} for {_people(number)}")
        self._check_values()

    def _check_values(self) -> None:
        """Whatever depends on more than a shape."""
        if self.masks is not None and self.masks.size != self.size:
            raise ValueError(f"masks are of a picture of {self.masks.size}, not of {self.size} (height, width)")
        for name in ("confidence", "state", "presence"):
            values = getattr(self, name)
            if values is None:
                continue
            # A softmax or a sum in float32 may pass 1 by rounding.
            wrong = (values < 0) | (values > 1 + 1e-5)
            if wrong.any():
                raise ValueError(f"{name} holds {values[wrong][0]:g}; it holds probabilities, from 0 to 1")
        turned = (self.boxes[:, 2:] < self.boxes[:, :2]).any(axis=1)
        if turned.any():
            row = int(turned.argmax())
            raise ValueError(f"box {row} is turned round: {self.boxes[row].tolist()}; a box is x0 y0 x1 y1")

    @classmethod
    def empty(cls, size: Size, skeleton: Skeleton = COCO17, reason: str | None = None) -> "People":
        """Nobody in a picture of `size` (height, width), and why."""
        joints = len(skeleton)
        return cls(
            size=size,
            boxes=np.zeros((0, 4), np.float32),
            scores=np.zeros(0, np.float32),
            keypoints=np.zeros((0, joints, 2), np.float32),
            confidence=np.zeros((0, joints), np.float32),
            state=np.zeros((0, joints, 3), np.float32),
            skeleton=skeleton,
            reason=reason,
        )

    @staticmethod
    def concatenate(parts: "Sequence[People]") -> "People":
        """The people of all parts in order; the parts must share size and skeleton.

        Where only some parts with people have masks or names, the others' are unknown (None); ids, stated
        areas and presence are kept only when all parts with people have them. Different reasons are joined by "; ".
        Raises ValueError when there is no part, or when sizes or skeletons differ.
        """
        if not parts:
            raise ValueError("nothing to concatenate: without parts there is no picture size")
        first = parts[0]
        for part in parts:
            if part.size != first.size:
                raise ValueError(f"people of pictures of {first.size} and {part.size} (height, width) do not mix")
            if part.skeleton != first.skeleton:
                raise ValueError(f"skeletons {first.skeleton.name} and {part.skeleton.name} differ; use to_skeleton")
        peopled = [part for part in parts if len(part)]
        fields: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ROWS}
        if any(part.masks is not None for part in peopled):
            unknown = (Masks.unknown(len(part), part.size) for part in peopled)
            fields["masks"] = Masks.concatenate([part.masks or blank for part, blank in zip(peopled, unknown)])
        if any(part.names is not None for part in peopled):
            fields["names"] = [name for part in peopled for name in part.names or (None,) * len(part)]
        for column in _OPTIONAL:
            values = [getattr(part, column) for part in peopled]
            if values and all(value is not None for value in values):
                fields[column] = np.concatenate(values)
        reasons = dict.fromkeys(part.reason for part in parts if part.reason)
        return People(size=first.size, skeleton=first.skeleton, reason="; ".join(reasons) or None, **fields)

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, which: Any) -> "People":
        places = rows(which, len(self), "person")
        fields: dict[str, Any] = {name: getattr(self, name)[places] for name in _ROWS}
        for column in _OPTIONAL:
            value = getattr(self, column)
            fields[column] = None if value is None else value[places]
        fields["masks"] = None if self.masks is None else self.masks[places]
        fields["names"] = None if self.names is None else tuple(self.names[place] for place in places)
        return dataclasses.replace(self, **fields)

    def __iter__(self) -> "Iterator[People]":
        return (self[place] for place in range(len(self)))

    def __repr__(self) -> str:
        height, width = self.size
        parts = [f"{_people(len(self))} in {width} x {height} (width x height)", self.skeleton.name]
        parts += [] if self.masks is None else [_count(int(self.masks.known.sum()), "mask")]
        parts += [] if self.names is None else [f"names {', '.join(map(str, self.names))}"]
        parts += [] if self.reason is None else [f"reason {self.reason!r}"]
        return f"People({', '.join(parts)})"

    @property
    def areas(self) -> NDArray[np.float64]:
        """(N,) square pixels of each person: as stated, else of the mask where known, else of the box."""
        if self.stated_areas is not None:
            return self.stated_areas.astype(np.float64)
        sides = (self.boxes[:, 2:] - self.boxes[:, :2]).astype(np.float64)
        areas = sides.prod(axis=1)
        return areas if self.masks is None else np.where(self.masks.known, self.masks.areas(), areas)

    def equals(self, other: "People") -> bool:
        """Whether every field is the same, to the last bit."""
        for field in dataclasses.fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if isinstance(mine, np.ndarray) and isinstance(theirs, np.ndarray):
                if not np.array_equal(mine, theirs):
                    return False
            elif type(mine) is not type(theirs) or mine != theirs:
                return False
        return True

    def warp(self, affine: ArrayLike, size: Size) -> "People":
        """The same people moved by `affine` (2, 3) into a picture of `size` (H, W), masks and areas too.

        A turned box becomes the upright box around it. Keypoints may leave the picture; their state is not
        changed, and left stays left even when the affine mirrors (`mirror` is for that).
        """
        affine = affines.check(affine)
        areas = self.stated_areas
        return dataclasses.replace(
            self,
            size=size,
            boxes=affines.apply_to_boxes(affine, self.boxes),
            keypoints=affines.apply(affine, self.keypoints),
            masks=None if self.masks is None else self.masks.warp(affine, size),
            stated_areas=None if areas is None else areas * abs(np.linalg.det(affine[:, :2])),
        )

    def mirror(self) -> "People":
        """The people of the picture flipped left to right; a left hand becomes a right hand."""
        width, order = self.size[1], self.skeleton.mirror
        keypoints = self.keypoints[:, order].copy()
        keypoints[..., 0] = width - keypoints[..., 0]
        x0, y0, x1, y1 = self.boxes.T
        return dataclasses.replace(
            self,
            boxes=np.stack([width - x1, y0, width - x0, y1], axis=1),
            keypoints=keypoints,
            confidence=self.confidence[:, order],
            state=self.state[:, order],
            masks=None if self.masks is None else self.masks.mirror(),
        )

    def to_skeleton(self, other: Skeleton) -> "People":
        """The same people with the keypoints of `other`; those without a counterpart get confidence 0.

        Nothing is invented, so the location and state of a keypoint without a counterpart are zeros.
        """
        joints = len(other)
        fields = {name: np.zeros((len(self), joints, *getattr(self, name).shape[2:])) for name in _JOINTED}
        for there, here in self.skeleton.map_to(other):
            if here is not None:
                for name, column in fields.items():
                    column[:, there] = getattr(self, name)[:, here]
        return dataclasses.replace(self, skeleton=other, **fields)  # type: ignore[arg-type]

    def draw(self, image: NDArray[np.uint8], **options: Any) -> NDArray[np.uint8]:
        """A copy of `image` (H, W, 3) RGB with the people drawn on it; options as in `anypose.draw.draw`."""
        from .draw import draw

        return draw(image, self, **options)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON holds it, under the names of the fields; `from_dict` gives the same back."""
        record: dict[str, Any] = {
            "format": _FORMAT,
            "size": list(self.size),
            "skeleton": self.skeleton.to_dict(),
        }
        record.update({name: decimals(getattr(self, name)) for name in _ROWS})
        record["masks"] = None if self.masks is None else self.masks.rle()
        record["names"] = None if self.names is None else list(self.names)
        record["ids"] = None if self.ids is None else self.ids.tolist()
        for name in ("stated_areas", "presence"):
            values = getattr(self, name)
            record[name] = None if values is None else decimals(values)
        record["reason"] = self.reason
        return record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "People":
        """The people that `to_dict` wrote. ValueError says what is missing or does not fit."""
        if isinstance(record, Mapping) and "pictures" in record:
            raise ValueError(
                "this is the answer of `anypose find` about its pictures: take "
                'People.from_dict(answer["pictures"][0]["people"])'
            )
        if not isinstance(record, Mapping) or record.get("format") != _FORMAT:
            found = record.get("format") if isinstance(record, Mapping) else type(record).__name__
            raise ValueError(f"not people of this library: expected the format {_FORMAT!r}, found {found!r}")
        missing = [name for name in ("size", "skeleton", *_ROWS) if name not in record]
        if missing:
            raise ValueError(f"the record of people lacks {', '.join(missing)}")
        size, masks = check_size(record["size"]), record.get("masks")
        return cls(
            size=size,
            skeleton=Skeleton.from_dict(record["skeleton"]),
            masks=None if masks is None else Masks.from_rle(masks, size),
            **{name: record[name] for name in _ROWS},
            names=record.get("names"),
            ids=record.get("ids"),
            stated_areas=record.get("stated_areas"),
            presence=record.get("presence"),
            reason=record.get("reason"),
        )

    def to_json(self) -> str:
        """`to_dict` as one line of JSON. Lossless: every float32 comes back to the last bit."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "People":
        """The people that `to_json` wrote. ValueError says what is wrong."""
        return cls.from_dict(json.loads(text))

    def save(self, path: str | Path) -> None:
        """Write `to_json` to `path`; the file is whole or not there at all. OSError as `open` raises."""
        write_atomically(path, self.to_json() + "\n")

    @classmethod
    def load(cls, path: str | Path) -> "People":
        """The people that `save` wrote. ValueError names the file and what is wrong with it."""
        try:
            return cls.from_json(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def to_coco(self, image_id: int | str, category_id: int = 1, labels: bool | None = None) -> list[dict[str, Any]]:
        """One COCO dict a person; see `anypose.annotations.to_coco`."""
        from .annotations import to_coco

        return to_coco(self, image_id, category_id, labels)

    @classmethod
    def from_coco(cls, annotations: Sequence[Mapping[str, Any]], size: Size, skeleton: Skeleton = COCO17) -> "People":
        """The people of one picture's COCO dicts; see `anypose.annotations.from_coco`."""
        from .annotations import from_coco

        return from_coco(annotations, size, skeleton)

    def to_supervision(self) -> tuple[Any, Any]:
        """(KeyPoints, Detections) of the package `supervision`, in the same order of people.

        Both carry `names` in `data` when there are names; ids become `tracker_id`. Raises ImportError when
        the package is not installed.
        """
        from .annotations import to_supervision

        return to_supervision(self)


_JOINTED = [name for name, row in _ROWS.items() if "K" in row]


def decimals(array: NDArray[np.float32]) -> list[Any]:
    """Nested lists of the shortest decimals that a float32 reader turns into the same float32."""
    short = array.astype(np.str_).astype(np.float64)
    if not np.array_equal(short.astype(np.float32), array):
        # A shortest decimal may lie so near the middle of two float32 that reading it twice rounds wrongly.
        short = array.astype(np.float64)
    return short.tolist()


def _rows_of_boxes(boxes: Any) -> int:
    try:
        return len(boxes)
    except TypeError:
        raise ValueError(f"boxes must be numbers of the shape (N, 4), not {boxes!r}") from None


def _column(values: Any, name: str, number: int, row: tuple[int, ...], what: str) -> NDArray[np.float32]:
    """`values` as an (N, *row) float32 array of its own that cannot be written to."""
    shape = ", ".join(["N", *map(str, row)]) + ("," if not row else "")
    try:
        with np.errstate(over="ignore"):
            array = np.array(values, dtype=np.float32)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be numbers of the shape ({shape}){what}") from None
    if number == 0 and array.size == 0:
        array = array.reshape(0, *row)
    if array.ndim and len(array) != number:
        raise ValueError(f"{name} has {_count(len(array), 'row')} for {_people(number)}")
    if array.shape != (number, *row):
        raise ValueError(f"{name} has the shape {array.shape}; expected ({shape}){what} with N = {number}")
    if not np.isfinite(array).all():
        person = int(np.argwhere(~np.isfinite(array))[0][0])
        raise ValueError(f"{name} of person {person} holds a value that is not finite")
    array.flags.writeable = False
    return array


def _whole_numbers(values: Any, number: int) -> NDArray[np.int64]:
    ids = np.array(values)
    if ids.shape != (number,):
        raise ValueError(f"ids has {_count(len(np.atleast_1d(ids)), 'row')} for {_people(number)}")
    if number and not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(f"ids must be whole numbers, not {ids.dtype}")
    ids = ids.astype(np.int64)
    ids.flags.writeable = False
    return ids


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _people(number: int) -> str:
    return "1 person" if number == 1 else f"{number} people"
