"""RealNVP and the likelihood that it learns from, against the published code's numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from anypose.nn.flow import Base, RealNVP, rle_loss
from conftest import vectors


@pytest.fixture(scope="module")
def reference() -> dict[str, Tensor]:
    with np.load(vectors("rle") / "rle.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


@pytest.fixture(scope="module")
def flow(reference: dict[str, Tensor]) -> RealNVP:
    state = {name.removeprefix("sd/"): value for name, value in reference.items() if name.startswith("sd/")}
    made = RealNVP(len(state["mask"]), len(state["s.0.0.bias"]))
    made.load_state_dict(state)
    return made.requires_grad_(False)


def error(reference: dict[str, Tensor]) -> Tensor:
    return (reference["mu"] - reference["gt"]) / reference["sigma"]  # the published code's sign


def test_the_published_size() -> None:
    assert sum(value.numel() for value in RealNVP().parameters()) == 53784


def test_both_ways_and_densities_are_the_published_ones(reference: dict[str, Tensor], flow: RealNVP) -> None:
    z, log_det = flow.to_normal(error(reference).reshape(-1, 2))
    torch.testing.assert_close(z, reference["z"])
    torch.testing.assert_close(log_det, reference["logdet"])
    torch.testing.assert_close(flow.from_normal(reference["z"]), reference["roundtrip"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(flow.log_prob(error(reference))[..., None], reference["log_phi"])


def test_the_published_loss_counts_twice(reference: dict[str, Tensor], flow: RealNVP) -> None:
    known, sigma = reference["weight"][..., 0], reference["sigma"]
    torch.testing.assert_close(sigma.log() - reference["log_phi"], reference["nf_loss"])
    given = (flow, reference["mu"], sigma, reference["gt"], known)
    twice = rle_loss(*given, base="laplace", double_counting=True)
    torch.testing.assert_close(twice, reference["loss"].reshape(()))
    # What it counts once too often, taken away, leaves the equation at errors of the published sign.
    mirrored = rle_loss(flow, -reference["mu"], sigma, -reference["gt"], known, base="laplace")
    extra = ((sigma.log().sum(-1) - reference["log_phi"][..., 0]) * known).sum() / len(known)
    torch.testing.assert_close(twice - extra, mirrored)


@pytest.mark.parametrize("base", ["gaussian", "laplace"])
def test_the_equation_term_by_term(reference: dict[str, Tensor], flow: RealNVP, base: Base) -> None:
    mu, truth, sigma = reference["mu"], reference["gt"], reference["sigma"][..., :1]
    e = (truth - mu) / sigma
    energy = e**2 / 2 if base == "gaussian" else e.abs() / math.sqrt(2)
    each = (sigma.log() + energy + 0.5 * math.log(2 * math.pi)).sum(-1) - flow.log_prob(e)
    found = rle_loss(flow, mu, sigma, truth, torch.ones(mu.shape[:2]), base=base)
    torch.testing.assert_close(found, each.sum(1).mean())


def test_the_gaussian_alone_is_a_density() -> None:
    """Where the flow says nothing new, exp(-loss) over the plane sums to its normal density's square norm."""
    flow = RealNVP(0)
    steps = torch.linspace(-6, 6, 61)
    truth = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1).view(-1, 1, 1, 2)
    losses = torch.stack([rle_loss(flow, torch.zeros(1, 1, 2), torch.full((1, 1, 1), 0.8), place, torch.ones(1, 1))
                          for place in truth])  # fmt: skip
    # Q(e) G(e) / sigma^2 with both standard normal: the integral is 1 / (4 pi).
    assert float((-losses).exp().sum() * 0.2**2) == pytest.approx(1 / (4 * math.pi), rel=1e-3)


def test_a_keypoint_at_twice_the_box_gives_gradient() -> None:
    torch.manual_seed(0)
    mu = torch.zeros(1, 2, 2, requires_grad=True)
    truth = torch.tensor([[[0.0, 1.0], [0.2, 0.1]]])  # the crop ends at 0.5: the first lies at twice its half height
    rle_loss(RealNVP(), mu, torch.full((1, 2, 1), 0.5), truth, torch.ones(1, 2)).backward()
    assert mu.grad is not None
    assert mu.grad[0, 0, 1] < -0.1
    assert mu.grad[0, 0, 1].abs() > mu.grad[0, 1, 1].abs()


def test_what_is_not_known_gives_none_whatever_it_holds() -> None:
    mu = torch.zeros(2, 3, 2, requires_grad=True)
    truth = torch.full((2, 3, 2), 0.3)
    truth[0, 0], truth[1, 2] = math.nan, math.inf
    known = torch.ones(2, 3)
    known[0, 0] = known[1, 2] = 0
    rle_loss(RealNVP(), mu, torch.full((2, 3, 1), 0.5), truth, known).backward()
    assert mu.grad is not None
    assert mu.grad.isfinite().all()
    assert (mu.grad[0, 0] == 0).all()
    assert (mu.grad[1, 1] != 0).any()


def test_another_base_is_refused() -> None:
    ones = torch.ones(1, 1, 2)
    other: Any = "cauchy"
    with pytest.raises(ValueError, match="'gaussian' or 'laplace'"):
        rle_loss(RealNVP(), ones, ones, ones, torch.ones(1, 1), base=other)
