"""Graphs into ONNX files."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from anypose.runtime.graph import Graph

OPSET = 18
SMALL = 600  # numbers of a weight that is kept as float32: a cast costs time at each opening


def export(graphs: Mapping[str, Graph], folder: Path) -> list[Path]:
    """Writes each graph as GRAPH.onnx, weights as float16 that are read as float32.

    A side that varies is exported as varying. Weights should be float16 numbers already, so that the files and
    the model that they came from agree.

    Returns: the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, graph in graphs.items():
        path = folder / f"{name}.onnx"
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            whole, waiting = Path(scratch) / "whole.onnx", Path(scratch) / "small.onnx"
            _export(graph, whole)
            model = _halved(_simplified(whole))
            helper.set_model_props(model, graph.notes)
            onnx.save(model, str(waiting))
            waiting.replace(path)
        paths.append(path)
    return paths


def _export(graph: Graph, path: Path) -> None:
    # PyTorch's own short cut through attention is one operator that no exporter knows.
    short_cut = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        _trace(graph, path)
    finally:
        torch.backends.mha.set_fastpath_enabled(short_cut)


def _trace(graph: Graph, path: Path) -> None:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracer warns of every shape that is read
        torch.onnx.export(
            graph.module,
            tuple(graph.inputs.values()),
            str(path),
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_axes={name: sides for name, sides in graph.sides.items() if sides},
            opset_version=OPSET,
            dynamo=False,  # traces in seconds what the newer exporter takes minutes for
        )


def _simplified(path: Path) -> onnx.ModelProto:
    """The graph as ONNX Runtime would simplify it at each opening, for any processor: opened in half the time."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(path.with_name("simplified.onnx"))
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return onnx.load(options.optimized_model_filepath)


def _halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """Large weights stored as float16, each with a cast back to float32."""
    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size <= SMALL:
            continue
        half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            continue  # a constant of the graph, not a weight: kept whole
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT, name=f"{name}.cast"))
    for place, node in enumerate(casts):
        model.graph.node.insert(place, node)
    return model
