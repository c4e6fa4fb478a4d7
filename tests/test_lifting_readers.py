"""Data sets of bodies in space, each read from a small file of its form."""

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anypose.camera import Camera, rotation_matrix
from anypose.data import cmu, diffpose, freeman, motionbert, mpi_inf_3dhp, videopose
from anypose.data.archives import ArchiveError, load_pickle, open_archive
from anypose.skeleton import CMU31, H36M17
from conftest import shared

NOISE = np.random.default_rng(2)


def numbers(*sides: int) -> Any:
    return NOISE.normal(0, 1, sides).astype(np.float32)


def camera(name: str = "a") -> Camera:
    turn = NOISE.normal(size=4)
    return Camera(
        (1000, 1000),
        np.array([1100, 1150]),
        np.array([510, 490]),
        orientation=turn / np.linalg.norm(turn),
        position=NOISE.normal(size=3),
        name=name,
    )


# A file of each form.


@pytest.fixture
def h36m(tmp_path: Path) -> dict[str, Any]:
    motion = {
        "S9": {"TakingPhoto": numbers(5, 32, 3), "Walking 1": numbers(4, 32, 3)},
        "S11": {"Directions": numbers(3, 32, 3), "Directions 1": numbers(2, 32, 3), "Sitting": numbers(3, 32, 3)},
    }
    seen = {
        subject: {
            videopose._renamed(action): [numbers(len(points) + extra, 17, 2) for extra in (0, 2, 0, 0)]
            for action, points in actions.items()
        }
        for subject, actions in motion.items()
    }
    sides = [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]]
    metadata = {"layout_name": "h36m", "num_joints": 17, "keypoints_symmetry": sides}
    np.savez_compressed(tmp_path / "data_3d_h36m.npz", positions_3d=motion)  # type: ignore[arg-type]
    np.savez_compressed(tmp_path / "data_2d_h36m_gt.npz", positions_2d=seen, metadata=metadata)  # type: ignore[arg-type]
    return {"motion": tmp_path / "data_3d_h36m.npz", "seen": tmp_path / "data_2d_h36m_gt.npz", "arrays": (motion, seen)}


def test_h36m_is_read_and_its_joints_are_the_17(h36m: Any) -> None:
    takes = list(videopose.h36m(h36m["motion"]))
    assert [(take.subject, take.action) for take in takes] == [
        ("S9", "Photo"),
        ("S9", "Walking 1"),
        ("S11", "Sitting"),
    ]
    kept = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
    body = takes[0].body
    assert body is not None
    np.testing.assert_array_equal(body.keypoints, h36m["arrays"][0]["S9"]["TakingPhoto"][:, kept])
    assert (body.skeleton, body.space, body.rate) == (H36M17, "world", pytest.approx(50))


def test_h36m_through_its_cameras(h36m: Any) -> None:
    cameras = {subject: [camera(str(i)) for i in range(4)] for subject in ("S9", "S11")}
    takes = list(videopose.h36m(h36m["motion"], h36m["seen"], cameras))
    assert len(takes) == 3 * 4
    take = takes[1]
    assert take.name == "S9, Photo, 1"
    assert take.picture is not None
    assert take.body is not None
    # Detections that go on after the motion are cut.
    np.testing.assert_array_equal(take.picture.keypoints, h36m["arrays"][1]["S9"]["Photo"][1][:5])
    world = videopose._kept(h36m["arrays"][0]["S9"]["TakingPhoto"], H36M17, "")
    expected = (world - cameras["S9"][1].position) @ rotation_matrix(cameras["S9"][1].orientation)
    np.testing.assert_allclose(take.body.keypoints, expected, atol=1e-6)
    assert take.body.space == "camera"
    without = list(videopose.h36m(h36m["motion"], h36m["seen"]))
    assert without[0].picture is not None
    assert (without[0].picture.size, without[0].camera) == ((1002, 1000), None)


def test_h36m_names_what_does_not_fit(h36m: Any, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="S9 has 4 cameras; 1 were given"):
        list(videopose.h36m(h36m["motion"], h36m["seen"], {"S9": [camera()]}))
    with pytest.raises(ArchiveError, match="holds no 'positions_3d'; it holds positions_2d, metadata"):
        list(videopose.h36m(h36m["seen"]))
    _, seen = h36m["arrays"]
    for change, message in (
        ({"metadata": {"layout_name": "coco", "num_joints": 17, "keypoints_symmetry": [[1], [2]]}}, "of coco with 17"),
        ({"positions_2d": {}}, "holds nothing of S9 Photo"),
        ({"positions_2d": {"S9": {"Photo": [numbers(2, 17, 2)]}}}, "expected \\(5 or more, 17, 2\\)"),
        ({"positions_2d": {"S9": {"Photo": [numbers(5, 17, 2)] * 5}}}, "5 cameras of 4"),
        ({"positions_2d": 3}, "int64, expected a dict"),
        ({"positions_2d": {"S9": 3}}, "no dict of subjects"),
    ):
        path = tmp_path / "wrong.npz"
        np.savez(path, **({"positions_2d": seen, "metadata": {}} | change))
        with pytest.raises(ArchiveError, match=message):
            list(videopose.h36m(h36m["motion"], path))
    np.savez(tmp_path / "short.npz", positions_3d={"S9": {"Photo": numbers(5, 16, 3)}})  # type: ignore[arg-type]
    with pytest.raises(ArchiveError, match=r"S9 Photo is \(5, 16, 3\); expected \(T, 17, 3\)"):
        list(videopose.h36m(tmp_path / "short.npz"))


def test_humaneva_has_three_cameras_and_fifteen_joints(tmp_path: Path) -> None:
    motion = {"Train/S1": {"Walking 1 chunk0": numbers(4, 15, 3)}}
    seen = {"Train/S1": {"Walking 1 chunk0": [numbers(4, 15, 2) for _ in range(3)]}}
    sides = [[2, 3, 4, 8, 9, 10], [5, 6, 7, 11, 12, 13]]
    metadata = {"layout_name": "humaneva15", "num_joints": 15, "keypoints_symmetry": sides}
    np.savez(tmp_path / "3d.npz", positions_3d=motion)  # type: ignore[arg-type]
    np.savez(tmp_path / "2d.npz", positions_2d=seen, metadata=metadata)  # type: ignore[arg-type]
    takes = list(videopose.humaneva(tmp_path / "3d.npz", tmp_path / "2d.npz"))
    assert [(take.subject, take.action) for take in takes] == [("Train/S1", "Walking 1 chunk0")] * 3
    assert takes[0].picture is not None
    assert (takes[0].picture.skeleton.name, takes[0].picture.size) == ("humaneva15", (480, 640))


def test_3dhp_is_read_in_metres(tmp_path: Path) -> None:
    views = {str(i): {"data_2d": numbers(3, 17, 2), "data_3d": 1000 * numbers(3, 17, 3)} for i in range(2)}
    np.savez(tmp_path / "data_train_3dhp.npz", data={"S1 Seq1": [views]})  # type: ignore[arg-type]
    takes = list(mpi_inf_3dhp.read_train(tmp_path / "data_train_3dhp.npz"))
    assert [(take.subject, take.action) for take in takes] == [("S1", "Seq1 camera 0"), ("S1", "Seq1 camera 1")]
    assert takes[1].body is not None
    np.testing.assert_allclose(takes[1].body.keypoints, views["1"]["data_3d"] / 1000, rtol=1e-6)
    assert takes[1].body.skeleton.root == 14

    valid = np.array([1, 0, 1])
    test = {name: {**views["0"], "valid": valid} for name in ("TS1", "TS5")}
    np.savez(tmp_path / "data_test_3dhp.npz", data=test)  # type: ignore[arg-type]
    takes = list(mpi_inf_3dhp.read_test(tmp_path / "data_test_3dhp.npz"))
    assert [take.picture.size for take in takes if take.picture] == [(2048, 2048), (1080, 1920)]
    assert takes[0].valid is not None
    assert takes[0].valid.tolist() == [True, False, True]

    for data, message in (
        ({"TS1": {"data_2d": numbers(3, 17, 2)}}, "TS1 lacks data_3d"),
        ({"TS1": {**views["0"], "data_2d": numbers(2, 17, 2)}}, r"expected \(T, 17, 2\)"),
        ({"TS1": {**views["0"], "valid": [1]}}, "1 frames are marked"),
        ({}, "no dict of sequences"),
    ):
        np.savez(tmp_path / "wrong.npz", data=data)  # type: ignore[arg-type]
        with pytest.raises(ArchiveError, match=message):
            list(mpi_inf_3dhp.read_test(tmp_path / "wrong.npz"))
    np.savez(tmp_path / "wrong.npz", data={"S1 Seq1": 3})  # type: ignore[arg-type]
    with pytest.raises(ArchiveError, match="no list with a dict of cameras"):
        list(mpi_inf_3dhp.read_train(tmp_path / "wrong.npz"))


def motionbert_part(rows: int) -> dict[str, Any]:
    return {
        "joint_2d": 1000 * numbers(rows, 17, 2),
        "confidence": np.ones((rows, 17, 1), np.float32),
        "joint3d_image": 1000 * numbers(rows, 17, 3),
        "camera_name": ["54138969"] * 7 + ["55011271"] * (rows - 7),
        "source": ["S1_a"] * 7 + ["S1_b"] * (rows - 7),
    }


def test_motionbert_rows_are_normalised_and_cut_by_video(tmp_path: Path) -> None:
    content = {"train": motionbert_part(20), "test": motionbert_part(8)}
    path = tmp_path / "h36m.pkl"
    path.write_bytes(pickle.dumps(content))
    rows = motionbert.read(path)
    assert len(rows) == 20
    raw = content["train"]
    np.testing.assert_allclose(rows.keypoints[:7, :, 1], raw["joint_2d"][:7, :, 1] / 500 - 1.002, atol=1e-5)
    np.testing.assert_allclose(rows.keypoints[7:], raw["joint_2d"][7:] / 500 - 1, atol=1e-5)
    np.testing.assert_allclose(rows.joints[..., 2], raw["joint3d_image"][..., 2] / 500, atol=1e-5)
    clips = [clip.tolist() for clip in rows.clips(frames=9, stride=3)]
    assert clips == [[0, 1, 2, 3, 4, 5, 6, 6, 6], list(range(7, 16)), list(range(10, 19))]
    assert len(motionbert.read(path, "test")) == 8
    with pytest.raises(ArchiveError, match="holds no part 'val'; it holds train, test"):
        motionbert.read(path, "val")
    for change, message in (({"source": None}, "lacks source"), ({"joint_2d": numbers(3, 17, 2)}, "for 20 rows")):
        part = {key: value for key, value in (raw | change).items() if value is not None}
        path.write_bytes(pickle.dumps({"train": part}))
        with pytest.raises(ArchiveError, match=message):
            motionbert.read(path)


def test_diffpose_rows_come_in_blocks(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    form = np.dtype(
        [
            ("action", "S16"),
            ("subject", "i4"),
            ("hardsubset", "?"),
            ("gt_3d", "f4", (3, 17)),
            ("gt_2d", "f4", (2, 17)),
            ("argmax_2d", "f4", (2, 16)),
            ("heatmap", "f2", (16, 64, 64)),
        ]
    )
    table = np.zeros(7, form)
    table["gt_3d"], table["subject"] = 1000 * numbers(7, 3, 17), np.arange(7)
    path = tmp_path / "h36m.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("dataset/trainset", data=table)
        file.create_dataset("dataset/odd", data=np.zeros(3))
    blocks = list(diffpose.read(path, every=2, block=3))
    assert [len(block) for block in blocks] == [3, 1]
    np.testing.assert_allclose(blocks[0].joints, table["gt_3d"][[0, 2, 4]].swapaxes(1, 2) / 1000, rtol=1e-6)
    assert blocks[1].facts["subject"].tolist() == [6]
    assert "cam" not in blocks[0].facts
    for part, message in (("testset", "holds no table dataset/testset; it holds odd, trainset"), ("odd", "gt_3d of")):
        with pytest.raises(ArchiveError, match=message):
            next(diffpose.read(path, part))
    with pytest.raises(FileNotFoundError, match="give DiffPose's"):
        next(diffpose.read(tmp_path / "none.h5"))
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(ArchiveError, match="is no HDF5 file"):
        next(diffpose.read(tmp_path / "text.h5"))


def opencv_camera(taken: Camera) -> dict[str, Any]:
    """A camera of ours in FreeMan's JSON."""
    turn = rotation_matrix(taken.orientation).T
    angle = np.arccos((np.trace(turn) - 1) / 2)
    axis = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]) / (2 * np.sin(angle))
    k1, k2, k3, ours1, ours2 = taken.distortion
    matrix = [[taken.focal[0], 0, taken.centre[0]], [0, taken.focal[1], taken.centre[1]], [0, 0, 1]]
    return {
        "name": taken.name,
        "size": [taken.size[1], taken.size[0]],
        "matrix": matrix,
        "rotation": (angle * axis).tolist(),
        "translation": (-turn @ taken.position * 100).tolist(),
        "distortions": [k1, k2, ours2, ours1, k3],
    }


@pytest.fixture
def freeman_folder(tmp_path: Path) -> tuple[Path, list[Camera], Any]:
    """One session of two cameras, whose keypoints fall where its bodies are."""
    folder, session = tmp_path / "30FPS", "20220101_abc_subj01"
    for name in ("cameras", "keypoints2d", "keypoints3d"):
        (folder / name).mkdir(parents=True)
    (folder / "session_list.txt").write_text(f"{session}\nbad\n")
    (folder / "ignore_list.txt").write_text("bad\n")
    turns = [(1.0, 0.0, 0.2, 0.0), (0.8, 0.1, -0.5, 0.1)]
    cameras = [
        Camera(
            (1920, 1080),
            np.array([1500, 1510]),
            np.array([540, 960]),
            distortion=np.array([0.05, -0.02, 0.001, 0.003, -0.002]),
            orientation=np.array(turn) / np.linalg.norm(turn),
            position=np.array([x, 0.1, -4.0]),
            tangential=2.0,
            name=f"c0{i + 1}",
        )
        for i, (turn, x) in enumerate(zip(turns, (0.0, 2.5)))
    ]
    points = 0.4 * numbers(6, 17, 3).astype(np.float64)
    (folder / "cameras" / f"{session}.json").write_text(json.dumps([opencv_camera(one) for one in cameras]))
    pixels = np.stack([one.project(one.to_camera(points)) for one in cameras])
    sure = np.full((*pixels.shape[:-1], 1), 0.9)
    entry = {"keypoints2d": np.concatenate([pixels, sure], -1), "center": 0, "scale": 1}
    np.save(folder / "keypoints2d" / f"{session}.npy", np.array([entry], dtype=object), allow_pickle=True)
    wrong = 100 * points
    wrong[2, 5] = np.nan
    bodies = {"keypoints3d": wrong, "keypoints3d_optim": 100 * points, "keypoints3d_smoothnet": wrong}
    np.save(folder / "keypoints3d" / f"{session}.npy", np.array(bodies, dtype=object), allow_pickle=True)
    return folder, cameras, points


def test_freeman_bodies_fall_on_their_keypoints(freeman_folder: Any) -> None:
    folder, cameras, points = freeman_folder
    assert freeman.sessions(folder) == ["20220101_abc_subj01"]
    takes = list(freeman.read(folder, "20220101_abc_subj01"))
    assert [take.camera.name for take in takes if take.camera] == ["c01", "c02"]
    for take, taken in zip(takes, cameras):
        assert take.picture is not None
        assert take.body is not None
        assert take.camera is not None
        np.testing.assert_allclose(take.camera.position, taken.position, atol=1e-9)
        assert take.body.confidence[2, 5] == 0
        assert take.body.confidence.sum() == 6 * 17 - 1
        sure = take.body.confidence > 0
        again = take.camera.project(take.body.keypoints)
        np.testing.assert_allclose(again[sure], take.picture.keypoints[sure], atol=1e-2)
    pixels = np.stack([take.picture.keypoints for take in takes if take.picture])
    confidence = np.full(pixels.shape[:-1], 0.9)
    confidence[0, 0, 0] = 0
    found = freeman.triangulate([take.camera for take in takes if take.camera], pixels, confidence)
    assert np.isnan(found[0, 0]).all()
    np.testing.assert_allclose(found[1:], points[1:], atol=1e-4)


def test_freeman_names_what_is_missing(freeman_folder: Any) -> None:
    folder, _, _ = freeman_folder
    session = "20220101_abc_subj01"
    with pytest.raises(FileNotFoundError, match=r"train\.txt is not there"):
        freeman.sessions(folder, "train")
    with pytest.raises(ValueError, match="not 'dev'"):
        freeman.sessions(folder, "dev")
    with pytest.raises(ArchiveError, match="holds no 'keypoints3d_smoothnet32'"):
        list(freeman.read(folder, session, "keypoints3d_smoothnet32"))
    cameras = folder / "cameras" / f"{session}.json"
    cameras.write_text(json.dumps([{"name": "c01"}]))
    with pytest.raises(ArchiveError, match="camera 0 is not as OpenCV has them: 'distortions'"):
        list(freeman.read(folder, session))
    cameras.write_text("{")
    with pytest.raises(ArchiveError, match="is no JSON"):
        list(freeman.read(folder, session))


def test_cmu_is_read_in_the_world_and_split_by_subject_and_clip(tmp_path: Path) -> None:
    clips = {f"{subject}_{clip:02d}/positions": numbers(4, 31, 3) for subject in ("01", "02") for clip in range(1, 7)}
    np.savez(tmp_path / "cmu.npz", **clips, names=np.array(["root"]))
    tracks = cmu.read(tmp_path / "cmu.npz")
    assert len(tracks) == 12
    assert (tracks["01_02"].skeleton, tracks["01_02"].space, tracks["01_02"].rate) == (
        CMU31,
        "world",
        pytest.approx(60),
    )
    split = cmu.split(tracks)
    assert split.unseen_subject == tuple(f"02_0{i}" for i in range(1, 7))
    assert split.train == tuple(f"01_0{i}" for i in range(1, 6))
    assert split.unseen_clips == ("01_06",)
    everyone = cmu.split(tracks, None)
    assert len(everyone.train) == 10
    assert everyone.unseen_subject == ()
    with pytest.raises(ValueError, match="no clip of subject '04'; the subjects are 01, 02"):
        cmu.split(tracks, "04")
    with pytest.raises(ValueError, match="no clip is left"):
        cmu.split(["01_01"], "01")
    np.savez(tmp_path / "none.npz", names=np.array(["root"]))
    with pytest.raises(ArchiveError, match="holds no clip"):
        cmu.read(tmp_path / "none.npz")


def test_the_real_cmu_file_has_28_clips() -> None:
    clips = cmu.read(shared("data/cmu_mocap/cmu_60hz.npz"))
    assert len(clips) == 28
    assert sum(map(len, clips.values())) == 38884
    assert {len(part) for part in (cmu.split(clips).train, cmu.split(clips).unseen_clips)} == {15, 3}


# Pickles with code in them.


class Bomb:
    """Asks the unpickler to write a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return Path.touch, (self.target,)


class Sly:
    """Asks for a harmless name through an allowed module."""

    def __reduce__(self) -> Any:
        return np.load, ("/etc/passwd",)


@pytest.mark.parametrize("protocol", range(6))
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path: Path, protocol: int) -> None:
    path, target = tmp_path / "bad.pkl", tmp_path / "touched"
    for wrong, name in ((Bomb(target), "touch|getattr"), (Sly(), "load"), (eval, "eval"), (complex(1, 2), "complex")):
        path.write_bytes(pickle.dumps({"train": {"joint_2d": wrong}}, protocol))
        with pytest.raises(ArchiveError, match=rf"bad\.pkl: asks to run .*({name}).* nothing was run"):
            load_pickle(path)
    assert not target.exists()
    np.savez(tmp_path / "bad.npz", positions_3d={"S1": Bomb(target)})  # type: ignore[arg-type]
    with pytest.raises(ArchiveError, match="asks to run"):
        next(videopose.h36m(tmp_path / "bad.npz"))
    assert not target.exists()


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_arrays_come_back_whole(tmp_path: Path, protocol: int) -> None:
    content = {
        "a": numbers(2, 3),
        "b": [np.float64(2.5), np.int64(3), "text", b"bytes \xff", None, True, (1, 2.5), 10**20],
        "c": {"words": np.array(["a", "bc"]), "objects": np.array([{"x": numbers(2)}, None], dtype=object)},
        "d": np.asfortranarray(numbers(3, 4)),
        "e": numbers(0, 3),
    }
    path = tmp_path / "good.pkl"
    path.write_bytes(pickle.dumps(content, protocol))
    again = load_pickle(path)
    np.testing.assert_array_equal(again["a"], content["a"])
    assert again["b"] == content["b"]
    np.testing.assert_array_equal(again["c"]["words"], ["a", "bc"])
    np.testing.assert_array_equal(again["d"], content["d"])
    assert again["e"].shape == (0, 3)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.pkl"
    whole = pickle.dumps({"a": numbers(50, 3)})
    for content in (b"", b"hello", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ArchiveError, match=r"cut\.pkl: is not a whole pickle"):
            load_pickle(path)
    with pytest.raises(FileNotFoundError, match=r"none\.npz is not there"):
        open_archive(tmp_path / "none.npz")
    path.write_bytes(whole)
    with pytest.raises(ArchiveError, match="is no npz file"):
        open_archive(path)
    with zipfile.ZipFile(tmp_path / "odd.npz", "w") as file:
        file.writestr("a.npy", b"nothing")
        buffer = io.BytesIO()
        np.save(buffer, numbers(2))
        file.writestr("b.npy", buffer.getvalue())
    archive = open_archive(tmp_path / "odd.npz")
    with pytest.raises(ArchiveError, match="a is no array"):
        archive["a"]
    with pytest.raises(ArchiveError, match=r"b is an array \(2,\) of float32, expected a dict"):
        archive.content("b")
    assert len(archive) == 2
