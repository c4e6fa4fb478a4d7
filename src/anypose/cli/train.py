"""Train a system: run an experiment."""

from __future__ import annotations

import os
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

    Ctrl-C stops after the step in hand and keeps a checkpoint; --resume goes on as if nothing had happened. On several
    GPUs or machines: `accelerate launch -m anypose train ...`, nothing else changed.
    """
    from anypose.cli import stop

    try:
        import torch

        from anypose.recipes import experiment as experiments
        from anypose.recipes import loop
    except ModuleNotFoundError as error:
        stop(f"training needs {error.name}: pip install 'anypose[torch]'")

    # Arithmetic on vanishing numbers is slow on a CPU. Threads take this over from the one that starts
    # them, so it stands before the first network; it holds for the whole process, so it is taken back.
    torch.set_flush_denormal(True)
    try:
        values = experiments.read(experiment, change or ())
        recipe, settings = experiments.build(values, out)
        loop.train(recipe, settings, out, resume=resume, about=values)
    except (ValueError, OSError, loop.TrainingError) as error:
        stop(str(error))
    finally:
        torch.set_flush_denormal(False)
    if os.environ.get("RANK", "0") == "0":
        typer.echo(f"weights: {out / 'model.safetensors'}; how it went: {out / 'report.html'}")
