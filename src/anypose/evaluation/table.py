"""The table of an exam's figures."""

from typing import Any

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from .crowd import crowd_notes

_COLUMNS = (
    ("pose AP", "pose_ap"),
    ("AP50", "pose_ap50"),
    ("AP75", "pose_ap75"),
    ("PCK", "pck"),
    ("mask AP", "mask_ap"),
    ("oIoU", "oiou"),
    ("mIoU", "miou"),
    ("right", "right_person"),
    ("keypoints\ncalibr.", "calibration_error"),
    ("presence\ncalibr.", "presence_calibration_error"),
)


def table_of(figures: dict[str, Any], title: str | None = None) -> Table:
    """One row a prompt kind, figures in % with 95 % intervals; text has further rows by kind of words."""
    table = Table(title=title, title_justify="left", header_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("prompt", no_wrap=True)
    table.add_column("people", justify="right", no_wrap=True)
    for heading, _ in _COLUMNS:
        table.add_column(heading, justify="right", no_wrap=True)
    for kind, part in figures.items():
        if kind not in ("point", "scribble", "box", "text", "mosaic", "everyone"):
            continue
        _add(table, kind, part)
        if kind == "text":
            _add_words(table, part)
        if part.get("without_keypoints"):
            _add(table, "  without keypoints", part["without_keypoints"])
    return table


def print_table(console: Console, figures: dict[str, Any], title: str | None = None) -> None:
    """Print the table and its notes; a file or a pipe, which has no width, gets the table in full."""
    table = table_of(figures, title)
    if not console.is_terminal:
        console.width = max(console.width, Measurement.get(console, console.options.update(width=500), table).maximum)
    console.print(table)
    for line in notes_of(figures):
        console.print(line, markup=False, highlight=False)


def notes_of(figures: dict[str, Any]) -> list[str]:
    """What must be said beside the table, one line each."""
    notes = [
        "% over people with labelled keypoints, 95 % intervals over pictures; right: the answer is the "
        "person meant; calibr.: errors of the keypoints' confidence and of presence"
    ]
    by_box = {kind: part["by_box"] for kind, part in figures.items() if part.get("by_box")}
    if by_box:
        counts = ", ".join(f"{count} of {kind}" for kind, count in by_box.items())
        notes.append(f"right person was judged by boxes, where a mask is missing, for answers: {counts}")
    mosaic, nobody = figures.get("mosaic"), figures.get("nobody")
    if mosaic:
        notes.append(f"mosaic: people alone in their pictures set side by side, chance {mosaic['chance']:.1%}")
    if nobody:
        low, high = nobody["intervals"]["refused_at_5_percent"]
        notes.append(
            f"nobody: of {nobody['pictures']} captions of other pictures {nobody['refused_at_5_percent']:.0%} "
            f"({low:.0%}-{high:.0%}) are refused where 5% of the true ones are; as it stands "
            f"{nobody['rightly_refused']:.0%} and {nobody['wrongly_refused']:.0%}"
        )
    text = figures.get("text")
    if text:
        share = text["share_without_position"]
        if share is not None:
            among = text["two_or_more"]["share_without_position"]
            others = "" if among is None else f" ({among:.0%} where there are two or more people)"
            notes.append(f"{share:.0%} of the made sentences have no word of position{others}")
        if text["no_sentence"]:
            notes.append(f"{text['no_sentence']} people have no sentence of their own and are left out of text")
        if text["chance"] is not None:
            notes.append(f"chance of the right person, two or more people: {text['chance']:.1%}")
    return notes + (crowd_notes(figures["crowd"]) if "crowd" in figures else [])


def _add_words(table: Table, text: dict[str, Any]) -> None:
    for words, part in text["by_words"].items():
        _add(table, f"  {words}", part)
    several = text["two_or_more"]
    _add(table, "  two or more people", several)
    for words, part in several["by_words"].items():
        _add(table, f"    {words}", part)


def _add(table: Table, name: str, part: dict[str, Any]) -> None:
    intervals = part.get("intervals", {})
    cells = [_cell(part.get(key), intervals.get(key)) for _, key in _COLUMNS]
    if "chance" in part and part["chance"] is not None and name.startswith("    "):
        name += f" (chance {100 * part['chance']:.0f})"
    table.add_row(name, str(part["people"]), *cells)


def _cell(value: float | None, bounds: list[float] | None) -> str:
    if value is None:
        return "-"
    figure = f"{100 * value:.1f}"
    return figure if bounds is None else f"{figure}\n{100 * bounds[0]:.0f}-{100 * bounds[1]:.0f}"
