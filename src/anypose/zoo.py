"""The systems that there are, and loading them."""

from __future__ import annotations

import difflib
import importlib
import json
import os
from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .predictor import Predictor

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
    engine: str | None = None,
    threads: int | None = None,
    precision: str = "float32",
    device: str = "cpu",
    compiled: bool = False,
    locator: str | Predictor | None = None,
    quick: bool = False,
    **options: Any,
) -> Any:
    """A system, ready to be used: a `Predictor`, or for "lifting/..." a `LiftingPredictor`.

    Args:
        name: one of `systems()`, or such with a variant behind it, as in "promptable/uniphd/swin-t".
        weights: a folder of exported graphs (for "onnx"), or a file (for "torch"): safetensors, or the authors' own
            checkpoint; None takes those of the package.
        engine: "onnx", which needs nothing but the ground floor, or "torch"; None goes by the weights.
        threads: threads of one network; None leaves the choice to the engine.
        precision: "float32"; for "torch" also "bfloat16" where the processor has it, "int8" for systems that bear it,
            or "fastest", which picks among them.
        device: for "torch": "cpu" or "cuda".
        compiled: for "torch": whether `torch.compile` makes it faster; the first answer of each size takes minutes.
        locator: of a system that answers about boxes: who finds the boxes of people meant by words, points or a
            scribble, a name or a predictor; None takes "promptable/pointer".
        quick: look at each person once, not at the mirror image too, and at small ones from no nearer: faster, less
            right. Of "promptable/pointer".
        options: of the system's constructor, for "torch".

    Raises:
        ValueError: there is no such system or engine, or the weights do not fit.
        FileNotFoundError: the weights are not there.
    """
    system, variant = _parts(name)
    if engine not in (None, "onnx", "torch"):
        raise ValueError(f"there is no engine {engine!r}: it is 'onnx' or 'torch'")
    home = _HERE / "weights" / system.split("/")[1]
    if variant is not None and (home / variant).is_dir():
        home = home / variant
    if weights is None and not home.is_dir():
        raise FileNotFoundError(f"{system} comes without weights: give weights=FILE, a checkpoint of {system}")
    given = home if weights is None else Path(weights)
    if not given.exists():
        raise FileNotFoundError(f"{given} is not there: give the weights of {system}, or a folder of exported graphs")
    if engine is None:
        engine = "torch" if given.is_file() else "onnx"
    if engine == "onnx":
        for what, given_one, only in (
            ("precision", precision, "float32"),
            ("device", device, "cpu"),
            ("compiled", compiled, False),
        ):
            if given_one != only:
                raise ValueError(f"exported graphs run with {what}={only!r}: for {given_one!r} take engine='torch'")
        if options:
            raise ValueError(f"{next(iter(options))!r} is of torch systems; exported graphs hold their options")
        return _looking(_onnx_predictor(system, given, home, threads, locator), quick)
    file = home / "model.safetensors" if weights is None else given
    model = create(name, file, **options)
    if threads:
        from .runtime.torch import use_threads

        use_threads(threads)
    return _looking(_torch_predictor(system, model, file, home, (precision, device, compiled), locator), quick)


def _looking(predictor: Any, quick: bool) -> Any:
    """The predictor, told how often to look."""
    from .predictor import Predictor

    if quick:
        if type(predictor) is not Predictor:
            raise ValueError(f"{predictor.name} looks at everybody once anyway: leave out quick, of promptable/pointer")
        predictor.quick = True
    return predictor


def _predictor(system: str, graphs: Container[str]) -> Any:
    """The runner of a system that has these graphs."""
    if system.startswith("lifting/"):
        from .lifting import LiftingPredictor

        return LiftingPredictor
    from .boxed import BoxPredictor
    from .predictor import Predictor
    from .referring import ReferringPredictor

    fitting = (kind for kind in (ReferringPredictor, BoxPredictor) if all(name in graphs for name in kind.graphs))
    return next(fitting, Predictor)


def _onnx_predictor(system: str, folder: Path, home: Path, threads: int | None, locator: Any) -> Any:
    from .runtime.onnx import OnnxEngine

    runner = _predictor(system, {path.stem for path in folder.glob("*.onnx")})
    return _run_by(runner, system, OnnxEngine(folder, runner.graphs, threads, runner.rows), (folder, home), locator)


def _torch_predictor(
    system: str, model: Any, file: Path, home: Path, running: tuple[str, str, bool], locator: Any
) -> Any:
    from .runtime.torch import TorchEngine, prepared

    precision, device, compiled = running
    asking = getattr(model, "asking", {})
    precision = prepared(model, precision, device)
    graphs = graphs_of(system, model)
    runner = _predictor(system, graphs)
    engine = TorchEngine(graphs, device, precision, compiled=compiled)
    return _run_by(runner, system, engine, (file.parent, home), locator, **asking)


def _run_by(runner: Any, system: str, engine: Any, folders: tuple[Path, Path], locator: Any, **asking: Any) -> Any:
    """A runner with its tokenizer, if it reads words, or with its locator, if it reads boxes."""
    if "see" in runner.graphs:
        if isinstance(locator, str) and _parts(locator)[0] == system:
            raise ValueError(f"{system} answers about boxes and cannot find them: take another locator")

        def found() -> Any:
            return load(locator or "promptable/pointer") if locator is None or isinstance(locator, str) else locator

        return runner(system, engine, found, **asking)
    if locator is not None:
        raise ValueError(f"{system} finds people by itself and takes no locator")
    if system.startswith("lifting/"):
        return runner(system, engine)
    tokenizers = [folder / "tokenizer.json" for folder in folders]
    return runner(system, engine, next(filter(Path.is_file, tokenizers), tokenizers[0]), **asking)


def graphs_of(system: str, model: Any) -> Any:
    """What a system exports, by name: its own graphs, or those of its contract. Needs the upper floor."""
    lifts = system.startswith("lifting/")
    module = "anypose.nn.lifts" if lifts else f"anypose.models.{system.replace('/', '.')}.graphs"
    return importlib.import_module(module).graphs(model)


def create(name: str, weights: str | Path | None = None, **options: Any) -> Any:
    """A system as a torch module; needs the upper floor.

    Args:
        name: one of `systems()`, or such with a variant behind it; some know a file's variant by themselves.
        weights: a safetensors file, the authors' own checkpoint, or None for random weights.
        options: of the system's constructor; they go before the variant's.

    Raises:
        ValueError: torch is not installed, there is no such system, or the file does not fit it.
        FileNotFoundError: the file is not there.
    """
    system, variant = _parts(name)
    path = None if weights is None else Path(weights)
    if path is not None and not path.is_file():
        raise FileNotFoundError(f"{path} is not there: give the safetensors file of a trained {system}")
    try:
        import safetensors.torch  # noqa: F401
    except ModuleNotFoundError as error:
        raise ValueError(f"torch systems need {error.name}: pip install 'anypose[torch]'") from error
    try:
        module = importlib.import_module(f"anypose.models.{system.replace('/', '.')}")
    except ModuleNotFoundError as error:
        raise ValueError(f"{system} needs {error.name}: pip install 'anypose[torch]'") from error
    variants = getattr(module, "VARIANTS", {})
    if variant is not None and variant not in variants:
        raise ValueError(f"there is no variant {variant!r} of {system}; there are {', '.join(variants)}")
    state = None
    notes: dict[str, Any] = {}
    if path is not None:
        read = getattr(module, "published", None)
        if path.suffix == ".safetensors" or read is None:
            state, notes = _safetensors(path)
        else:
            variant, state = read(path, variant)
    chosen = variants.get(variant, {}) if variant is not None else {}
    # The path is the name: of all public classes the system's is the one that is called like its file.
    plain = system.split("/")[1].replace("_", "")
    made = next(value for key, value in vars(module).items() if key.lower() == plain)
    if state is None:
        return made(**{**chosen, **options})
    if variant is None and not notes and hasattr(module, "variant_of"):
        variant = module.variant_of(state)
        chosen = variants.get(variant, {})
    from .runtime.torch import Unfilled

    told = _told(made, notes, path) if hasattr(made, "told") and notes else {}
    with Unfilled():
        model = made(**{**told, **chosen, **options})
    _check_fit(path, system, state, model.state_dict())
    # The file's own memory becomes the model's: weights are never held twice.
    model.load_state_dict(state, assign=True)
    model.variant = variant
    return model


def _told(made: Any, notes: dict[str, Any], path: Path | None) -> dict[str, Any]:
    """The options of a constructor that a file's notes are of."""
    try:
        return made.told(notes)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} says of itself what does not fit {made.__name__}: {error!r}") from error


def save(model: Any, path: str | Path, state: dict[str, Any] | None = None) -> None:
    """Writes a torch system's weights so that `create` and `load` make it again without options.

    Beside the weights stand its `notes`, if it has such: options of its constructor.

    Args:
        path: the safetensors file, which is whole or not there.
        state: other numbers for its entries; None takes its own.

    Raises:
        OSError: as `open` does.
    """
    from safetensors.torch import save_file

    path = Path(path)
    notes = getattr(model, "notes", None)
    # One entry, since safetensors writes several in any order.
    metadata = None if notes is None else {"notes": json.dumps(notes)}
    waiting = path.with_suffix(".partial")
    tensors = model.state_dict() if state is None else state
    save_file({key: value.contiguous() for key, value in tensors.items()}, waiting, metadata=metadata)
    waiting.replace(path)


def _safetensors(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A file's weights, and the notes beside them."""
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    try:
        state = {key: value.float() if value.is_floating_point() else value for key, value in load_file(path).items()}
        with safe_open(path, "pt") as file:
            said = (file.metadata() or {}).get("notes")
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file ({error})") from error
    try:
        return state, {} if said is None else json.loads(said)
    except ValueError as error:
        raise ValueError(f"{path} has notes that are no JSON ({error})") from error


def _check_fit(path: Path | None, system: str, state: dict[str, Any], expected: dict[str, Any]) -> None:
    shapes = [{key: value.shape for key, value in tensors.items()} for tensors in (state, expected)]
    wrong = [key for key in sorted({*state, *expected}) if shapes[0].get(key) != shapes[1].get(key)]
    if wrong:
        raise ValueError(f"{path} does not fit {system}: the first entry that differs is {wrong[0]!r}")


def _parts(name: str) -> tuple[str, str | None]:
    """A system and a variant, if the name has one."""
    contract, system, *rest = [*name.split("/"), ""][:3] if "/" in name else [name, "", ""]
    plain = f"{contract}/{system}" if system else name
    _check_name(plain)
    return plain, rest[0] or None


def _check_name(name: str) -> None:
    if name not in systems():
        near = difflib.get_close_matches(name, systems(), 1, 0.4) or systems()
        raise ValueError(f"there is no system {name!r}; did you mean {near[0]!r}? (`anypose systems` lists them)")
