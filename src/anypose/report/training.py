"""The page of a training run: its curves, what it was made with, and what it answered as it went on."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from anypose.files import write_atomically
from anypose.report.page import COLOURS, cards, heading, page, picture, table

WIDTH, HEIGHT = 420, 240  # of a figure, pixels
LEFT, TOP, RIGHT, LOW = 58, 28, 12, 34
POINTS = 200  # of a curve at most; more are averaged
SHOWN = 6  # rows of pictures


def write_training_page(out: Path) -> Path:
    """Write report.html into the folder of a run, from its metrics.jsonl, about.json and pictures.

    Args:
        out: the folder.

    Returns: the page's path.

    Raises:
        FileNotFoundError: the folder holds no run.
    """
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    about = json.loads((out / "about.json").read_text())
    parts = [_summary(lines, about)]
    if lines:
        parts += [heading("Curves", "Means between two lines of metrics.jsonl. Logarithmic where all is above 0.")]
        for name in [name for name in lines[-1] if name != "step"]:
            parts.append(graph(name, [(line["step"], line[name]) for line in lines if name in line]))
    drawn = sorted((out / "pictures").glob("step-*.jpg"))
    if drawn:
        chosen = [drawn[i] for i in np.unique(np.linspace(0, len(drawn) - 1, SHOWN).round().astype(int))]
        shown = [(_picture(path), f"after step {int(path.stem.removeprefix('step-'))}") for path in chosen]
        parts += [heading("Answers", "To the same samples, as training went on."), cards(shown)]
    values = sorted(about["values"].items())
    parts += [heading("Settings"), table(("name", "value"), [(name, _short(value)) for name, value in values])]
    target = out / "report.html"
    write_atomically(target, page(f"Training: {out.name}", parts))
    return target


def _summary(lines: Sequence[dict[str, Any]], about: dict[str, Any]) -> str:
    rows = [
        ("steps", f"{lines[-1]['step'] if lines else 0} of {about['values'].get('steps', '?')}"),
        ("seed", str(about["seed"])),
        ("commit", about["commit"] or "not known"),
        ("device", f"{about['device']}, {about['processes']} process{'es' if about['processes'] > 1 else ''}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in about["versions"].items())),
    ]
    if lines:
        seconds = sum(line["seconds_a_step"] * steps for line, steps in zip(lines, _spans(lines)))
        waited = sum(line["seconds_a_step"] * steps * line["waiting"] for line, steps in zip(lines, _spans(lines)))
        rows += [
            ("time", f"{seconds / 60:.1f} min"),
            ("waiting for data", f"{100 * waited / max(seconds, 1e-9):.1f} %"),
        ]
    return table(("what", ""), rows)


def _spans(lines: Sequence[dict[str, Any]]) -> list[int]:
    """How many steps each line is the mean of."""
    steps = [0, *(line["step"] for line in lines)]
    return [after - before for before, after in itertools.pairwise(steps)]


def graph(name: str, points: Sequence[tuple[float, float]]) -> str:
    """One curve as an inline figure (SVG) with its axes.

    Args:
        name: the title.
        points: (x, y), in the order of x.
    """
    points = [(x, y) for x, y in _thinned(points) if math.isfinite(y)]
    if not points:
        return ""
    log = min(y for _, y in points) > 0
    ys = [math.log10(y) if log else y for _, y in points]
    low, high = min(ys), max(ys)
    low, high = (low - 0.5, high + 0.5) if high - low < 1e-9 else (low, high)
    first, last = points[0][0], max(points[-1][0], points[0][0] + 1)
    wide, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - LOW

    def across(x: float) -> float:
        return LEFT + (x - first) / (last - first) * wide

    parts = [f'<text x="{LEFT}" y="18" font-weight="600">{escape(name)}</text>']
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        value, y = low + share * (high - low), TOP + (1 - share) * tall
        parts.append(f'<path d="M{LEFT},{y:.1f} H{WIDTH - RIGHT}" stroke="#8884" fill="none"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{10**value if log else value:.3g}</text>')
    for x, anchor in ((first, "start"), (last, "end")):
        parts.append(f'<text x="{across(x):.1f}" y="{HEIGHT - 12}" text-anchor="{anchor}">{x:g}</text>')
    line = " L".join(f"{across(x):.1f},{TOP + (high - y) / (high - low) * tall:.1f}" for (x, _), y in zip(points, ys))
    parts.append(f'<path d="M{line}" stroke="{COLOURS[0]}" stroke-width="1.5" fill="none"/>')
    inside, label = "".join(parts), escape(name, quote=True)
    return f'<figure><svg role="img" aria-label="{label}" width="{WIDTH}" height="{HEIGHT}">{inside}</svg></figure>'


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most POINTS of them, each the mean of its neighbours."""
    size = math.ceil(len(points) / POINTS) if points else 1
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]


def _picture(path: Path) -> str:
    with Image.open(path) as opened:
        return picture(np.asarray(opened.convert("RGB")), path.stem, side=1100)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 300 else text[:297] + "..."
