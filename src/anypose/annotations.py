"""People as the dicts of COCO files and as the objects of the package `supervision`."""

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .masks import Masks, Size, check_size
from .people import People, decimals
from .skeleton import COCO17, Skeleton

if TYPE_CHECKING:
    import supervision


def to_coco(
    people: People, image_id: int | str, category_id: int = 1, labels: bool | None = None
) -> list[dict[str, Any]]:
    """One dict a person, as COCO keypoint files hold it; `from_coco` gives the same back.

    labels: True writes annotations (the third number of a keypoint is COCO's flag 0, 1 or 2; with `area`,
    `iscrowd` and `num_keypoints`), False writes results (it is the confidence; with `score`), and None writes
    annotations when the people are labels: every score is 1 and every confidence and state is 0 or 1.

    COCO has no place for the names of people, for the probabilities of the states and for a location
    without a label: these are not written. Masks are written as compressed run lengths. Boxes are x, y,
    width, height.
    """
    labels = _are_labels(people) if labels is None else labels
    boxes = _widths_and_heights(people.boxes)
    scores, areas = decimals(people.scores), decimals(people.areas.astype(np.float32))
    keypoints = _flagged(people) if labels else _confident(people)
    masks = people.masks.rle() if people.masks is not None else [None] * len(people)
    records = []
    for place in range(len(people)):
        record: dict[str, Any] = {"image_id": image_id, "category_id": category_id}
        if people.ids is not None:
            record["id"] = int(people.ids[place])
        record["bbox"] = boxes[place]
        record["keypoints"] = keypoints[place]
        if labels:
            record["num_keypoints"] = sum(flag > 0 for flag in keypoints[place][2::3])
            record["area"], record["iscrowd"] = areas[place], 0
        else:
            record["score"] = scores[place]
        if masks[place] is not None:
            record["segmentation"] = masks[place]
        records.append(record)
    return records


def from_coco(annotations: Sequence[Mapping[str, Any]], size: Size, skeleton: Skeleton = COCO17) -> People:
    """The people of the COCO annotations or results of one picture of `size` (height, width).

    In an annotation the third number of a keypoint is the flag 0, 1 (hidden) or 2 (visible); in a result,
    which has a `score`, it is the confidence (cut to 0..1). A result without `bbox` gets the box around its
    mask or, without one, around its keypoints. `area` becomes the stated area and `id` the id when all
    dicts have one. Missing keypoints are not labelled; a missing segmentation is an unknown mask.

    Raises ValueError that names the annotation when one is a crowd region, has neither box, mask nor
    keypoints, or has another number of keypoints than the skeleton.
    """
    size = check_size(size)
    if not annotations:
        return People.empty(size, skeleton)
    names = [_named(record, place) for place, record in enumerate(annotations)]
    for record, name in zip(annotations, names):
        if record.get("iscrowd"):
            raise ValueError(f"{name} is a crowd region (iscrowd 1) and not a person; leave it out")
    triples = np.stack([_triples(record, name, skeleton) for record, name in zip(annotations, names)])  # N K 3
    results = np.array(["score" in record for record in annotations])
    flags = np.where(results[:, None], 0, triples[..., 2])
    for row in np.flatnonzero(~np.isin(flags, (0, 1, 2)).all(axis=1)):
        raise ValueError(f"{names[row]} has a keypoint flag that is not 0, 1 or 2: {flags[row].tolist()}")
    masks = _masks(annotations, names, size)
    return People(
        size=size,
        boxes=_boxes(annotations, names, masks, triples),
        scores=np.array([record.get("score", 1.0) for record in annotations]),
        keypoints=triples[..., :2],
        confidence=np.where(results[:, None], triples[..., 2].clip(0, 1), flags > 0),
        state=np.stack([flags == 2, flags == 1, np.zeros_like(flags)], axis=-1),
        masks=masks,
        skeleton=skeleton,
        ids=_column(annotations, "id"),
        stated_areas=_column(annotations, "area"),
    )


def to_supervision(people: People) -> "tuple[supervision.KeyPoints, supervision.Detections]":
    """(KeyPoints, Detections) of the package `supervision`. ImportError says how to install it."""
    try:
        import supervision
    except ImportError as error:
        raise ImportError(
            "to_supervision needs the package supervision, which is not installed; pip install supervision"
        ) from error
    number = len(people)
    data = {} if people.names is None else {"names": np.array(people.names, dtype=object)}
    masks = people.masks
    # supervision renamed this argument in 0.29 and drops the old name in 0.32.
    renamed = "keypoint_confidence" in inspect.signature(supervision.KeyPoints).parameters
    keypoints = supervision.KeyPoints(
        xy=people.keypoints.copy(),
        class_id=np.zeros(number, dtype=int),
        data=dict(data),
        **{"keypoint_confidence" if renamed else "confidence": people.confidence.copy()},
    )
    detections = supervision.Detections(
        xyxy=people.boxes.copy(),
        mask=masks.bitmaps() if masks is not None and masks.known.all() else None,
        confidence=people.scores.copy(),
        class_id=np.zeros(number, dtype=int),
        tracker_id=None if people.ids is None else people.ids.copy(),
        data=dict(data),
    )
    return keypoints, detections


def _are_labels(people: People) -> bool:
    labelled = people.state[..., :2].sum(axis=-1)
    return bool(
        (people.scores == 1).all()
        and np.isin(people.state, (0, 1)).all()
        and np.array_equal(people.confidence, labelled)
    )


def _flagged(people: People) -> list[list[float]]:
    """x, y and COCO's flag of each keypoint; without a label all three are 0, as COCO has it."""
    flags = np.where(people.state[..., 0] >= people.state[..., 1], 2, 1)
    flags[people.confidence <= 0] = 0
    places = decimals(np.where(flags[..., None] > 0, people.keypoints, np.float32(0)))
    return [
        [number for (x, y), flag in zip(person, row) for number in (x, y, flag)]
        for person, row in zip(places, flags.tolist())
    ]


def _confident(people: People) -> list[list[float]]:
    """x, y and confidence of each keypoint."""
    triples = np.concatenate([people.keypoints, people.confidence[..., None]], axis=-1)
    return decimals(triples.reshape(len(people), 3 * len(people.skeleton)))


def _widths_and_heights(boxes: NDArray[np.float32]) -> list[list[float]]:
    """x, y, width, height, with the fewest decimals from which the same float32 corners come back."""
    out = []
    for (x0, y0, x1, y1), exact in zip(decimals(boxes), boxes):
        sides = [_side(start, end, corner) for start, end, corner in ((x0, x1, exact[2]), (y0, y1, exact[3]))]
        out.append([x0, y0, *sides])
    return out


def _side(start: float, end: float, corner: np.float32) -> float:
    for places in range(12):
        side = round(end - start, places)
        if np.float32(start + side) == corner:
            return side
    return end - start


def _named(record: Mapping[str, Any], place: int) -> str:
    return f"annotation {record['id']}" if "id" in record else f"annotation number {place}"


def _triples(record: Mapping[str, Any], name: str, skeleton: Skeleton) -> NDArray[np.float64]:
    """(K, 3) x, y, flag or confidence; zeros where the record has no keypoints."""
    joints = len(skeleton)
    values = record.get("keypoints")
    if values is None or len(values) == 0:
        return np.zeros((joints, 3))
    if len(values) != 3 * joints:
        raise ValueError(
            f"{name} has {len(values)} keypoint numbers; {skeleton.name} has {joints} keypoints of x, y, flag"
        )
    return _numbers(values, name, "keypoints").reshape(joints, 3)


def _numbers(values: Any, name: str, what: str) -> NDArray[np.float64]:
    try:
        numbers = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.array([np.nan])
    if not np.isfinite(numbers).all():
        raise ValueError(f"{name} has {what} that are not all finite numbers: {str(values)[:60]}")
    return numbers


def _masks(annotations: Sequence[Mapping[str, Any]], names: Sequence[str], size: Size) -> Masks | None:
    if not any(record.get("segmentation") for record in annotations):
        return None
    parts = []
    for record, name in zip(annotations, names):
        try:
            parts.append(Masks.from_coco([record.get("segmentation")], size))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return Masks.concatenate(parts)


def _boxes(
    annotations: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    masks: Masks | None,
    triples: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(N, 4) x0 y0 x1 y1."""
    boxes = np.zeros((len(annotations), 4))
    for row, record in enumerate(annotations):
        placed = triples[row][triples[row, :, 2] > 0, :2]
        if record.get("bbox") is not None:
            if len(record["bbox"]) != 4:
                raise ValueError(f"{names[row]} has a bbox of {len(record['bbox'])} numbers, not x, y, width, height")
            x, y, width, height = _numbers(record["bbox"], names[row], "bbox values")
            if width < 0 or height < 0:
                raise ValueError(f"{names[row]} has a bbox of negative width or height: {record['bbox']}")
            boxes[row] = x, y, x + width, y + height
        elif masks is not None and masks.known[row]:
            boxes[row] = masks[row].boxes()[0]
        elif len(placed):
            boxes[row] = *placed.min(axis=0), *placed.max(axis=0)
        else:
            raise ValueError(f"{names[row]} has neither a bbox, nor a segmentation, nor a labelled keypoint")
    return boxes


def _column(annotations: Sequence[Mapping[str, Any]], key: str) -> NDArray[Any] | None:
    values = [record.get(key) for record in annotations]
    return None if any(value is None for value in values) else np.array(values)
