"""Graphs as ONNX files, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import onnxruntime
from numpy.typing import NDArray


class OnnxEngine:
    """Args:
    folder: holds GRAPH.onnx for each graph.
    graphs: their names, in the order in which they will be needed.
    threads: that one graph uses; None leaves it to ONNX Runtime.

    Files are opened in the background, so that the picture can be read meanwhile.
    """

    def __init__(self, folder: Path, graphs: Sequence[str], threads: int | None = None) -> None:
        self._threads = threads
        missing = [name for name in graphs if not (folder / f"{name}.onnx").is_file()]
        if missing:
            raise FileNotFoundError(f"{folder} holds no {missing[0]}.onnx")
        with_openers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="anypose-open")
        self._sessions: dict[str, Future[onnxruntime.InferenceSession]] = {
            name: with_openers.submit(self._open, folder / f"{name}.onnx") for name in graphs
        }
        with_openers.shutdown(wait=False)

    def _open(self, path: Path) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # Steady memory is worth more here than the few per cent that a growing pool gains.
        options.enable_cpu_mem_arena = False
        # Planning which tensors may share memory takes three quarters of the opening, and saves none.
        options.enable_mem_reuse = False
        # Threads that wait in a loop burn a processor which other sessions, still opening, could use.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if self._threads:
            options.intra_op_num_threads = self._threads
        try:
            return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its classes have no base of their own
            raise ValueError(f"{path} is not a whole ONNX file: {error}") from error

    def run(self, graph: str, inputs: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """One graph's outputs by name; see `Engine.run`."""
        session = self._sessions[graph].result()
        needed = {node.name: inputs[node.name] for node in session.get_inputs()}
        names = [node.name for node in session.get_outputs()]
        return dict(zip(names, session.run(names, needed)))

    def sides(self, graph: str, name: str) -> tuple[int | None, ...]:
        """The sides of an input; see `SizedEngine.sides`."""
        nodes = {node.name: node.shape for node in self._sessions[graph].result().get_inputs()}
        return tuple(side if isinstance(side, int) else None for side in nodes[name])

    def notes(self, graph: str) -> Mapping[str, str]:
        """A graph's notes by name; see `NotedEngine.notes`."""
        return self._sessions[graph].result().get_modelmeta().custom_metadata_map
