"""The table of RefHuman's figures; its header names the protocol."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from .refhuman import CANDIDATES, HEAD_OF_AREA, KINDS

_COLUMNS = (
    ("pose AP", "pose_ap"),
    ("AP50", "pose_ap50"),
    ("AP75", "pose_ap75"),
    ("PCKh@.5", "pckh"),
    ("mask AP", "mask_ap"),
    ("oIoU", "oiou"),
    ("mIoU", "miou"),
    *((f"P@.{tenth}", f"p{tenth}0") for tenth in (5, 6, 7, 8, 9)),
)


def print_refhuman(console: Console, figures: dict[str, Any], title: str, protocol: str) -> None:
    """Print one row a prompt kind, in % with 95 % intervals; a file or a pipe gets the table in full."""
    table = Table(
        title=f"{title}, protocol {protocol}", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    table.add_column("prompt", no_wrap=True)
    table.add_column("entries", justify="right", no_wrap=True)
    for heading, _ in _COLUMNS:
        table.add_column(heading, justify="right", no_wrap=True)
    for kind in KINDS:
        if kind in figures:
            part = figures[kind]
            cells = [_cell(part.get(key), part["intervals"].get(key)) for _, key in _COLUMNS]
            table.add_row(kind, str(part["entries"]), *cells)
    if not console.is_terminal:
        console.width = max(console.width, Measurement.get(console, console.options.update(width=500), table).maximum)
    console.print(table)
    for line in refhuman_notes(figures, protocol):
        console.print(line, markup=False, highlight=False)


def refhuman_notes(figures: dict[str, Any], protocol: str) -> list[str]:
    """What must be said beside the table, one line each."""
    if protocol == "strict":
        notes = [
            f"% over people and prompts, the best answer only; head length: {HEAD_OF_AREA:g} of the root of the area"
        ]
        repeated = sum(part["repeated"] for part in figures.values())
        notes += [f"{repeated} entries ask again for the same person by the same prompt and are left out"]
    else:
        notes = [f"% over entries, up to {CANDIDATES} ranked answers in AP; head length: the distance of the ears"]
        for kind, part in figures.items():
            notes.append(f"{kind}: both ears are labelled in {part['heads']} of {part['entries']} entries")
    notes.append("95 % intervals over pictures; the system answers every question, however unsure it is")
    return notes


def _cell(value: float | None, bounds: list[float] | None) -> str:
    if value is None:
        return "-"
    figure = f"{100 * value:.1f}"
    return figure if bounds is None else f"{figure}\n{100 * bounds[0]:.0f}-{100 * bounds[1]:.0f}"
