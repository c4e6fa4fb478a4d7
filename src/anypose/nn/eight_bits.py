"""Linear layers in whole numbers of eight bits, for running alone."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable
from fnmatch import fnmatchcase

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GAIN = 1.15  # how much faster a layer has to be to be worth what it loses


class EightBitLinear(nn.Module):
    """`linear` with weights of eight bits, each output's with a scale of its own, and inputs rounded as they come.

    Answers are float32. Without VNNI inputs keep seven bits: sums of two products of eight would overflow.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.narrow = not torch.cpu._is_vnni_supported()
        weight = linear.weight.detach().float()
        scale = weight.abs().amax(1).clamp(min=1e-8).double() / 127
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that such tensors will go, in some later PyTorch
            whole = torch.quantize_per_channel(
                weight, scale, torch.zeros(len(scale), dtype=torch.int64), 0, torch.qint8
            )
        bias = None if linear.bias is None else linear.bias.detach().float()
        self.packed = torch.ops.quantized.linear_prepack(whole, bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs)."""
        return torch.ops.quantized.linear_dynamic(x.float(), self.packed, self.narrow)


def in_eight_bits(model: nn.Module, parts: Iterable[str]) -> int:
    """Replaces the linear layers whose names are like one of `parts`, as in "backbone.*"; how many they were.

    Layers that are not called themselves, as others take their weights, must not be among them.
    """
    patterns = tuple(parts)
    found = [
        (name, module)
        for name, module in model.named_modules()
        if type(module) is nn.Linear and any(fnmatchcase(name, pattern) for pattern in patterns)
    ]
    for name, module in found:
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, EightBitLinear(module))
    return len(found)


def eight_bits_are_faster() -> bool:
    """Whether they are on this processor, measured on one layer: about 20 ms."""
    if torch.backends.quantized.engine in ("none", "qnnpack"):
        return False
    linear = nn.Linear(256, 1024)
    x = torch.randn(512, 256)
    small = EightBitLinear(linear)
    with torch.inference_mode():
        ways = (lambda: F.linear(x, linear.weight, linear.bias), lambda: small(x))
        best = [float("inf")] * 2
        for _ in range(8):
            for i, way in enumerate(ways):
                start = time.perf_counter()
                way()
                best[i] = min(best[i], time.perf_counter() - start)
    return best[0] > GAIN * best[1]
