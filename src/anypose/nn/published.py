"""Published networks as ONNX files into our modules."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, fx, nn


def convolutions_as_pulled(model: nn.Module) -> list[nn.Conv2d]:
    """The model's convolutions as a lazy exporter orders them: depth first from the output."""
    graph = fx.symbolic_trace(model).graph
    modules = dict(model.named_modules())
    found: list[nn.Conv2d] = []
    seen: set[fx.Node] = set()
    (output,) = (node for node in graph.nodes if node.op == "output")
    stack: list[tuple[fx.Node, bool]] = [(output, False)]
    while stack:
        node, inputs_done = stack.pop()
        if inputs_done:
            module = modules.get(str(node.target)) if node.op == "call_module" else None
            if isinstance(module, nn.Conv2d):
                found.append(module)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((source, False) for source in reversed(node.all_input_nodes))
    return found


def convolutions_as_built(model: nn.Module) -> list[nn.Conv2d]:
    """The model's convolutions in the order of its constructors."""
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)]


def load_convolutions(ours: list[nn.Conv2d], path: str | Path) -> None:
    """Copies the weights of an ONNX file's convolutions, in order, into ours.

    Raises:
        ValueError: the file has other convolutions, or is no whole ONNX file.
    """
    import onnx
    from google.protobuf.message import DecodeError
    from onnx import numpy_helper

    try:
        graph = onnx.load(str(path)).graph
    except DecodeError as error:
        raise ValueError(f"{path} is not a whole ONNX file: {error}") from error
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes = [node for node in graph.node if node.op_type == "Conv"]
    if len(ours) != len(nodes):
        raise ValueError(f"{path} has {len(nodes)} convolutions, the network has {len(ours)}")
    with torch.no_grad():
        for conv, node in zip(ours, nodes):
            weight, bias = (torch.from_numpy(tensors[name].copy()) for name in node.input[1:3])
            if weight.shape != conv.weight.shape:
                raise ValueError(f"{path}: {node.name} is {tuple(weight.shape)}, expected {tuple(conv.weight.shape)}")
            conv.weight.copy_(weight)
            assert isinstance(conv.bias, Tensor)
            conv.bias.copy_(bias)
