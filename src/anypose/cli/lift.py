"""Lift a person from a video's keypoints into space: 3D track, BVH, CSV, TRC, a page, a picture."""

from __future__ import annotations

import json as encoding
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anypose.cli import stop

if TYPE_CHECKING:
    from anypose.track import Track

DEFAULT_MODEL = "lifting/lever"
FEW = 9  # frames, below which the default model is the one for single frames


def lift(
    track: Annotated[
        str, typer.Argument(metavar="TRACK.json", help="A track, or what `anypose find FRAMES --json` wrote.")
    ],
    out: Annotated[str | None, typer.Option("--out", "-o", metavar="FILE", help="The 3D track, as JSON.")] = None,
    bvh: Annotated[str | None, typer.Option(metavar="FILE", help="For animation programs; centimetres.")] = None,
    csv: Annotated[str | None, typer.Option(metavar="FILE", help="A table; metres.")] = None,
    trc: Annotated[str | None, typer.Option(metavar="FILE", help="For OpenSim; millimetres.")] = None,
    html: Annotated[str | None, typer.Option(metavar="FILE", help="A page to look at; needs no network.")] = None,
    turntable: Annotated[str | None, typer.Option(metavar="FILE", help="A picture from all sides.")] = None,
    keep: Annotated[str | None, typer.Option("--track", metavar="FILE", help="The 2D track that was read.")] = None,
    rate: Annotated[
        float | None, typer.Option(metavar="FPS", help="Frames a second, for what `anypose find` wrote.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who is meant, where `anypose find` gave several names.")
    ] = None,
    height: Annotated[
        float | None, typer.Option(metavar="M", help="The person's height in metres; gives the body its true size.")
    ] = None,
    camera: Annotated[
        str | None, typer.Option(metavar="FILE", help="The camera as JSON; puts the body where the camera saw it.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"See `anypose systems`; {DEFAULT_MODEL} unless told otherwise.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(metavar="FILE", help="A checkpoint, for a system that comes without weights.")
    ] = None,
    flip: Annotated[
        bool, typer.Option("--flip/--no-flip", help="Also lift the mirrored track and take the mean.")
    ] = True,
) -> None:
    """Lift a person from 2D keypoints over time into space.

    Bodies have the size of those that the system learned from, unless --height says the person's, and turn about
    their pelvis, which stands still, unless the track or --camera says what camera saw them: nothing in keypoints
    alone tells a near child from a far adult.

    A 2D track comes from the frames of a video, numbered pictures in a folder, by way of `anypose find`.

    \b
    Examples:
      anypose find frames/ --text "the dancer" --json found.json
      anypose lift found.json --rate 30 --out track3d.json --bvh dancer.bvh --html dancer.html
      anypose lift track.json --height 1.78 --csv joints.csv --trc joints.trc --turntable sides.png
    """
    from anypose.files import write_atomically

    asked = {"--out": out, "--bvh": bvh, "--csv": csv, "--trc": trc, "--html": html, "--turntable": turntable}
    asked["--track"] = keep
    targets = {option: path for option, path in asked.items() if path is not None}
    if not targets:
        stop("nothing to write: give --out, --bvh, --csv, --trc, --html or --turntable, and a file")
    _refuse(targets, track, camera)
    try:
        seen = _read(track, rate, name, camera)
        contents: dict[str, Callable[[], bytes | str]] = {}
        if set(targets) != {"--track"}:
            predictor = _predictor(model, weights, seen)
            lifted = _named(track, lambda: predictor.lift(seen, height=height, flip=flip))
            contents = _contents(lifted, targets)
        contents["--track"] = lambda: seen.to_json() + "\n"
        made = {path: contents[option]() for option, path in targets.items()}
        for path, content in made.items():
            write_atomically(path, content)
    except (ValueError, OSError) as error:
        stop(str(error))
    if set(targets) != {"--track"} and lifted.note:
        typer.echo(f"{track}: {lifted.note}", err=True)


def _refuse(targets: dict[str, str], track: str, camera: str | None) -> None:
    """Stop where a file would be written twice, or over what is read."""
    read = {Path(path).resolve() for path in (track, camera) if path is not None}
    written: set[Path] = set()
    for option, path in targets.items():
        place = Path(path).resolve()
        if place in read:
            stop(f"{option} {path} would overwrite what is read; name another file")
        if place in written:
            stop(f"{option} {path} is asked for twice; name another file")
        written.add(place)


def _read(path: str, rate: float | None, name: str | None, camera: str | None) -> Track:
    """The track in a file, or in the answer of `anypose find`. ValueError names the file and what is wrong."""
    from anypose.camera import Camera
    from anypose.track import Track

    seen_by = None
    if camera is not None:
        seen_by = _named(camera, lambda: Camera.from_dict(_json(camera)))
    record = _named(path, lambda: _json(path))
    if isinstance(record, dict) and "pictures" in record:
        if rate is None:
            raise ValueError(f"{path} is an answer of `anypose find`: give --rate, the frames a second of the video")
        return _named(path, lambda: Track.from_answer(record, rate, name=name, camera=seen_by))
    for option, value in (("--rate", rate), ("--name", name)):
        if value is not None:
            raise ValueError(f"{option} is for what `anypose find` wrote; {path} is a track and holds its own")
    track = _named(path, lambda: Track.from_dict(record))
    if seen_by is None:
        return track
    import dataclasses

    return _named(path, lambda: dataclasses.replace(track, camera=seen_by, size=track.size or seen_by.size))


def _json(path: str) -> Any:
    if not Path(path).is_file():
        raise ValueError("there is no such file")
    try:
        return encoding.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"this is no JSON, as tracks and cameras are ({error})") from error


def _named(path: str, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _predictor(model: str | None, weights: str | None, track: Track) -> Any:
    """The system that is asked for; without a name the default one, which for few frames is another."""
    from anypose import load

    name = model or (DEFAULT_MODEL if len(track) >= FEW else f"{DEFAULT_MODEL}/single")
    if not name.startswith("lifting/"):
        raise ValueError(f"{name} lifts nothing; `anypose systems` lists lifting/...")
    try:
        return load(name, weights=weights)
    except ImportError as error:
        raise ValueError(str(error)) from error


def _contents(lifted: Track, targets: dict[str, str]) -> dict[str, Callable[[], bytes | str]]:
    """How each file is made of the 3D track."""
    from anypose.motion import tables

    def bvh() -> str:
        from anypose.motion.bvh import bvh

        return bvh(lifted)

    def page() -> str:
        from anypose.motion.page import page

        return page(lifted)

    def turntable() -> bytes:
        from anypose.motion.turntable import turntable
        from anypose.pictures import encode_picture

        return encode_picture(turntable(lifted), Path(targets["--turntable"]))

    return {
        "--out": lambda: lifted.to_json() + "\n",
        "--bvh": bvh,
        "--csv": lambda: tables.as_csv(lifted),
        "--trc": lambda: tables.as_trc(lifted, Path(targets["--trc"]).name),
        "--html": page,
        "--turntable": turntable,
    }
