"""RefHuman (Miao et al., NeurIPS 2024): a COCO-like file with one person, one caption and five scribbles an entry."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from anypose.data.coco import annotation_fault, finite_numbers, image_fault, report
from anypose.data.json_lists import entry_at, scan
from anypose.data.refhuman_entries import SCRIBBLES, STROKE, inside, usual
from anypose.data.sample import DataError, Sample
from anypose.masks import Masks
from anypose.people import People
from anypose.prompt import Prompt
from anypose.skeleton import COCO17

POINT = 5  # the place of scribble 0 that stands for a click in the authors' evaluation
STATES = ("unchecked", "accepted", "edited", "rejected")
# Looking at an entry's mask and picture takes over a millisecond, too long for every entry of a large file.
MOST_CHECKED = 5000
_TOGETHER = 512  # scribbles looked at


@dataclass(frozen=True)
class Referred:
    """One person of a picture, and how it is meant.

    Attributes:
        sample: the picture and the person; `sample.name` is the file's name with the entry's id.
        row: which of the sample's people is meant.
        text: words that mean it, or None.
        scribbles: (5, 12, 2) float32 pixels as they stand in the file (whole numbers: the pixel meant), or None.
        entry: the id of the entry, one for each pair of picture and prompt.
        state: of the human check, one of `STATES`, or None where the file does not say.
    """

    sample: Sample
    row: int
    text: str | None
    scribbles: NDArray[np.float32] | None
    entry: int = 0
    state: str | None = None

    def prompt(self, kind: str, *, centred: bool = True) -> Prompt | None:
        """The prompt of a kind, or None where the entry has none.

        Args:
            kind: "text", "point" (place 5 of scribble 0) or "scribble" (scribble 0).
            centred: places are the centres of the pixels meant; the authors take the pixels' upper left corners.

        Raises:
            ValueError: there is no such kind.
        """
        if kind not in ("text", "point", "scribble"):
            raise ValueError(f"there is no prompt kind {kind!r} in RefHuman; the kinds are text, point and scribble")
        if kind == "text":
            return None if self.text is None else Prompt(text=self.text)
        if self.scribbles is None:
            return None
        stroke = self.scribbles[0] + (0.5 if centred else 0.0)
        return Prompt(points=[stroke[POINT]]) if kind == "point" else Prompt(scribble=stroke)


class RefHuman(Sequence[Referred]):
    """The entries of a RefHuman file, each read from the disk when it is asked for.

    Attributes:
        path, folder: the file, and the folder of its pictures.
        faults: what was skipped and why, one line each (empty when read strictly).
        left_out: entries that are sound but not asked for: crowds, people without a labelled keypoint, and entries
            that a human check has rejected.
    """

    def __init__(
        self, path: Path, folder: Path, places: NDArray[np.int64], faults: tuple[str, ...], left_out: int
    ) -> None:
        self.path, self.folder, self.faults, self.left_out = path, folder, faults, left_out
        # (N, 4): where the image and the annotation of each entry stand in the file, start and end of either.
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, which: int) -> Referred: ...
    @overload
    def __getitem__(self, which: slice) -> RefHuman: ...
    def __getitem__(self, which: int | slice) -> Referred | RefHuman:
        if isinstance(which, slice):
            return RefHuman(self.path, self.folder, self._places[which], self.faults, self.left_out)
        image, record = self.records(which)
        return _referred(record, image, self.folder)

    def records(self, which: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """The image and the annotation of one entry, as they stand in the file.

        Raises:
            IndexError: there is no such entry.
            DataError: the file has changed.
        """
        if not -len(self) <= which < len(self):
            raise IndexError(f"there is no entry {which}: {self.path} has {len(self)}")
        a, b, c, d = self._places[which].tolist()
        return entry_at(self.path, a, b), entry_at(self.path, c, d)


def read(
    json_path: str | Path, images_dir: str | Path, *, strict: bool = True, thorough: bool | None = None
) -> RefHuman:
    """Open a RefHuman file: its entries that are no crowd and have a labelled keypoint, in the order of the file.

    The file is gone through once; what stays in memory are the places of the entries.

    Args:
        json_path: the file.
        images_dir: the folder that `file_name` is relative to; a prefix "COCO_train2014_" may be missing there.
        strict: raise at any fault. Otherwise faulty entries are skipped and a `DataWarning` counts and names them.
        thorough: also look whether each scribble lies in its mask and each picture has the size stated. None does so
            in files of up to 5000 entries, and in larger ones not at all.

    Raises:
        DataError: the file cannot be read at all or, when strict, holds faults; all are collected, the first 20 are in
            the message and every one in `.faults`.
    """
    index = _Index(Path(json_path), Path(images_dir))
    visits = {"images": index.add_image, "annotations": index.add_annotation}
    rest = scan(index.path, visits, {"annotations": index.add_usual})
    for key in ("images", "annotations"):
        if rest.get(key) != []:
            raise DataError(f'{json_path} is no RefHuman file: it has no list "{key}"; the layout is that of COCO')
    dataset = index.dataset(rest.get("categories"))
    faults = list(index.faults)
    if thorough or (thorough is None and len(dataset) <= MOST_CHECKED):
        sound = []
        for place in range(len(dataset)):
            fault = _deep_fault(*dataset.records(place), dataset.folder)
            if fault is None:
                sound.append(place)
            else:
                faults.append(fault)
        dataset._places = dataset._places[sound]
    if faults:
        report(index.path, faults, strict)
    dataset.faults = tuple(faults)
    return dataset


class _Index:
    """What is known of a file while it is gone through."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.path, self.folder = path, folder
        self.faults: list[str] = []
        self._rows: dict[Any, int] = {}
        self._spans: list[tuple[int, int]] = []
        self._sizes: list[tuple[int, int]] = []
        self._chosen: dict[Any, tuple[int, int] | None] = {}
        self._ids: set[int] = set()
        self._faulty: set[Any] = set()
        self._categories: dict[Any, list[Any]] = {}
        # Images mostly come first; annotations that come before them are looked at once more at the end.
        self._early: list[tuple[int, int]] = []
        self._ended = False
        # Scribbles not looked at yet: 120 numbers, the picture's size and the image's id; where the annotations stand.
        self._drawn: list[tuple[str, tuple[int, int], int]] = []
        self._drawn_at: list[tuple[int, int]] = []
        try:
            self._present = {entry.name for entry in os.scandir(folder)}
        except OSError as error:
            raise DataError(f"cannot read the folder of pictures {folder}: {error.strerror or error}") from error

    def add_image(self, record: Any, start: int, end: int) -> None:
        fault = image_fault(record, self._rows)
        if fault is None:
            name = record["file_name"].encode("latin-1", "replace").decode("utf-8", "replace")
            if name not in self._present and picture_path(self.folder, name) is None:
                fault = f"picture {name} is not in {self.folder}"
        caption = record.get("caption") if isinstance(record, dict) else None
        if caption is not None and not isinstance(caption, str):
            fault = fault or f"caption is {caption!r}, expected a sentence"
        if fault is None:
            self._rows[record["id"]] = len(self._spans)
            self._spans.append((start, end))
            self._sizes.append((record["height"], record["width"]))
        else:
            known = isinstance(record, dict) and "id" in record
            self.faults.append(f"image {record['id']}: {fault}" if known else f"images at byte {start}: {fault}")

    def add_annotation(self, record: Any, start: int, end: int) -> None:
        if not self._spans and not self._ended:
            self._early.append((start, end))
            return
        fault, key = self._fault(record)
        if fault is not None:
            name = f"annotation {record.get('id')}" if isinstance(record, dict) else f"annotations at byte {start}"
            whose = f" of image {key}" if key is not None else ""
            self.faults.append(f"{name}{whose}: {fault}")
            if key is not None and key not in self._chosen:
                self._faulty.add(key)
            return
        self._ids.add(record["id"])
        self._categories.setdefault(record.get("category_id"), []).append(key)
        self._chosen[key] = None if _unasked(record) else (start, end)

    def add_usual(self, text: str, start: int) -> int | None:
        """Add the annotation at `start` if it is in the usual form and sound; returns where it ends, else None."""
        if not self._spans:
            return None
        found = usual(text, start)
        if found is None or found.id in self._ids or found.image_id not in self._rows:
            return None
        if found.image_id in self._chosen or found.state not in (None, *STATES):
            return None
        self._ids.add(found.id)
        self._categories.setdefault(found.category_id, []).append(found.image_id)
        asked = found.labelled and found.state != "rejected"
        self._chosen[found.image_id] = (start, found.end) if asked else None
        if found.scribble is not None:
            self._drawn.append((found.scribble, self._sizes[self._rows[found.image_id]], found.image_id))
            self._drawn_at.append((start, found.end))
            if len(self._drawn) == _TOGETHER:
                self._look_at_scribbles()
        return found.end

    def _look_at_scribbles(self) -> None:
        """Whether scribbles lie in their pictures, many at a time; those that do not are visited like any fault."""
        strokes, sizes, keys = zip(*self._drawn) if self._drawn else ((), (), ())
        for which in np.flatnonzero(~inside(strokes, sizes)).tolist():
            start, end = self._drawn_at[which]
            record = entry_at(self.path, start, end)
            self._ids.discard(record["id"])
            del self._chosen[keys[which]]
            self.add_annotation(record, start, end)
        self._drawn.clear()
        self._drawn_at.clear()

    def _fault(self, record: Any) -> tuple[str | None, Any]:
        if not isinstance(record, dict):
            return f"is a {type(record).__name__}, expected an object", None
        key = record.get("image_id")
        row = self._rows.get(key) if isinstance(key, int | str) else None
        if row is None:
            return f"is of image {key!r}, which is not listed or not sound", None
        if not isinstance(record.get("id"), int):
            return f"id is {record.get('id')!r}, expected a whole number", key
        if record["id"] in self._ids:
            return "the id is used more than once", key
        if self._chosen.get(key) is not None:
            return "the image has another annotation already; RefHuman has one for each image id", key
        height, width = self._sizes[row]
        fault = annotation_fault(record, {"height": height, "width": width}, COCO17)
        return fault or _scribble_fault(record.get("scribble"), (height, width)) or _state_fault(record), key

    def _check_categories(self, categories: Any) -> None:
        """Everybody must be a person, where the file names categories."""
        if not isinstance(categories, list) or not categories:
            return
        people = {c.get("id") for c in categories if isinstance(c, dict) and c.get("name") == "person"}
        if not people:
            self.faults.append('categories: none is named "person"')
        for other in self._categories.keys() - people if people else ():
            for key in self._categories[other]:
                # Of an entry with another fault that one has been told.
                if self._chosen.get(key) is not None:
                    del self._chosen[key]
                    self._faulty.add(key)
                    self.faults.append(
                        f"annotation of image {key}: is of category {other}; RefHuman holds people only, of category "
                        f"{' or '.join(map(str, sorted(people, key=str)))}"
                    )

    def dataset(self, categories: Any) -> RefHuman:
        """What is sound, once the whole file has been gone through."""
        self._ended = True
        self._look_at_scribbles()
        for start, end in self._early:
            self.add_annotation(entry_at(self.path, start, end), start, end)
        self._check_categories(categories)
        lone = [key for key in self._rows if key not in self._chosen and key not in self._faulty]
        self.faults += [f"image {key}: has no annotation, expected one" for key in lone]
        found = [(*self._spans[self._rows[key]], *place) for key, place in self._chosen.items() if place is not None]
        left_out = sum(place is None for place in self._chosen.values())
        places = np.array(found, np.int64).reshape(-1, 4)
        return RefHuman(self.path, self.folder, places[np.argsort(places[:, 0], kind="stable")], (), left_out)


def _unasked(record: dict[str, Any]) -> bool:
    keypoints = record.get("keypoints") or []
    state = (record.get("review") or {}).get("state")
    return bool(record.get("iscrowd")) or not any(keypoints[2::3]) or state == "rejected"


def _scribble_fault(scribble: Any, size: tuple[int, int]) -> str | None:
    if scribble is None:
        return None
    if not finite_numbers(scribble) or len(scribble) != SCRIBBLES * STROKE * 2:
        length = f"has {len(scribble)} values" if isinstance(scribble, list) else f"is {scribble!r}"
        return f"scribble {length}, expected {SCRIBBLES * STROKE * 2} numbers: {SCRIBBLES} x {STROKE} x (x, y)"
    height, width = size
    across, down = scribble[::2], scribble[1::2]
    if min(scribble) < 0 or max(across) >= width or max(down) >= height:
        return f"scribble leaves the picture of {width}x{height} pixels"
    return None


def _state_fault(record: dict[str, Any]) -> str | None:
    review = record.get("review")
    if review is None or (isinstance(review, dict) and review.get("state") in STATES):
        return None
    return f"review is {str(review)[:60]}, expected an object whose state is one of {', '.join(STATES)}"


def _deep_fault(image: dict[str, Any], record: dict[str, Any], folder: Path) -> str | None:
    """What only the picture's header and the rasterised mask can tell."""
    stated = (image["height"], image["width"])
    path = picture_path(folder, image["file_name"])
    found = None if path is None else _size_of(path)
    if found != stated:
        seen = "cannot be opened" if found is None else f"is {found[1]}x{found[0]} pixels"
        return f"image {image['id']}: {image['file_name']} {seen}, the entry says {stated[1]}x{stated[0]}"
    return _strayed(record, stated)


def _strayed(record: dict[str, Any], size: tuple[int, int]) -> str | None:
    if record.get("scribble") is None or not record.get("segmentation"):
        return None
    try:
        mask = Masks.from_coco([record["segmentation"]], size).bitmap(0)
    except ValueError as error:
        return f"annotation {record['id']} of image {record['image_id']}: {error}"
    places = np.array(record["scribble"], np.float64).astype(np.int64).reshape(SCRIBBLES, STROKE, 2)
    outside = ~mask[places[..., 1], places[..., 0]]
    if not outside.any():
        return None
    number, place = np.argwhere(outside)[0]
    x, y = places[number, place]
    return (
        f"annotation {record['id']} of image {record['image_id']}: {int(outside.sum())} of "
        f"{outside.size} scribble places lie outside the mask, the first at ({x}, {y}) of scribble {number}"
    )


@lru_cache(maxsize=1 << 16)
def _size_of(path: Path) -> tuple[int, int] | None:
    """(height, width) of a picture as displayed, from its header; None where there is none."""
    try:
        with Image.open(path) as picture:
            width, height = picture.size
            turned = picture.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    except (OSError, UnidentifiedImageError):
        return None
    return (width, height) if turned else (height, width)


def picture_path(folder: Path, name: str) -> Path | None:
    """Where the picture of an entry lies; COCO's names changed in 2017 by the loss of a prefix."""
    for candidate in (folder / name, folder / name.rsplit("_", 1)[-1]):
        if candidate.is_file():
            return candidate
    return None


def _referred(record: dict[str, Any], image: dict[str, Any], folder: Path) -> Referred:
    size = (int(image["height"]), int(image["width"]))
    keypoints = np.array(record["keypoints"], np.float32).reshape(1, len(COCO17), 3)
    x, y, width, height = record["bbox"]
    labelled = keypoints[..., 2] > 0
    area = record.get("area")
    people = People(
        size=size,
        boxes=np.array([[x, y, x + width, y + height]]),
        scores=np.ones(1),
        keypoints=keypoints[..., :2],
        confidence=labelled,
        state=np.stack((keypoints[..., 2] == 2, keypoints[..., 2] == 1, np.zeros_like(labelled)), -1),
        masks=Masks.from_coco([record.get("segmentation")], size) if record.get("segmentation") else None,
        ids=np.array([record["id"]]),
        stated_areas=None if area is None else np.array([area]),
    )
    scribbles, name, text = record.get("scribble"), image["file_name"], (image.get("caption") or "").strip() or None
    return Referred(
        sample=Sample(
            name=f"{name}#{image['id']}",
            path=picture_path(folder, name) or folder / name,
            people=people,
            # Further people of the picture stand in other entries, or in none.
            fully_labelled=False,
            person_captions=(text,),
        ),
        row=0,
        text=text,
        scribbles=None if scribbles is None else np.array(scribbles, np.float32).reshape(SCRIBBLES, STROKE, 2),
        entry=image["id"],
        state=(record.get("review") or {}).get("state"),
    )
