"""A part of a system that an engine runs on its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Graph:
    """One graph: a module whose forward takes and gives plain tensors, with their names.

    Attributes:
        inputs: an example for each input, by name and in order.
        outputs: names.
        sides: for each input, the names of its sides that may vary.
        steps: what a varying side must be a multiple of, where that is not 1.
        notes: what whoever runs the graph has to know; they go with an exported file.
    """

    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    sides: dict[str, dict[int, str]]
    steps: dict[str, int] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
