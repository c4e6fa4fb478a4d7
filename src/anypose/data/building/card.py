"""The data card that goes with a built data set."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from anypose.data.building.build import Built
from anypose.data.building.choose import Rules

NAMED = ("pictures", "eligible", "people", "entries", "placed", "unplaced", "spots", "doubted", "rejected")


def data_card(built: Built, rules: Rules, about: dict[str, Any]) -> str:
    """Markdown that says what is in the data set, how it was made and what it is not.

    Args:
        built: the data set.
        rules: whom it asks for.
        about: file, source, describer, seed and command.
    """
    counts = built.counts
    eligible, entries = counts["eligible"], counts["entries"]
    share = f"{counts['people'] / eligible:.1%}" if eligible else "-"
    spots = f"{counts['spots'] / entries:.1%}" if entries else "-"
    unplaced = f"{counts['unplaced'] / entries:.1%}" if entries else "-"
    lines = [
        f"# {about['file']}",
        "",
        "Referred people in RefHuman's layout, built from people annotated as in COCO. The captions are made by a",
        "program and not written by people; `review` of each annotation says what a human thought of them.",
        "",
        "| | |",
        "|---|---|",
        f"| source | {about['source']} |",
        f"| command | `{about['command']}` |",
        f"| seed | {about['seed']} |",
        f"| captions by | {about['describer']} |",
        f"| asked for | {', '.join(f'{name} {value:g}' for name, value in asdict(rules).items())}, and a mask |",
        f"| pictures looked at | {counts['pictures']} |",
        f"| people who may be asked for | {eligible} |",
        f"| people with an entry | {counts['people']} ({share} of them) |",
        f"| entries, one for each caption | {entries} |",
        f"| captions without a word of position | {counts['unplaced']} ({unplaced}) |",
        f"| captions that only a spot of the picture makes mean one person | {counts['spots']} ({spots}) |",
        f"| captions that labels or pixels gainsay (`doubt` of `review`) | {counts['doubted']} |",
        f"| captions rejected because they stand for two people of a picture | {counts['rejected']} |",
        "| scribbles | 5 an entry, cubic Bezier curves of 12 whole pixels inside the mask; a point is place 5 of the "
        "first |",
    ]
    lines += [f"| left out: {why} | {number} |" for why, number in sorted(counts.items()) if why not in NAMED]
    lines += [
        "",
        "## What it is not",
        "",
        "- Offline captions speak of place, size, clothing colour, posture and neighbours as far as labels and pixels",
        "  tell; they are checked against the labelled people and the crowds, not against people nobody labelled.",
        "- Captions of an endpoint are compared with labels and pixels where they speak of place, colour or posture,",
        "  and with each other. That finds false ones and twins, not every one that may mean two people: look at them.",
        "- Pictures and annotations keep the licences of their source; this file adds none.",
        "",
    ]
    return "\n".join(lines)
