"""Step through the entries of a built data set and accept, edit or reject their captions."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anypose.cli import stop

if TYPE_CHECKING:
    from anypose.data.building import ReviewFile

_KEYS = {"a": "accepted", "r": "rejected"}
_HELP = "a accept, e edit, r reject, s skip, b back, q quit"


def review(
    data: Annotated[Path, typer.Argument(metavar="DATA.json", help="Made by `anypose data refhuman`.")],
    images: Annotated[Path, typer.Option(metavar="DIR", help="The folder of the pictures.")],
    by: Annotated[str | None, typer.Option(metavar="NAME", help="Who checks.  [default: the user's name]")] = None,
    all_entries: Annotated[bool, typer.Option("--all", help="Also those that have been checked.")] = False,
) -> None:
    """Show each unchecked caption, write the person's picture beside DATA.json, and ask what to do with it.

    The picture is DATA_review.jpg: the person, and the whole picture with the person framed. Every answer is saved at
    once, with who gave it and when; quit whenever you like. Rejected entries are left out when the data set is read.
    Entries with a doubt, which labels or another caption gainsay, come first.

    \b
    Example:
      anypose data review referred.json --images photos/
    """
    from anypose.data.building import ReviewFile
    from anypose.data.sample import DataError

    try:
        file = ReviewFile(data)
    except DataError as error:
        stop(" ".join(str(error).split()))
    who = by or getpass.getuser()
    pending = sorted(file.pending(all_entries), key=lambda place: file.doubt(place) is None)
    step = 0
    while 0 <= step < len(pending):
        _show(file, pending[step], images, f"{step + 1}/{len(pending)}")
        key = _key()
        if key == "q":
            break
        if key == "b":
            step = max(0, step - 1)
        elif key == "s" or _checked(file, pending[step], key, who):
            step += 1
    states = file.states()
    typer.echo(f"{data}: " + ", ".join(f"{number} {state}" for state, number in sorted(states.items())))


def _key() -> str:
    """One of the keys; the end of the input means to quit."""
    while True:
        try:
            key = input(f"{_HELP}: ").strip().lower()[:1]
        except EOFError:
            return "q"
        if key in ("a", "e", "r", "s", "b", "q"):
            return key


def _checked(file: ReviewFile, place: int, key: str, who: str) -> bool:
    """Note and save one answer; whether there was one."""
    from anypose.data.building import Check

    caption = None
    if key == "e":
        try:
            caption = input("new caption (empty: leave it): ").strip()
        except EOFError:
            caption = ""
        if not caption:
            return False
    try:
        file.check(place, Check.now("edited" if key == "e" else _KEYS[key], who), caption)
    except OSError as error:
        stop(f"{file.path}: {error.strerror or error}; the answer was not saved")
    return True


def _show(file: ReviewFile, place: int, folder: Path, where: str) -> None:
    image, record = file.entry(place)
    picture = file.path.with_name(f"{file.path.stem}_review.jpg")
    shown = _written(picture, folder, image, record)
    typer.echo(f"\n{where}  entry {image['id']} of {image['file_name']}, {file.state(place)}; {shown}")
    typer.echo(f"  {image.get('caption')}")
    if (doubt := file.doubt(place)) is not None:
        typer.echo(f"  doubt: {doubt}")


def _written(target: Path, folder: Path, image: dict[str, Any], record: dict[str, Any]) -> str:
    from anypose.data.building.sheet import check_sheet
    from anypose.data.refhuman import picture_path
    from anypose.files import write_atomically
    from anypose.pictures import PictureError, encode_picture, open_picture

    path = picture_path(folder, image["file_name"])
    if path is None:
        return f"its picture is not in {folder}"
    try:
        write_atomically(target, encode_picture(check_sheet(open_picture(path), record["bbox"]), target))
    except (PictureError, OSError) as error:
        return " ".join(str(error).split())
    return f"see {target}"
