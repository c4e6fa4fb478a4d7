"""What each answer is worth, one row an answer, so that figures over any part of an exam are sums."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ..data.sample import Sample
from ..people import People
from .exam import Answer
from .similarity import box_iou, correct_keypoints, keypoint_similarity, mask_overlap

# An answer is of the right person when it overlaps the person meant this much, and nobody else more.
RIGHT_IOU = 0.3
# A keypoint is in the right place when its similarity to the truth is this much.
RIGHT_SIMILARITY = 0.5


@dataclass(frozen=True)
class Records:
    """N answers.

    Attributes:
        picture: (N,) index of the picture.
        people: (N,) people in the picture.
        answered: (N,) whether anybody was found.
        sure: (N,) presence of the answer, or its score where a system tells none; 0 where nobody was found.
        right: (N,) whether it is the right person.
        by_box: (N,) whether that was judged by boxes because a mask is missing.
        hits: (N,) labelled keypoints in the right place by PCK.
        labelled: (N,) labelled keypoints.
        has_mask: (N,) whether the truth has a mask.
        gives_mask: (N,) whether the answer has one.
        shared: (N,) pixels in both masks.
        united: (N,) pixels in either mask.
        confidence: (N, K) of the keypoints.
        placed: (N, K) whether the keypoint's similarity to the truth is 0.5 or more.
        judged: (N, K) whether it is labelled and the answer is of the right person.
    """

    picture: NDArray[np.int64]
    people: NDArray[np.int64]
    answered: NDArray[np.bool_]
    sure: NDArray[np.float64]
    right: NDArray[np.bool_]
    by_box: NDArray[np.bool_]
    hits: NDArray[np.int64]
    labelled: NDArray[np.int64]
    has_mask: NDArray[np.bool_]
    gives_mask: NDArray[np.bool_]
    shared: NDArray[np.float64]
    united: NDArray[np.float64]
    confidence: NDArray[np.float64]
    placed: NDArray[np.bool_]
    judged: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.picture)

    def __getitem__(self, rows: NDArray[np.bool_]) -> "Records":
        return Records(**{column.name: getattr(self, column.name)[rows] for column in fields(self)})


def records_of(samples: Sequence[Sample], answers: Sequence[Answer]) -> Records:
    """Judge each answer against the picture's truth. ValueError where there is no answer."""
    if not answers:
        raise ValueError("nothing to judge: there is no answer")
    rows = [_record(samples[answer.picture].people, answer) for answer in answers]
    return Records(**{column.name: np.array([row[column.name] for row in rows]) for column in fields(Records)})


def _record(truth: People, answer: Answer) -> dict[str, object]:
    target, found = truth[[answer.person]], answer.found
    joints = len(truth.skeleton)
    labelled = target.confidence[0] > 0
    row: dict[str, object] = {
        "picture": answer.picture,
        "people": len(truth),
        "answered": len(found) > 0,
        "sure": float((found.scores if found.presence is None else found.presence)[0]) if len(found) else 0.0,
        "labelled": int(labelled.sum()),
        "has_mask": _known(target),
        "gives_mask": len(found) > 0 and _known(found),
        "shared": 0.0,
        "united": float(target.masks.areas()[0]) if target.masks is not None else 0.0,
        "right": False,
        "by_box": False,
        "hits": 0,
        "confidence": np.zeros(joints),
        "placed": np.zeros(joints, bool),
        "judged": np.zeros(joints, bool),
    }
    if not len(found):
        return row
    right, by_box = _is_right(truth, answer.person, found)
    row.update(right=right, by_box=by_box, hits=int(correct_keypoints(target, found).sum()))
    if row["has_mask"] and row["gives_mask"]:
        assert target.masks is not None
        assert found.masks is not None
        shared, united = mask_overlap(target.masks, found.masks)
        row.update(shared=float(shared[0, 0]), united=float(united[0, 0]))
    row["confidence"] = found.confidence[0].astype(np.float64)
    row["placed"] = np.nan_to_num(keypoint_similarity(target, found)[0, 0]) >= RIGHT_SIMILARITY
    row["judged"] = labelled & right
    return row


def _is_right(truth: People, person: int, found: People) -> tuple[bool, bool]:
    """Whether the answer is the person meant, and whether that was judged by boxes.

    Overlaps are compared between people, so one missing mask in the picture makes all of them overlaps of
    boxes.
    """
    by_mask = _known(truth) and _known(found)
    if by_mask:
        assert truth.masks is not None
        assert found.masks is not None
        overlap = truth.masks.iou(found.masks)[:, 0]
    else:
        overlap = box_iou(truth.boxes, found.boxes)[:, 0]
    return bool(overlap[person] >= RIGHT_IOU and overlap[person] >= overlap.max()), not by_mask


def _known(people: People) -> bool:
    return people.masks is not None and bool(people.masks.known.all())
