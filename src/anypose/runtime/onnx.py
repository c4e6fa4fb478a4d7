"""Graphs as ONNX files, run by ONNX Runtime."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray


class OnnxEngine:
    """Args:
    folder: holds GRAPH.onnx for each graph.
    graphs: their names, in the order in which they will be needed.
    threads: to be used; None leaves it to ONNX Runtime.
    rows: graphs that are run by `run_rows` alone. Each uses one thread, and as many run at once as there are threads:
        networks of many small layers gain little from two threads, and two of them at once take as long as one.

    Files are opened in the background, so that the picture can be read meanwhile.
    """

    def __init__(
        self, folder: Path, graphs: Sequence[str], threads: int | None = None, rows: Sequence[str] = ()
    ) -> None:
        self._at_once = threads or _processors()
        missing = [name for name in graphs if not (folder / f"{name}.onnx").is_file()]
        if missing:
            raise FileNotFoundError(f"{folder} holds no {missing[0]}.onnx")
        with_openers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="anypose-open")
        self._sessions: dict[str, Future[onnxruntime.InferenceSession]] = {
            name: with_openers.submit(self._open, folder / f"{name}.onnx", 1 if name in rows else threads)
            for name in graphs
        }
        with_openers.shutdown(wait=False)

    @staticmethod
    def _open(path: Path, threads: int | None) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # Steady memory is worth more here than the few per cent that a growing pool gains.
        options.enable_cpu_mem_arena = False
        # Planning which tensors may share memory takes three quarters of the opening, and saves none.
        options.enable_mem_reuse = False
        # Threads that wait in a loop burn a processor which other sessions, still opening, could use.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if threads:
            options.intra_op_num_threads = threads
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

    def run_rows(self, graph: str, inputs: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """One row at a time, some of them at once; see `Engine.run_rows`.

        Threads live as long as a call: a pool's would be missing in a forked process, which then waited for them for
        ever, and a pool takes no more work once the main thread has ended. Starting one takes less than a hundredth
        of a row's time.
        """
        needed = [node.name for node in self._sessions[graph].result().get_inputs()]
        count = len(inputs[needed[0]])
        found: list[Any] = [None] * count
        failures: list[BaseException] = []
        left = iter(range(count))  # shared: whoever is ready takes the next

        def take() -> None:
            try:
                for i in left:
                    found[i] = self.run(graph, {name: inputs[name][i : i + 1] for name in needed})
                    if failures:
                        return
            except BaseException as error:  # is raised in the thread that asked
                failures.append(error)

        others = [Thread(target=take, name="anypose-run") for _ in range(min(self._at_once, count) - 1)]
        for thread in others:
            thread.start()
        take()
        for thread in others:
            thread.join()
        if failures:
            raise failures[0]
        return {name: np.concatenate([row[name] for row in found]) for name in found[0]}

    def sides(self, graph: str, name: str) -> tuple[int | None, ...]:
        """The sides of an input; see `SizedEngine.sides`."""
        nodes = {node.name: node.shape for node in self._sessions[graph].result().get_inputs()}
        return tuple(side if isinstance(side, int) else None for side in nodes[name])

    def notes(self, graph: str) -> Mapping[str, str]:
        """A graph's notes by name; see `NotedEngine.notes`."""
        return self._sessions[graph].result().get_modelmeta().custom_metadata_map


def _processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
