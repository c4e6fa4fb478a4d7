"""From keypoints over time to a body in space: the runner, and the command."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.optimize import least_squares
from typer.testing import CliRunner

import anypose
from anypose import zoo
from anypose.camera import Camera
from anypose.cli import app
from anypose.data.simulated import Detector, film
from anypose.evaluation.lifting import at_root, mpjpe
from anypose.lifting import FOCAL, LiftingPredictor, placed, stature
from anypose.people import People
from anypose.runtime import NotedEngine
from anypose.skeleton import CMU31, COCO17, H36M17, HUMANEVA15
from anypose.track import Track
from conftest import ROOT

NOISE = np.random.default_rng(6)


class Flat(NotedEngine):
    """An engine that gives every keypoint the depth of its x, and notes how it was asked."""

    def __init__(self, **notes: str) -> None:
        self._notes = {"skeleton": "h36m17", "frames": "9", "answers": "all", "length": "fixed"} | notes
        self.asked: list[tuple[int, ...]] = []
        self.read = np.zeros(0)

    def notes(self, graph: str) -> Mapping[str, str]:
        return self._notes

    def run(self, graph: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        assert graph == "lift"
        keypoints = self.read = inputs["keypoints"]
        self.asked.append(keypoints.shape)
        joints = np.concatenate([keypoints, keypoints[..., :1]], -1)
        return {"joints": joints[:, 4:5] if self._notes["answers"] == "centre" else joints}


def stand() -> Any:
    """(17, 3) metres, a person who stands before a camera, y down."""
    body = np.zeros((17, 3))
    for name, place in {"hip": (0.1, 0.1, 0), "knee": (0.1, 0.5, 0), "ankle": (0.1, 0.92, 0)}.items():
        body[H36M17.index(f"left_{name}")] = place
        body[H36M17.index(f"right_{name}")] = np.array(place) * (-1, 1, 1)
    for name, up in {"spine": 0.12, "thorax": 0.35, "upper_neck": 0.52, "head": 0.62}.items():
        body[H36M17.index(name)] = (0, -up, 0)
    for name, place in {"shoulder": (0.2, -0.35, 0), "elbow": (0.25, -0.05, 0), "wrist": (0.27, 0.2, 0)}.items():
        body[H36M17.index(f"left_{name}")] = place
        body[H36M17.index(f"right_{name}")] = np.array(place) * (-1, 1, 1)
    return body


def walk(frames: int = 30) -> Track:
    """A stick of CMU's skeleton that walks and swings its limbs, in the world."""
    points = np.zeros((frames, 31, 3))
    body, time = stand() * (1, -1, 1) + (0, 0.95, 0), np.arange(frames) / 60
    for there, here in CMU31.map_to(H36M17):
        if here is not None:
            points[:, here] = body[there]
    for name, phase in (("left", 0.0), ("right", np.pi)):
        swing = np.sin(6 * time + phase)
        for inner, outer, part, reach in (("hip", "knee", "ankle", 0.5), ("shoulder", "elbow", "wrist", -0.5)):
            bend = (0.0, -0.4) if part == "ankle" else (0.2, 0.9)  # of the upper and the whole limb, forwards
            place = points[:, CMU31.index(f"{name}_{inner}")]
            for end, more in zip((outer, part), bend):
                long = float(
                    np.linalg.norm(body[H36M17.index(f"{name}_{end}")] - body[H36M17.index(f"{name}_{inner}")])
                )
                long = long / 2 if end == part else long
                angle = reach * swing + more
                place = place + long * np.stack([0 * angle, -np.cos(angle), np.sin(angle)], 1)
                points[:, CMU31.index(f"{name}_{end}")] = place
    points[..., 2] += time[:, None]
    return Track(time, points, skeleton=CMU31, space="world", name="Ada")


def seen(**options: Any) -> tuple[Track, Track]:
    return film(walk(options.pop("frames", 30)), np.random.default_rng(1), **options)


def picture(frames: int = 12, **changes: Any) -> Track:
    track, _ = seen(frames=frames)
    return dataclasses.replace(track, **({"camera": None} | changes))


# The runner.


@pytest.mark.parametrize(
    ("notes", "shape"),
    [({}, (2, 9, 17, 2)), ({"answers": "centre"}, (12, 9, 17, 2)), ({"length": "any"}, (1, 12, 17, 2))],
)
def test_a_track_is_cut_as_the_system_reads_it(notes: Any, shape: Any) -> None:
    engine, track = Flat(**notes), picture()
    predictor = LiftingPredictor("lifting/flat", engine)
    found = predictor.lift(track, flip=False)
    assert engine.asked == [shape]
    assert (found.space, found.skeleton, len(found)) == ("root", H36M17, 12)
    screen = track.keypoints / 500 - 1
    np.testing.assert_allclose(found.keypoints[..., :2], at_root(screen), atol=1e-5)
    np.testing.assert_allclose(found.keypoints[..., 2], found.keypoints[..., 0], atol=1e-6)
    assert (found.note or "").startswith("by lifting/flat; as large as the people the system learned from")
    engine.asked.clear()
    predictor.lift(track)
    assert engine.asked == [shape] * 2


def test_one_frame_is_enough_for_a_system_of_clips() -> None:
    engine = Flat()
    found = LiftingPredictor("lifting/flat", engine).lift(picture(1), flip=False)
    assert engine.asked == [(1, 9, 17, 2)]
    assert (engine.read == engine.read[:, :1]).all()
    assert len(found) == 1


def test_coco_becomes_h36m_aloud() -> None:
    track = Track(np.arange(3) / 30, NOISE.normal(300, 50, (3, 17, 2)), skeleton=COCO17, size=(480, 640))
    found = LiftingPredictor("lifting/flat", Flat()).lift(track)
    assert found.skeleton == H36M17
    for part in ("pelvis: the middle of the hips", "thorax: the middle of the shoulders", "head: the middle of the"):
        assert part in (found.note or "")


def test_missing_keypoints_are_filled_or_named() -> None:
    confidence = np.ones((12, 17))
    left_knee, left_ankle = H36M17.index("left_knee"), H36M17.index("left_ankle")
    confidence[:, [left_knee, left_ankle]] = 0
    confidence[3:6, 16] = 0.1
    track = picture(confidence=confidence)
    wild = track.keypoints.copy()
    wild[confidence < 0.3] = 9e4
    engine = Flat(length="any")
    found = LiftingPredictor("lifting/flat", engine).lift(dataclasses.replace(track, keypoints=wild), flip=False)
    assert np.abs(engine.read).max() < 2
    hip = H36M17.index("left_hip")
    np.testing.assert_array_equal(engine.read[:, :, left_ankle], engine.read[:, :, hip])
    between = engine.read[0, [2, 3, 6], 16]
    np.testing.assert_allclose(between[1], between[0] + (between[2] - between[0]) / 4, atol=1e-6)
    assert "never found, guessed: left knee; never found, guessed: left ankle; 3 of 204 keypoints" in (found.note or "")
    np.testing.assert_array_equal(found.confidence, track.confidence)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": None}, 'add "size": \\[height, width\\]'),
        ({"confidence": np.where(np.arange(17) == 0, 0.0, 1.0) * np.ones((12, 1))}, "pelvis is found in no frame"),
        ({"confidence": np.where(np.arange(17) > 7, 0.0, 1.0) * np.ones((12, 1))}, "9 of 17 keypoints"),
    ],
)
def test_tracks_that_cannot_be_lifted_are_named(change: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LiftingPredictor("lifting/flat", Flat()).lift(picture(**change))


def test_a_person_without_hips_is_named() -> None:
    confidence = np.ones((2, 17))
    confidence[:, [COCO17.index("left_hip"), COCO17.index("right_hip")]] = 0
    track = Track(np.arange(2), np.ones((2, 17, 2)), confidence, size=(9, 9))
    with pytest.raises(ValueError, match=r"pelvis is found in no frame \(it is made of both hips\)"):
        LiftingPredictor("lifting/flat", Flat()).lift(track)


def test_a_track_in_metres_and_heights_of_nobody_are_refused() -> None:
    predictor = LiftingPredictor("lifting/flat", Flat())
    with pytest.raises(ValueError, match="in metres already"):
        predictor.lift(seen()[1])
    for height in (175.0, 0.0, float("nan")):
        with pytest.raises(ValueError, match="is no person's: give metres, such as"):
            predictor.lift(picture(), height=height)
    old = LiftingPredictor("lifting/old", Flat())
    old._notes = {}
    with pytest.raises(ValueError, match="does not say its skeleton"):
        old.lift(picture())


def test_a_height_gives_the_body_its_size() -> None:
    body = np.tile(stand(), (3, 1, 1))
    tall = stature(body, H36M17)
    assert tall == pytest.approx((0.82 + 0.1 + 0.62) / 0.897)
    assert stature(0.5 * body, H36M17) == pytest.approx(tall / 2)
    found = LiftingPredictor("lifting/flat", Flat()).lift(picture(), height=1.9)
    assert stature(found.keypoints.astype(float), H36M17) == pytest.approx(1.9, rel=1e-4)
    assert "as tall as 1.9 m" in (found.note or "")
    with pytest.raises(ValueError, match="height of humaneva15 is not known: it has no head"):
        stature(np.zeros((1, 15, 3)), HUMANEVA15)


def test_a_camera_puts_the_body_where_it_saw_it() -> None:
    root = np.array([[0.5, -0.2, 4.0], [-1.0, 0.3, 6.0]])
    bodies = np.stack([stand(), stand() @ np.diag([0.8, 1, 1])])
    points = bodies + root[:, None]
    rays = points[..., :2] / points[..., 2:]
    np.testing.assert_allclose(placed(bodies, rays, np.ones((2, 17), np.float32)), root, atol=1e-9)
    # What is unsure hardly counts.
    rays[0, 3] += 1.0
    confidence = np.ones((2, 17), np.float32)
    confidence[0, 3] = 0
    np.testing.assert_allclose(placed(bodies, rays, confidence), root, atol=0.05)


def test_errors_count_in_the_picture() -> None:
    """Near the camera, where a hand may be twice as near as a foot: the place that looks best, not just any."""
    random, root, costs = np.random.default_rng(0), np.array([0.3, 0.1, 1.8]), []
    for _ in range(20):
        body = random.normal(0, 0.35, (17, 3))
        seen_at = (body + root)[:, :2] / (body + root)[:, 2:] + random.normal(0, 0.05, (17, 2))

        def off(place: Any, body: Any = body, seen_at: Any = seen_at) -> Any:
            moved = body + place
            return (moved[:, :2] / moved[:, 2:] - seen_at).ravel()

        found = placed(body[None], seen_at[None], np.ones((1, 17), np.float32))[0]
        costs.append((off(found) ** 2).sum() / (off(least_squares(off, root).x) ** 2).sum())
    assert np.mean(costs) < 1.08  # 1.12 without weights by depth


def test_a_lens_and_an_odd_picture_are_taken_out() -> None:
    """A camera that bends and looks through another focal length gives the same body."""
    track, body = seen(frames=12)
    assert body.camera is not None
    lens = Camera(
        size=(720, 1280),
        focal=np.array([900, 910]),
        centre=np.array([600, 380]),
        distortion=np.array([-0.2, 0.05, 0, 0.002, -0.001]),
    )
    straight, bent = Flat(length="any"), Flat(length="any")
    LiftingPredictor("lifting/flat", straight).lift(track, flip=False)
    through = dataclasses.replace(track, keypoints=lens.project(body.keypoints), camera=lens, size=lens.size)
    found = LiftingPredictor("lifting/flat", bent).lift(through, flip=False)
    np.testing.assert_allclose(bent.read, straight.read, atol=1e-5)
    assert found.space == "camera"
    expected = FOCAL * body.keypoints[..., :2] / body.keypoints[..., 2:]  # as the usual camera has them
    np.testing.assert_allclose(np.squeeze(straight.read), expected, atol=1e-4)


# The default system, and the command.


def test_the_default_system_lifts_on_the_ground_floor() -> None:
    predictor = anypose.load("lifting/lever", threads=1)
    assert (predictor.frames, predictor.skeleton, predictor._note("length")) == (27, H36M17, "any")
    track, body = seen(frames=60, detector=Detector())
    truth = at_root(body.keypoints)
    found = predictor.lift(dataclasses.replace(track, camera=None)).keypoints
    error = mpjpe(found, truth)
    assert error < 0.13
    # Depth is found, and on its right side.
    assert error < 0.8 * mpjpe(truth * (1, 1, 0), truth)
    assert error < 0.6 * mpjpe(found * (1, 1, -1), truth)
    placed_there = predictor.lift(track, height=stature(body.keypoints.astype(float), H36M17))
    assert np.linalg.norm(placed_there.keypoints[:, 0] - body.keypoints[:, 0], axis=-1).mean() < 0.5


def test_both_engines_give_the_same() -> None:
    track = picture(20)
    for name in ("lifting/lever", "lifting/lever/single"):
        one, other = (anypose.load(name, engine=engine).lift(track) for engine in ("onnx", "torch"))
        np.testing.assert_allclose(one.keypoints, other.keypoints, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "options"),
    [("lifting/hot/tiny", {"tokens": None}), ("lifting/ktpformer/tiny", {}), ("lifting/finepose/d3dp-tiny", {})],
)
def test_transformers_lift_in_eight_bits_nearly_the_same(name: str, options: Any, tmp_path: Path) -> None:
    if torch.backends.quantized.engine == "none":
        pytest.skip("this PyTorch has no int8 for this processor")
    torch.manual_seed(0)
    file = tmp_path / "weights.safetensors"
    save_file(zoo.create(name, **options).state_dict(), file)
    keypoints = NOISE.normal(0, 0.3, (2, 9, 17, 2)).astype(np.float32)
    whole, small = (
        anypose.load(name, weights=file, precision=precision, **options)._engine.run("lift", {"keypoints": keypoints})[
            "joints"
        ]
        for precision in ("float32", "int8")
    )
    # Before the root is taken away, against which the joints of random weights hardly differ.
    apart = np.linalg.norm(whole - small, axis=-1).mean() / np.linalg.norm(whole, axis=-1).mean()
    assert 1e-6 < apart < 0.05


def test_a_system_without_large_products_has_no_eight_bits(tmp_path: Path) -> None:
    save_file(zoo.create("lifting/gla_gcn/tiny").state_dict(), tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match="GLAGCN has no parts that are known to bear int8"):
        anypose.load("lifting/gla_gcn/tiny", weights=tmp_path / "weights.safetensors", precision="int8")


def test_the_weights_are_small() -> None:
    home = Path(anypose.__file__).parent / "weights" / "lever"
    assert sum(path.stat().st_size for path in home.rglob("*") if path.is_file()) < 5e6


def command(*arguments: Any) -> Any:
    return CliRunner().invoke(app, ["lift", *map(str, arguments)])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    picture(30).save(tmp_path / "track.json")
    return tmp_path / "track.json"


def test_the_command_writes_everything_that_is_asked_for(file: Path) -> None:
    names = {"--out": "3d.json", "--bvh": "a.bvh", "--csv": "a.csv", "--trc": "a.trc", "--html": "a.html"}
    names |= {"--turntable": "a.png", "--track": "2d.json"}
    paths = {option: file.with_name(name) for option, name in names.items()}
    done = command(file, *(part for pair in paths.items() for part in pair), "--height", 1.8)
    assert done.exit_code == 0, done.output
    assert "as tall as 1.8 m" in done.output
    lifted = Track.load(paths["--out"])
    assert (lifted.space, lifted.name, len(lifted)) == ("root", "Ada", 30)
    assert Track.load(paths["--track"]).equals(Track.load(file))
    assert paths["--bvh"].read_text().startswith("HIERARCHY\nROOT pelvis")
    assert len(paths["--csv"].read_text().splitlines()) == 31
    assert "a.trc" in paths["--trc"].read_text().splitlines()[0]
    assert "Ada in space" in paths["--html"].read_text()
    assert paths["--turntable"].read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in file.parent.iterdir()} == {*names.values(), "track.json"}


def test_few_frames_go_to_the_system_for_single_ones(tmp_path: Path) -> None:
    picture(2).save(tmp_path / "two.json")
    assert command(tmp_path / "two.json", "--out", tmp_path / "out.json").exit_code == 0
    assert "lifting/lever" in (Track.load(tmp_path / "out.json").note or "")


def person(x: float) -> People:
    keypoints = NOISE.normal((x, 200), 40, (1, 17, 2))
    return People(
        size=(480, 640),
        boxes=np.array([[0, 0, 9, 9]]),
        scores=np.ones(1),
        keypoints=keypoints,
        confidence=np.full((1, 17), 0.9),
        state=np.zeros((1, 17, 3)),
        names=("dancer",),
    )


def answer(path: Path) -> dict[str, Any]:
    """What `anypose find` writes of frames 1 to 11, of which 3 failed and 5 shows nobody."""
    frames = {i: person(10.0 * i) for i in range(1, 12) if i != 3}
    frames[5] = People.empty((480, 640))
    order = sorted(frames, key=str)  # 1, 10, 11, 2: as folders are listed
    entries = [{"picture": f"frames/{i}.jpg", "people": frames[i].to_dict()} for i in order]
    record = {"model": "promptable/pointer", "pictures": entries, "failed": [{"picture": "frames/3.jpg", "error": "x"}]}
    path.write_text(json.dumps(record))
    return record


def test_answers_of_find_about_frames_become_a_track(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    record = answer(path)
    assert command(path, "--track", tmp_path / "2d.json").exit_code == 2
    done = command(path, "--rate", 25, "--track", tmp_path / "2d.json", "--out", tmp_path / "3d.json")
    assert done.exit_code == 0, done.output
    track = Track.load(tmp_path / "2d.json")
    assert (len(track), track.name, track.rate) == (11, "dancer", pytest.approx(25))
    assert np.flatnonzero(track.filled).tolist() == [2, 4]
    assert (np.diff(track.keypoints[..., 0].mean(1)) > -30).all()  # 10 comes after 9
    assert Track.load(tmp_path / "3d.json").filled.tolist() == track.filled.tolist()
    twice = record["pictures"][:1] * 2
    for change, message in (({"pictures": []}, 'no "pictures"'), ({"pictures": twice}, "one name")):
        with pytest.raises(ValueError, match=message):
            Track.from_answer(record | change, 25)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to write"),
        (["--out", "track.json"], "would overwrite what is read"),
        (["--out", "a", "--csv", "a"], "--csv a is asked for twice"),
        (["--out", "a", "--rate", "3"], "--rate is for what `anypose find` wrote"),
        (["--out", "a", "--height", "180"], "180 m is no person's"),
        (["--out", "a", "--model", "promptable/pointer"], "lifts nothing"),
        (["--out", "a", "--model", "lifting/levr"], "did you mean 'lifting/lever'"),
        (["--out", "a", "--model", "lifting/hot"], "comes without weights"),
        (["--out", "a", "--camera", "none.json"], "none.json: there is no such file"),
        (["--out", "no/a"], "does not exist"),
        (["--turntable", "a.xyz"], "a.xyz"),
    ],
)
def test_a_command_that_cannot_be_understood_writes_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch, arguments: Any, message: str
) -> None:
    monkeypatch.chdir(file.parent)
    before = file.read_bytes()
    done = command("track.json", *arguments)
    assert done.exit_code == 2
    assert message in done.output
    assert [path.name for path in file.parent.iterdir()] == ["track.json"]
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "bad.json: this is no JSON"),
        (b"\x80\x04cposix\nsystem\n.", "bad.json: this is no JSON"),
        ("[1]", "not a track of this library"),
        (json.dumps({"format": "anypose track 1", "times": [], "keypoints": [], "skeleton": "h36m17"}), "at least one"),
        (
            '{"format": "anypose track 1", "times": [0], "skeleton": "coco17", "keypoints": [['
            + ",".join(["[NaN, 0]"] * 17)
            + "]]}",
            "nose of frame 0 is not a finite number",
        ),
    ],
)
def test_files_that_are_no_track_are_refused(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    done = command(path, "--out", tmp_path / "out.json")
    assert done.exit_code == 2
    assert message in done.output
    assert not (tmp_path / "out.json").exists()


def test_a_camera_file_puts_the_body_before_the_camera(file: Path) -> None:
    camera = Camera((1000, 1000), np.array([1100, 1100]), np.array([500, 500]))
    file.with_name("camera.json").write_text(json.dumps(camera.to_dict()))
    out = file.with_name("3d.json")
    assert command(file, "--camera", file.with_name("camera.json"), "--out", out).exit_code == 0
    lifted = Track.load(out)
    assert lifted.space == "camera"
    assert lifted.keypoints[..., 2].min() > 1


def test_the_command_needs_no_torch(file: Path) -> None:
    program = """
import sys
from anypose.cli import app
app(["lift", sys.argv[1], "--out", sys.argv[2]], standalone_mode=False)
print("torch" in sys.modules)
"""
    arguments = [sys.executable, "-c", program, str(file), str(file.with_name("3d.json"))]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def test_the_walker_that_comes_along_is_what_its_script_makes() -> None:
    from anypose.examples.walker import walker

    home = Path(anypose.__file__).parent / "examples"
    kept = Track.load(home / "walker.json")
    np.testing.assert_allclose(kept.keypoints, walker().keypoints, atol=0.11)
    assert (len(kept), kept.rate) == (60, pytest.approx(30))
    assert "`walker.json`" in (home / "README.md").read_text(encoding="utf-8")
    assert (home / "walker.json").stat().st_size < 40_000


def test_the_page_about_lifting_names_every_option_and_field() -> None:
    text = (ROOT / "docs" / "lifting.md").read_text(encoding="utf-8")
    table = text.split("### Track")[1].split("### Camera")[0].splitlines()
    rows = [line.split("`")[1] for line in table if line.startswith("| `")]
    assert rows == [field.name for field in dataclasses.fields(Track)]
    helped = CliRunner().invoke(app, ["lift", "--help"]).output
    written = ("--out", "--bvh", "--csv", "--trc", "--html", "--turntable")
    for option in (*written, "--height", "--camera", "--model", "--no-flip"):
        assert f"`{option}" in text
        assert option in helped


def test_the_python_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "lifting.md").read_text(encoding="utf-8")
    program = text.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {}
    exec(program, names)
    assert names["text"].startswith("HIERARCHY")
