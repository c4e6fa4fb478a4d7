"""Make pictures of synthetic people with everything that is true of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anypose.cli import stop

_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def synthesize(
    out: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder, or one that a stopped run left.")],
    count: Annotated[int, typer.Option(min=1, help="How many pictures.")] = 100,
    people: Annotated[str, typer.Option(metavar="N or A-B", help="People in a picture.")] = "1-6",
    size: Annotated[str, typer.Option(metavar="WxH", help="Pixels; several sizes with commas.")] = "640x480",
    seed: Annotated[int, typer.Option(min=0, help="Other people, other scenes.")] = 0,
    processes: Annotated[
        int | None, typer.Option(min=1, help="That share the work.  [default: one for each core]")
    ] = None,
    places: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Painted backgrounds, with commas: field, street, hall, ...")
    ] = None,
    backgrounds: Annotated[Path | None, typer.Option(metavar="DIR", help="Pictures to stand before.")] = None,
    into: Annotated[
        Path | None, typer.Option(metavar="PEOPLE.json", help="Put people into the photographs of this COCO file.")
    ] = None,
    images: Annotated[Path | None, typer.Option(metavar="DIR", help="The folder of those photographs.")] = None,
    things: Annotated[float, typer.Option(min=0, max=1, help="Share of people who hold something.")] = 0.35,
    body: Annotated[
        str, typer.Option(metavar="NAME", help="small, full, or a SMPL-H file you have a licence for.")
    ] = "small",
    mocap: Annotated[
        Path | None, typer.Option(metavar="FILE.npz", help="CMU's motions: half the poses come from it.")
    ] = None,
    frames: Annotated[
        int, typer.Option(min=1, help="Of a sequence in which people walk; --count is then of sequences.")
    ] = 1,
    cameras: Annotated[int, typer.Option(min=1, max=8, help="That see each sequence.")] = 1,
    video: Annotated[
        bool, typer.Option("--video", help="Sequences as mp4 too. Needs `pip install anypose[video]`.")
    ] = False,
    arrays: Annotated[bool, typer.Option("--arrays", help="3D truth and maps of every pixel too, as npz.")] = False,
    refhuman: Annotated[bool, typer.Option("--refhuman", help="RefHuman's layout too: referred.json.")] = False,
    sheet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the first pictures with their truth.")
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="That renders: cpu, cuda, or auto, a GPU where there is one.")
    ] = "auto",
    shard: Annotated[int, typer.Option(min=1, help="Pictures that a process makes at a time.")] = 50,
) -> None:
    """Write pictures, and people.json with keypoints, masks and sentences in COCO's layout.

    The same options and seed give the same files, on any number of processes. A run that was stopped goes on where it
    was when the same command is given again. Needs `pip install anypose[torch]`.

    \b
    Examples:
      anypose data synthesize people/ --count 1000
      anypose data synthesize people/ --count 200 --people 3 --size 512x512 --arrays --sheet people.jpg
      anypose data synthesize people/ --backgrounds photos/ --refhuman
      anypose data synthesize walks/ --count 4 --frames 45 --cameras 2 --people 3 --video
    """
    from itertools import islice

    from anypose.cli.evaluate import progress

    _need_torch()
    from anypose.data.sample import DataError
    from anypose.data.synthetic.body import BodyError
    from anypose.data.synthetic.engine import Settings, Source
    from anypose.data.synthetic.mocap import MocapError
    from anypose.data.synthetic.raster import DeviceError, device_named
    from anypose.data.synthetic.scene import SceneError, Wishes
    from anypose.data.synthetic.sheet import drawn_sheet
    from anypose.data.synthetic.video import VideoError
    from anypose.data.synthetic.writing import Plan, PlanError, write
    from anypose.files import write_atomically
    from anypose.pictures import PictureError, encode_picture

    sizes = _sizes(size)
    motions = None if mocap is None else str(mocap)
    try:
        named = () if places is None else tuple(name.strip() for name in places.split(","))
        wishes = Wishes(_range(people), sizes[0], things, named, pictures=_pictures(backgrounds), mocap=motions)
        for other in sizes[1:]:
            Wishes(wishes.people, other)
        settings = Settings(
            wishes,
            seed,
            body,
            sizes=sizes if len(sizes) > 1 else (),
            frames=frames,
            cameras=cameras,
            into=_photographs(into, images),
            device=str(device_named(device)),
        )
        source = Source(settings)
        plan = Plan(settings, count, shard, arrays, refhuman, video)
        with progress(count) as advance:

            def report(frames: int) -> None:
                for _ in range(frames):
                    advance()

            counts = write(plan, out, processes or _cores(), report)
        if sheet is not None:
            numbers = range(count)
            made = (
                (source.joined(number).frame for number in numbers)
                if into is not None
                else (frame for number in numbers for frame in source.frames(number))
            )
            shown = islice(made, 12)
            write_atomically(sheet, encode_picture(drawn_sheet(list(shown)), sheet))
    except (SceneError, BodyError, MocapError, DeviceError, PlanError, VideoError, PictureError, DataError) as error:
        stop(" ".join(str(error).split()))
    except OSError as error:
        stop(f"{error.filename or out}: {error.strerror or error}")
    left = f"; {counts['left out']} were left out as they did not read as one person" if counts["left out"] else ""
    typer.echo(
        f"{out / 'people.json'}: {counts['pictures']} pictures, {counts['people']} people, "
        f"{counts['expressions']} sentences{left}"
    )


def _need_torch() -> None:
    from importlib.util import find_spec

    if find_spec("torch") is None:
        stop('this command needs torch: pip install "anypose[torch]"')


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _range(text: str) -> tuple[int, int]:
    least, dash, most = text.partition("-")
    try:
        return int(least), int(most if dash else least)
    except ValueError:
        stop(f"--people {text}: give a number, such as 3, or a range, such as 1-6")


def _sizes(text: str) -> tuple[tuple[int, int], ...]:
    sizes = []
    for part in text.lower().split(","):
        width, cross, height = part.strip().partition("x")
        if not cross or not width.isdigit() or not height.isdigit():
            stop(f"--size {text}: give width x height in pixels, such as 640x480, several with commas")
        sizes.append((int(height), int(width)))
    return tuple(sizes)


def _photographs(into: Path | None, images: Path | None) -> tuple[str, str] | None:
    if (into is None) != (images is None):
        stop("--into and --images belong together: a COCO file of people and the folder of its photographs")
    return None if into is None else (str(into), str(images))


def _pictures(folder: Path | None) -> tuple[str, ...]:
    if folder is None:
        return ()
    if not folder.is_dir():
        stop(f"--backgrounds {folder} is {'a file, not a folder' if folder.exists() else 'not there'}")
    found = tuple(str(path) for path in sorted(folder.iterdir()) if path.suffix.lower() in _PICTURES)
    if not found:
        stop(f"--backgrounds {folder} holds no picture ({', '.join(_PICTURES)})")
    return found
