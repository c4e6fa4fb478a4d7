"""The systems that there are, and loading them."""

from __future__ import annotations

import difflib
import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .predictor import Predictor
    from .runtime import Engine

_HERE = Path(__file__).parent
_MODELS = _HERE / "models"


def systems() -> list[str]:
    """Names of all systems, such as "promptable/pointer". The folder tree is the registry; nothing is imported."""
    found = []
    for contract in os.scandir(_MODELS):
        if not contract.is_dir() or contract.name.startswith("_"):
            continue
        for entry in os.scandir(contract.path):
            name = entry.name.removesuffix(".py")
            if not name.startswith("_") and (entry.is_dir() or entry.name.endswith(".py")):
                found.append(f"{contract.name}/{name}")
    return sorted(found)


def load(
    name: str = "promptable/pointer",
    *,
    weights: str | Path | None = None,
    engine: str = "onnx",
    threads: int | None = None,
) -> Predictor:
    """A system, ready to be used.

    Args:
        name: one of `systems()`.
        weights: a folder of exported graphs (for "onnx") or a safetensors file (for "torch"); None takes those
            of the package.
        engine: "onnx", which needs nothing but the ground floor, or "torch".
        threads: threads of one network; None leaves the choice to the engine.

    Raises:
        ValueError: there is no such system or engine, or the weights do not fit.
        FileNotFoundError: the weights are not there.
    """
    if name not in systems():
        near = difflib.get_close_matches(name, systems(), 1, 0.4) or systems()
        raise ValueError(f"there is no system {name!r}; did you mean {near[0]!r}? (`anypose systems` lists them)")
    if engine not in ("onnx", "torch"):
        raise ValueError(f"there is no engine {engine!r}: it is 'onnx' or 'torch'")
    home = _HERE / "weights" / name.split("/")[1]
    from .predictor import Predictor

    if engine == "onnx":
        from .runtime.onnx import OnnxEngine

        folder = Path(weights) if weights is not None else home
        return Predictor(name, OnnxEngine(folder, Predictor.graphs, threads), home / "tokenizer.json")
    return Predictor(name, _torch_engine(name, weights, home, threads), home / "tokenizer.json")


def _torch_engine(name: str, weights: str | Path | None, home: Path, threads: int | None) -> Engine:
    """The system itself, from its safetensors file."""
    try:
        import torch
        from safetensors.torch import load_file
    except ModuleNotFoundError as error:
        raise ValueError(f"the torch engine needs {error.name}: pip install 'anypose[torch]'") from error
    from .runtime.torch import TorchEngine

    path = Path(weights) if weights is not None else home / "model.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: give the safetensors file of a trained {name}")
    if threads:
        torch.set_num_threads(threads)
    module = importlib.import_module(f"anypose.models.{name.replace('/', '.')}")
    graphs = importlib.import_module(f"anypose.models.{name.replace('/', '.')}.graphs")
    model = getattr(module, name.split("/")[1].title())()
    state = {key: value.float() for key, value in load_file(path).items()}
    expected = model.state_dict()
    shapes = [{key: value.shape for key, value in weights.items()} for weights in (state, expected)]
    wrong = [key for key in sorted({*state, *expected}) if shapes[0].get(key) != shapes[1].get(key)]
    if wrong:
        raise ValueError(f"{path} does not fit {name}: the first entry that differs is {wrong[0]!r}")
    model.load_state_dict(state)
    return TorchEngine(graphs.graphs(model))
