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
    HOCKEY15,
    HUMANEVA15,
    LACROSSE14,
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
    body = len(skeleton) - len(skeleton.extensions)
    # What a person holds hangs together, too, but not with the body.
    for start, end in ((0, body), (body, len(skeleton))):
        reached = {start} if start < end else set()
        for _ in skeleton.bones:
            reached |= {place for bone in bones if bone & reached for place in bone}
        assert reached == set(range(start, end))


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


def test_players_hold_sticks() -> None:
    assert HOCKEY15.keypoints[:12] == CROWDPOSE14.keypoints[:12] == LACROSSE14.keypoints[:12]
    assert HOCKEY15.extensions == ("stick_butt_end", "stick_heel", "stick_toe")
    assert HOCKEY15.keypoints[12:] == HOCKEY15.extensions
    assert [here for _, here in HOCKEY15.map_to(LACROSSE14)][12:] == [12, None]
    assert HOCKEY15.mirror.tolist()[12:] == [12, 13, 14]
    goalie = HOCKEY15.extended("goalie16", ["glove"], [("left_wrist", "glove")])
    assert goalie.extensions == (*HOCKEY15.extensions, "glove")


RACKET: dict[str, Any] = {
    "name": "tennis19",
    "extends": "coco17",
    "keypoints": ["racket_grip", "racket_tip"],
    "bones": [["right_wrist", "racket_grip"], ["racket_grip", "racket_tip"]],
    "sigmas": {"racket_tip": 0.08},
}


def test_a_users_own_in_a_few_lines() -> None:
    mine = COCO17.extended(
        "tennis19",
        ["racket_grip", "racket_tip"],
        [("right_wrist", "racket_grip"), ("racket_grip", "racket_tip")],
        sigmas={"racket_tip": 0.08},
    )
    assert mine.keypoints == (*COCO17.keypoints, "racket_grip", "racket_tip")
    assert mine.bones == (*COCO17.bones, (10, 17), (17, 18))
    assert mine.mirror_pairs == COCO17.mirror_pairs
    assert mine.sigmas == (*COCO17.sigmas, 0.062, 0.08)
    assert mine.extensions == ("racket_grip", "racket_tip")
    assert Skeleton.from_dict(json.loads(json.dumps(mine.to_dict()))) == mine
    diver = Skeleton.from_names("diver", ["left_hip", "right_hip", "left_fin", "right_fin"], [("left_hip", "left_fin")])
    assert diver.mirror_pairs == ((0, 1), (2, 3))
    assert diver.sigmas == (0.107, 0.107, 0.062, 0.062)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"bones": [("left_wirst", "tip")]},
            r"bone left_wirst - tip: .* no keypoint 'left_wirst'; did you mean 'left_wr",
        ),
        ({"mirror_pairs": [("left_tip", "tip")]}, "mirror pair left_tip - tip: mine has no keypoint 'left_tip'"),
        ({"sigmas": {"tipp": 0.1}}, "sigma: mine has no keypoint 'tipp'; did you mean 'tip'"),
        ({"sigmas": {"tip": -0.1}}, "positive sigmas"),
        ({"bones": ["tip"]}, "bone 'tip' of skeleton mine must be two names"),
        ({"keypoints": ["nose"]}, "names nose twice"),
    ],
)
def test_names_that_are_not_there_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        COCO17.extended(**{"name": "mine", "keypoints": ["tip"], **arguments})


def test_extensions_are_the_last_keypoints() -> None:
    with pytest.raises(ValueError, match="must be its last keypoints in their order, not nose"):
        dataclasses.replace(COCO17, extensions=("nose",))
    with pytest.raises(ValueError, match="no keypoint 'stick'"):
        dataclasses.replace(COCO17, extensions=("stick",))


def test_a_skeleton_from_a_file(tmp_path: Any) -> None:
    path = tmp_path / "skeleton.json"
    for record, expected in (
        (RACKET, COCO17.extended(**{key: value for key, value in RACKET.items() if key != "extends"})),
        (HOCKEY15.to_dict(), HOCKEY15),
        ({"name": "eel", "keypoints": ["head", "tail"], "bones": [["head", "tail"]]}, None),
        ({"categories": [{"name": "person", "keypoints": list(LSP14.keypoints)}], "images": []}, LSP14),
    ):
        path.write_text(json.dumps(record))
        found = Skeleton.load(path)
        assert expected is None or found == expected
    category = {"name": "eel", "keypoints": ["head", "tail"], "skeleton": [[1, 2]], "sigmas": [0.1, 0.2]}
    path.write_text(json.dumps({"categories": [{"name": "weed"}, category]}))
    eel = Skeleton.load(path)
    assert (eel.name, eel.bones, eel.sigmas) == ("eel2", ((0, 1),), (0.1, 0.2))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([], "holds a list"),
        ({"name": "x"}, "needs name and keypoints"),
        ({**RACKET, "extends": "coco71"}, "extends 'coco71', which is no skeleton; did you mean 'coco17'"),
        ({**RACKET, "bone": []}, "unknown entry 'bone'"),
        ({**RACKET, "bones": 5}, "bones is 5, expected a list"),
        ({**RACKET, "sigmas": [0.1]}, r"sigmas is \[0.1\], expected an object"),
        ({**RACKET, "extensions": ["racket_tip"]}, "leave the entry extensions out"),
        ({"categories": [{"name": "a"}]}, "has 0 categories with keypoints"),
        ({"categories": [{"name": "a", "keypoints": ["b"], "skeleton": [[0, 1]]}]}, r"bone \[0, 1\] of category a1"),
        ({"categories": [{"name": "a", "keypoints": ["b"], "sigmas": [1, 2]}]}, "needs 1 sigmas"),
        ({"categories": [{"name": "a", "keypoints": [1]}]}, "no list of the names"),
    ],
)
def test_broken_files_of_skeletons_are_named(record: Any, message: str, tmp_path: Any) -> None:
    path = tmp_path / "skeleton.json"
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match=message) as caught:
        Skeleton.load(path)
    assert str(path) in str(caught.value)
