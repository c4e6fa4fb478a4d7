"""Write a trained system as the package ships it: float16, for both floors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    weights: Annotated[Path, typer.Argument(help="A safetensors file that `anypose train` wrote.")],
    out: Annotated[Path, typer.Option(help="Folder for model.safetensors and one ONNX file a graph.")],
    model: Annotated[str, typer.Option(help="The system's name.")] = "promptable/pointer",
) -> None:
    """Write a trained system as the package ships it.

    anypose export runs/a/model.safetensors --out exported
    """
    from anypose import zoo
    from anypose.cli import stop

    try:
        if weights.resolve() == (out / "model.safetensors").resolve():
            stop(f"--out {out} holds {weights.name} itself, which it would round to float16; name another folder")
        system = zoo.create(model, weights)
        from anypose.runtime.export import export as export_graphs

        # Both forms hold the same float16 numbers, so that they answer alike; constants stay as they are.
        state = {name: value.half().contiguous() for name, value in system.state_dict().items()}
        system.load_state_dict({name: value.float() for name, value in state.items()})
        out.mkdir(parents=True, exist_ok=True)
        zoo.save(system, out / "model.safetensors", state)
        paths = [out / "model.safetensors", *export_graphs(zoo.graphs_of("/".join(model.split("/")[:2]), system), out)]
    except (ValueError, OSError) as error:
        stop(str(error))
    except ModuleNotFoundError as error:
        stop(f"exporting needs {error.name}: pip install 'anypose[torch]'")
    for path in paths:
        typer.echo(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
