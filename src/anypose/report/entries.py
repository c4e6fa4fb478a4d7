"""The page of a data set: what is in it, and some of its entries."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from anypose.data.refhuman import STATES, Referred, RefHuman
from anypose.data.sample import DataError
from anypose.draw import draw
from anypose.files import write_atomically
from anypose.pictures import PictureError
from anypose.prompt import Prompt
from anypose.report.page import cards, heading, page, picture, table

_SIZES = (0.01, 0.04, 0.16)
_LENGTHS = (3, 6, 9, 14)


def write_data_page(path: Path, data: RefHuman, shown: int = 24) -> None:
    """Write a page about a data set of RefHuman's kind.

    Args:
        path: the page.
        data: the entries.
        shown: how many entries to show, at even distances in the file.
    """
    sizes: Counter[str] = Counter()
    lengths: Counter[str] = Counter()
    states: Counter[str] = Counter()
    pictures: Counter[Path] = Counter()
    for one in data:
        height, width = one.sample.people.size
        sizes[_within(float(one.sample.people.areas[one.row]) / (height * width), _SIZES, "{:.0%}")] += 1
        lengths["none" if one.text is None else _within(len(one.text.split()), _LENGTHS, "{:g}")] += 1
        states[one.state or "not stated"] += 1
        pictures[one.sample.path] += 1
    facts = [("entries", len(data)), ("pictures", len(pictures)), ("left out", data.left_out)]
    facts += [("faulty and skipped", len(data.faults))]
    parts = [table(("what", "how many"), [(name, str(number)) for name, number in facts])]
    parts += [heading("Human check"), _counted(states, [*STATES, "not stated"])]
    parts += [heading("Size", "The share of the picture that the person covers."), _counted(sizes)]
    parts += [heading("Words", "How many words the caption has."), _counted(lengths)]
    parts += [heading("Entries", "The person meant, with all of its scribbles.")]
    chosen = np.unique(np.linspace(0, max(0, len(data) - 1), min(shown, len(data))).round().astype(int))
    parts.append(cards([_card(data[place]) for place in chosen.tolist()]))
    if data.faults:
        parts += [heading("Faults"), table(("fault",), [(fault,) for fault in data.faults])]
    write_atomically(path, page(f"{data.path.name}: {len(data)} entries", parts))


def _within(value: float, edges: tuple[float, ...], form: str) -> str:
    for edge in edges:
        if value <= edge:
            return "up to " + form.format(edge)
    return "over " + form.format(edges[-1])


def _counted(counts: Counter[str], order: list[str] | None = None) -> str:
    names = sorted(counts) if order is None else [name for name in order if counts[name]]
    total = sum(counts.values())
    return table(
        ("", "entries", "%"), [(name, str(counts[name]), f"{100 * counts[name] / total:.1f}") for name in names]
    )


def _card(one: Referred) -> tuple[str, str]:
    line = f"{one.sample.name}: {one.text or 'no caption'}" + (f" ({one.state})" if one.state else "")
    try:
        image = one.sample.image()
    except (PictureError, DataError, OSError) as error:
        return "", f"{line} ({' '.join(str(error).split())})"
    strokes = [] if one.scribbles is None else [Prompt(scribble=stroke + 0.5) for stroke in one.scribbles]
    drawn = draw(image, one.sample.people[[one.row]], prompts=strokes, labels=False)
    return picture(drawn, one.text or "the person meant"), line
