"""The systems that there are, and loading them."""

from __future__ import annotations

import difflib
import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    _check_name(name)
    if engine not in ("onnx", "torch"):
        raise ValueError(f"there is no engine {engine!r}: it is 'onnx' or 'torch'")
    home = _HERE / "weights" / name.split("/")[1]
    from .predictor import Predictor

    if engine == "onnx":
        from .runtime.onnx import OnnxEngine

        folder = Path(weights) if weights is not None else home
        return Predictor(name, OnnxEngine(folder, Predictor.graphs, threads), home / "tokenizer.json")
    file = Path(weights) if weights is not None else home / "model.safetensors"
    return Predictor(name, _torch_engine(name, file, threads), home / "tokenizer.json")


def create(name: str, weights: str | Path | None = None, **options: Any) -> Any:
    """A system as a torch module; needs the upper floor.

    Args:
        name: one of `systems()`.
        weights: a safetensors file, or None for random weights.
        options: of the system's constructor.

    Raises:
        ValueError: torch is not installed, there is no such system, or the file does not fit it.
        FileNotFoundError: the file is not there.
    """
    _check_name(name)
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ModuleNotFoundError as error:
        raise ValueError(f"torch systems need {error.name}: pip install 'anypose[torch]'") from error
    module = importlib.import_module(f"anypose.models.{name.replace('/', '.')}")
    # The path is the name: of all public classes the system's is the one that is called like its file.
    plain = name.split("/")[1].replace("_", "")
    model = next(value for key, value in vars(module).items() if key.lower() == plain)(**options)
    if weights is None:
        return model
    path = Path(weights)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: give the safetensors file of a trained {name}")
    try:
        state = {key: value.float() for key, value in load_file(path).items()}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file ({error})") from error
    expected = model.state_dict()
    shapes = [{key: value.shape for key, value in tensors.items()} for tensors in (state, expected)]
    wrong = [key for key in sorted({*state, *expected}) if shapes[0].get(key) != shapes[1].get(key)]
    if wrong:
        raise ValueError(f"{path} does not fit {name}: the first entry that differs is {wrong[0]!r}")
    model.load_state_dict(state)
    return model


def _torch_engine(name: str, weights: Path, threads: int | None) -> Engine:
    model = create(name, weights)
    from .runtime.torch import TorchEngine, use_threads

    if threads:
        use_threads(threads)
    graphs = importlib.import_module(f"anypose.models.{name.replace('/', '.')}.graphs")
    return TorchEngine(graphs.graphs(model))


def _check_name(name: str) -> None:
    if name not in systems():
        near = difflib.get_close_matches(name, systems(), 1, 0.4) or systems()
        raise ValueError(f"there is no system {name!r}; did you mean {near[0]!r}? (`anypose systems` lists them)")
