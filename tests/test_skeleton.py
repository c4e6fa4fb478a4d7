import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from anypose.skeleton import (
    CMU31,
    COCO17,
    CROWDPOSE14,
    H36M17,
    HUMANEVA15,
    LSP14,
    MPI_INF_3DHP17,
    MPII16,
    SKELETONS,
    Skeleton,
    derive,
)
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


@pytest.mark.parametrize("skeleton", [H36M17, MPI_INF_3DHP17, HUMANEVA15, MPII16, CMU31], ids=lambda s: s.name)
def test_bodies_in_space_are_trees(skeleton: Any) -> None:
    assert skeleton.keypoints[skeleton.root] == "pelvis"
    assert len(skeleton.bones) == len(skeleton) - 1
    assert skeleton.parents[skeleton.root] == -1


def test_orders_of_the_published_files() -> None:
    assert H36M17.parents == (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15)
    assert sorted(left for left, _ in H36M17.mirror_pairs) == [4, 5, 6, 11, 12, 13]
    assert sorted(right for _, right in MPI_INF_3DHP17.mirror_pairs) == [2, 3, 4, 8, 9, 10]
    assert MPI_INF_3DHP17.root == 14
    assert HUMANEVA15.parents == (-1, 0, 1, 2, 3, 1, 5, 6, 0, 8, 9, 0, 11, 12, 1)
    assert sorted(left for left, _ in HUMANEVA15.mirror_pairs) == [2, 3, 4, 8, 9, 10]
    assert sorted(left for left, _ in MPII16.mirror_pairs) == [3, 4, 5, 13, 14, 15]


def test_cmu_is_the_skeleton_of_its_file() -> None:
    with np.load(shared("data/cmu_mocap/cmu_60hz.npz")) as motion:
        names, parents = motion["names"].tolist(), motion["parents"].tolist()
    assert list(CMU31.parents or ()) == parents
    # The same ends of bones as Human3.6M's joints, in its order.
    bones = [
        "root",
        "rhipjoint",
        "rfemur",
        "rtibia",
        "lhipjoint",
        "lfemur",
        "ltibia",
        "upperback",
        "thorax",
        "upperneck",
        "head",
    ]
    bones += ["lclavicle", "lhumerus", "lradius", "rclavicle", "rhumerus", "rradius"]
    assert [names[here or 0] for _, here in CMU31.map_to(H36M17)] == bones


def test_what_coco_lacks_is_made_and_said() -> None:
    places = np.random.default_rng(0).normal(size=(2, 17, 3))
    sure = np.full((2, 17), 0.9)
    sure[:, COCO17.index("left_hip")] = 0.5
    sure[1, COCO17.index("left_ear")] = 0.1
    found = derive(places, sure, COCO17, H36M17)
    left, right = places[:, 11], places[:, 12]
    np.testing.assert_allclose(found.keypoints[:, 0], (left + right) / 2, rtol=1e-6)
    np.testing.assert_allclose(found.keypoints[:, 7], places[:, [5, 6, 11, 12]].mean(1), rtol=1e-5)
    np.testing.assert_allclose(found.confidence[:, [0, 1, 7, 8]], [[0.5, 0.9, 0.5, 0.9]] * 2, rtol=1e-6)
    # The second picture has no left ear: the eyes stand in.
    np.testing.assert_allclose(found.keypoints[0, 10], places[0, 3:5].mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.keypoints[1, 10], places[1, 1:3].mean(0), rtol=1e-5)
    assert found.missing == ()
    assert [sentence.split(":")[0] for sentence in found.made] == ["pelvis", "spine", "thorax", "upper neck", "head"]
    with pytest.raises(ValueError, match=r"\(\.\.\., 17, D\)"):
        derive(places[:, :5], sure[:, :5], COCO17, H36M17)


def test_what_cannot_be_made_is_missing() -> None:
    found = derive(np.ones((14, 2)), np.ones(14), CROWDPOSE14, H36M17)
    assert found.missing == ("upper_neck",)
    assert found.confidence[9] == 0
    assert found.confidence[10] == 1


@pytest.mark.parametrize(
    ("parents", "message"),
    [
        ((-1,) * 17, "of which one is -1"),
        (tuple(range(-1, 16)), "not what its bones join"),
    ],
)
def test_parents_that_are_no_tree_are_named(parents: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(H36M17, parents=parents)


def test_parents_that_go_in_a_circle_are_named() -> None:
    with pytest.raises(ValueError, match="in a circle at b"):
        Skeleton("ring", ("a", "b", "c"), ((2, 1), (1, 2)), (), (1, 1, 1), parents=(-1, 2, 1))
