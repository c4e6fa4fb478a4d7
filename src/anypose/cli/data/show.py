"""Write a page that shows what is in a data set of RefHuman's kind."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated

import typer

from anypose.cli import stop


def show(
    data: Annotated[Path, typer.Argument(metavar="DATA.json", help="In RefHuman's layout.")],
    images: Annotated[Path, typer.Option(metavar="DIR", help="The folder of the pictures.")],
    out: Annotated[Path | None, typer.Option(metavar="FILE.html", help="[default: DATA.html]")] = None,
    entries: Annotated[int, typer.Option(min=1, help="How many entries to show.")] = 24,
) -> None:
    """Write one HTML page that opens offline: counts, human checks, sizes, words, and entries with their scribbles.

    Faulty entries are skipped, counted and listed on the page.

    \b
    Example:
      anypose data show referred.json --images photos/
    """
    from anypose.data.refhuman import read
    from anypose.data.sample import DataError, DataWarning
    from anypose.report import write_data_page

    target = out or data.with_suffix(".html")
    if not images.is_dir():
        stop(f"--images {images} is {'a file, not a folder' if images.exists() else 'not there'}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            found = read(data, images, strict=False)
        write_data_page(target, found, entries)
    except DataError as error:
        stop(" ".join(str(error).split()))
    except OSError as error:
        stop(f"--out {target}: {error.strerror or error}")
    for fault in found.faults:
        typer.echo(f"anypose: {fault}", err=True)
    typer.echo(f"{target}: {len(found)} entries, {len(found.faults)} faulty ones left out")
