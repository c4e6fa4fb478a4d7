"""Things that people hold, ride, sit on or stand next to, from detected boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anypose.data.describe.colour import Truths
from anypose.people import People

Thing = tuple[str, Sequence[float] | np.ndarray, float]
"""Class name of COCO's 80, box x0 y0 x1 y1 in pixels, score 0 to 1."""

HELD = (
    "tennis racket", "baseball bat", "baseball glove", "umbrella", "cell phone", "frisbee", "book", "bottle",
    "wine glass", "cup", "remote", "teddy bear", "toothbrush", "hair drier", "banana", "apple", "sandwich",
    "hot dog", "pizza", "donut", "fork", "knife", "spoon", "scissors", "laptop", "suitcase", "handbag",
    "kite", "sports ball",
)  # fmt: skip
WORN = ("backpack", "tie", "handbag")
RIDDEN = ("bicycle", "motorcycle", "horse", "elephant")
BOARDS = ("skateboard", "surfboard", "snowboard", "skis")
SEATS = ("chair", "couch", "bench", "bed")
BESIDE = (
    "dog", "cat", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "car", "bus", "truck",
    "train",
    "bicycle", "motorcycle", "boat", "fire hydrant", "stop sign", "parking meter", "potted plant", "tv",
    "refrigerator", "suitcase", "traffic light", "bench",
)  # fmt: skip
NAMES = tuple(dict.fromkeys((*HELD, *WORN, *RIDDEN, *BOARDS, *SEATS, *BESIDE)))

SURE_SCORE = 0.45
FAINT_SCORE = 0.1


def possessions(things: Sequence[Thing], people: People, sitting: np.ndarray) -> Truths:
    """Facts `with:`, `on:` and `near:` a class of things -> (N,) int8, 1 true, 0 false, -1 not known.

    True needs a thing of score 0.45 in the right place and false needs no thing of score 0.1 within
    reach. A class of which nothing was detected has no entry. Seats need `sitting`, (N,) int8.
    """
    facts: Truths = {}
    bodies = _Bodies(people, sitting)
    rules = (
        ("with", (*HELD, *WORN), bodies.holding),
        ("on", (*RIDDEN, *BOARDS, *SEATS), bodies.riding),
        ("near", BESIDE, bodies.near),
    )
    for relation, names, rule in rules:
        for name in dict.fromkeys(names):
            found = [(np.asarray(box, np.float64), score) for kind, box, score in things if kind == name]
            found = [(box, score) for box, score in found if score >= FAINT_SCORE]
            if found:
                truth = np.zeros(len(people), np.int8)
                for box, score in found:
                    here = rule(name, box)
                    here[here == 1] = 1 if score >= SURE_SCORE else -1
                    # One true is enough, and one doubt spoils a false.
                    truth = np.where((truth == 1) | (here == 1), 1, np.minimum(truth, here)).astype(np.int8)
                if relation == "near" and len(found) > 1:
                    truth[truth == 1] = -1
                facts[f"{relation}:{name}"] = truth
    return facts


class _Bodies:
    """Where the hands, hips and feet of N people are, and how far things are from them."""

    def __init__(self, people: People, sitting: np.ndarray) -> None:
        self.sitting = sitting
        self.boxes = people.boxes.astype(np.float64)
        self.reach = 0.22 * np.maximum(self.boxes[:, 3] - self.boxes[:, 1], 1)
        labelled = people.confidence > 0.5
        self.joints: dict[str, np.ndarray] = {}
        for joint in ("wrist", "hip", "ankle"):
            rows = [k for k, name in enumerate(people.skeleton.keypoints) if name.endswith(f"_{joint}")]
            self.joints[joint] = np.where(labelled[:, rows, None], people.keypoints[:, rows], np.nan)

    def _gap(self, box: np.ndarray) -> np.ndarray:
        """(N,) distance between the people's boxes and the thing's, in arm's reaches."""
        x0, y0, x1, y1 = self.boxes.T
        x = np.maximum(0, np.maximum(x0 - box[2], box[0] - x1))
        y = np.maximum(0, np.maximum(y0 - box[3], box[1] - y1))
        return np.hypot(x, y) / self.reach

    def _distance(self, joint: str, box: np.ndarray) -> np.ndarray:
        """(N, 2) distance from each joint to the thing's box, in arm's reaches; nan where unlabelled."""
        points = self.joints[joint]
        outside = np.maximum(0, np.maximum(box[:2] - points, points - box[2:]))
        return np.hypot(outside[..., 0], outside[..., 1]) / self.reach[:, None]

    def holding(self, name: str, box: np.ndarray) -> np.ndarray:
        truth = np.where(self._gap(box) > 0.6, 0, -1).astype(np.int8)
        distance = self._distance("wrist", box)
        labelled = ~np.isnan(distance)
        closest = np.where(labelled, distance, np.inf).min(1, initial=np.inf)
        sizes = (box[2:] - box[:2]).max() / (self.reach / 0.22)
        if name in WORN:
            middle = np.tile((box[:2] + box[2:]) / 2, 2) * [1, 1, -1, -1]
            inside = (self.boxes * [1, 1, -1, -1] < middle).all(1)
            truth[inside & (sizes < 0.6)] = 1 if inside.sum() == 1 else -1
            return truth
        held = (closest < 0.25) & (sizes < 1.3)
        if held.sum() == 1:
            # Both hands seen and the thing out of reach of them: somebody else's.
            truth[labelled.all(1) & (closest > 0.8)] = 0
            truth[held & (np.sort(closest)[1:2] > 0.6).all()] = 1
        return truth

    def riding(self, name: str, box: np.ndarray) -> np.ndarray:
        truth = np.where(self._gap(box) > 0.25, 0, -1).astype(np.int8)
        hips, feet = self.joints["hip"], self.joints["ankle"]
        grown = box + np.array([-0.05, -0.6, 0.05, 0.0]) * (box[3] - box[1])
        if name in BOARDS:
            near = self._distance("ankle", box) < 0.2
            low = self.boxes[:, 3] > box[3] - 1.2 * self.reach
            truth[near.all(1) & low] = 1 if near.all(1).sum() == 1 else -1
        elif name in SEATS:
            seated = ((hips > box[:2]) & (hips < box[2:])).all((1, 2)) & (self.sitting == 1)
            truth[seated] = 1
        elif name in RIDDEN:
            astride = ((hips > grown[:2]) & (hips < grown[2:])).all((1, 2))
            lifted = self.boxes[:, 3] < box[3] - 0.03 * (box[3] - box[1])
            feet_in = ((feet > box[:2]) & (feet < box[2:])).all((1, 2))
            riders = astride & lifted & feet_in
            truth[riders] = 1 if riders.sum() == 1 else -1
        return truth

    def near(self, name: str, box: np.ndarray) -> np.ndarray:
        gap = self._gap(box)
        truth = np.where(gap > 2.0, 0, -1).astype(np.int8)
        close = (gap < 0.5) & (np.abs(self.boxes[:, 3] - box[3]) < 2.5 * self.reach)
        if close.sum() == 1:
            truth[close] = 1
        return truth
