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
    precision: "float32", or "bfloat16" for what is mostly multiplication; answers are float32 all the same.

    Raises ValueError where the processor would only imitate bfloat16, more slowly than float32.
    """

    def __init__(self, graphs: Mapping[str, Graph], device: str = "cpu", precision: str = "float32") -> None:
        if precision not in ("float32", "bfloat16"):
            raise ValueError(f"there is no precision {precision!r}: it is 'float32' or 'bfloat16'")
        if precision == "bfloat16" and device == "cpu" and not has_bfloat16():
            raise ValueError("this processor has no bfloat16 (AVX-512 BF16 or AMX): take precision='float32'")
        self._half = precision == "bfloat16"
        self._device = torch.device(device)
        self._graphs = dict(graphs)
        for graph in graphs.values():
            graph.module.to(self._device).eval()

    @torch.inference_mode()
    def run(self, graph: str, inputs: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """One graph's outputs by name; see `Engine.run`."""
        spec = self._graphs[graph]
        tensors = [torch.from_numpy(inputs[name]).to(self._device) for name in spec.inputs]
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._half):
            outputs = spec.module(*tensors)
        outputs = [t.float() if t.is_floating_point() else t for t in outputs]
        return {name: t.cpu().numpy() for name, t in zip(spec.outputs, outputs)}

    def sides(self, graph: str, name: str) -> tuple[int | None, ...]:
        """None for each side of an input; see `SizedEngine.sides`."""
        return (None,) * self._graphs[graph].inputs[name].dim()

    def notes(self, graph: str) -> Mapping[str, str]:
        """A graph's notes by name; see `NotedEngine.notes`."""
        return self._graphs[graph].notes


def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 by itself."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def use_threads(count: int) -> None:
    """Threads of all networks that PyTorch runs in this process."""
    torch.set_num_threads(count)
