"""Gaussian diffusion of poses (J. Ho et al., DDPM, NeurIPS 2020; J. Song et al., DDIM, ICLR 2021)."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn


def cosine_betas(steps: int, offset: float = 0.008) -> Tensor:
    """Variances of the added noise, (steps,) float64 (A. Nichol and P. Dhariwal, Improved DDPM, ICML 2021)."""
    times = torch.linspace(0, steps, steps + 1, dtype=torch.float64) / steps
    kept = ((times + offset) / (1 + offset) * (math.pi / 2)).cos().square()
    return (1 - kept[1:] / kept[:-1]).clamp(0, 0.999)


class Diffusion(nn.Module):
    """The tables of a cosine schedule and what is computed with them; none are part of the state.

    Args:
        steps: T.
        dtype: of the tables.
    """

    betas: Tensor
    alphas_cumprod: Tensor
    alphas_cumprod_prev: Tensor
    sqrt_alphas_cumprod: Tensor
    sqrt_one_minus_alphas_cumprod: Tensor
    log_one_minus_alphas_cumprod: Tensor
    sqrt_recip_alphas_cumprod: Tensor
    sqrt_recipm1_alphas_cumprod: Tensor
    posterior_variance: Tensor
    posterior_log_variance_clipped: Tensor
    posterior_mean_coef1: Tensor
    posterior_mean_coef2: Tensor

    def __init__(self, steps: int, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.steps = steps
        betas = cosine_betas(steps)
        kept = (1 - betas).cumprod(0)
        before = torch.cat((kept.new_ones(1), kept[:-1]))
        variance = betas * (1 - before) / (1 - kept)
        tables = {
            "betas": betas,
            "alphas_cumprod": kept,
            "alphas_cumprod_prev": before,
            "sqrt_alphas_cumprod": kept.sqrt(),
            "sqrt_one_minus_alphas_cumprod": (1 - kept).sqrt(),
            "log_one_minus_alphas_cumprod": (1 - kept).log(),
            "sqrt_recip_alphas_cumprod": kept.rsqrt(),
            "sqrt_recipm1_alphas_cumprod": (1 / kept - 1).sqrt(),
            "posterior_variance": variance,
            "posterior_log_variance_clipped": variance.clamp(min=1e-20).log(),
            "posterior_mean_coef1": betas * before.sqrt() / (1 - kept),
            "posterior_mean_coef2": (1 - before) * (1 - betas).sqrt() / (1 - kept),
        }
        for name, table in tables.items():
            self.register_buffer(name, table.to(dtype), persistent=False)

    def noisy(self, clean: Tensor, times: Tensor, noise: Tensor) -> Tensor:
        """What is left of (R, ...) at the times (R,)."""
        kept, added = self.sqrt_alphas_cumprod[times], self.sqrt_one_minus_alphas_cumprod[times]
        return _rows(kept, clean) * clean + _rows(added, clean) * noise

    def clean_of(self, noisy: Tensor, times: Tensor, noise: Tensor) -> Tensor:
        """What (R, ...) was before this noise was added."""
        whole, less = self.sqrt_recip_alphas_cumprod[times], self.sqrt_recipm1_alphas_cumprod[times]
        return _rows(whole, noisy) * noisy - _rows(less, noisy) * noise

    def noise_of(self, noisy: Tensor, times: Tensor, clean: Tensor) -> Tensor:
        """Which noise makes `noisy` (R, ...) of `clean`."""
        whole, less = self.sqrt_recip_alphas_cumprod[times], self.sqrt_recipm1_alphas_cumprod[times]
        return (_rows(whole, noisy) * noisy - clean) / _rows(less, noisy)

    def step_back(self, clean: Tensor, noisy: Tensor, times: Tensor, noise: Tensor) -> Tensor:
        """One ancestral step of DDPM from the times (R,): the posterior's mean, and its noise except at time 0."""
        first, second = self.posterior_mean_coef1[times], self.posterior_mean_coef2[times]
        mean = _rows(first, noisy) * clean + _rows(second, noisy) * noisy
        spread = (0.5 * self.posterior_log_variance_clipped[times]).exp() * (times > 0)
        return mean + _rows(spread, noisy) * noise

    def leap(self, clean: Tensor, noise: Tensor, time: int, after: int, fresh: Tensor, eta: float = 1.0) -> Tensor:
        """One step of DDIM from `time` to `after`.

        Args:
            clean, noise: what the poses (..., 3) are made of at `time`.
            fresh: noise that is added in proportion to `eta`.
        """
        now, then = self.alphas_cumprod[time], self.alphas_cumprod[after]
        spread = eta * ((1 - now / then) * (1 - then) / (1 - now)).sqrt()
        old = (1 - then - spread.square()).sqrt()
        return clean * then.sqrt().to(clean) + noise * old.to(clean) + fresh * spread.to(clean)

    def leaps(self, count: int) -> list[tuple[int, int]]:
        """(time, next time) of `count` even steps of DDIM, from the last time to -1, the clean pose."""
        times = [int(time) for time in torch.linspace(-1, self.steps - 1, count + 1, device="cpu").tolist()][::-1]
        return list(itertools.pairwise(times))


def _rows(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like).reshape(-1, *(1,) * (like.dim() - 1))


class TimeCode(nn.Module):
    """Times (R,) as `width` sines and cosines, (R, width): all sines first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, times: Tensor) -> Tensor:
        half = self.width // 2
        pace = (torch.arange(half, device=times.device) * -(math.log(10000) / (half - 1))).exp()
        angles = times[:, None] * pace
        return torch.cat((angles.sin(), angles.cos()), -1)
