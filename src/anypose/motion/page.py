"""A page that shows a body in space over time; one file that needs no network."""

from __future__ import annotations

import html
import json
from pathlib import Path
from string import Template

from ..track import Track
from . import upright

_PAGE = Path(__file__).with_name("page.html")


def page(track: Track) -> str:
    """The HTML of a viewer that holds the track: turn it, play it, go through its frames.

    Raises ValueError for a track in a picture.
    """
    names = track.skeleton.keypoints
    bones = []
    for first, second in track.skeleton.bones:
        sides = {name.split("_")[0] for name in (names[first], names[second])}
        bones.append([first, second, 1 if "left" in sides else 2 if "right" in sides else 0])
    data = {
        "times": [round(float(time), 5) for time in track.times],
        "bodies": upright(track).round(4).tolist(),
        "filled": track.filled.tolist(),
        "bones": bones,
    }
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("</", "<\\/")
    title = f"{track.name} in space" if track.name else "A person in space"
    return Template(_PAGE.read_text(encoding="utf-8")).substitute(
        title=html.escape(title), note=html.escape(track.note or ""), data=text
    )
