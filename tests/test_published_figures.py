"""Figures as papers define them: PCKh by groups, and CrowdPose's by the crowd index."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from anypose.evaluation import crowd_precision, groups_of, head_pck
from anypose.evaluation.crowd import PAPER, PROGRAM, part_of
from anypose.people import People
from anypose.skeleton import COCO17, CROWDPOSE14, HOCKEY15, Skeleton

SIZE = (200, 300)


def players(*offsets: Sequence[float], labelled: Any = 1.0) -> People:
    """Players whose keypoints all lie that far to the right of (100, 50)."""
    count, joints = len(offsets), len(HOCKEY15)
    keypoints = np.full((count, joints, 2), (100.0, 50.0))
    keypoints[..., 0] += offsets
    return People(
        size=SIZE,
        boxes=np.tile([90.0, 40.0, 110.0, 60.0], (count, 1)),
        scores=np.ones(count),
        keypoints=keypoints,
        confidence=np.broadcast_to(labelled, (count, joints)),
        state=np.zeros((count, joints, 3)),
        skeleton=HOCKEY15,
    )


def test_groups_are_the_body_and_each_extension() -> None:
    groups = groups_of(HOCKEY15)
    assert list(groups) == ["body", "stick_butt_end", "stick_heel", "stick_toe"]
    assert groups["body"] == HOCKEY15.keypoints[:12]
    assert list(groups_of(COCO17)) == ["body"]


def test_pckh_by_groups() -> None:
    """Heads of 20 and 10 pixels reach 10 and 5: the first player's toe is wrong, half of the second's body, a heel."""
    truth = players([0.0] * 15, [0.0] * 15)
    found = players([10.0] * 14 + [10.1], [5.0] * 6 + [6.0] * 6 + [5.0, 6.0, 5.0])
    result = head_pck([truth], [found], [[20.0, 10.0]])
    assert result.groups == {"body": 18 / 24, "stick_butt_end": 1.0, "stick_heel": 0.5, "stick_toe": 0.5}
    assert result.labelled == {"body": 24, "stick_butt_end": 2, "stick_heel": 2, "stick_toe": 2}
    # The unweighted mean of the four groups, not of the thirty keypoints.
    assert result.mean == pytest.approx((0.75 + 1.0 + 0.5 + 0.5) / 4)
    assert result.stick == pytest.approx(2 / 3)
    halves = head_pck([truth[0], truth[1]], [found[0], found[1]], [[20.0], [10.0]])
    assert halves == result
    looser = head_pck([truth], [found], [[20.0, 10.0]], share=1.0)
    assert looser.mean == 1


def test_pckh_counts_what_is_labelled_and_found() -> None:
    seen = np.array([[1.0] * 12 + [0.0, 1.0, 1.0]])
    truth = players([0.0] * 15, labelled=seen)
    unsure = np.array([[0.0] * 3 + [0.5] * 12])
    result = head_pck([truth], [players([0.0] * 15, labelled=unsure)], [[30.0]])
    assert result.groups["body"] == 9 / 12
    assert math.isnan(result.groups["stick_butt_end"])
    assert result.labelled["stick_butt_end"] == 0
    assert result.mean == pytest.approx((0.75 + 1 + 1) / 3)
    arms = {"arms": ["left_wrist", "right_wrist"], "stick": ["stick_heel", "stick_toe"]}
    result = head_pck([truth], [players([0.0] * 15)], [[30.0]], groups=arms)
    assert (list(result.groups), result.stick) == (["arms", "stick"], 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"head_sizes": []}, "of 1, 1 and 0 pictures"),
        ({"head_sizes": [[20.0, 30.0]]}, "picture 0: 1 people, 1 answers and 2 head sizes"),
        ({"head_sizes": [[0.0]]}, "picture 0: the head of person 0 is 0 pixels"),
        ({"head_sizes": [[float("nan")]]}, "head of person 0 is nan pixels"),
        ({"groups": {"stick": ["stick_tow"]}}, "no keypoint 'stick_tow'; did you mean 'stick_toe'"),
        ({"found": [players([0.0] * 15).to_skeleton(COCO17)]}, "skeleton hockey15 and the answer coco17"),
        ({"truth": [], "found": [], "head_sizes": []}, "there is no picture"),
    ],
)
def test_what_pckh_cannot_compare(change: dict[str, Any], message: str) -> None:
    sound: dict[str, Any] = {"truth": [players([0.0] * 15)], "found": [players([0.0] * 15)], "head_sizes": [[20.0]]}
    with pytest.raises(ValueError, match=message):
        head_pck(**(sound | change))


# CrowdPose


def reference(truth: dict[str, Any], found: list[dict[str, Any]], pictures: list[int], sigmas: Any) -> float:
    """The AP of some pictures as the authors' program has it: the mean over all recalls and thresholds."""
    with contextlib.redirect_stdout(io.StringIO()):
        labels = COCO()
        labels.dataset = truth
        labels.createIndex()
        evaluation = COCOeval(labels, labels.loadRes(found), "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(sigmas)
        evaluation.params.imgIds = pictures
        evaluation.evaluate()
        evaluation.accumulate()
    return float(np.mean(evaluation.eval["precision"][:, :, :, 0, :]))


def by_picture(records: list[dict[str, Any]], pictures: list[dict[str, Any]], skeleton: Skeleton) -> list[People]:
    return [
        People.from_coco([r for r in records if r["image_id"] == p["id"]], (p["height"], p["width"]), skeleton)
        for p in pictures
    ]


@pytest.mark.parametrize("bounds", [PAPER, PROGRAM])
@pytest.mark.parametrize("heads_alone", [False, True])
def test_crowdposes_figures(bounds: tuple[float, float], heads_alone: bool, vectors: Callable[[str], Path]) -> None:
    """Equal to the reference of all pictures, and to it on the pictures of each part alone."""
    folder = vectors("metrics2d")
    expected = json.loads((folder / "expected.json").read_text())["crowdpose"]
    truth = json.loads((folder / "crowdpose_gt.json").read_text())
    found = json.loads((folder / "crowdpose_dt.json").read_text())
    random = np.random.default_rng(0)
    indices = [round(float(index), 2) for index in random.beta(0.5, 0.5, len(truth["images"]))]
    if heads_alone:
        # Of every third person head and neck alone are labelled, which CrowdPose's files do not count.
        for record in truth["annotations"][::3]:
            record["keypoints"][2::3] = [0] * 12 + [1, 1]
            record["num_keypoints"] = 0
    skeleton = dataclasses.replace(CROWDPOSE14, sigmas=tuple(expected["sigmas"]))
    labelled = by_picture(truth["annotations"], truth["images"], skeleton)
    figures = crowd_precision(labelled, by_picture(found, truth["images"], skeleton), indices, bounds)
    if not heads_alone:
        stats = dict(zip(expected["names"], expected["stats"]))
        assert {name: figures[name] for name in ("AP", "AP50", "AP75", "AR")} == pytest.approx(
            {name: stats[name] for name in ("AP", "AP50", "AP75", "AR")}, abs=1e-9
        )
    parts: dict[str, list[int]] = {"easy": [], "medium": [], "hard": []}
    for picture, index in zip(truth["images"], indices):
        part = "easy" if index < bounds[0] else "medium" if index < bounds[1] else "hard"
        parts[part].append(picture["id"])
    assert min(map(len, parts.values())) >= 3
    for part, pictures in parts.items():
        assert figures[part] == pytest.approx(reference(truth, found, pictures, expected["sigmas"]), abs=1e-6)
    everything = [picture["id"] for picture in truth["images"]]
    assert figures["AP"] == pytest.approx(reference(truth, found, everything, expected["sigmas"]), abs=1e-6)


def test_parts_of_a_crowd_index() -> None:
    assert [part_of(index) for index in (0, 0.09, 0.1, 0.8, 0.81, 1)] == ["easy"] * 2 + ["medium"] * 2 + ["hard"] * 2
    assert [part_of(index, PROGRAM) for index in (0.1, 0.2, 0.79, 0.8)] == ["easy", "medium", "medium", "hard"]


def test_pictures_without_a_crowd_index_are_in_no_part() -> None:
    seen = players([0.0] * 15)
    figures = crowd_precision([seen, seen], [seen, seen], [None, 0.0])
    assert (figures["AP"], figures["easy"]) == (pytest.approx(1), pytest.approx(1))
    assert math.isnan(figures["medium"])
    with pytest.raises(ValueError, match="of 2, 2 and 1 pictures"):
        crowd_precision([seen, seen], [seen, seen], [0.5])
