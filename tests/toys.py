"""A recipe of a few numbers, to test the training loop with: `python toys.py OUT STEPS PAUSE [resume]` trains it."""

from __future__ import annotations

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
    """

    def __init__(self, *, out: Path | None = None, pause: float = 0, broken_at: int = -1, lr: float = 0.05) -> None:
        torch.manual_seed(1)
        model = Line()
        super().__init__(model, [{"params": list(model.parameters()), "lr": lr}])
        self.pause, self.broken_at = pause, broken_at

    def batches(self, start: int) -> Iterator[Any]:
        number = start
        while True:
            x = np.random.default_rng(number).normal(size=(16, 2)).astype(np.float32)
            x[:, 1] = 2 * x[:, 0] + 1 + 0.1 * x[:, 1]
            if number == self.broken_at:
                x[3, 1] = np.nan
            time.sleep(self.pause)
            yield torch.from_numpy(x)
            number += 1


def settings(steps: int, **changes: Any) -> Settings:
    return Settings(**{"steps": steps, "warmup": 3, "save_every": 4, "log_every": 1, "device": "cpu", **changes})


if __name__ == "__main__":
    train(Fitting(pause=float(sys.argv[3])), settings(int(sys.argv[2])), Path(sys.argv[1]), resume="resume" in sys.argv)
