"""Engines: what runs a system's graphs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from numpy.typing import NDArray


class Engine(Protocol):
    """Runs graphs by name on named arrays."""

    def run(self, graph: str, inputs: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """One graph's outputs by name.

        Raises:
            KeyError: there is no such graph, or an input it needs is not given. More than it needs may be given.
        """
        ...

    def run_rows(self, graph: str, inputs: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """`run`, where each input and output of the graph has a row for each of N things: an engine may take them
        in parts, and some at once."""
        return self.run(graph, inputs)


class SizedEngine(Engine, Protocol):
    """An engine that knows the sizes its graphs were made for."""

    def sides(self, graph: str, name: str) -> tuple[int | None, ...]:
        """The sides of a graph's input, None where they may vary. Torch graphs take any that their rules allow."""
        ...


class NotedEngine(Engine, Protocol):
    """An engine that keeps what its graphs say about themselves."""

    def notes(self, graph: str) -> Mapping[str, str]:
        """A graph's notes by name."""
        ...
