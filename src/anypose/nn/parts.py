"""Long rows of tokens through a layer a part at a time, so that what it makes of them stays in cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

PART = 512  # tokens that go through together


def in_parts(layer: Callable[..., Tensor], rows: Sequence[Tensor], whole: Sequence[Tensor] = ()) -> Tensor:
    """`layer(*rows, *whole)`, for a layer that takes each token by itself.

    With gradients, in an exported graph and on other devices than a CPU all go through together.

    Args:
        rows: (B, S, ...) each, of which parts of one picture go through after each other.
        whole: (B, ...) each, of which every part sees all that there is of its picture.
    """
    first = rows[0]
    if first.device.type != "cpu" or torch.is_grad_enabled() or torch.jit.is_tracing() or torch.compiler.is_compiling():
        return layer(*rows, *whole)
    pictures = []
    for i in range(len(first)):
        parts = zip(*(row[i : i + 1].split(PART, 1) for row in rows))
        of = [values[i : i + 1] for values in whole]
        pictures.append(torch.cat([layer(*part, *of) for part in parts], 1))
    return pictures[0] if len(pictures) == 1 else torch.cat(pictures)
