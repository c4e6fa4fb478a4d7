"""Journal: what a run says of itself, as JSON lines, on the terminal, to TensorBoard and in pictures."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from anypose.files import write_atomically
from anypose.pictures import encode_picture

WAITS = 0.2  # the share of time at which waiting for data is said aloud,
NOTICED = 0.02  # seconds of waiting in a step below which it is not


class Journal:
    """Writes for the first of several processes; the others' is silent.

    Args:
        out: folder of the run.
        steps: how many there will be.
        start: the step that is gone on from; lines after it are dropped, since those steps are done again.
        tensorboard: write events for TensorBoard too.
        silent: write nothing.

    Raises:
        ModuleNotFoundError: TensorBoard is asked for and not installed.
    """

    def __init__(self, out: Path, steps: int, start: int, *, tensorboard: bool = False, silent: bool = False) -> None:
        self._out, self._steps, self._silent = out, steps, silent
        self._metrics = out / "metrics.jsonl"
        self._events: Any = None
        self._warned = False
        if silent:
            return
        if self._metrics.exists():
            lines = [line for line in self._metrics.read_text().splitlines() if json.loads(line)["step"] <= start]
            write_atomically(self._metrics, "".join(line + "\n" for line in lines))
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._events = SummaryWriter(str(out / "events"), purge_step=start + 1)

    def line(self, step: int, seconds: float, waiting: float, means: Mapping[str, float]) -> None:
        """One line of metrics.

        Args:
            step: how many steps are done.
            seconds: of a step.
            waiting: share of the time spent waiting for data.
            means: of the terms of the loss and whatever else was noted.
        """
        if self._silent:
            return
        line = {"step": step, "seconds_a_step": seconds, "waiting": waiting, **means}
        with self._metrics.open("a") as file:
            file.write(json.dumps({k: v if k == "step" else round(v, 6) for k, v in line.items()}) + "\n")
        left = seconds * (self._steps - step) / 60
        print(
            f"step {step} of {self._steps}  loss {means['total']:.3f}  {seconds:.2f} s a step  {left:.0f} min left",
            flush=True,
        )
        if waiting > WAITS and waiting * seconds > NOTICED and not self._warned:
            self._warned = True
            print(f"{100 * waiting:.0f} % of the time is spent waiting for data: give more workers", flush=True)
        if self._events is not None:
            for name, value in line.items():
                if name != "step":
                    self._events.add_scalar(name, value, step)

    def pictures(self, step: int, images: Sequence[NDArray[np.uint8]]) -> None:
        """Keep what the model answers to the fixed samples, side by side."""
        if self._silent or not len(images):
            return
        height = max(image.shape[0] for image in images)
        padded = [np.pad(image, ((0, height - image.shape[0]), (0, 4), (0, 0))) for image in images]
        row = np.concatenate(padded, 1)
        folder = self._out / "pictures"
        folder.mkdir(exist_ok=True)
        write_atomically(folder / f"step-{step:07d}.jpg", encode_picture(row, "jpg"))
        if self._events is not None:
            self._events.add_image("answers", row, step, dataformats="HWC")

    def close(self) -> None:
        """Nothing more is said."""
        if self._events is not None:
            self._events.close()


def circumstances(seed: Any, device: str, processes: int) -> dict[str, Any]:
    """Where and with what a run was made."""
    packages = ("anypose", "torch", "accelerate", "numpy", "transformers", "webdataset")
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    machine = torch.cuda.get_device_name() if device.startswith("cuda") else platform.machine()
    return {
        "seed": seed,
        "commit": _commit(),
        "device": f"{device} ({machine})",
        "processes": processes,
        "versions": versions,
    }


def _commit() -> str | None:
    """The commit of the sources in use; with "+" where they were changed since."""
    here = Path(__file__).parent
    try:
        said = [
            subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True).stdout.strip()
            for words in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain", "--untracked-files=no", "."))
        ]
    except (OSError, subprocess.CalledProcessError):
        return None
    return said[0] + ("+" if said[1] else "")
