"""Boxes and heat maps as torch functions."""

import math

import pytest
import torch
from torch import Tensor

from anypose.ops import boxes as box_ops
from anypose.ops import heatmaps


def some_boxes(*shape: int, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    low = torch.rand(*shape, 2, generator=random, dtype=torch.float64) * 50
    size = torch.rand(*shape, 2, generator=random, dtype=torch.float64) * 40 + 1
    return torch.cat((low, low + size), -1)


def test_iou_by_hand() -> None:
    left = torch.tensor([[0.0, 0, 2, 2], [0, 0, 1, 1]])
    right = torch.tensor([[1.0, 0, 3, 2], [0, 0, 2, 2], [5, 5, 6, 6], [2, 0, 4, 2]])
    expected = torch.tensor([[2 / 6, 1, 0, 0], [0, 1 / 4, 0, 0]])
    torch.testing.assert_close(box_ops.iou(left, right), expected)


def test_iou_of_every_pair_in_every_batch() -> None:
    left, right = some_boxes(3, 5), some_boxes(3, 7, seed=1)
    found = box_ops.iou(left, right)
    assert found.shape == (3, 5, 7)
    torch.testing.assert_close(box_ops.iou(right, left), found.transpose(1, 2))
    torch.testing.assert_close(box_ops.iou(left[1], right[1]), found[1])
    assert ((found >= 0) & (found <= 1)).all()
    torch.testing.assert_close(box_ops.iou(left, left).diagonal(dim1=1, dim2=2), torch.ones(3, 5).double())


def test_boxes_without_area_do_not_divide_by_zero() -> None:
    nothing = torch.tensor([[3.0, 3, 3, 3], [5, 5, 4, 4]])
    assert box_ops.area(nothing).tolist() == [0, 0]
    assert box_ops.iou(nothing, nothing).tolist() == [[0, 0], [0, 0]]
    assert box_ops.generalised_iou(nothing, nothing).isfinite().all()


def test_generalised_iou_by_hand() -> None:
    box = torch.tensor([0.0, 0, 2, 2])
    assert box_ops.generalised_iou(box, box) == pytest.approx(1)
    apart = torch.tensor([4.0, 0, 6, 2])  # the hull has 12, both together 8
    assert box_ops.generalised_iou(box, apart) == pytest.approx(-4 / 12)
    inside = torch.tensor([0.0, 0, 1, 1])
    assert box_ops.generalised_iou(box, inside) == pytest.approx(1 / 4)


def test_generalised_iou_is_never_above_iou() -> None:
    left, right = some_boxes(40), some_boxes(40, seed=1)
    plain = box_ops.iou(left, right).diagonal()
    found = box_ops.generalised_iou(left, right)
    assert (found <= plain + 1e-12).all()
    assert (found >= -1).all()


def test_refine() -> None:
    boxes = torch.tensor([[10.0, 20, 30, 60]])
    torch.testing.assert_close(box_ops.refine(boxes, torch.zeros(1, 4)), boxes)
    moved = box_ops.refine(boxes, torch.tensor([[0.5, -0.25, 0, 0]]))
    torch.testing.assert_close(moved, torch.tensor([[20.0, 10, 40, 50]]))
    wider = box_ops.refine(boxes, torch.tensor([[0, 0, math.log(2), 0]]))
    torch.testing.assert_close(wider, torch.tensor([[0.0, 20, 40, 60]]))
    assert box_ops.refine(boxes, torch.full((1, 4), 100.0)).isfinite().all()


def test_distinct_keeps_the_best_of_repeats() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10], [20, 0, 30, 12]])
    scores = torch.tensor([4.0, 3, 2, 1])
    assert box_ops.distinct(boxes, scores, 0.7).tolist() == [True, False, True, False]
    assert box_ops.distinct(boxes, scores, 0.85).tolist() == [True, False, True, True]
    mixed = [3, 1, 0, 2]  # the order of the boxes says nothing
    assert box_ops.distinct(boxes[mixed], scores[mixed], 0.7).tolist() == [False, False, True, True]
    same = box_ops.distinct(boxes[[0, 0]], scores[[0, 0]], 0.7)
    assert same.tolist() == [True, False]
    two = torch.stack((boxes, boxes[[0, 2, 1, 3]]))
    assert box_ops.distinct(two, scores.expand(2, -1), 0.7).tolist()[1] == [True, True, False, False]


def test_gradients_of_boxes() -> None:
    left, right = some_boxes(3).requires_grad_(), some_boxes(3, seed=1).requires_grad_()
    deltas = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).mul(0.3)
    assert torch.autograd.gradcheck(box_ops.iou, (left, right))
    assert torch.autograd.gradcheck(box_ops.generalised_iou, (left, right))
    assert torch.autograd.gradcheck(box_ops.refine, (left, deltas.requires_grad_()))


def test_encoded_peaks_stand_where_the_keypoint_is() -> None:
    maps = heatmaps.encode(torch.tensor([[[40.0, 80.0], [0.0, 0.0]]]), (64, 48))
    assert maps.shape == (1, 2, 64, 48)
    assert maps[0, 0, 20, 10] == 1
    assert maps[0, 1, 0, 0] == 1
    assert maps[0, 0, 20, 12] == pytest.approx(math.exp(-0.5))  # two heat-map pixels are one sigma
    assert maps[0, 0].max() == 1


def test_decoding_finds_the_part_of_a_pixel() -> None:
    random = torch.Generator().manual_seed(0)
    places = torch.rand(4, 17, 2, generator=random) * torch.tensor([192 - 48.0, 256 - 48]) + 24
    found, peak = heatmaps.decode(heatmaps.encode(places, (64, 48)))
    assert (found - places).abs().max() < 0.1
    assert (peak > 0.9).all()


def test_decoding_needs_no_height_of_one() -> None:
    places = torch.tensor([[[50.3, 61.7]]])
    found, peak = heatmaps.decode(heatmaps.encode(places, (64, 48)) * 0.2)
    assert (found - places).abs().max() < 0.1
    assert 0.18 < float(peak) <= 0.2


@pytest.mark.parametrize("place", [(0, 0), (188, 252), (0, 252), (3.0, 100.0), (100.0, 251.0), (188, 0), (4, 4)])
def test_decoding_at_the_border_stays_within_the_map(place: tuple[float, float]) -> None:
    places = torch.tensor([[place]], dtype=torch.float32)
    found, _ = heatmaps.decode(heatmaps.encode(places, (64, 48)))
    assert (found - places).abs().max() <= 4
    assert ((found >= -4) & (found <= torch.tensor([192.0, 256]))).all()


def test_decoding_maps_without_a_peak() -> None:
    for maps in (torch.zeros(1, 2, 64, 48), torch.full((1, 2, 64, 48), 0.5), -torch.ones(1, 2, 64, 48)):
        found, peak = heatmaps.decode(maps)
        assert found.isfinite().all()
        assert peak.isfinite().all()


def test_blur_keeps_the_sum_and_the_centre() -> None:
    maps = torch.zeros(1, 1, 33, 33)
    maps[0, 0, 16, 16] = 1
    blurred = heatmaps.blur(maps)
    assert blurred.sum() == pytest.approx(1, abs=1e-5)
    assert int(blurred.argmax()) == 16 * 33 + 16
    torch.testing.assert_close(blurred, blurred.transpose(2, 3))


def test_gradients_of_heat_maps() -> None:
    places = torch.tensor([[11.3, 20.1], [30.2, 7.7]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda at: heatmaps.encode(at, (4, 5)), places)
    maps = torch.rand(1, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda m: heatmaps.blur(m, size=5), maps)
