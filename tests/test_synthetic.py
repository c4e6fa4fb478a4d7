"""Synthetic people: the body, poses on the ground, the truth of a frame, sentences, and what is written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from anypose.cli import app
from anypose.data import coco
from anypose.data.synthetic import (
    Body,
    BodyError,
    MocapError,
    SceneError,
    Settings,
    Source,
    Synthetic,
    Wishes,
    sample_of,
)
from anypose.data.synthetic.among import Joined, put_into
from anypose.data.synthetic.angles import pose_of
from anypose.data.synthetic.body import rotations_of
from anypose.data.synthetic.checking import Reader, meant
from anypose.data.synthetic.frame import OTHERS_HIDE, OUTSIDE, SELF_HIDDEN, VISIBLE, Frame, box_around, states_of
from anypose.data.synthetic.ground import meet, sinks
from anypose.data.synthetic.mocap import BONES, RATE, read_clips
from anypose.data.synthetic.people import Person, clothed, stand
from anypose.data.synthetic.poses import Drawn, moving
from anypose.data.synthetic.raster import DeviceError, device_named, rasterize
from anypose.data.synthetic.scene import random_scene
from anypose.data.synthetic.sequences import Walker, progress_of
from anypose.data.synthetic.stances import LIBRARY
from anypose.data.synthetic.surface import surface
from anypose.data.synthetic.turns import axis_angle, between, rotation
from anypose.data.synthetic.video import VideoError, check_video
from anypose.data.synthetic.words import expressions
from anypose.data.synthetic.writing import Plan, write

SETTINGS = Settings(Wishes(people=(3, 4), size=(200, 280)), seed=5)


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    source = Source(SETTINGS)
    return [source.frame(number) for number in range(4)]


@pytest.fixture(scope="module")
def body() -> Body:
    return Body.load("small")


def test_vertices_pass_gradcheck_to_shape_pose_and_translation() -> None:
    # The same arrays with few vertices: numerical gradients take a forward pass for every number.
    with np.load(body_file()) as stored:
        arrays = {name: stored[name] for name in ("v_template", "shapedirs", "weights", "kintree_table")}
    random = np.random.default_rng(0)
    for name in ("v_template", "shapedirs", "weights"):
        arrays[name] = arrays[name][::60].astype(np.float64)
    arrays["J_regressor"], arrays["f"] = random.dirichlet(np.ones(20), 52), np.zeros((0, 3))
    arrays["posedirs"] = random.normal(0, 0.01, (20, 3, 9 * 51))
    body = Body(arrays, shapes=4).double()
    torch.manual_seed(0)
    # No rotation at all is where Rodrigues' formula divides by nothing.
    pose = torch.zeros(1, 52, 3, dtype=torch.float64)
    pose[0, ::2] = 0.4 * torch.randn(26, 3, dtype=torch.float64)
    inputs = (torch.randn(1, 4, dtype=torch.float64), pose, torch.randn(1, 3, dtype=torch.float64))
    for value in inputs:
        value.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda *values: body(*values).vertices, inputs)


def test_a_body_at_rest_is_its_template_and_a_batch_equals_its_rows(body: Body) -> None:
    posed = body(torch.zeros(1, body.shapes), torch.zeros(1, 52, 3))
    assert torch.allclose(posed.vertices[0], body.template, atol=1e-6)
    pose, shape = 0.3 * torch.randn(3, 52, 3), torch.randn(3, body.shapes)
    both = body(shape, pose).vertices
    assert torch.allclose(both[1:2], body(shape[1:2], pose[1:2]).vertices, atol=1e-5)
    assert torch.allclose(body(shape, rotations_of(pose)).vertices, both, atol=1e-6)


def test_a_file_in_the_layout_of_smpl_is_read(tmp_path: Path, body: Body) -> None:
    with np.load(Path(body_file())) as stored:
        arrays = {name: stored[name] for name in stored.files}
    arrays["posedirs"] = np.zeros((1200, 3, 9 * 51), np.float32)
    arrays["posedirs"][:, 1, 3] = 1.0
    np.savez(tmp_path / "smplh.npz", **{k: v for k, v in arrays.items() if k not in ("shape_grid", "vertex_ids")})
    own = Body.load(tmp_path / "smplh.npz", shapes=10)
    assert own.shapes == 10
    assert own.shape_grid is None
    # The first joint after the root turns: its rotation's fourth entry, less the identity's, is added to y.
    pose = torch.zeros(1, 52, 3)
    pose[0, 1, 2] = 0.3
    bare = Body.load("small", shapes=10)(torch.zeros(1, 10), pose).vertices
    moved = own(torch.zeros(1, 10), pose).vertices
    assert (moved - bare).norm(dim=-1).mean() == pytest.approx(np.sin(0.3), rel=0.05)


def body_file() -> str:
    import anypose.data.synthetic.body as module

    return str(Path(module.__file__).parent / "bodies" / "small.npz")


@pytest.mark.parametrize("make", ["missing", "text", "short", "pickle"])
def test_a_file_that_holds_no_body_is_refused_in_words(tmp_path: Path, make: str) -> None:
    import pickle

    path = tmp_path / ("body.pkl" if make == "pickle" else "body.npz")
    if make == "text":
        path.write_text("no body")
    elif make == "short":
        np.savez(path, v_template=np.zeros((4, 3)))
    elif make == "pickle":
        path.write_bytes(pickle.dumps({"v_template": Path("/")}))
    with pytest.raises(BodyError, match=str(path.name)):
        Body.load(path)


def test_rotations_and_their_vectors_are_inverse() -> None:
    vectors = np.random.default_rng(0).normal(0, 1.2, (200, 3))
    vectors[0] = 0
    assert np.allclose(rotation(axis_angle(rotation(vectors))), rotation(vectors), atol=1e-6)


@pytest.mark.parametrize("name", LIBRARY)
def test_poses_of_the_library_stand_on_the_ground_and_bend_as_people_do(name: str, body: Body) -> None:
    person = Person.random(0, body, np.random.default_rng(len(name)))
    stance = LIBRARY[name]
    pose = moving(name, 0.0) if len(stance.angles) > 1 else pose_of(stance.angles[0])
    placed = stand(person, Drawn(name, pose, stance), 30.0, (0.4, -3.0))
    assert placed.vertices[:, 1].min() == pytest.approx(stance.lift, abs=1e-3)
    for side in ("left", "right"):
        hip, knee, ankle = (placed.joints[body.joint(f"{side}_{joint}")] for joint in ("hip", "knee", "ankle"))
        ahead = placed.turns[body.joint(f"{side}_hip")] @ np.array([0.0, 0, 1.0])
        bend = np.cross(knee - hip, ankle - knee)
        # A knee bends backwards: the shin is not before the line of the thigh.
        forward = (ankle - knee) @ ahead / np.linalg.norm(ankle - knee)
        assert forward < 0.12, (name, side, bend)
    if len(stance.flat) == 2:
        low = [
            placed.vertices[body.weights[:, body.joint(f"{s}_ankle")].numpy() > 0.5, 1].min() for s in ("left", "right")
        ]
        assert max(low) < 0.03
    assert sinks(placed.joints, placed.turns, person.stature) < 0.06 * person.stature


@pytest.mark.parametrize("hat", ["cap", "beanie", "sun hat"])
def test_heads_do_not_poke_through_hats(hat: str, body: Body) -> None:
    from scipy.spatial import Delaunay

    for seed in range(6):
        person = Person.random(0, body, np.random.default_rng(seed))
        style = ("short", "bald")[seed % 2]
        person = replace(person, outfit=replace(person.outfit, hat=hat, hair_style=style, bottom="trousers"))
        placed = stand(
            person, Drawn("standing", pose_of(LIBRARY["standing"].angles[0]), LIBRARY["standing"]), 0, (0, 0)
        )
        vertices, (mesh,) = clothed(placed)
        head = vertices[surface(body).head > 0.9]
        # The rim hangs lower than the crown begins.
        rim = mesh.vertices[:, 1].min() + (0.0 if hat == "beanie" else 0.035)
        assert (head[:, 1] > rim).sum() > 10
        assert (Delaunay(mesh.vertices).find_simplex(head[head[:, 1] > rim]) >= 0).all(), seed


def test_people_are_of_human_and_different_heights(body: Body) -> None:
    people = [Person.random(k, body, np.random.default_rng(k)) for k in range(30)]
    grown = [person.stature for person in people if person.build.years > 18]
    assert min(grown) > 1.45
    assert max(grown) < 2.05
    assert np.std(grown) > 0.04
    assert min(person.stature for person in people) < 1.5


def test_people_do_not_run_into_each_other(frames: list[Frame]) -> None:
    for frame in frames:
        placed = [person.placed for person in frame.people]
        for k, one in enumerate(placed):
            for other in placed[k + 1 :]:
                assert meet(one.balls(), other.balls()) == 0


def test_a_triangle_covers_the_centres_of_its_pixels() -> None:
    points = np.array([[2.0, 2, 4], [12.2, 2, 4], [2, 12.2, 4]])
    drawn = rasterize(points, np.array([[0, 2, 1]]), (16, 16))
    expected = {y * 16 + x for y in range(16) for x in range(16) if x >= 2 and y >= 2 and x + y + 1 <= 14}
    assert set(drawn.pixel.tolist()) == expected
    assert np.allclose(drawn.depth, 4, atol=1e-5)
    assert len(rasterize(points, np.array([[0, 1, 2]]), (16, 16)).pixel) == 0
    nearer = np.concatenate((points, points * [1, 1, 0.5]))
    two = rasterize(nearer, np.array([[0, 2, 1], [3, 5, 4]]), (16, 16))
    assert (two.face[two.nearest] == 1).all()


def by_hand(points: np.ndarray, faces: np.ndarray, size: tuple[int, int], two_sided: np.ndarray) -> np.ndarray:
    """(F, H * W, 4) depth and weights of each triangle at each pixel by solving for the point on it, nan outside."""
    y, x = (part.ravel() + 0.5 for part in np.mgrid[: size[0], : size[1]])
    found = np.full((len(faces), x.size, 4), np.nan)
    for number, face in enumerate(faces):
        corners = points[face]
        # A pixel's ray through a triangle in space: x and y are those of the corners times their depths.
        space = np.column_stack((corners[:, 0] * corners[:, 2], corners[:, 1] * corners[:, 2], corners[:, 2])).T
        if np.linalg.det(space) > 0 and not two_sided[number]:
            continue
        weights = np.linalg.solve(space, np.stack((x, y, np.ones_like(x)))).T  # H*W 3, of depth 1
        depth = 1 / weights.sum(1)
        inside = (weights >= 0).all(1)
        found[number, inside] = np.column_stack((depth, weights * depth[:, None]))[inside]
    return found


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_z_buffer_agrees_with_solving_for_each_pixel(device: str) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    random = np.random.default_rng(3)
    size, count = (40, 56), 30
    points = np.concatenate((random.uniform(-12, 64, (3 * count, 2)), random.uniform(1, 6, (3 * count, 1))), 1)
    faces, two_sided = np.arange(3 * count).reshape(count, 3), np.arange(count) % 3 == 0
    expected = by_hand(points, faces, size, two_sided)
    drawn = rasterize(points, faces, size, two_sided, device)
    ours = np.full_like(expected, np.nan)
    ours[drawn.face, drawn.pixel] = np.column_stack((drawn.depth, drawn.weights))
    # Only where a pixel's centre lies on an edge may they be of two minds.
    apart = np.isnan(ours[..., 0]) != np.isnan(expected[..., 0])
    assert apart.sum() < 3
    both = ~np.isnan(ours[..., 0]) & ~np.isnan(expected[..., 0])
    assert both.sum() > 5000
    assert np.allclose(ours[both], expected[both], rtol=1e-3, atol=1e-3)
    nearest = np.nanmin(np.where(np.isnan(expected[..., 0]), np.inf, expected[..., 0]), 0)
    assert np.mean(np.isclose(drawn.buffer, nearest, rtol=1e-3)) > 0.999
    front = drawn.front()
    chosen = expected[..., 0][:, front.pixel]
    same = np.where(np.isnan(chosen), np.inf, chosen).argmin(0) == front.face
    assert same.mean() > 0.999


def test_a_device_that_is_not_there_is_told() -> None:
    assert device_named("cpu") == torch.device("cpu")
    for name in ("gpu", "cpu:1", "cuda:99"):
        with pytest.raises(DeviceError, match="cpu"):
            device_named(name)


def test_keypoints_are_the_projected_joints(frames: list[Frame]) -> None:
    for frame in frames:
        camera = frame.camera.to_dict()
        matrix = np.array(camera["intrinsics"]) @ np.column_stack(
            (np.array(camera["rotation"]), -np.array(camera["rotation"]) @ np.array(camera["position"]))
        )  # 3 4
        for person in frame.people:
            body = person.placed.person.rig.body.double()
            posed = body(
                torch.as_tensor(person.placed.person.shape)[None],
                torch.as_tensor(person.pose)[None],
                torch.as_tensor(person.placed.translation)[None],
            )
            body.float()
            flat = matrix @ np.column_stack((posed.joints[0].numpy(), np.ones(52))).T
            assert np.abs((flat[:2] / flat[2]).T - person.joints).max() < 0.01
            again = person.keypoints_3d @ np.array(camera["intrinsics"]).T
            assert np.abs(again[:, :2] / again[:, 2:] - person.keypoints).max() < 0.01


def test_masks_are_the_rendered_ids_and_lie_in_the_whole_outline(frames: list[Frame]) -> None:
    for frame in frames:
        assert frame.labels.masks is not None
        for k in range(len(frame.people)):
            assert (frame.labels.masks.bitmap(k) == (frame.layers.ids == k + 1)).all()
            assert (frame.layers.whole[k] | ~frame.mask(k)).all()
        assert set(np.unique(frame.layers.ids)) <= {-2, -1, *range(len(frame.people) + 1)}
        assert ((frame.layers.parts > 0) <= (frame.layers.ids > 0)).all()
        assert ((frame.layers.vertices >= 0) == (frame.layers.parts > 0)).all()


def test_what_lies_outside_or_behind_is_said_so(frames: list[Frame]) -> None:
    for frame in frames:
        height, width = frame.camera.size
        for person in frame.people:
            x, y = person.joints.T
            outside = (x < 0) | (y < 0) | (x >= width) | (y >= height)
            assert (outside == (person.joint_states == OUTSIDE)).all()
    layers = frames[0].layers
    y, x = (int(v) for v in np.argwhere(layers.ids == 1)[0])
    depth = float(layers.depth[y, x])
    beyond = np.array([[-3.0, 5, 2], [x + 0.5, y + 0.5, depth + 0.01], [x + 0.5, y + 0.5, depth + 0.5]])
    assert states_of(beyond, np.full(3, 0.1), 0, layers).tolist() == [OUTSIDE, VISIBLE, SELF_HIDDEN]
    assert states_of(beyond[2:], np.full(1, 0.1), 1, layers).tolist() == [OTHERS_HIDE]


def test_sentences_are_true_of_one_person_by_another_routine(frames: list[Frame]) -> None:
    said = 0
    for number, frame in enumerate(frames):
        for k, sentences in enumerate(expressions(frame, np.random.default_rng(number), 8)):
            said += len(sentences)
            assert [s.text for s in sentences if meant(s.text, frame) != [k]] == []
    assert said > 60


def test_the_second_routine_does_not_agree_to_everything(frames: list[Frame]) -> None:
    frame = frames[0]
    order = np.argsort([person.box[0] + person.box[2] for person in frame.people])
    assert meant("the person furthest to the left", frame) == [order[0]]
    assert meant("THE RIGHTMOST ONE.", frame) == [order[-1]]
    assert meant("the person", frame) == list(range(len(frame.people))) or meant("the person", frame) == []
    assert meant("the person with a unicorn", frame) == []


def test_nobody_stands_behind_the_wall_of_a_room(body: Body) -> None:
    seen = 0
    for number in range(12):
        wishes = Wishes((4, 5), (120, 160), places=("hall", "room", "studio"))
        scene = random_scene(wishes, body, np.random.default_rng(number))
        height, width = scene.camera.size
        for placed in scene.people:
            x, y, depth = scene.camera.project(placed.vertices[placed.vertices[:, 1].argmin()] * [1, 0, 1])
            if 0 <= x < width and 0 <= y < height:
                seen += 1
                # There the ground is to be seen, and not the wall, which has no distance.
                assert scene.backdrop.distance[int(y), int(x)] == pytest.approx(depth, rel=0.1)
    assert seen > 20


def test_the_same_seed_gives_the_same_sample_in_any_order() -> None:
    first, second = Synthetic(SETTINGS), Synthetic(SETTINGS)
    second[3]
    one, other = first[1], second[1]
    assert (one.image() == other.image()).all()
    assert one.people.equals(other.people)
    assert one.person_captions == other.person_captions
    assert not np.array_equal(one.image(), Synthetic(replace(SETTINGS, seed=6))[1].image())
    assert next(iter(first)).people.equals(first[0].people)


def test_files_do_not_depend_on_the_number_of_processes_and_go_on_after_a_stop(tmp_path: Path) -> None:
    plan = Plan(replace(SETTINGS, wishes=Wishes((1, 2), (96, 128))), 4, shard=2, arrays=True, refhuman=True)
    counts = write(plan, tmp_path / "one", 1)
    assert counts["pictures"] == 4
    assert counts["left out"] == 0
    write(plan, tmp_path / "two", 2)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    before = {file: (tmp_path / "one" / file).read_bytes() for file in files}
    assert before == {file: (tmp_path / "two" / file).read_bytes() for file in files}
    (tmp_path / "one" / "shard-0001.json").unlink()
    (tmp_path / "one" / "images" / "00000003.jpg").unlink()
    kept = (tmp_path / "one" / "images" / "00000000.jpg").stat().st_mtime_ns
    write(plan, tmp_path / "one", 1)
    assert before == {file: (tmp_path / "one" / file).read_bytes() for file in files}
    assert (tmp_path / "one" / "images" / "00000000.jpg").stat().st_mtime_ns == kept


def test_the_readers_of_coco_and_refhuman_read_what_the_command_writes(tmp_path: Path) -> None:
    from anypose.data.refhuman import read

    out = tmp_path / "made"
    command = ["data", "synthesize", str(out), "--count", "2", "--people", "2", "--size", "160x120", "--refhuman",
               "--processes", "1", "--sheet", str(tmp_path / "sheet.png")]  # fmt: skip
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    samples = coco.read(out / "people.json", out / "images")
    assert [len(sample.people) for sample in samples] == [2, 2]
    for sample in samples:
        sample.image()
        assert sample.people.masks is not None
        assert any(sample.person_captions)
    referred = read(out / "referred.json", out / "images")
    assert len(referred) > 0
    assert not referred.faults
    content = json.loads((out / "people.json").read_text())
    assert {"expressions", "keypoints_3d", "amodal_segmentation", "identity"} <= content["annotations"][0].keys()
    assert (tmp_path / "sheet.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--people", "500", "--size", "64x64"], "at most 12"),
        (["--people", "10", "--size", "64x64"], "do not fit"),
        (["--size", "20x20"], "too small"),
        (["--size", "big"], "640x480"),
        (["--people", "some"], "such as 3"),
        (["--video"], "give --frames 2"),
        (["--frames", "3", "--mocap", "walks.npz"], "for single pictures"),
        (["--into", "nobody.json", "--images", "."], "nobody.json"),
        (["--into", "nobody.json"], "belong together"),
        (["--device", "gpu"], "auto, cpu, cuda"),
        (["--body", "nobody.npz"], "no body file"),
        (["--backgrounds", "nowhere"], "not there"),
    ],
)
def test_what_cannot_be_made_is_said_in_one_line(tmp_path: Path, options: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["data", "synthesize", str(tmp_path / "out"), "--count", "1", *options])
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_other_options_do_not_mix_into_a_folder(tmp_path: Path) -> None:
    from anypose.data.synthetic.writing import PlanError

    plan = Plan(replace(SETTINGS, wishes=Wishes((1, 1), (64, 96))), 1)
    write(plan, tmp_path, 1)
    with pytest.raises(PlanError, match="other options"):
        write(replace(plan, count=2), tmp_path, 1)


def test_wishes_are_checked_where_they_are_made() -> None:
    with pytest.raises(SceneError, match="the smaller number first"):
        Wishes(people=(4, 2))
    with pytest.raises(SceneError, match="there is no place"):
        Wishes(places=("moon",))


# What made the example picture, as its README says: picture 20.
EXAMPLE = Settings(
    Wishes((4, 4), (512, 768), 0.6, ("field", "pitch", "square", "street", "court", "beach")), seed=21, device="cpu"
)


def test_the_default_model_finds_the_one_who_is_meant_in_the_example_picture() -> None:
    import anypose

    path = Path(anypose.__file__).parent / "examples" / "synthetic.jpg"
    frame = Source(EXAMPLE).frame(20)
    kept = np.asarray(Image.open(path), int)
    # The picture that is kept is the one that the command makes, but for what JPEG loses.
    assert np.abs(kept - frame.image).mean() < 4
    order = np.argsort([person.box[0] + person.box[2] for person in frame.people])
    right, second = int(order[-1]), int(order[1])
    x, y = frame.people[second].keypoints[[5, 6, 11, 12]].mean(0)
    asked = {
        anypose.Prompt(text="the person on the right"): right,
        anypose.Prompt(text="the second person from the left"): second,
        anypose.Prompt(points=(x, y)): second,
        **{anypose.Prompt(box=tuple(person.box)): k for k, person in enumerate(frame.people)},
    }
    found = anypose.load("promptable/pointer").encode(path).find(list(asked))
    for prompt, k, answer in zip(asked, asked.values(), found):
        assert len(answer) == 1, prompt
        person = frame.people[k]
        seen = person.keypoint_states == VISIBLE
        error = np.linalg.norm(answer.keypoints[0] - person.keypoints, axis=1)[seen]
        # Of somebody else they would be a person's width away.
        assert np.median(error) < 0.06 * (person.box[3] - person.box[1]), prompt


def cmu_file(path: Path, body: Body, frames: int = 24) -> Path:
    """A file in CMU's layout: our own walk on CMU's bones, forwards by its steps."""
    rest = np.zeros((31, 3))
    up, down = np.array([0, 0.11, 0]), np.array([0, -0.4, 0])
    for name in ("lowerback", "upperback", "thorax", "lowerneck", "upperneck", "head"):
        rest[BONES.index(name)] = up
    for side, sign in (("l", 1), ("r", -1)):
        rest[BONES.index(f"{side}hipjoint")] = [0.08 * sign, -0.1, 0]
        rest[BONES.index(f"{side}clavicle")] = [0.17 * sign, 0.06, 0]
        for bone, length in (("humerus", 0.28), ("radius", 0.2), ("wrist", 0.1), ("hand", 0.04)):
            rest[BONES.index(side + bone)] = [length * sign, 0, 0]
        rest[BONES.index(f"{side}femur")] = rest[BONES.index(f"{side}tibia")] = down
        rest[BONES.index(f"{side}foot")] = [0, -0.02, 0.13]
    parents = [-1, 0, 0, 0, 1, 4, 5, 6, 2, 8, 9, 10, 3, 12, 13, 13, 13, 14, 17, 15, 19, 20, 21, 21, 22, 16, 25, 26, 27]
    parents += [27, 28]
    rig = Person.random(0, body, np.random.default_rng(0)).rig
    turns = np.tile(np.eye(3), (frames, 31, 1, 1))
    for frame in range(frames):
        world = rig.world(moving("walking", frame / frames))
        for joint, bone in (("hip", "femur"), ("knee", "tibia"), ("shoulder", "humerus"), ("elbow", "radius")):
            for side in ("left", "right"):
                row = BONES.index(side[0] + bone)
                turns[frame, row] = world[body.joint(f"{side}_{joint}")] @ between(rest[row], np.array([0.0, -1, 0]))
    positions = np.zeros((frames, 31, 3))
    for row, parent in enumerate(parents):
        if parent >= 0:
            positions[:, row] = positions[:, parent] + turns[:, row] @ rest[row]
    w = np.sqrt(np.maximum(0, 1 + np.trace(turns, axis1=-2, axis2=-1))) / 2
    vector = axis_angle(turns)
    half = np.linalg.norm(vector, axis=-1, keepdims=True) / 2
    quaternions = np.concatenate((w[..., None], np.sin(half) * vector / np.maximum(2 * half, 1e-9)), -1)
    arrays: dict[str, Any] = {
        "names": np.array(BONES),
        "parents": parents,
        "07_01/positions": positions,
        "07_01/rotations": quaternions,
        "07/rest_directions": rest,
    }
    np.savez(path, **arrays)
    return path


def test_recorded_bones_point_the_same_way_on_our_body(tmp_path: Path, body: Body) -> None:
    clip = read_clips(cmu_file(tmp_path / "motion.npz", body))["07_01"]
    rig = Person.random(3, body, np.random.default_rng(3)).rig
    pairs = (
        ("left_hip", "left_knee", "lfemur"),
        ("right_knee", "right_ankle", "rtibia"),
        ("left_shoulder", "left_elbow", "lhumerus"),
        ("right_shoulder", "right_elbow", "rhumerus"),
        ("left_elbow", "left_wrist", "lradius"),
    )
    for frame in range(0, len(clip), 5):
        places, _ = rig.places(clip.pose(frame))
        for start, end, bone in pairs:
            ours = places[body.joint(end)] - places[body.joint(start)]
            theirs = clip.rotations[frame, BONES.index(bone)] @ clip.rest[BONES.index(bone)]
            assert ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs) > 0.9999


def test_recorded_feet_that_stand_still_do_not_skate(body: Body) -> None:
    path = Path(__file__).parents[2] / "shared" / "data" / "cmu_mocap" / "cmu_60hz.npz"
    if not path.is_file():
        pytest.skip("CMU's motions are not beside the checkout")
    clip = read_clips(path)["02_01"]
    rig = Person.random(3, body, np.random.default_rng(3)).rig
    travel, feet = clip.travel(rig), [body.joint("left_foot"), body.joint("right_foot")]
    ours = np.array([rig.places(clip.pose(t))[0][feet] + travel[t] for t in range(0, len(clip), 4)])
    theirs = clip.positions[::4, [BONES.index("lfoot"), BONES.index("rfoot")]]
    speeds = [np.linalg.norm(np.diff(points, axis=0), axis=-1) * RATE / 4 for points in (ours, theirs)]
    assert speeds[0][speeds[1] < 0.15].mean() < 0.15


def test_another_skeleton_is_told_from_cmus(tmp_path: Path) -> None:
    np.savez(tmp_path / "dog.npz", names=np.array(["spine", "tail"]))
    with pytest.raises(MocapError, match="another skeleton"):
        read_clips(tmp_path / "dog.npz")
    with pytest.raises(MocapError, match="cannot read"):
        read_clips(tmp_path / "nothing.npz")
    result = CliRunner().invoke(
        app, ["data", "synthesize", str(tmp_path / "out"), "--mocap", str(tmp_path / "dog.npz")]
    )
    assert result.exit_code == 2
    assert "31 bones of CMU" in result.stderr


def test_poses_are_taken_from_a_recording(tmp_path: Path, body: Body) -> None:
    file = str(cmu_file(tmp_path / "motion.npz", body))
    source = Source(Settings(Wishes(people=(4, 4), size=(96, 128), mocap=file)))
    names = [person.placed.drawn.name for number in range(3) for person in source.frame(number).people]
    assert 0 < names.count("mocap") < len(names)


def test_walkers_keep_their_identity_and_their_feet_do_not_slide(body: Body) -> None:
    settings = Settings(Wishes(people=(3, 3), size=(96, 160)), seed=1, frames=10, cameras=2)
    frames = list(Source(settings).frames(0))
    assert [frame.name for frame in frames[9:11]] == ["0000_0_0009", "0000_1_0000"]
    outfits: dict[int, set[str]] = {}
    for frame in frames:
        for person in frame.people:
            outfits.setdefault(person.placed.person.identity, set()).add(repr(person.placed.person.outfit))
    assert all(len(worn) == 1 for worn in outfits.values())
    rig = Person.random(0, body, np.random.default_rng(0)).rig
    walker = Walker(Person.random(0, body, np.random.default_rng(0)), "walking", -4.0, 0.0, 1.0, np.inf, 0.0)
    assert progress_of(rig, "walking")[-1] > 0.6
    feet = [body.joint("left_foot"), body.joint("right_foot")]
    path = np.array([walker.at(t / 30).joints[feet] for t in range(30)])
    speed = np.linalg.norm(np.diff(path, axis=0), axis=-1) * 30
    # The slower foot is the one that carries: it stays while the pelvis goes on at a metre a second.
    assert speed.min(1).mean() < 0.25


def test_a_sequence_becomes_a_video_of_each_camera(tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="PyAV is not installed (extra [video])")
    settings = Settings(Wishes(people=(1, 1), size=(96, 128)), seed=3, frames=4, cameras=2)
    plan = Plan(settings, 1, video=True)
    write(plan, tmp_path / "one")
    images = json.loads((tmp_path / "one" / "people.json").read_text())["images"]
    assert [(image["video"], image["frame"]) for image in images[2:6]] == [
        ("videos/0000_0.mp4", 2), ("videos/0000_0.mp4", 3), ("videos/0000_1.mp4", 0), ("videos/0000_1.mp4", 1)
    ]  # fmt: skip
    frames = list(Source(settings).frames(0))
    with av.open(str(tmp_path / "one" / "videos" / "0000_1.mp4")) as container:
        assert container.streams.video[0].average_rate == 15
        shown = [picture.to_ndarray(format="rgb24") for picture in container.decode(video=0)]
    assert len(shown) == 4
    # As the frames are, but for what H.264 loses; the next frame is another.
    assert np.abs(shown[1].astype(int) - frames[5].image).mean() < 5
    write(plan, tmp_path / "two")
    names = ("0000_0.mp4", "0000_1.mp4")
    one, two = ([(tmp_path / run / "videos" / name).read_bytes() for name in names] for run in ("one", "two"))
    assert one == two


def test_videos_that_cannot_be_made_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import anypose.data.synthetic.video as module

    with pytest.raises(VideoError, match="--frames 2"):
        check_video([(96, 128)], 1)
    with pytest.raises(VideoError, match="instead of 127x96"):
        check_video([(96, 127)], 3)
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(VideoError, match="pip install"):
        check_video([(96, 128)], 3)


def test_people_leave_and_come_back(body: Body) -> None:
    walker = Walker(Person.random(0, body, np.random.default_rng(0)), "walking", -4.0, 0.0, 1.0, 2.0, 0.0)
    there, back = walker.at(1.5), walker.at(2.5)
    assert there.at[0] == pytest.approx(back.at[0])
    assert there.facing @ back.facing < -0.9


@pytest.fixture(scope="module")
def joined(frames: list[Frame], body: Body) -> list[Joined]:
    """A frame taken for a photograph, with others put in."""
    sample = sample_of(frames[0], np.random.default_rng(0))
    tries = (put_into(sample, 2, body, 0.5, "00000000", np.random.default_rng(seed)) for seed in range(12))
    found = [made for made in tries if made is not None]
    assert len(found) > 2
    return found


def test_what_is_said_in_a_photograph_is_true_of_one_even_when_everybody_is_known(
    frames: list[Frame], joined: list[Joined]
) -> None:
    said = 0
    for number, made in enumerate(joined):
        new, others = made.frame.people, made.kept_masks
        boxes = np.array([box_around(mask) for mask in others])
        reader = Reader(made.frame, others)
        # Here the photograph's people are known after all, to this test alone.
        ids = made.frame.layers.ids.copy()
        for k, mask in enumerate(others):
            ids[mask] = len(new) + k + 1
        everything = replace(made.frame, layers=replace(made.frame.layers, ids=ids), people=[*new, *frames[0].people])
        for k, sentences in enumerate(expressions(made.frame, np.random.default_rng(number), 6, boxes)):
            for sentence in sentences:
                assert sentence.has_position
                assert reader.meant(sentence.text) == [k], sentence
                assert meant(sentence.text, everything) == [k], sentence
            said += len(sentences)
        for text in ("the person in red", "the tallest one", "the person holding a handbag"):
            assert len(reader.meant(text)) != 1
    assert said > 20


def test_people_are_put_among_those_of_a_photograph(frames: list[Frame], joined: list[Joined]) -> None:
    scene, made = frames[0], joined[0]
    assert made.kept == len(scene.people)
    assert len(made.view.boxes) == made.kept + len(made.frame.people)
    new = np.zeros(scene.camera.size, bool)
    for k in range(len(made.frame.people)):
        new |= made.frame.mask(k)
    for k in range(made.kept):
        mask = made.view.masks[k]
        assert mask is not None
        assert not (mask & new).any()
        # Where nobody was put in front, the photograph's own people are as they were.
        assert (made.view.image[mask] == scene.image[mask]).mean() > 0.9
