"""COCO keypoint files: one JSON and a folder of pictures become a list of `Sample`."""

from __future__ import annotations

import difflib
import json
import math
import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Container, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from anypose.data.sample import DataError, DataWarning, Sample
from anypose.masks import Masks
from anypose.people import People
from anypose.skeleton import COCO17, Skeleton

FAULTS_SHOWN = 20


def read(
    json_path: str | Path,
    images_dir: str | Path,
    skeleton: Skeleton | None = COCO17,
    *,
    strict: bool = True,
) -> list[Sample]:
    """Read a COCO keypoint file; pictures are listed, not opened, and masks stay compressed.

    Beside COCO's own fields it reads `captions`, `crowdIndex` and `has_masks` of a picture (`has_masks` false:
    keypoints only, not everybody is listed) and `caption` of an annotation. Regions with `iscrowd`
    become `Sample.crowds`. Categories other than the person are left out; where none is named "person", the only
    category with keypoints is the person's.

    Args:
        json_path: the file.
        images_dir: the folder that `file_name` is relative to.
        skeleton: what the keypoints are to be. Where the category names the file's keypoints, they are found
            by name, in whatever order and among whatever others; one that the file has not is a fault. None keeps
            the file's own (`Skeleton.from_category`).
        strict: raise at any fault. Otherwise faulty entries are skipped, a `DataWarning` counts and
            names them, and a picture that lost a person is no longer `fully_labelled`.

    Returns:
        One sample for each picture, in the order of the file, those without people among them.

    Raises:
        DataError: the file cannot be read at all or, when strict, holds faults; all are collected,
            the first 20 are in the message and every one in `.faults`.
    """
    return samples_of(load(Path(json_path)), Path(json_path), Path(images_dir), skeleton, strict)


def samples_of(
    content: dict[str, Any], json_path: Path, images_dir: Path, skeleton: Skeleton | None, strict: bool
) -> list[Sample]:
    """What `read` gives for the content of a file."""
    faults: list[str] = []
    category = _person_category(content.get("categories"), faults)
    own = _own_skeleton(category, skeleton, faults)
    images = _images(content["images"], images_dir, faults)
    people_id = None if category is None else category.get("id")
    grouped, damaged = _annotations(content["annotations"], images, people_id, own, faults)
    if faults:
        report(json_path, faults, strict)
    samples = [
        sample_of(image, images_dir, grouped.get(key, []), own, complete=key not in damaged)
        for key, image in images.items()
    ]
    if skeleton is None or skeleton == own:
        return samples
    return [replace(sample, people=sample.people.to_skeleton(skeleton)) for sample in samples]


def load(path: Path) -> dict[str, Any]:
    """The object that a COCO file holds, with its lists of images and annotations; DataError says what is wrong."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path} is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8: byte {error.start}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds a {type(content).__name__}; expected a COCO object with images")
    for key in ("images", "annotations"):
        if not isinstance(content.get(key), list):
            raise DataError(f'{path} has no list "{key}"; expected a COCO keypoint file')
    return content


def report(path: Path, faults: list[str], strict: bool) -> None:
    """Raise DataError with the faults or, unless strict, warn of them."""
    shown = "".join(f"\n  {fault}" for fault in faults[:FAULTS_SHOWN])
    more = f"\n  and {len(faults) - FAULTS_SHOWN} more" if len(faults) > FAULTS_SHOWN else ""
    count = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}"
    if strict:
        raise DataError(f"{path} has {count}:{shown}{more}", tuple(faults))
    warnings.warn(f"{path}: skipped what has {count}:{shown}{more}", DataWarning, stacklevel=3)


def _person_category(categories: Any, faults: list[str]) -> dict[str, Any] | None:
    """The person's category, or None where the file names no categories (all are people)."""
    if not isinstance(categories, list) or not categories:
        return None
    sound = [c for c in categories if isinstance(c, dict)]
    people = [c for c in sound if c.get("name") == "person"]
    if not people:
        people = [c for c in sound if c.get("keypoints")]
    if len(people) == 1:
        return people[0]
    named = ", ".join(repr(c.get("name")) for c in people)
    faults.append(
        f"categories: {named} are {len(people)}, of which none alone is the person"
        if people
        else 'categories: none is named "person" or has keypoints'
    )
    return people[0] if people else {"id": math.nan}  # which is no annotation's


def _own_skeleton(category: dict[str, Any] | None, wanted: Skeleton | None, faults: list[str]) -> Skeleton:
    """The skeleton that the file is written in, from which `wanted` can be taken by name."""
    names = (category or {}).get("keypoints")
    if not names:
        if wanted is None:
            faults.append("categories: none names its keypoints; say whose they are with a skeleton")
        return wanted or COCO17
    if wanted is not None and tuple(names) == wanted.keypoints:
        return wanted
    # Where a skeleton is asked for, the file's bones do not matter; those of CrowdPose's files go beyond its keypoints.
    named = category or {} if wanted is None else {"name": (category or {}).get("name"), "keypoints": names}
    try:
        own = Skeleton.from_category(named)
    except ValueError as error:
        faults.append(f"category {(category or {}).get('id')}: {error}")
        return wanted or COCO17
    lacking = [] if wanted is None else [wanted.keypoints[there] for there, here in own.map_to(wanted) if here is None]
    if wanted is None or not lacking:
        return own
    near = difflib.get_close_matches(lacking[0], own.keypoints, n=1, cutoff=0.6)
    faults.append(
        f"category {(category or {}).get('id')}: keypoints are {', '.join(own.keypoints)}; expected those of "
        f"{wanted.name}: {', '.join(wanted.keypoints)}; there is no {lacking[0]!r}"
        + (f", did it mean its {near[0]!r}?" if near else "")
    )
    return wanted


def _images(records: list[Any], folder: Path, faults: list[str]) -> dict[Any, dict[str, Any]]:
    """Sound image records by id."""
    # One listing instead of a stat for each of thousands of pictures.
    try:
        present = {entry.name for entry in os.scandir(folder)}
    except OSError as error:
        raise DataError(f"cannot read the folder of pictures {folder}: {error.strerror or error}") from error
    images: dict[Any, dict[str, Any]] = {}
    for position, record in enumerate(records):
        fault = image_fault(record, images)
        if fault is None and record["file_name"] not in present and not (folder / record["file_name"]).is_file():
            fault = f"picture {record['file_name']} is not in {folder}"
        if fault is None:
            images[record["id"]] = record
        else:
            known = isinstance(record, dict) and "id" in record
            faults.append(f"image {record['id']}: {fault}" if known else f"images[{position}]: {fault}")
    return images


def image_fault(record: Any, seen: Container[Any]) -> str | None:
    """What is wrong with the record of an image, in words; `seen` are the ids of those before it."""
    if not isinstance(record, dict):
        return f"is a {type(record).__name__}, expected an object"
    if not isinstance(record.get("id"), int | str):
        return "has no id"
    if record["id"] in seen:
        return "is listed twice"
    if not isinstance(record.get("file_name"), str) or not record["file_name"]:
        return "has no file_name"
    for side in ("width", "height"):
        value = record.get(side)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            return f"{side} is {value!r}, expected a positive whole number"
    captions = record.get("captions") or []
    if not isinstance(captions, list) or not all(isinstance(caption, str) for caption in captions):
        return "captions is not a list of sentences"
    crowd = record.get("crowdIndex")
    if crowd is not None and not (finite_numbers([crowd]) and crowd >= 0):
        return f"crowdIndex is {crowd!r}, expected a number of at least 0"
    return None


def _annotations(
    records: list[Any],
    images: dict[Any, dict[str, Any]],
    people: Any,
    skeleton: Skeleton,
    faults: list[str],
) -> tuple[dict[Any, list[dict[str, Any]]], set[Any]]:
    """Sound annotations by image id, and the ids of the images that lost one.

    people: the id of the person's category, or None where all are people.
    """
    grouped: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    damaged: set[Any] = set()
    listed = Counter(r.get("id") for r in records if isinstance(r, dict) and isinstance(r.get("id"), int))
    for position, record in enumerate(records):
        if not isinstance(record, dict):
            faults.append(f"annotations[{position}]: is a {type(record).__name__}, expected an object")
            continue
        if people is not None and record.get("category_id") != people:
            continue
        key = record.get("image_id")
        image = images.get(key) if isinstance(key, int | str) else None
        fault = f"is of image {key!r}, which is not listed or not sound" if image is None else None
        if not isinstance(record.get("id"), int):
            fault = f"id is {record.get('id')!r}, expected a whole number"
        elif listed[record["id"]] > 1:
            fault = "the id is used more than once"
        fault = fault or annotation_fault(record, image or {}, skeleton)
        if fault is None:
            grouped[key].append(record)
            continue
        if image is not None:
            damaged.add(key)
        faults.append(f"annotation {record.get('id', f'number {position}')}: {fault}")
    return grouped, damaged


def annotation_fault(record: dict[str, Any], image: Mapping[str, Any], skeleton: Skeleton) -> str | None:
    """What is wrong with an annotation of the record `image` (height and width), in words."""
    box: Any = record.get("bbox")
    if not finite_numbers(box) or len(box) != 4:
        return f"bbox is {box!r}, expected 4 finite numbers x, y, width, height"
    if box[2] <= 0 or box[3] <= 0:
        return f"bbox is {box!r}, expected width and height above 0"
    area = record.get("area")
    if area is not None and not (finite_numbers([area]) and area >= 0):
        return f"area is {area!r}, expected a number of square pixels"
    if record.get("iscrowd", 0) not in (0, 1):
        return f"iscrowd is {record['iscrowd']!r}, expected 0 or 1"
    keypoints = record.get("keypoints")
    if keypoints is not None and not record.get("iscrowd"):
        if not finite_numbers(keypoints) or len(keypoints) != 3 * len(skeleton):
            length = f"has {len(keypoints)} entries" if isinstance(keypoints, list) else f"is {keypoints!r}"
            return f"keypoints {length}, expected {3 * len(skeleton)} finite numbers ({skeleton.name})"
        if not set(keypoints[2::3]) <= {0, 1, 2}:
            states = sorted(set(keypoints[2::3]) - {0, 1, 2})
            return f"a keypoint's visibility is {states[0]!r}, expected 0, 1 or 2"
    caption = record.get("caption")
    if caption is not None and (not isinstance(caption, str) or not caption.strip()):
        return f"caption is {caption!r}, expected a sentence"
    return _segmentation_fault(record.get("segmentation"), (image["height"], image["width"]))


def _segmentation_fault(segmentation: Any, size: tuple[int, int]) -> str | None:
    if segmentation is None or segmentation == []:
        return None
    if isinstance(segmentation, list):
        for polygon in segmentation:
            if not finite_numbers(polygon) or len(polygon) < 6 or len(polygon) % 2:
                return "a polygon of the segmentation is not a list of at least 3 finite x, y pairs"
        return None
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= segmentation.keys():
        return "segmentation is neither polygons nor run lengths with size and counts"
    if segmentation["size"] != list(size):
        return f"the mask is of size {segmentation['size']}, the picture [height, width] is {list(size)}"
    counts = segmentation["counts"]
    if isinstance(counts, list):
        if not finite_numbers(counts) or any(count < 0 or count != int(count) for count in counts):
            return "the mask's counts are not whole numbers"
        if sum(counts) != size[0] * size[1]:
            return f"the mask's run lengths sum to {sum(counts)}, expected {size[0] * size[1]}"
        return None
    if not isinstance(counts, str) or not counts:
        return "the mask's counts are neither a list of run lengths nor a compressed string"
    try:
        Masks.from_rle([segmentation], size)
    except ValueError as error:
        return str(error)
    return None


def finite_numbers(values: Any) -> bool:
    """Whether this is a list of finite numbers (JSON's true is not one)."""
    if not isinstance(values, list):
        return False
    try:
        return math.isfinite(sum(values)) and bool not in set(map(type, values))
    except (TypeError, ValueError, OverflowError):
        return False


def sample_of(
    image: dict[str, Any],
    folder: Path,
    records: list[dict[str, Any]],
    skeleton: Skeleton,
    complete: bool,
) -> Sample:
    """A sample from a sound image record and its sound annotations; not `complete` where some were left out."""
    size = (image["height"], image["width"])
    crowds = [record["segmentation"] for record in records if record.get("iscrowd") and record.get("segmentation")]
    persons = [record for record in records if not record.get("iscrowd")]
    return Sample(
        name=image["file_name"],
        path=folder / image["file_name"],
        people=_people(persons, size, skeleton),
        captions=tuple(image.get("captions") or ()),
        fully_labelled=bool(image.get("has_masks", True)) and complete,
        crowds=Masks.from_coco(crowds, size) if crowds else None,
        person_captions=tuple(record.get("caption") for record in persons),
        crowd_index=image.get("crowdIndex"),
    )


def _people(records: list[dict[str, Any]], size: tuple[int, int], skeleton: Skeleton) -> People:
    if not records:
        return People.empty(size, skeleton=skeleton)
    count, joints = len(records), len(skeleton)
    unlabelled = [0.0] * (3 * joints)
    raw = np.array([record.get("keypoints") or unlabelled for record in records], np.float32)
    raw = raw.reshape(count, joints, 3)
    boxes = np.array([record["bbox"] for record in records], np.float32)
    boxes[:, 2:] += boxes[:, :2]
    state = np.zeros((count, joints, 3), np.float32)
    state[..., 0] = raw[..., 2] == 2
    state[..., 1] = raw[..., 2] == 1
    segmentations = [record.get("segmentation") or None for record in records]
    stated = all(record.get("area") is not None for record in records)
    return People(
        size=size,
        boxes=boxes,
        scores=np.ones(count, np.float32),
        keypoints=raw[..., :2],
        confidence=(raw[..., 2] > 0).astype(np.float32),
        state=state,
        masks=Masks.from_coco(segmentations, size) if any(segmentations) else None,
        skeleton=skeleton,
        ids=np.array([record["id"] for record in records], np.int64),
        stated_areas=np.array([record["area"] for record in records], np.float32) if stated else None,
    )
