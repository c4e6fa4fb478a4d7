import json
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco_mask

from anypose import affine as affines
from anypose.masks import Masks
from conftest import shared

BITMAPS = arrays.arrays(bool, st.tuples(st.integers(0, 3), st.integers(1, 24), st.integers(1, 24)))
few = settings(max_examples=40, deadline=None)


def disc(height: int = 60, width: int = 80, centre: Any = (30.5, 25.5), radius: float = 15) -> Any:
    y, x = np.mgrid[:height, :width] + 0.5
    return np.hypot(x - centre[0], y - centre[1]) < radius


@few
@given(BITMAPS)
def test_bitmaps_come_back_from_run_lengths(bitmaps: Any) -> None:
    masks = Masks.from_bitmaps(bitmaps)
    np.testing.assert_array_equal(masks.bitmaps(), bitmaps)
    assert Masks.from_rle(json.loads(json.dumps(masks.rle())), masks.size) == masks


@few
@given(BITMAPS)
def test_bitmaps_come_back_from_polygons_holes_and_all(bitmaps: Any) -> None:
    masks = Masks.from_bitmaps(bitmaps)
    assert Masks.from_polygons(masks.polygons(), masks.size) == masks


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9])
def test_polygons_of_bitmaps_full_of_holes_and_corners(share: float) -> None:
    masks = Masks.from_bitmaps(np.random.default_rng(0).random((20, 21, 17)) < share)
    assert Masks.from_polygons(masks.polygons(), masks.size) == masks


def test_rings_inside_rings_keep_their_own_holes() -> None:
    y, x = np.mgrid[:23, :23] - 11
    masks = Masks.from_bitmaps((np.maximum(abs(x), abs(y)) % 4 < 2)[None])
    assert Masks.from_polygons(masks.polygons(), masks.size) == masks


def test_each_region_is_one_polygon_and_a_hole_is_part_of_it() -> None:
    bitmap = np.zeros((9, 12), bool)
    bitmap[1, 1] = bitmap[2, 2] = True  # These touch at a corner only.
    bitmap[3:8, 4:11] = True
    bitmap[4:7, 5:10] = False
    bitmap[5, 7] = True  # An island in the hole.
    (polygons,) = Masks.from_bitmaps(bitmap[None]).polygons()
    assert polygons is not None
    assert sorted(len(polygon) // 2 for polygon in polygons) == [4, 4, 4, 10]
    assert [1, 1, 2, 1, 2, 2, 1, 2] in polygons


@few
@given(BITMAPS)
def test_uncompressed_run_lengths_with_empty_runs_mean_the_same(bitmaps: Any) -> None:
    masks = Masks.from_bitmaps(bitmaps)
    records = []
    for bitmap in bitmaps:
        # One run a pixel, with an empty run between equal neighbours.
        pixels = bitmap.ravel(order="F").tolist()
        runs, value = [0], False
        for pixel in pixels:
            if pixel != value:
                runs.append(0)
                value = pixel
            elif runs[-1]:
                runs += [0, 0]
            runs[-1] += 1
        records.append({"size": list(bitmap.shape), "counts": runs})
    assert Masks.from_rle(records, masks.size) == masks


@few
@given(BITMAPS)
def test_mirrored_twice_is_the_same(bitmaps: Any) -> None:
    masks = Masks.from_bitmaps(bitmaps)
    assert masks.mirror().mirror() == masks
    np.testing.assert_array_equal(masks.mirror().bitmaps(), bitmaps[:, :, ::-1])


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # pycocotools with numpy 2
def test_cocos_own_segmentations() -> None:
    records = json.loads(shared("data/coco_people/dev.json").read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in records["images"]}
    kinds = set()
    for record in records["annotations"][:150]:
        size = sizes[record["image_id"]]
        segmentation = record["segmentation"]
        kinds.add(type(segmentation))
        if isinstance(segmentation, list):
            expected = coco_mask.decode([coco_mask.merge(coco_mask.frPyObjects(segmentation, *size))])[..., 0]
        else:
            if isinstance(segmentation["counts"], list):
                segmentation = coco_mask.frPyObjects(segmentation, *size)
            expected = coco_mask.decode([segmentation])[..., 0]
        np.testing.assert_array_equal(Masks.from_coco([record["segmentation"]], size).bitmap(0), expected)
    assert kinds == {list, dict}


def test_a_unit_square_of_polygon_is_its_pixels() -> None:
    bitmap = Masks.from_polygons([[[2, 1, 5, 1, 5, 3, 2, 3]]], (6, 8)).bitmap(0)
    assert np.argwhere(bitmap).tolist() == [[1, 2], [1, 3], [1, 4], [2, 2], [2, 3], [2, 4]]


def test_two_parts_of_a_person_are_united() -> None:
    parts = [[0, 0, 2, 0, 2, 2, 0, 2], [1, 1, 4, 1, 4, 4, 1, 4]]
    assert Masks.from_polygons([parts], (6, 6)).areas().tolist() == [12]


def test_unknown_is_not_empty() -> None:
    masks = Masks.from_coco([None, [], {"size": [4, 5], "counts": [20]}], (4, 5))
    assert masks.known.tolist() == [False, False, True]
    assert masks.areas().tolist() == [0, 0, 0]
    assert not masks.bitmaps().any()
    assert masks.boxes().tolist() == [[0] * 4] * 3
    assert masks.rle()[0] is None
    assert masks.polygons() == [None, None, []]
    assert masks.mirror() == masks
    assert masks.warp([[1, 0, 1], [0, 1, 0]], (4, 5)).known.tolist() == [False, False, True]


def test_areas_boxes_and_overlaps() -> None:
    bitmaps = np.zeros((3, 10, 12), bool)
    bitmaps[0, 2:6, 3:9] = True
    bitmaps[1, 4:8, 3:9] = True
    masks = Masks.from_bitmaps(bitmaps)
    assert masks.areas().tolist() == [24, 24, 0]
    assert masks.boxes().tolist() == [[3, 2, 9, 6], [3, 4, 9, 8], [0, 0, 0, 0]]
    np.testing.assert_allclose(masks.iou(masks[:2]), np.array([[1, 1 / 3], [1 / 3, 1], [0, 0]]))
    assert Masks.unknown(1, (10, 12)).iou(masks).tolist() == [[0, 0, 0]]
    assert masks.iou(masks[:0]).shape == (3, 0)
    assert masks[:0].boxes().shape == (0, 4)
    assert masks[:0].areas().shape == (0,)


def test_indexing_iterating_and_joining() -> None:
    masks = Masks.from_bitmaps(np.stack([disc(radius=r) for r in (5, 10, 15)]))
    assert masks[-1] == masks[2] == list(masks)[2]
    assert masks[[True, False, True]] == masks[np.array([0, 2])] == masks[::2]
    assert Masks.concatenate([masks[:1], masks[1:]]) == masks
    assert len(masks[[]]) == 0
    for wrong in (3, -4, [True, False], 1.5, "first"):
        with pytest.raises(IndexError, match="mask"):
            masks[wrong]
    with pytest.raises(ValueError, match="do not mix"):
        Masks.concatenate([masks, Masks.unknown(1, (3, 3))])
    with pytest.raises(ValueError, match="nothing to concatenate"):
        Masks.concatenate([])
    with pytest.raises(ValueError, match="cannot overlap"):
        masks.iou(Masks.unknown(1, (3, 3)))


def test_warp_moves_by_the_affine_to_the_pixel() -> None:
    masks = Masks.from_bitmaps(disc()[None])
    assert masks.warp(affines.IDENTITY, masks.size) is masks
    shifted = masks.warp([[1, 0, 7], [0, 1, -4]], masks.size).bitmap(0)
    np.testing.assert_array_equal(shifted, disc(centre=(37.5, 21.5)))
    doubled = masks.warp([[2, 0, 0], [0, 2, 0]], (120, 160)).bitmap(0)
    expected = disc(120, 160, (61, 51), 30)
    assert (doubled != expected).sum() < 0.05 * expected.sum()
    np.testing.assert_allclose(np.argwhere(doubled).mean(axis=0) + 0.5, (51, 61), atol=0.05)


@few
@given(st.floats(0.5, 3), st.floats(-3, 3), st.floats(-10, 10))
def test_warp_and_back(scale: Any, angle: Any, shift: Any) -> None:
    masks = Masks.from_bitmaps(disc()[None])
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    affine = np.column_stack([turn, turn @ (-30, -25) + (150 + shift, 150)])
    there = masks.warp(affine, (300, 300))
    assert there.areas()[0] == pytest.approx(masks.areas()[0] * scale**2, rel=0.08)
    back = there.warp(affines.invert(affine), masks.size)
    assert back.iou(masks)[0, 0] > 0.85


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Masks.from_bitmaps(np.zeros((3, 4))), "shape \\(N, H, W\\), not \\(3, 4\\)"),
        (lambda: Masks.from_bitmaps(np.full((1, 3, 4), 255)), "bool or 0 and 1"),
        (lambda: Masks.unknown(1, (0, 4)), "two positive integers"),
        (lambda: Masks.unknown(1, cast(Any, 4)), "a size is"),
        (lambda: Masks.from_rle([{"size": [4, 5], "counts": "4"}], (5, 5)), "not of \\(5, 5\\)"),
        (lambda: Masks.from_rle([{"size": [5, 5], "counts": "4"}], (5, 5)), "runs cover 4 pixels"),
        (lambda: Masks.from_rle([{"size": [5, 5], "counts": "~"}], (5, 5)), "not a COCO string"),
        (lambda: Masks.from_rle([{"size": [5, 5], "counts": ""}], (5, 5)), "not a COCO string"),
        (lambda: Masks.from_rle([{"size": [5, 5], "counts": "oooooooooo0"}], (5, 5)), "too large"),
        (lambda: Masks.from_rle([{"size": [5, 5], "counts": [30, -5]}], (5, 5)), "damaged"),
        (lambda: Masks.from_rle([{"size": 5, "counts": [25]}], (5, 5)), "a size is"),
        (lambda: Masks.from_rle([{"size": [5, 5], "counts": [None]}], (5, 5)), "damaged"),
        (lambda: Masks.from_rle(["4"], (5, 5)), "must be a record"),
        (lambda: Masks.from_polygons([[[1, 2, 3, 4]]], (5, 5)), "three corners"),
        (lambda: Masks.from_polygons([[[1, 2, 3, 4, 5, 1e9]]], (5, 5)), "far outside"),
        (lambda: Masks.from_polygons([[[1, 2, 3, 4, 5, float("nan")]]], (5, 5)), "far outside"),
        (lambda: Masks.from_polygons([["here"]], (5, 5)), "not numbers"),
    ],
)
def test_what_is_wrong_is_named(make: Any, message: Any) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_damaged_run_lengths_never_reach_pycocotools() -> None:
    text = Masks.from_bitmaps(disc()[None]).counts[0] or ""
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = list(text)
        damaged[rng.integers(len(text))] = chr(rng.integers(40, 120))
        try:
            masks = Masks.from_rle([{"size": [60, 80], "counts": "".join(damaged)}], (60, 80))
        except ValueError:
            continue
        assert masks.bitmap(0).shape == (60, 80)
