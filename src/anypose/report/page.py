"""The parts of a page: tables, curves as inline SVG, pictures as data, and the frame around them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anypose.pictures import encode_picture

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")
_SIDE = 270  # pixels of the long side of a picture on a page
_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:1200px;padding:0 1rem;color:#1b1b1b;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}table{border-collapse:collapse;margin:.6rem 0}
th,td{padding:.2rem .7rem;text-align:right;border-bottom:1px solid #ddd}th:first-child,td:first-child{text-align:left}
.cards{display:flex;flex-wrap:wrap;gap:1rem}.card{border:1px solid #ccc;border-radius:6px;padding:.5rem;max-width:570px}
.card img{display:inline-block;max-width:100%;vertical-align:top}.card p{margin:.3rem 0 0;max-width:550px}
td{white-space:nowrap}.note{color:#555}figure{margin:0;display:inline-block}svg text{font:12px system-ui,sans-serif}
@media(prefers-color-scheme:dark){body{color:#e8e8e8;background:#181818}th,td{border-color:#444}.note{color:#aaa}
.card{border-color:#555}svg text{fill:#e8e8e8}}
"""


def page(title: str, parts: Sequence[str]) -> str:
    """A whole HTML document without anything outside itself."""
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>\n"
        f"<h1>{escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def heading(text: str, note: str | None = None) -> str:
    """A heading, with a line of explanation."""
    return f"<h2>{escape(text)}</h2>" + (f'<p class="note">{escape(note)}</p>' if note else "")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of text."""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def percent(value: float | None) -> str:
    """A share in %, or a dash."""
    return "-" if value is None or not np.isfinite(value) else f"{100 * value:.1f}"


def curves(title: str, lines: Mapping[str, Sequence[tuple[float, float]]], across: str, down: str) -> str:
    """Lines of (x, y), both 0..1, as a figure with its axes and a legend."""
    width, height, left, low = 420, 300, 52, 40
    wide, high = width - left - 12, height - low - 30

    def at(x: float, y: float) -> str:
        return f"{left + x * wide:.1f},{30 + (1 - y) * high:.1f}"

    parts = [f'<text x="{left}" y="18" font-weight="600">{escape(title)}</text>']
    for step in range(6):
        share = step / 5
        x, y = left + share * wide, 30 + (1 - share) * high
        parts.append(f'<path d="M{at(0, share)} L{at(1, share)}" stroke="#8884" fill="none"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{share:.1f}</text>')
        parts.append(f'<text x="{x:.1f}" y="{height - low + 16}" text-anchor="middle">{share:.1f}</text>')
    parts.append(f'<text x="{left + wide / 2:.0f}" y="{height - 6}" text-anchor="middle">{escape(across)}</text>')
    turned = f'transform="rotate(-90 14 {30 + high / 2:.0f})"'
    parts.append(f'<text x="14" y="{30 + high / 2:.0f}" text-anchor="middle" {turned}>{escape(down)}</text>')
    for number, (name, points) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " L".join(at(x, y) for x, y in points)
        parts.append(f'<path d="M{path}" stroke="{colour}" stroke-width="2" fill="none"/>')
        y = 30 + high - 12 - 16 * number
        parts.append(f'<rect x="{left + 10}" y="{y - 9}" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{left + 24}" y="{y}">{escape(name)}</text>')
    inside = "".join(parts)
    label = escape(title, quote=True)
    return f'<figure><svg role="img" aria-label="{label}" width="{width}" height="{height}">{inside}</svg></figure>'


def picture(image: NDArray[np.uint8], alt: str, side: int = _SIDE) -> str:
    """A picture (H, W, 3), made small, inside the page; its long side is at most `side` pixels."""
    small = Image.fromarray(image)
    small.thumbnail((side, side))
    data = base64.b64encode(encode_picture(np.asarray(small), "jpg")).decode()
    size = f'width="{small.width}" height="{small.height}"'
    return f'<img src="data:image/jpeg;base64,{data}" {size} alt="{escape(alt, quote=True)}">'


def cards(inside: Sequence[tuple[str, str]]) -> str:
    """Pictures with a line of text under each."""
    return (
        '<div class="cards">'
        + "".join(f'<div class="card">{pictures}<p>{escape(text)}</p></div>' for pictures, text in inside)
        + "</div>"
    )
