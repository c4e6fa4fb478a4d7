"""CVAT's XML files ("CVAT for images 1.1" and "CVAT for video 1.1"): people as skeletons, points and boxes.

Format: docs.cvat.ai, "XML annotation format". What makes one person:

- a `<skeleton>` with the person's label, whose `<points>` are labelled with the names of keypoints;
- `<points>` with the person's label and one place for each keypoint of the skeleton, in its order;
- single `<points>` labelled with the names of keypoints that share a `group_id`;
- a `<box>` with the person's label: the box of what shares its `group_id`, and else a person without keypoints.

In files of videos the same stands inside of `<track>`, once for each frame. Everything else is left alone.
"""

from __future__ import annotations

import difflib
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from anypose.data.coco import report
from anypose.data.sample import DataError, Sample
from anypose.data.xml_elements import Element, parse
from anypose.people import People
from anypose.skeleton import Skeleton

_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")

Place = tuple[float, float, str]  # x, y in pixels, and "visible", "hidden" or "outside"


class FaultError(Exception):
    """What is wrong with an element, in words."""


@dataclass
class Person:
    """What stands in the file about one person of one picture."""

    line: int
    number: int
    places: dict[str, Place] = field(default_factory=dict)  # by the name of the keypoint
    box: tuple[float, float, float, float] | None = None


@dataclass
class Frame:
    """One picture: its name, height and width in pixels, and what is drawn on it, each with its track or None."""

    name: str
    size: tuple[int, int]
    shapes: list[tuple[Element, Element | None]]


def read(
    xml_path: str | Path,
    images_dir: str | Path,
    skeleton: Skeleton | None = None,
    *,
    label: str = "person",
    strict: bool = True,
) -> list[Sample]:
    """Read a file of CVAT; pictures are listed, not opened.

    A shape that is `occluded` is hidden. A keypoint that is `outside` is not labelled, and its state says outside; a
    track that is `outside` in a frame is not there in it. A person without a drawn box has the box around its labelled
    keypoints, extensions left out: the tight box, beyond which a stick reaches.

    Args:
        xml_path: the file.
        images_dir: the folder of the pictures. Frames of a video are called as CVAT exports them, frame_000000.jpg.
        skeleton: what the keypoints are; they are found by name, capitals, blanks and hyphens aside. None makes one of
            the names that stand in the file.
        label: of a person.
        strict: raise at any fault. Otherwise faulty shapes are skipped and a `DataWarning` counts and names them.

    Returns:
        One sample for each picture; of a video, for each frame with somebody in it. `people.ids` are the tracks' ids,
        or count from 1.

    Raises:
        DataError: the file cannot be read or, when strict, holds faults; each names the element and its line.
    """
    xml_path, images_dir = Path(xml_path), Path(images_dir)
    root = parse(xml_path)
    if root.tag != "annotations":
        raise DataError(f"{xml_path} holds <{root.tag}>; expected <annotations>, CVAT's XML")
    if skeleton is None:
        skeleton = _named_in(root, label, xml_path)
    faults: list[str] = []
    samples = []
    number = 1
    listed: set[str] = set()
    for frame in _frames(root, images_dir, xml_path, faults):
        if frame.name in listed:
            faults.append(f"picture {frame.name} is listed twice")
            continue
        listed.add(frame.name)
        persons, damaged = _persons(frame, skeleton, label, number, faults)
        number += len(persons)
        people = _people(persons, frame, skeleton, faults)
        path = images_dir / frame.name
        if not path.is_file():
            faults.append(f"picture {frame.name} is not in {images_dir}")
            continue
        samples.append(Sample(frame.name, path, people, fully_labelled=not damaged and len(people) == len(persons)))
    if faults:
        report(xml_path, faults, strict)
    return samples


def plain(name: str) -> str:
    """A label as keypoints are called here: "Left Wrist" is "left_wrist"."""
    return "_".join(name.strip().lower().replace("-", " ").split())


def _named_in(root: Element, label: str, path: Path) -> Skeleton:
    """A skeleton of the labels of keypoints that stand in the file, in its order."""
    names: dict[str, None] = {}
    for kind in ("task", "project", "job"):
        for said in (root.find("meta", kind, "labels") or Element("", {}, 0)).all("label"):
            name, parent = said.find("name"), said.find("parent")
            if name is not None and parent is not None and plain(parent.text) == plain(label):
                names[plain(name.text)] = None
    for shape, owner in _shapes(root):
        if shape.tag == "skeleton" and _means(shape, owner, label):
            named = shape.all("points")
        elif shape.tag == "points" and not _means(shape, owner, label) and _group(shape, owner) is not None:
            named = [owner or shape]
        else:
            continue
        names |= {plain(one.attributes["label"]): None for one in named if "label" in one.attributes}
    if not names:
        raise DataError(f"{path} names no keypoints; say whose they are with a skeleton")
    return Skeleton.from_names(f"{plain(label)}{len(names)}", list(names))


def _shapes(root: Element) -> Iterator[tuple[Element, Element | None]]:
    """Everything that is drawn, with its track or None."""
    for image in root.all("image"):
        yield from ((shape, None) for shape in image.children)
    for track in root.all("track"):
        yield from ((shape, track) for shape in track.children)


# Pictures and frames


def _frames(root: Element, folder: Path, path: Path, faults: list[str]) -> Iterator[Frame]:
    images, tracks = root.all("image"), root.all("track")
    if not images and not tracks:
        raise DataError(f"{path} has neither <image> nor <track>; expected CVAT's XML for images or for video")
    for image in images:
        try:
            name = _said(image, "name")
            size = (_side(image, "height"), _side(image, "width"))
        except FaultError as fault:
            faults.append(f"line {image.line}, <image>: {fault}")
            continue
        yield Frame(name, size, [(shape, None) for shape in image.children])
    if tracks:
        yield from _video_frames(root, tracks, folder, path, faults)


def _video_frames(
    root: Element, tracks: Sequence[Element], folder: Path, path: Path, faults: list[str]
) -> Iterator[Frame]:
    owners = (root.find("meta", owner, "original_size") for owner in ("task", "job", "project"))
    original = next((size for size in owners if size is not None), None)
    sides = [original.find(side) if original is not None else None for side in ("height", "width")]
    if not all(side is not None and side.text.strip().isdigit() and int(side.text) > 0 for side in sides):
        raise DataError(f"{path}: <meta> has no <original_size> with height and width, which a video's file needs")
    height, width = (int(side.text) for side in sides if side is not None)
    by_frame: dict[int, list[tuple[Element, Element | None]]] = defaultdict(list)
    for track in tracks:
        for shape in track.children:
            frame = shape.attributes.get("frame", "")
            if not frame.isdigit():
                faults.append(f"{_called(shape, track)}: frame is {frame!r}, expected a whole number")
            elif shape.attributes.get("outside", "0") != "1":
                by_frame[int(frame)].append((shape, track))
    for frame_number in sorted(by_frame):
        stem = f"frame_{frame_number:06d}"
        names = [stem + suffix for suffix in _PICTURES]
        name = next((name for name in names if (folder / name).is_file()), names[0])
        yield Frame(name, (height, width), by_frame[frame_number])


# People


def _persons(frame: Frame, skeleton: Skeleton, label: str, first: int, faults: list[str]) -> tuple[list[Person], bool]:
    """The people of a picture, and whether something of them was left out."""
    persons: dict[str, Person] = {}
    alone = 0
    damaged = False
    for shape, track in frame.shapes:
        group = _group(shape, track)
        if not _matters(shape, track, group, skeleton, label):
            continue
        alone += group is None
        key = f"group {group}" if group is not None else f"alone {alone}"
        try:
            places, box = _read_shape(shape, track, group, skeleton, label)
            person = persons.get(key) or Person(shape.line, _number(track, first + len(persons)))
            twice = [name for name in places if name in person.places]
            if twice or (box and person.box):
                raise FaultError(f"its group has {repr(twice[0]) if twice else 'a box'} twice")
        except FaultError as fault:
            faults.append(f"{_called(shape, track)} in {frame.name}: {fault}")
            damaged = True
            continue
        person.places |= places
        person.box = box or person.box
        persons[key] = person
    return list(persons.values()), damaged


def _matters(shape: Element, track: Element | None, group: str | None, skeleton: Skeleton, label: str) -> bool:
    """Whether a shape is about a person: of a person's label, or a single keypoint. The rest may be pucks and goals."""
    if _means(shape, track, label):
        return shape.tag in {"skeleton", "points", "box"}
    known = plain((track or shape).attributes.get("label", "")) in skeleton.keypoints
    return shape.tag == "points" and (group is not None or known)


def _read_shape(
    shape: Element, track: Element | None, group: str | None, skeleton: Skeleton, label: str
) -> tuple[dict[str, Place], tuple[float, float, float, float] | None]:
    """The keypoints and the box that a shape says."""
    if shape.tag == "box":
        left, top, right, bottom = (_number_of(shape, side) for side in ("xtl", "ytl", "xbr", "ybr"))
        if not (left < right and top < bottom):
            raise FaultError(f"xtl, ytl, xbr, ybr are {left:g}, {top:g}, {right:g}, {bottom:g}; expected a box")
        return {}, (left, top, right, bottom)
    if shape.tag == "skeleton":
        places: dict[str, Place] = {}
        for element in shape.all("points"):
            try:
                name = _keypoint(_said(element, "label"), skeleton)
                if name in places:
                    raise FaultError(f"the skeleton has {name!r} twice")
                places[name] = (*_places(element, 1)[0], _state(element))
            except FaultError as fault:
                raise FaultError(f"<points> of line {element.line}: {fault}") from fault
        return places, None
    if not _means(shape, track, label):
        name = _keypoint(_said(track or shape, "label"), skeleton)
        if group is None:
            raise FaultError(f"{name!r} has no group_id that says whose it is; group it with its person")
        return {name: (*_places(shape, 1)[0], _state(shape))}, None
    found = _places(shape, len(skeleton))
    return {name: (*place, _state(shape)) for name, place in zip(skeleton.keypoints, found)}, None


def _people(persons: Sequence[Person], frame: Frame, skeleton: Skeleton, faults: list[str]) -> People:
    """The people, those without box and labelled keypoints left out."""
    sound = []
    boxes = []
    for person in persons:
        box = person.box or _tight(person, skeleton)
        if box is None:
            faults.append(
                f"line {person.line} in {frame.name}: a person without a box and without two keypoints to see"
            )
            continue
        sound.append(person)
        boxes.append(box)
    if not sound:
        return People.empty(frame.size, skeleton)
    count, joints = len(sound), len(skeleton)
    keypoints, state = np.zeros((count, joints, 2), np.float32), np.zeros((count, joints, 3), np.float32)
    for row, person in enumerate(sound):
        for name, (x, y, seen) in person.places.items():
            place = skeleton.index(name)
            keypoints[row, place] = x, y
            state[row, place, ("visible", "hidden", "outside").index(seen)] = 1
    return People(
        size=frame.size,
        boxes=np.array(boxes, np.float32),
        scores=np.ones(count, np.float32),
        keypoints=keypoints,
        confidence=state[..., :2].sum(-1),
        state=state,
        skeleton=skeleton,
        ids=np.array([person.number for person in sound], np.int64),
    )


def _tight(person: Person, skeleton: Skeleton) -> tuple[float, float, float, float] | None:
    """The box around the labelled keypoints of the body, or around all where the body has fewer than two."""
    for left_out in (skeleton.extensions, ()):
        places = [(x, y) for name, (x, y, seen) in person.places.items() if seen != "outside" and name not in left_out]
        if len(places) >= 2:
            (left, top), (right, bottom) = np.min(places, 0), np.max(places, 0)
            return float(left), float(top), float(max(right, left + 1)), float(max(bottom, top + 1))
    return None


# Attributes


def _called(shape: Element, track: Element | None) -> str:
    inside = "" if track is None else f" of track {track.attributes.get('id', '?')}"
    return f"line {shape.line}, <{shape.tag}>{inside}"


def _group(shape: Element, track: Element | None) -> str | None:
    """The number that what belongs together shares, or None."""
    return (track or shape).attributes.get("group_id") or shape.attributes.get("group_id")


def _means(shape: Element, track: Element | None, label: str) -> bool:
    """Whether a shape's label, or its track's, is the person's."""
    return plain((track or shape).attributes.get("label", "")) == plain(label)


def _said(element: Element, name: str) -> str:
    value = element.attributes.get(name, "")
    if not value.strip():
        raise FaultError(f"has no {name}")
    return value


def _side(element: Element, name: str) -> int:
    value = _said(element, name)
    if not value.isdigit() or int(value) < 1:
        raise FaultError(f"{name} is {value!r}, expected a positive whole number")
    return int(value)


def _number_of(element: Element, name: str) -> float:
    return _finite(_said(element, name), name)


def _finite(value: str, name: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise FaultError(f"{name} is {value!r}, expected a number")
    return number


def _places(element: Element, count: int) -> list[tuple[float, float]]:
    """The x, y pairs of `points="x,y;x,y"`."""
    said = _said(element, "points")
    pairs = [pair.split(",") for pair in said.split(";")]
    if len(pairs) != count or any(len(pair) != 2 for pair in pairs):
        raise FaultError(f"points is {said!r}, expected {count} x,y pair{'s' if count > 1 else ''}")
    return [(_finite(x, "points"), _finite(y, "points")) for x, y in pairs]


def _state(element: Element) -> str:
    if element.attributes.get("outside", "0") == "1":
        return "outside"
    return "hidden" if element.attributes.get("occluded", "0") == "1" else "visible"


def _number(track: Element | None, otherwise: int) -> int:
    said = "" if track is None else track.attributes.get("id", "")
    return int(said) if said.isdigit() else otherwise


def _keypoint(label: str, skeleton: Skeleton) -> str:
    """The keypoint that a label means."""
    name = plain(label)
    if name in skeleton.keypoints:
        return name
    near: Iterable[str] = difflib.get_close_matches(name, skeleton.keypoints, n=1, cutoff=0.0)
    raise FaultError(f"label {label!r} is no keypoint of {skeleton.name}; did it mean {next(iter(near), '')!r}?")
