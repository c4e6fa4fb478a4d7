"""Layers that several systems use."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from anypose.models.promptable.uniphd.queries import mlp
from anypose.nn.deformable import DeformableAttention
from anypose.nn.dynamic_masks import dynamic_masks, dynamic_sizes
from anypose.nn.eight_bits import EightBitLinear, in_eight_bits
from anypose.nn.parts import PART, in_parts
from anypose.nn.swin import Swin


@settings(max_examples=15, deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=3),
    seed=st.integers(0, 1000),
    far=st.sampled_from([0.5, 30.0]),
)
def test_both_ways_of_reading_a_pyramid_agree(shapes: list[tuple[int, int]], seed: int, far: float) -> None:
    torch.manual_seed(seed)
    attention = DeformableAttention(16, heads=2, levels=len(shapes), points=3)
    torch.nn.init.normal_(attention.offsets.weight, std=far)
    cells = sum(h * w for h, w in shapes)
    memory, query = torch.randn(2, cells, 16), torch.randn(2, 5, 16)
    reference = torch.rand(2, 5, len(shapes), 2) * 1.4 - 0.2
    padding = torch.rand(2, cells) < 0.2
    found = []
    with torch.no_grad():
        for attention.sampling in ("grid", "rows", "auto"):
            found.append(attention(query, reference, memory, shapes, padding))
    torch.testing.assert_close(found[1], found[0], atol=1e-4, rtol=1e-4)
    assert torch.equal(found[2], found[1])


def test_dynamic_masks_are_two_convolutions() -> None:
    torch.manual_seed(0)
    features, offsets = torch.randn(1, 5, 3, 4), torch.randn(1, 1, 2, 3, 4)
    parameters = torch.randn(1, 1, sum(dynamic_sizes(5, 6)))
    first, second, first_bias, second_bias = parameters[0, 0].split(dynamic_sizes(5, 6))
    seen = torch.cat((features, offsets[:, 0]), 1)
    seen = torch.nn.functional.conv2d(seen, first.view(6, 7, 1, 1), first_bias).relu()
    expected = torch.nn.functional.conv2d(seen, second.view(6, 6, 1, 1), second_bias)
    torch.testing.assert_close(dynamic_masks([features], offsets, parameters, 6)[0], expected)


def test_an_mlp_ends_without_an_activation() -> None:
    assert [type(layer).__name__ for layer in mlp(2, 3, 1)] == ["Linear", "ReLU", "Linear"]


@pytest.mark.parametrize("size", [(64, 96), (100, 36), (4, 4)])
@pytest.mark.parametrize("gradients", [True, False])
def test_swin_is_what_transformers_has(size: tuple[int, int], gradients: bool) -> None:
    """The same weights, the same maps, whatever windows the picture is cut into."""
    torch.manual_seed(0)
    swin = Swin(width=16, depths=(2, 2, 2, 2), heads=(1, 2, 4, 8)).eval()
    with torch.no_grad():
        for value in swin.parameters():
            value.add_(torch.randn_like(value) * 0.1)
    pictures = torch.randn(2, 3, *size)
    with torch.set_grad_enabled(gradients):
        ours, theirs = swin(pictures), swin.model(pictures).feature_maps
    for one, other in zip(ours, theirs):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)


def test_parts_are_the_whole() -> None:
    layer = nn.Linear(3, 5)
    rows, more = torch.randn(2, 2 * PART + 7, 3), torch.randn(2, 5)
    sizes: list[int] = []

    def through(x: Tensor, of: Tensor) -> Tensor:
        sizes.append(x.shape[1])
        return layer(x) + of[:, None]

    with torch.no_grad():
        apart = in_parts(through, [rows], [more])
    assert sizes == [PART, PART, 7] * 2
    together = in_parts(through, [rows], [more])
    assert together.requires_grad
    torch.testing.assert_close(apart, together.detach())


def test_eight_bits_are_near() -> None:
    torch.manual_seed(0)
    linear, x = nn.Linear(96, 40), torch.randn(3, 50, 96)
    with torch.no_grad():
        linear.weight[3] *= 100  # its scale is its own, and costs the others nothing
        exact, small = linear(x), EightBitLinear(linear)(x)
    assert small.shape == exact.shape
    worst = (small - exact).abs().amax((0, 1)) / exact.abs().amax((0, 1))
    assert 0 < worst.max() < 0.05


def test_only_the_layers_that_are_named_become_eight_bits() -> None:
    model: Any = nn.ModuleDict(
        {"body": nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)), "head": nn.Linear(4, 2)}
    )
    assert in_eight_bits(model, ["body.*"]) == 2
    assert isinstance(model["body"][2], EightBitLinear)
    assert type(model["head"]) is nn.Linear
