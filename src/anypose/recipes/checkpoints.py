"""Checkpoints: all that a run needs to go on as if nothing had happened, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

BEST = "best.pt"


class TrainingError(RuntimeError):
    """The run cannot go on; the message says why and what is kept."""


def checkpoints(out: Path) -> list[Path]:
    """The run's checkpoints, oldest first; the best one is kept beside them as best.pt."""
    return sorted(out.glob("step-*.pt"))


def write(out: Path, state: dict[str, Any], keep: int, *, best: bool) -> None:
    """Write a checkpoint, mark it as the best if it is, then remove old ones.

    Args:
        out: folder of the run.
        state: what is kept; `state["step"]` names the file.
        keep: how many are kept.
        best: whether this is the best so far.

    Raises:
        TrainingError: it cannot be written; what was there before still is.
    """
    path = out / f"step-{state['step']:07d}.pt"
    waiting = path.with_suffix(".partial")
    try:
        torch.save(state, waiting)
        waiting.replace(path)
        if best:
            _twin(path, out / BEST)
    except (OSError, RuntimeError) as error:  # torch's writer turns a full disk into a RuntimeError
        waiting.unlink(missing_ok=True)
        kept = checkpoints(out)
        still = f"{kept[-1].name} is whole: make room and go on with --resume" if kept else "none was written before"
        raise TrainingError(f"cannot write {path} ({_first_line(error)}); {still}") from error
    for old in checkpoints(out)[:-keep]:
        old.unlink()


def read(path: Path) -> dict[str, Any]:
    """A checkpoint, on the CPU.

    Raises:
        TrainingError: it cannot be read.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TrainingError(
            f"{path} cannot be read ({_first_line(error)}): remove it to go on from the one before"
        ) from error
    return state


def _twin(path: Path, other: Path) -> None:
    """A second name for a file, which stays when the first goes."""
    waiting = other.with_suffix(".partial")
    waiting.unlink(missing_ok=True)
    try:
        os.link(path, waiting)
    except OSError:  # a disk without links
        shutil.copyfile(path, waiting)
    waiting.replace(other)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0]


def random_state() -> dict[str, Any]:
    """The random numbers of this process: Python's, numpy's, torch's and its device's."""
    _, keys, place, has_gauss, gauss = np.random.get_state(legacy=True)  # noqa: NPY002 (others may use the global numbers)
    state = {
        "python": random.getstate(),
        "numpy": (torch.from_numpy(np.array(keys, np.int64)), int(place), int(has_gauss), float(gauss)),
        "torch": torch.get_rng_state(),
    }
    return {**state, "cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else state


def set_random_state(state: dict[str, Any]) -> None:
    """Random numbers go on where `random_state` was asked."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    keys, place, has_gauss, cached = state["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), place, has_gauss, cached))  # noqa: NPY002 (as above)
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        with contextlib.suppress(RuntimeError):  # of another device: its numbers do not fit
            torch.cuda.set_rng_state(state["cuda"])
