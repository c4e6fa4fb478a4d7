"""RefHuman's annotations in their usual form, checked as they are read over: no number of them becomes an object.

Most of a RefHuman file are the numbers of polygons, keypoints and scribbles. A regular expression that knows JSON's
grammar goes over them several times faster than a parser makes lists of them. Whatever is written in another way (an
exponent, an escape, run lengths, a fault) does not match and is left to the parser, which says what is wrong with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anypose.skeleton import COCO17

SCRIBBLES = 5
STROKE = 12

# What has matched is never tried in another way, so that nothing takes longer than its length. Groups are atomic for it
# and not possessive, which in some versions of Python 3.11 accept too much (python/cpython#106052) or fail (#101955).
_SPACE = r"[ \t\n\r]*+"
# Of few digits: longer numbers might not be finite. What follows a number is a comma or a bracket, nothing else.
_WHOLE = r"(?!0[0-9])[0-9]{1,16}+"
_NUMBER = rf"-?+{_WHOLE}\.?+[0-9]{{0,32}}+(?<!\.)"
_STRING = r'"(?>(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*)"'
_PLAIN = rf"(?:{_STRING}|{_NUMBER}|true|false|null)"
_NAME = r'"[^"\\\x00-\x1f]*+"'


def _list(one: str, least: int, most: int | str = "") -> str:
    """A list of so many."""
    repeated = f"{least - 1},{most if isinstance(most, str) else most - 1}"
    return rf"\[{_SPACE}{one}(?>(?:,{_SPACE}{one}){{{repeated}}}){_SPACE}\]"


def _several(opening: str, one: str, closing: str) -> str:
    """None, one or more, with commas between them."""
    return rf"{opening}{_SPACE}(?>(?:{one}{_SPACE}(?:,{_SPACE}(?!{closing})|(?={closing})))*){closing}"


# Nothing in them is asked for but the state of a human check.
_FLAT = _several(r"\{", rf"{_NAME}:{_SPACE}{_PLAIN}", r"\}")
_PAIR = rf"{_NUMBER},{_SPACE}{_NUMBER}"
_EXTENT = rf"(?!-|0(?:\.0*+)?[^.0-9]){_NUMBER}"
_KEYPOINT = rf"{_PAIR},{_SPACE}[012]"
_KNOWN = {
    "id": rf"(?P<id>{_WHOLE})",
    "image_id": rf"(?P<image_id>{_WHOLE})",
    "category_id": rf"(?P<category_id>{_WHOLE})",
    "iscrowd": "0",
    "bbox": rf"(?P<bbox>\[{_SPACE}{_PAIR},{_SPACE}{_EXTENT},{_SPACE}{_EXTENT}{_SPACE}\])",
    "area": rf"(?!-){_NUMBER}",
    "keypoints": rf"(?P<keypoints>{_list(_KEYPOINT, len(COCO17), len(COCO17))})",
    "segmentation": _several(r"\[", _list(_PAIR, 3), r"\]"),
    "scribble": rf"(?P<scribble>{_list(_WHOLE, SCRIBBLES * STROKE * 2, SCRIBBLES * STROKE * 2)})",
    "review": rf"(?P<review>{_FLAT})",
    # Of a caption it is asked whether it is a sentence.
    "caption": "(?!)",
}
_NAMES = "|".join(_KNOWN)
_LIST = _several(r"\[", _PLAIN, r"\]")
_OTHER = rf'(?!"(?:{_NAMES})"){_NAME}:{_SPACE}(?:{_PLAIN}|{_LIST}|{_FLAT})'
_MEMBER = "(?:" + "|".join([*(rf'"{name}":{_SPACE}{value}' for name, value in _KNOWN.items()), _OTHER]) + ")"
_ENTRY = re.compile(_several(r"\{", _MEMBER, r"\}"))
_LABELLED = re.compile(rf"\[{_SPACE}(?>(?:{_PAIR},{_SPACE}0,{_SPACE})*){_PAIR},{_SPACE}[12]")


class Usual(NamedTuple):
    """What the checks of an annotation in the usual form still ask for.

    Attributes:
        end: where it ends in the text.
        id, image_id, category_id: of the annotation.
        scribble: its 120 whole numbers with commas between them, or None.
        labelled: whether any keypoint is.
        state: of the human check, or None.
    """

    end: int
    id: int
    image_id: int
    category_id: int | None
    scribble: str | None
    labelled: bool
    state: object


def usual(text: str, place: int) -> Usual | None:
    """The annotation that begins at `place`, if it is in the usual form and all that its own numbers can tell is right:
    a box with an extent, 17 keypoints of known visibility, polygons of three corners or more."""
    match = _ENTRY.match(text, place)
    if match is None:
        return None
    ident, image, category, box, keypoints, scribble, review = match.groups()
    if ident is None or image is None or box is None:
        return None
    return Usual(
        match.end(),
        int(ident),
        int(image),
        None if category is None else int(category),
        None if scribble is None else scribble[1:-1],
        keypoints is not None and _LABELLED.match(text, match.start("keypoints")) is not None,
        None if review is None else json.loads(review).get("state", ""),
    )


def inside(scribbles: Sequence[str], sizes: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """(N,) whether all places of each scribble of `Usual` lie in a picture of its size (height, width)."""
    if not scribbles:
        return np.zeros(0, np.bool_)
    places = np.fromstring(",".join(scribbles), np.int64, sep=",").reshape(len(scribbles), -1, 2)
    return (places.max(1) < np.array(sizes)[:, ::-1]).all(1)
