"""Pack a COCO keypoint file and its pictures into tar shards for training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anypose.cli import stop


def pack(
    data: Annotated[Path, typer.Argument(metavar="DATA.json", help="A COCO keypoint file.")],
    images: Annotated[Path, typer.Option(metavar="DIR", help="The folder of the pictures.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Made here; must not hold a packed set.")],
    shard_size: Annotated[float, typer.Option(min=0.01, help="Megabytes of a shard.")] = 100.0,
) -> None:
    """Write tar files that training reads one after the other, from a disk or over http, each process its own.

    \b
    Example:
      anypose data pack people.json --images photos/ --out packed/
    """
    from anypose.data.sample import DataError
    from anypose.data.shards import pack as pack_into_shards

    if not images.is_dir():
        stop(f"--images {images} is {'a file, not a folder' if images.exists() else 'not there'}")
    try:
        index = pack_into_shards(data, images, out, shard_size)
    except DataError as error:
        stop(" ".join(str(error).split()))
    except OSError as error:
        stop(f"--out {out}: {error}")
    typer.echo(f"{out}: {index['samples']} pictures in {len(index['shards'])} shards")
