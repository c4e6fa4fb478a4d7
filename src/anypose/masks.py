"""Masks of people: bitmaps, COCO run lengths and polygons, as one frozen sequence."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from . import affine as affines

Size = tuple[int, int]

# Beyond this many picture sides a polygon is a mistake, and rasterising it would take memory without end.
_FAR_OUTSIDE = 8


@dataclass(frozen=True)
class Masks:
    """N masks over one picture, kept as COCO's compressed run lengths.

    size: (height, width) of the picture in pixels. counts: N strings of COCO's compressed run lengths, or
    None for a mask that is not known (which is not the same as an empty one). Make it with `from_bitmaps`,
    `from_rle`, `from_polygons` or `from_coco`, which check what they are given.

    `len`, iteration (masks of length one, as with People) and indexing by an integer, a slice, integers or
    booleans all keep the size. Masks compare by value.
    """

    size: Size
    counts: tuple[str | None, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", check_size(self.size))
        object.__setattr__(self, "counts", tuple(self.counts))

    @classmethod
    def from_bitmaps(cls, bitmaps: ArrayLike) -> "Masks":
        """Masks of `bitmaps` (N, H, W), bool or 0 and 1. ValueError on another shape or other values."""
        array = np.asarray(bitmaps)
        if array.ndim != 3:
            raise ValueError(f"bitmaps have the shape (N, H, W), not {array.shape}")
        if array.dtype != bool and not np.isin(array, (0, 1)).all():
            raise ValueError(f"bitmaps hold bool or 0 and 1; this {array.dtype} array holds other values")
        size = check_size(array.shape[1:])
        if not len(array):
            return cls(size, ())
        columns_first = np.asfortranarray(array.transpose(1, 2, 0), dtype=np.uint8)  # H W N
        return cls(size, tuple(rle["counts"].decode() for rle in coco_mask.encode(columns_first)))

    @classmethod
    def from_rle(cls, rle: Sequence[Any], size: Size) -> "Masks":
        """Masks of COCO's {"size": [H, W], "counts": str, bytes or list of run lengths}, or None, each.

        ValueError when a record is of another picture size or does not cover the picture exactly.
        """
        size = check_size(size)
        return cls(size, tuple(_counts_of_rle(record, size, place) for place, record in enumerate(rle)))

    @classmethod
    def from_polygons(cls, polygons: Sequence[Any], size: Size) -> "Masks":
        """Masks of COCO polygons: for each person a list of [x0, y0, x1, y1, ...] in pixels, or None.

        The parts of one person are united; within one part the even-odd rule holds. ValueError on a part with
        fewer than three corners, an odd number of values, or values that are not finite or far outside.
        """
        size = check_size(size)
        return cls(size, tuple(_counts_of_polygons(parts, size, place) for place, parts in enumerate(polygons)))

    @classmethod
    def from_coco(cls, segmentations: Sequence[Any], size: Size) -> "Masks":
        """Masks of COCO `segmentation` values: polygons, run lengths, or None or [] for unknown."""
        size = check_size(size)
        return cls(
            size,
            tuple(
                _counts_of_rle(value, size, place)
                if isinstance(value, dict)
                else _counts_of_polygons(value or None, size, place)
                for place, value in enumerate(segmentations)
            ),
        )

    @classmethod
    def unknown(cls, number: int, size: Size) -> "Masks":
        """`number` masks that are not known."""
        return cls(size, (None,) * number)

    @staticmethod
    def concatenate(parts: "Sequence[Masks]") -> "Masks":
        """The masks of all parts in order. ValueError when there are none or the sizes differ."""
        if not parts:
            raise ValueError("nothing to concatenate: without masks there is no picture size")
        for part in parts:
            if part.size != parts[0].size:
                raise ValueError(f"masks of pictures of {parts[0].size} and {part.size} (height, width) do not mix")
        return Masks(parts[0].size, tuple(counts for part in parts for counts in part.counts))

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, which: Any) -> "Masks":
        return Masks(self.size, tuple(self.counts[place] for place in rows(which, len(self), "mask")))

    def __iter__(self) -> "Iterator[Masks]":
        return (Masks(self.size, (counts,)) for counts in self.counts)

    @property
    def known(self) -> NDArray[np.bool_]:
        """(N,) bool: which masks are known."""
        return np.array([counts is not None for counts in self.counts], dtype=bool)

    def rle(self) -> list[dict[str, Any] | None]:
        """N COCO records {"size": [H, W], "counts": str}, None where not known; JSON can hold them."""
        return [None if counts is None else {"size": list(self.size), "counts": counts} for counts in self.counts]

    def bitmap(self, place: int) -> NDArray[np.bool_]:
        """Mask `place` as (H, W) bool; all False where not known."""
        (row,) = rows(place, len(self), "mask")
        counts = self.counts[row]
        if counts is None:
            return np.zeros(self.size, dtype=bool)
        return _bitmap_of_runs(_runs_of_string(counts.encode()), self.size)

    def bitmaps(self) -> NDArray[np.bool_]:
        """All masks as (N, H, W) bool; all False where not known."""
        out = np.zeros((len(self), *self.size), dtype=bool)
        for place in np.flatnonzero(self.known):
            out[place] = self.bitmap(int(place))
        return out

    def polygons(self) -> list[list[list[float]] | None]:
        """COCO polygons along the pixels' edges, None where not known; `from_polygons` gives the masks back.

        Each connected region is one polygon; its holes are cut in through a seam of no width.
        """
        from .outlines import outlines

        return [outlines(self.bitmap(place)) if known else None for place, known in enumerate(self.known)]

    def areas(self) -> NDArray[np.float64]:
        """(N,) pixels in each mask; 0 where not known."""
        return np.asarray(coco_mask.area(self._records()), dtype=np.float64).reshape(len(self))

    def boxes(self) -> NDArray[np.float32]:
        """(N, 4) x0 y0 x1 y1 around each mask in pixels; zeros where it is empty or not known."""
        if not len(self):
            return np.zeros((0, 4), dtype=np.float32)
        boxes = np.asarray(coco_mask.toBbox(self._records()), dtype=np.float32).reshape(len(self), 4)
        boxes[:, 2:] += boxes[:, :2]
        return boxes

    def iou(self, other: "Masks") -> NDArray[np.float64]:
        """(N, M) intersection over union with `other`; 0 where either is not known or both are empty."""
        if self.size != other.size:
            raise ValueError(f"masks of pictures of {self.size} and {other.size} (height, width) cannot overlap")
        if not len(self) or not len(other):
            return np.zeros((len(self), len(other)))
        overlap = coco_mask.iou(self._records(), other._records(), [0] * len(other))
        overlap = np.nan_to_num(np.asarray(overlap, dtype=np.float64))
        return np.where(self.known[:, None] & other.known[None, :], overlap, 0.0)

    def warp(self, affine: ArrayLike, size: Size) -> "Masks":
        """The masks moved by `affine` (2, 3) into a picture of `size` (H, W).

        A pixel of the result is set where the old mask, interpolated at the pixel's centre, is a half or
        more.
        """
        size = check_size(size)
        back = affines.invert(affine)
        if size == self.size and np.array_equal(back, affines.IDENTITY):
            return self
        moved: list[str | None] = []
        for place, known in enumerate(self.known):
            if not known:
                moved.append(None)
                continue
            picture = Image.fromarray(self.bitmap(place).astype(np.uint8) * 255)
            picture = picture.transform(
                size[::-1], Image.Transform.AFFINE, tuple(back.ravel().tolist()), Image.Resampling.BILINEAR
            )
            moved.extend(Masks.from_bitmaps(np.asarray(picture)[None] >= 128).counts)
        return Masks(size, tuple(moved))

    def mirror(self) -> "Masks":
        """The masks of the picture seen in a mirror (left and right change sides)."""
        moved = [Masks.from_bitmaps(self.bitmap(i)[None, :, ::-1]).counts[0] for i in range(len(self))]
        return Masks(self.size, tuple(new if known else None for new, known in zip(moved, self.known)))

    def _records(self) -> list[dict[str, Any]]:
        """pycocotools' records; an empty mask stands for one that is not known."""
        nothing = _compress([self.size[0] * self.size[1]], self.size)
        return [
            {"size": list(self.size), "counts": (nothing if counts is None else counts).encode()}
            for counts in self.counts
        ]


def check_size(size: Any) -> Size:
    """`size` as (height, width), two positive integers; ValueError otherwise."""
    try:
        height, width = (int(side) for side in size)
    except (TypeError, ValueError):
        raise ValueError(f"a size is (height, width) in pixels, not {size!r}") from None
    if height <= 0 or width <= 0 or (height, width) != tuple(size):
        raise ValueError(f"a size is (height, width), two positive integers, not {tuple(size)}")
    return height, width


def rows(which: Any, number: int, what: str) -> list[int]:
    """The rows that an integer, a slice, integers or booleans mean. IndexError says what is wrong."""
    if isinstance(which, slice):
        return list(range(number))[which]
    array = np.asarray(which)
    if array.size == 0 and array.dtype != bool:
        return []
    if array.dtype == bool:
        if array.shape != (number,):
            raise IndexError(f"a boolean index needs {number} values, one for each {what}; it has {array.shape}")
        return np.flatnonzero(array).tolist()
    if not np.issubdtype(array.dtype, np.integer) or array.ndim > 1:
        raise IndexError(f"index a {what} by an integer, a slice, integers or booleans, not by {which!r}")
    for row in np.atleast_1d(array):
        if not -number <= row < number:
            raise IndexError(f"there is no {what} {row}: there are {number}")
    return [int(row) % number for row in np.atleast_1d(array)]


def _compress(runs: Sequence[int], size: Size) -> str:
    """COCO's compressed string of run lengths that are known to cover the picture."""
    return coco_mask.frPyObjects({"size": list(size), "counts": list(runs)}, *size)["counts"].decode()


def _counts_of_rle(record: Any, size: Size, place: int) -> str | None:
    if record is None:
        return None
    if not isinstance(record, dict) or "counts" not in record:
        raise ValueError(f'mask {place} must be a record with "size" and "counts", not {str(record)[:60]!r}')
    own_size = check_size(record.get("size", size))
    if own_size != size:
        raise ValueError(f"mask {place} is of a picture of {own_size}, not of {size} (height, width)")
    counts = record["counts"]
    try:
        if isinstance(counts, list | tuple | np.ndarray):
            runs = np.array([int(run) for run in counts], dtype=np.int64)
        else:
            runs = _runs_of_string(counts if isinstance(counts, bytes) else str(counts).encode())
    except (TypeError, ValueError) as error:
        raise ValueError(f"mask {place} is damaged: {error}") from None
    # pycocotools trusts its input and writes where damaged run lengths lead it.
    if (runs < 0).any() or runs.sum() != size[0] * size[1]:
        raise ValueError(f"mask {place} is damaged: its runs cover {int(runs.sum())} pixels of a picture of {size}")
    if (runs[1:] == 0).any():  # Written by others; without empty runs equal masks have equal strings.
        return Masks.from_bitmaps(_bitmap_of_runs(runs, size)[None]).counts[0]
    return _compress(runs.tolist(), size)


def _runs_of_string(counts: bytes) -> NDArray[np.int64]:
    """Run lengths of COCO's compressed string: 5 bits a character, low bits first."""
    digits = np.frombuffer(counts, dtype=np.uint8).astype(np.int64) - 48
    if not digits.size or (digits < 0).any() or (digits > 63).any() or digits[-1] & 32:
        raise ValueError("its counts are not a COCO string")
    ends = np.flatnonzero(digits & 32 == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if (ends - starts > 6).any():
        raise ValueError("its counts hold a number too large for any picture")
    shifts = 5 * (np.arange(digits.size) - np.repeat(starts, ends - starts + 1))
    values = np.add.reduceat((digits & 31) << shifts, starts)
    negative = digits[ends] & 16 != 0
    values[negative] -= np.int64(1) << (5 * (ends - starts + 1))[negative]
    runs = values.copy()
    # The first three are written as they are, later ones as the difference to the run before the last.
    for parity in (1, 2):
        runs[parity::2] = np.cumsum(values[parity::2])
    return runs


def _bitmap_of_runs(runs: NDArray[np.int64], size: Size) -> NDArray[np.bool_]:
    """(H, W) bool of runs down the columns, the first of them unset."""
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return np.ascontiguousarray(pixels.reshape(size[::-1]).T)


def _counts_of_polygons(parts: Any, size: Size, place: int) -> str | None:
    if parts is None:
        return None
    limit = _FAR_OUTSIDE * max(size)
    clean = []
    for part in parts:
        try:
            corners = np.asarray(part, dtype=np.float64).ravel()
        except (TypeError, ValueError):
            raise ValueError(f"mask {place} has a polygon that is not numbers: {str(part)[:60]}") from None
        if corners.size < 6 or corners.size % 2:
            raise ValueError(
                f"mask {place} has a polygon of {corners.size} values; it needs x, y of three corners or more"
            )
        if not np.isfinite(corners).all() or np.abs(corners).max() > limit:
            raise ValueError(f"mask {place} has a polygon far outside the picture of {size} (height, width)")
        clean.append(corners.tolist())
    if not clean:
        return _compress([size[0] * size[1]], size)
    merged = coco_mask.merge(coco_mask.frPyObjects(clean, *size))
    return merged["counts"].decode()
