"""Cameras against VideoPose3D's numbers, and back again."""

import json
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from anypose.camera import Camera, from_screen, quaternion, rotation_matrix, to_screen
from conftest import vectors

FRAME = np.random.default_rng(7)


def camera(**changes: Any) -> Camera:
    """A lens that bends in every term, turned and moved."""
    fields: dict[str, Any] = {
        "size": (1002, 1000),
        "focal": (1145, 1144),
        "centre": (512.5, 515.4),
        "distortion": (-0.2071, 0.2478, -0.0031, -0.00098, -0.00142),
        "orientation": rotated(0.4, 0.3, -1.1),
        "position": (1.8, -4.9, 1.5),
    }
    return Camera(**(fields | changes))


def rotated(*angles: float) -> Any:
    """A quaternion of three turns about x, y and z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        half = np.zeros(4)
        half[0], half[axis + 1] = np.cos(angle / 2), np.sin(angle / 2)
        matrix = matrix @ rotation_matrix(half)
    return quaternion(matrix)


def points(number: int = 50) -> Any:
    """Points in front of the camera, within what it sees."""
    rays = FRAME.uniform(-0.4, 0.4, (number, 2))
    depth = FRAME.uniform(2, 6, (number, 1))
    return np.concatenate([rays * depth, depth], 1)


def reference() -> tuple[dict[str, Any], list[Camera]]:
    folder = vectors("camera_metrics")
    numbers = load_file(folder / "h36m_camera_S9.io.safetensors")
    assert json.loads((folder / "h36m_camera_S9.json").read_text())["order"] == "fx fy cx cy k1 k2 k3 p1 p2"
    cameras: list[Camera] = []
    while f"cam{len(cameras)}_wh" in numbers:
        width, height = numbers[f"cam{len(cameras)}_wh"].tolist()
        nine, *place = (numbers[f"cam{len(cameras)}_{part}"] for part in ("intr9", "q", "t"))
        cameras.append(Camera.from_screen(nine, (height, width), orientation=place[0], position=place[1]))
    assert cameras
    return numbers, cameras


def test_cameras_give_videopose3ds_numbers() -> None:
    numbers, cameras = reference()
    for i, taken in enumerate(cameras):
        near = taken.to_camera(numbers["in_world"])
        np.testing.assert_allclose(near, numbers[f"out_cam{i}_xyz"], atol=5e-6)
        bent, straight = taken.project(near, clamp=True), taken.project(near, distort=False, clamp=True)
        np.testing.assert_allclose(bent, numbers[f"out_cam{i}_uv_px"], atol=1e-3)
        np.testing.assert_allclose(taken.to_screen(bent), numbers[f"out_cam{i}_uv_norm"], atol=2e-6)
        np.testing.assert_allclose(taken.to_screen(straight), numbers[f"out_cam{i}_uv_linear"], atol=2e-6)
        np.testing.assert_allclose(taken.screen, numbers[f"cam{i}_intr9"], atol=1e-7)


@pytest.mark.parametrize("tangential", [1, 2])
def test_what_was_projected_comes_back(tangential: float) -> None:
    taken, places = camera(tangential=tangential), points()
    pixels = taken.project(places)
    assert np.abs(pixels - taken.project(places, distort=False)).max() > 1
    np.testing.assert_allclose(taken.unproject(pixels, places[:, 2]), places, atol=1e-8)
    np.testing.assert_allclose(taken.to_world(taken.to_camera(places)), places, atol=1e-12)


def test_browns_model_is_opencvs() -> None:
    # x + 2 p1 x y + p2 (r^2 + 2 x^2), y + p1 (r^2 + 2 y^2) + 2 p2 x y with OpenCV's p1, p2, which are our p2, p1.
    x, y, p1, p2 = 0.3, -0.2, 0.01, -0.02
    taken = camera(focal=(1, 1), centre=(0, 0), distortion=(0, 0, 0, p2, p1), tangential=2)
    square = x * x + y * y
    expected = (x + 2 * p1 * x * y + p2 * (square + 2 * x * x), y + p1 * (square + 2 * y * y) + 2 * p2 * x * y)
    np.testing.assert_allclose(taken.project((x, y, 1)), expected, atol=1e-15)


def test_a_pixel_that_no_ray_bends_to_is_not_a_number() -> None:
    taken = camera(distortion=(-0.5, 0, 0, 0, 0))
    assert np.isnan(taken.unproject((2400, 500), 1.0)[:2]).all()
    assert np.isfinite(taken.unproject((600, 500), 1.0)).all()


def test_what_is_behind_has_no_place_in_the_picture() -> None:
    assert np.isnan(camera().project([[0, 0, -1], [0, 0, 0]])).all()


def test_screen_units_are_those_of_the_width() -> None:
    corners: Any = np.array([[0, 0], [1000, 1002], [500, 501]])
    expected: Any = [[-1, -1.002], [1, 1.002], [0, 0]]
    np.testing.assert_allclose(to_screen(corners, (1002, 1000)), expected, atol=1e-12)
    np.testing.assert_allclose(from_screen(to_screen(corners, (480, 640)), (480, 640)), corners, atol=1e-12)


def test_a_camera_follows_its_pictures() -> None:
    taken, places = camera(), points()
    affine = np.array([[0.5, 0, 20], [0, 0.25, -7]])
    moved = taken.warp(affine, (300, 540))
    np.testing.assert_allclose(moved.project(places), taken.project(places) @ affine[:, :2].T + affine[:, 2], atol=1e-9)
    flipped = taken.mirror().project(places * (-1, 1, 1))
    np.testing.assert_allclose(flipped * (-1, 1) + (1000, 0), taken.project(places), atol=1e-9)
    for turned in ([[0, -1, 0], [1, 0, 0]], [[-1, 0, 0], [0, 1, 0]]):
        with pytest.raises(ValueError, match="moved and scaled only"):
            taken.warp(turned, (300, 540))


def test_quaternions_and_matrices_are_the_same_turns() -> None:
    turns = FRAME.normal(size=(500, 4))
    turns /= np.linalg.norm(turns, axis=1, keepdims=True)
    turns[:4] = np.eye(4)  # half turns, where w is 0
    matrices = rotation_matrix(turns)
    np.testing.assert_allclose(matrices @ matrices.swapaxes(1, 2), np.broadcast_to(np.eye(3), (500, 3, 3)), atol=1e-12)
    np.testing.assert_allclose(np.abs((quaternion(matrices) * turns).sum(1)), 1, atol=1e-12)
    quarter = rotation_matrix([np.sqrt(0.5), 0, 0, np.sqrt(0.5)])
    np.testing.assert_allclose(quarter @ (1, 0, 0), (0, 1, 0), atol=1e-12)


def test_a_camera_survives_json() -> None:
    taken = camera(name="54138969", tangential=2)
    again = Camera.from_dict(json.loads(json.dumps(taken.to_dict())))
    assert again.equals(taken)
    assert not again.equals(camera())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"focal": (0, 1)}, "positive pixels"),
        ({"focal": (1, float("nan"))}, "focal of a camera must be 2 finite numbers"),
        ({"distortion": (0, 0, 0, 0)}, "distortion of a camera must be 5 finite"),
        ({"orientation": (1, 1, 0, 0)}, "unit quaternion"),
        ({"centre": "left"}, "centre of a camera must be 2 numbers"),
        ({"size": (0, 10)}, "size is"),
    ],
)
def test_what_makes_no_camera_is_named(change: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        camera(**change)


def test_a_record_that_is_no_camera_is_named() -> None:
    with pytest.raises(ValueError, match="lacks focal"):
        Camera.from_dict({"size": (2, 2), "centre": (1, 1)})
    with pytest.raises(ValueError, match="holds 'lens'"):
        Camera.from_dict({"size": (2, 2), "centre": (1, 1), "focal": (1, 1), "lens": 3})
    with pytest.raises(ValueError, match=r"shape \(\.\.\., 3\)"):
        camera().project((1, 2))
