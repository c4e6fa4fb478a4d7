"""Authors' checkpoints: read without running anything, and put under our names."""

from __future__ import annotations

import argparse
import pickle
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

# Protocol 2, then a long integer of 10 bytes, little end first: torch's mark.
_OLD = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
WRAPPER = "module."  # what DataParallel puts before every name


def read(path: Path, names: Sequence[str], system: str) -> dict[str, Tensor]:
    """The authors' tensors in a checkpoint, which is a pickle: nothing in it is run.

    Args:
        names: under which the weights may lie in it; the bare weights are taken too.
        system: whose checkpoint it should be.

    Raises:
        ValueError: it is not such a file, or is cut short.
    """
    whole = zipfile.is_zipfile(path)
    if not whole and not _is_old(path):
        raise ValueError(f"{path} is not a whole checkpoint, which is a zip archive inside; download it again")
    try:
        # Authors put their program's arguments beside the weights; a Namespace only holds values.
        with torch.serialization.safe_globals([argparse.Namespace]):
            held: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=whole)
    except pickle.UnpicklingError as error:
        if "truncated" in str(error):
            raise ValueError(f"{path} is not a whole checkpoint, its end is missing; download it again") from error
        raise ValueError(
            f"{path} was not opened: it holds more than tensors and settings, and what else a pickle holds can run as "
            "a program; give the authors' own file, or one of safetensors"
        ) from error
    except (RuntimeError, EOFError, OSError) as error:
        reason = str(error).split("\n")[0]
        raise ValueError(f"{path} is not a whole checkpoint; download it again ({reason})") from error
    found = (held[name] for name in names if isinstance(held, dict) and name in held)
    state = next(found, None)
    if state is None and isinstance(held, dict) and held and all(isinstance(v, Tensor) for v in held.values()):
        state = held
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        called = " or ".join(map(repr, names))
        raise ValueError(f"{path} holds no weights under the name {called}; give the authors' {system} checkpoint")
    return state


def _is_old(path: Path) -> bool:
    """Whether this is a checkpoint as torch wrote them before 1.6: a plain pickle that begins with its mark."""
    with path.open("rb") as file:
        return file.read(len(_OLD)) == _OLD


def renamed(state: Mapping[str, Tensor], names: Sequence[tuple[str, str]], system: str) -> dict[str, Tensor]:
    """Entries under our names.

    Args:
        state: the authors' entries, with or without DataParallel's "module.".
        names: (pattern at the start of their name, what takes its place); the first that fits is taken, and what it
            leaves of the name stays. An empty replacement of a pattern that ends in "$" drops the entry.
        system: whose checkpoint it should be.

    Raises:
        ValueError: an entry fits no pattern, or two become one.
    """
    ours: dict[str, Tensor] = {}
    for key, value in state.items():
        plain = key.removeprefix(WRAPPER)
        for pattern, name in names:
            moved, fits = re.subn("^" + pattern, name, plain)
            if fits:
                break
        else:
            raise ValueError(f"{key!r} is no entry of a {system} checkpoint")
        if not moved:
            continue
        if moved in ours:
            raise ValueError(f"{key!r} is in the checkpoint twice")
        ours[moved] = value.float() if value.is_floating_point() else value
    return ours
