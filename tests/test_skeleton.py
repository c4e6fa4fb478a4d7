import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from anypose.skeleton import COCO17, CROWDPOSE14, LSP14, SKELETONS, Skeleton
from conftest import shared, vectors

ALL = pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=list(SKELETONS))


def test_coco17_is_the_skeleton_of_cocos_files() -> None:
    category = json.loads(shared("data/coco_people/dev.json").read_text())["categories"][0]
    assert list(COCO17.keypoints) == category["keypoints"]
    assert [[a + 1, b + 1] for a, b in COCO17.bones] == category["skeleton"]


@pytest.mark.parametrize(("key", "skeleton"), [("coco", COCO17), ("crowdpose", CROWDPOSE14)])
def test_sigmas_are_those_of_the_evaluators(key: Any, skeleton: Any) -> None:
    expected = json.loads((vectors("metrics2d") / "expected.json").read_text())[key]["sigmas"]
    np.testing.assert_allclose(skeleton.sigmas, expected, rtol=1e-12)


def test_orders_that_no_file_here_states() -> None:
    assert CROWDPOSE14.keypoints[:2] == ("left_shoulder", "right_shoulder")
    assert CROWDPOSE14.keypoints[10:] == ("left_ankle", "right_ankle", "head", "neck")
    assert LSP14.keypoints[:3] == ("right_ankle", "right_knee", "right_hip")
    assert LSP14.keypoints[5:9] == ("left_ankle", "right_wrist", "right_elbow", "right_shoulder")
    assert LSP14.keypoints[11:] == ("left_wrist", "neck", "head_top")


@ALL
def test_the_mirror_exchanges_left_and_right_and_nothing_else(skeleton: Any) -> None:
    mirrored = [skeleton.keypoints[place] for place in skeleton.mirror]
    swap = {"left": "right", "right": "left"}
    expected = ["_".join(swap.get(word, word) for word in keypoint.split("_")) for keypoint in skeleton.keypoints]
    assert mirrored == expected
    assert all("left" in skeleton.keypoints[left] for left, _ in skeleton.mirror_pairs)


@ALL
def test_bones_are_the_same_in_a_mirror_and_hang_together(skeleton: Any) -> None:
    bones = {frozenset(bone) for bone in skeleton.bones}
    mirror = skeleton.mirror
    assert {frozenset(int(mirror[end]) for end in bone) for bone in skeleton.bones} == bones
    reached = {0}
    for _ in skeleton.bones:
        reached |= {end for bone in bones if bone & reached for end in bone}
    assert reached == set(range(len(skeleton)))


@ALL
def test_a_skeleton_survives_json(skeleton: Any) -> None:
    assert Skeleton.from_dict(json.loads(json.dumps(skeleton.to_dict()))) == skeleton


def test_maps_pair_the_same_place_of_the_body() -> None:
    pairs = COCO17.map_to(LSP14)
    assert [there for there, _ in pairs] == list(range(14))
    assert [here for _, here in pairs] == [16, 14, 12, 11, 13, 15, 10, 8, 6, 5, 7, 9, None, None]
    # CrowdPose calls the top of the head "head".
    assert CROWDPOSE14.map_to(LSP14)[13] == (13, 12)
    assert all(here is not None for _, here in LSP14.map_to(CROWDPOSE14))
    assert [here for _, here in COCO17.map_to(COCO17)] == list(range(17))


def test_index_names_the_nearest_keypoint() -> None:
    assert COCO17.index("left_wrist") == 9
    with pytest.raises(ValueError, match="coco17 has no keypoint 'left_wirst'; did you mean 'left_wrist'"):
        COCO17.index("left_wirst")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": ("nose",) * 17}, "names nose twice"),
        ({"sigmas": (0.1,) * 16}, "needs 17 positive sigmas"),
        ({"sigmas": (0.0,) * 17}, "needs 17 positive sigmas"),
        ({"bones": ((0, 17),)}, "bone \\(0, 17\\)"),
        ({"mirror_pairs": ((3, 3),)}, "mirror pair \\(3, 3\\)"),
        ({"mirror_pairs": ((1, 2), (2, 3))}, "in two mirror pairs"),
    ],
)
def test_what_does_not_fit_is_named(change: Any, message: Any) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(COCO17, **change)


def test_a_record_without_sigmas_is_named() -> None:
    record = COCO17.to_dict()
    del record["sigmas"]
    with pytest.raises(ValueError, match="needs sigmas"):
        Skeleton.from_dict(record)
