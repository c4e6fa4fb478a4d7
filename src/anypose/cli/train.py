"""Train a system: run an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train(
    experiment: Annotated[Path, typer.Argument(help="A short Python file of plain values.")],
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    change: Annotated[list[str] | None, typer.Option("--set", help="Change a value: name=value.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the newest checkpoint in the folder.")] = False,
) -> None:
    """Train a model: `anypose train experiments/pointer.py --out runs/a --set lr=2e-4`.

    Ctrl-C stops after the step in hand and keeps a checkpoint; --resume goes on as if nothing had happened.
    """
    from anypose.cli import stop

    try:
        import torch
        from safetensors.torch import save_file

        from anypose.recipes import experiment as experiments
        from anypose.recipes import loop
    except ModuleNotFoundError as error:
        stop(f"training needs {error.name}: pip install 'anypose[torch]'")

    # Arithmetic on vanishing numbers is slow on a CPU. Threads take this over from the one that starts
    # them, so it stands before the first network; it holds for the whole process, so it is taken back.
    torch.set_flush_denormal(True)
    try:
        recipe, settings = experiments.build(experiments.read(experiment, change or ()), out)
        model = loop.train(recipe, settings, out, resume=resume)
    except (ValueError, OSError, loop.TrainingError) as error:
        stop(str(error))
    finally:
        torch.set_flush_denormal(False)
    waiting = out / "model.partial"
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, waiting)
    waiting.replace(out / "model.safetensors")
    typer.echo(f"weights: {out / 'model.safetensors'}")
