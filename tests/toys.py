"""A recipe of a few numbers, to test the training loop with: `python toys.py OUT STEPS PAUSE [resume] [halves]`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from anypose.recipes.loop import Settings, train
from anypose.recipes.recipe import Recipe


class Line(nn.Module):
    """y = a x + b, to be learned from noisy points."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(1, 1)
        self.seen: Tensor
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def loss(self, batch: Tensor) -> dict[str, Tensor]:
        self.seen += len(batch)
        error = self.line(batch[:, :1]) - batch[:, 1:]
        return {"error": error.square().mean(), "size": 0.01 * self.line.weight.square().sum()}


class Fitting(Recipe):
    """Args:
    pause: seconds that a batch takes.
    broken_at: the batch that holds a NaN.
    halves: each batch comes in two halves, one after the other.
    noted: the first step's gradients are written to this file.
    """

    def __init__(
        self,
        *,
        out: Path | None = None,
        pause: float = 0,
        broken_at: int = -1,
        lr: float = 0.05,
        halves: bool = False,
        noted: Path | None = None,
    ) -> None:
        torch.manual_seed(1)
        model = Line()
        super().__init__(model, [{"params": list(model.parameters()), "lr": lr}])
        self.pause, self.broken_at = pause, broken_at
        self.halves, self.noted = halves, noted

    def batches(self, start: int, stride: int = 1) -> Iterator[Any]:
        number = start
        while True:
            whole, half = divmod(number, 2) if self.halves else (number, 0)
            x = np.random.default_rng(whole).normal(size=(16, 2)).astype(np.float32)
            x[:, 1] = 2 * x[:, 0] + 1 + 0.1 * x[:, 1]
            if number == self.broken_at:
                x[3, 1] = np.nan
            time.sleep(self.pause)
            yield torch.from_numpy(x[8 * half : 8 * half + 8] if self.halves else x)
            number += stride

    def step(self, batch: Any) -> dict[str, Tensor]:
        losses = super().step(batch)
        if self.noted is not None and not self.noted.exists():
            torch.save({name: value.grad for name, value in self.model.named_parameters()}, self.noted)
        return losses


def settings(steps: int, **changes: Any) -> Settings:
    return Settings(**{"steps": steps, "warmup": 3, "save_every": 4, "log_every": 1, "device": "cpu", **changes})


if __name__ == "__main__":
    out = Path(sys.argv[1])
    rank = os.environ.get("RANK", "0")
    recipe = Fitting(pause=float(sys.argv[3]), halves="halves" in sys.argv, noted=out.parent / f"gradients-{rank}.pt")
    train(recipe, settings(int(sys.argv[2])), out, resume="resume" in sys.argv)
