"""Recipe: what is learned, from what, and how fast."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


class Recipe:
    """One way of learning; the loop does the rest.

    Attributes:
        model: what is learned; `model.loss(batch)` gives a dict of terms, whose sum is minimised.
        groups: parameter groups for AdamW, each with its own peak `lr`.
    """

    def __init__(self, model: nn.Module, groups: list[dict[str, Any]]) -> None:
        self.model = model
        self.groups = groups

    def batches(self, start: int) -> Iterator[Any]:
        """Batches from number `start` on, the same whenever it is asked."""
        raise NotImplementedError(f"{type(self).__name__} has to say what is learned from")

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """The terms of the loss of one batch."""
        device = next(self.model.parameters()).device
        return self.model.loss(batch.to(device))  # type: ignore[operator]

    def step(self, batch: Any) -> dict[str, Tensor]:
        """Losses, their gradients left in the parameters. What is stranger than a sum overrides this."""
        losses = self.losses(batch)
        total = torch.stack(list(losses.values())).sum()
        total.backward()
        return {**losses, "total": total}
