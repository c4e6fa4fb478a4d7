"""What the generic tests have to know of a system."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray
from torch import Tensor, nn

Inputs = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Case:
    """A system as the generic tests see it.

    Attributes:
        name: of the system.
        build: makes it, tiny.
        batch: a random batch that `model.loss` takes.
        answer: everything the system says of a batch, by name.
        shapes: what shape each answer is to have.
        rows: a batch as batches of one picture; their answers, set one after the other, are those of the batch.
        graphs: what its contract exports, None where it exports nothing.
        runs: inputs for each graph, of other sizes than the examples of `graphs`; some of the earlier graphs' outputs.
        exempt: names of parameters (or what they end in) that no gradient reaches, and why.
        rate: a learning rate with which 30 steps on one batch halve the loss.
        left: what is left of the loss where halving it is too much for 30 steps, as of a loss over random noise.
    """

    name: str
    build: Callable[[], nn.Module]
    batch: Callable[[Any], Any]
    answer: Callable[[Any, Any], dict[str, Tensor]]
    shapes: Callable[[Any], dict[str, tuple[int, ...]]]
    rows: Callable[[Any], list[Any]]
    graphs: Callable[[Any], Mapping[str, Any]] | None
    runs: Callable[[Callable[[str, Inputs], Inputs], int], list[tuple[str, Inputs]]] | None
    exempt: Mapping[str, str] = field(default_factory=dict)
    rate: float = 3e-3
    left: float = 0.5
