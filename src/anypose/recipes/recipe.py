"""Recipe: what is learned, from what, and how fast."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class Recipe:
    """One way of learning; the loop does the rest.

    Attributes:
        model: what is learned; `model.loss(batch)` gives a dict of terms, whose sum is minimised.
        groups: parameter groups for AdamW, each with its own peak `lr`.
        blocks: kinds of modules whose insides can be computed again instead of being kept (`Settings.recompute`).
        compute: `losses`, led by the loop through mixed precision and the other processes.
        backward: leaves gradients in the parameters; the loop's knows of accumulation and of scaled losses.
    """

    blocks: tuple[type[nn.Module], ...] = ()

    def __init__(self, model: nn.Module, groups: list[dict[str, Any]]) -> None:
        self.model = model
        self.groups = groups
        self.compute: Callable[[Any], dict[str, Tensor]] = self.losses
        self.backward: Callable[[Tensor], None] = Tensor.backward

    def batches(self, start: int, stride: int = 1) -> Iterator[Any]:
        """Batches number `start`, `start + stride`, ...: each the same whoever asks for it, and whenever.

        Several processes share one experiment so: process r of W reads r, r + W, ...; and a resumed run begins where
        it stood.
        """
        raise NotImplementedError(f"{type(self).__name__} has to say what is learned from")

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """The terms of the loss of one batch."""
        device = next(self.model.parameters()).device
        return self.model.loss(batch.to(device))  # type: ignore[operator]

    def step(self, batch: Any) -> dict[str, Tensor]:
        """Losses, their gradients left in the parameters. What is stranger than a sum overrides this."""
        losses = self.compute(batch)
        total = torch.stack(list(losses.values())).sum()
        self.backward(total)
        return {**losses, "total": total}

    def judge(self) -> dict[str, float]:
        """Figures of the model as it stands, on what it does not learn from; the first decides which is best.

        Asked at every checkpoint, of the averaged weights; more is better. Without any, the loss decides.
        """
        return {}

    def pictures(self) -> Sequence[NDArray[np.uint8]]:
        """What the model answers to a few samples that stay the same, drawn, (H, W, 3) each."""
        return ()
