"""Left and right in words."""

from __future__ import annotations

import re

_SIDES = re.compile(r"(?<![^\W_])(left|right)(most|wards?|hand|handed|side|ish)?(?![^\W_])", re.IGNORECASE)
_OTHER = {"left": "right", "right": "left"}
_POSITION = re.compile(
    r"\b(left|right|leftmost|rightmost|left-?hand|right-?hand|middle|cent(?:er|re)|front|behind|rear|foreground|"
    r"background|between|beside|next to|near(?:est)?|close(?:st|r)?|far(?:thest|ther|away)?|furthest|further|"
    r"top|bottom|upper|lower|above|below|first|second|third|fourth|fifth|last|corner|side|edge|back of|of the way|"
    r"half ?way)\b",
    re.IGNORECASE,
)


def mirror_words(text: str) -> str:
    """Swap left and right, as a left-right flip of the picture does.

    Whole words only, with their endings (leftmost, right-hand, leftwards) and their case; a word of
    mixed case such as "LeFt" is left alone. Applying it twice gives the text back. It does not parse:
    "left" as a verb ("he left") and "right" as an adverb ("right behind") are swapped too.
    """
    return _SIDES.sub(_swap, text)


def _swap(match: re.Match[str]) -> str:
    word = match[0]
    swapped = _OTHER[match[1].lower()] + (match[2] or "").lower()
    if word.islower():
        return swapped
    if word.isupper():
        return swapped.upper()
    return swapped.capitalize() if word == word.capitalize() else word


def mentions_position(text: str) -> bool:
    """Whether a sentence has a word of position in it (left, middle, behind, second, closest, ...)."""
    return _POSITION.search(text) is not None
