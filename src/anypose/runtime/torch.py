"""Graphs run by PyTorch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from anypose.runtime.graph import Graph


ROWS = 16  # looked at together: more would cost memory and gain no time
PRECISIONS = ("float32", "bfloat16", "int8", "fastest")


class TorchEngine:
    """Args:
        graphs: by name, as a system's `graphs` gives them.
        device: where they run, as in "cpu" or "cuda".
        precision: "float32", or "bfloat16" for what is mostly multiplication; answers are float32 all the same.
            "int8" and "fastest" are made and chosen before there are graphs: see `prepared`.
        compiled: whether graphs go through `torch.compile`, on a GPU with CUDA graphs. The first answer of each
            size then takes minutes. Where compiling fails a warning says why, and the graph runs as it is.

    Raises ValueError where the processor would only imitate bfloat16, more slowly than float32.
    """

    def __init__(
        self, graphs: Mapping[str, Graph], device: str = "cpu", precision: str = "float32", *, compiled: bool = False
    ) -> None:
        if precision not in ("float32", "bfloat16"):
            raise ValueError(f"there is no precision {precision!r} of graphs: it is 'float32' or 'bfloat16'")
        if precision == "bfloat16" and not has_bfloat16(device):
            what = "processor has no bfloat16 (AVX-512 BF16 or AMX)" if device == "cpu" else "GPU has no bfloat16"
            raise ValueError(f"this {what}: take precision='float32', or 'fastest' for what is best here")
        self._half = precision == "bfloat16"
        self._device = _device(device)
        self._graphs = dict(graphs)
        self._run: dict[str, Callable[..., Any]] = {}
        for name, graph in graphs.items():
            self._run[name] = module = graph.module.to(self._device).eval()
            if compiled:
                mode = "reduce-overhead" if self._device.type == "cuda" else None
                self._run[name] = torch.compile(module, mode=mode)

    @torch.inference_mode()
    def run(self, graph: str, inputs: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """One graph's outputs by name; see `Engine.run`."""
        spec = self._graphs[graph]
        tensors = [torch.from_numpy(inputs[name]).to(self._device) for name in spec.inputs]
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._half):
            outputs = self._outputs(graph, tensors)
        outputs = [t.float() if t.is_floating_point() else t for t in outputs]
        return {name: t.cpu().numpy() for name, t in zip(spec.outputs, outputs)}

    def run_rows(self, graph: str, inputs: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """`ROWS` rows at a time; see `Engine.run_rows`."""
        count = len(next(iter(inputs.values())))
        parts = [
            self.run(graph, {name: values[i : i + ROWS] for name, values in inputs.items()})
            for i in range(0, count, ROWS)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _outputs(self, graph: str, tensors: list[Tensor]) -> Any:
        module = self._graphs[graph].module
        if self._run[graph] is module:
            return module(*tensors)
        from torch._dynamo.exc import TorchDynamoException

        try:
            return self._run[graph](*tensors)
        except TorchDynamoException as error:
            reason = str(error).strip().split("\n")[0]
            warnings.warn(f"{graph!r} was not compiled and runs as it is ({reason})", stacklevel=3)
            self._run[graph] = module
            return module(*tensors)

    def sides(self, graph: str, name: str) -> tuple[int | None, ...]:
        """None for each side of an input; see `SizedEngine.sides`."""
        return (None,) * self._graphs[graph].inputs[name].dim()

    def notes(self, graph: str) -> Mapping[str, str]:
        """A graph's notes by name; see `NotedEngine.notes`."""
        return self._graphs[graph].notes


def prepared(model: Any, precision: str, device: str = "cpu") -> str:
    """A system made ready for a precision; what a `TorchEngine` is then to be given.

    Args:
        model: of whose parts `EIGHT_BITS` "int8" makes the linear layers so, in place.
        precision: one of `PRECISIONS`. "fastest" is bfloat16 where the processor multiplies it, else int8 where
            one layer, timed here, is faster so and the system has such parts, else float32.

    Raises ValueError for a precision that there is not, or that the system or the processor has not.
    """
    from anypose.nn.eight_bits import eight_bits_are_faster, in_eight_bits

    if precision not in PRECISIONS:
        raise ValueError(f"there is no precision {precision!r}: there are {', '.join(PRECISIONS)}")
    parts = getattr(model, "EIGHT_BITS", ())
    if precision == "fastest":
        if has_bfloat16(device):
            return "bfloat16"
        precision = "int8" if device == "cpu" and parts and eight_bits_are_faster() else "float32"
    if precision != "int8":
        return precision
    if not parts:
        raise ValueError(f"{type(model).__name__} has no parts that are known to bear int8: take 'float32'")
    if device != "cpu":
        raise ValueError(f"int8 runs on a processor, not on {device}: take precision='bfloat16'")
    if torch.backends.quantized.engine == "none":
        raise ValueError("this PyTorch has no int8 for this processor: take precision='float32'")
    in_eight_bits(model.eval(), parts)
    return "float32"


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"there is no device {name!r}: it is 'cpu' or 'cuda'") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"PyTorch sees no GPU here, so nothing can run on {name!r}: take device='cpu'")
    return device


def has_bfloat16(device: str = "cpu") -> bool:
    """Whether the processor, or the GPU, multiplies bfloat16 by itself."""
    if _device(device).type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


class Unfilled(TorchFunctionMode):
    """While this lasts, parameters get no random values: for a model that is made to be given a file's.

    Memory that nobody has written to is not taken from the machine, and drawing 184 million numbers takes seconds.
    """

    # By name: tensors, torch.nn.init and transformers each have their own.
    _FILLS = ("uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "xavier_normal_", "kaiming_uniform_")

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", None) in self._FILLS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def use_threads(count: int) -> None:
    """Threads of all networks that PyTorch runs in this process."""
    torch.set_num_threads(count)
