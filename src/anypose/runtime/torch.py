"""Graphs run by PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from anypose.runtime.graph import Graph


class TorchEngine:
    """Args:
    graphs: by name, as a system's `graphs` gives them.
    device: where they run.
    """

    def __init__(self, graphs: Mapping[str, Graph], device: str = "cpu") -> None:
        self._device = torch.device(device)
        self._graphs = dict(graphs)
        for graph in graphs.values():
            graph.module.to(self._device).eval()

    @torch.inference_mode()
    def run(self, graph: str, inputs: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """One graph's outputs by name; see `Engine.run`."""
        spec = self._graphs[graph]
        tensors = [torch.from_numpy(inputs[name]).to(self._device) for name in spec.inputs]
        return {name: t.cpu().numpy() for name, t in zip(spec.outputs, spec.module(*tensors))}

    def sides(self, graph: str, name: str) -> tuple[int | None, ...]:
        """None for each side of an input; see `SizedEngine.sides`."""
        return (None,) * self._graphs[graph].inputs[name].dim()


def use_threads(count: int) -> None:
    """Threads of all networks that PyTorch runs in this process."""
    torch.set_num_threads(count)
