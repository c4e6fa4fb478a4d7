"""What is doubtful about captions that somebody else wrote: words that labels and pixels gainsay, and twins.

Only what is clearly false is a doubt; a caption without one may still mean two people, which a human has to see.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from anypose.data.describe import Observations

_COLOUR = "black|white|grey|gray|red|orange|yellow|green|blue|purple|pink|brown"
_TOP = r"(?:t-?shirt|shirt|top|jacket|coat|sweater|hoodie|jersey|blouse|vest|polo|uniform)"
_LEGS = r"(?:trousers|pants|jeans|shorts|skirt|leggings|bottoms)"
_CLOTHES = tuple(
    (re.compile(rf"\b({_COLOUR})[ -]{garment}\b", re.IGNORECASE), part)
    for garment, part in ((_TOP, "torso"), (_LEGS, "legs"))
)
_CLAIMS = tuple(
    (re.compile(rf"\b(?:{words})\b", re.IGNORECASE), fact)
    for words, fact in (
        (r"on (?:the|our) (?:far )?left|(?:at|to) the (?:far )?left(?! of)|left-?most|far left", "side=left"),
        (r"on (?:the|our) (?:far )?right|(?:at|to) the (?:far )?right(?! of)|right-?most|far right", "side=right"),
        (r"left-?most|(?:on|at) the far left|first from the left", "leftmost"),
        (r"right-?most|(?:on|at) the far right|first from the right", "rightmost"),
        (r"second from the left", "left=2"),
        (r"third from the left", "left=3"),
        (r"second from the right", "right=2"),
        (r"third from the right", "right=3"),
        (r"in the (?:middle|cent(?:er|re))", "middle"),
        (r"tallest", "tallest"),
        (r"standing", "posture=standing"),
        (r"sitting|seated", "posture=sitting"),
        (r"lying", "posture=lying"),
        (r"(?:both|two) (?:arms|hands) (?:raised|up|in the air)", "posture=both arms raised"),
        (
            r"(?:arm|hand) (?:raised|up|in the air)|raising (?:an|one|a|his|her|their) (?:arm|hand)",
            "posture=arm raised",
        ),
        (r"facing away|back to the camera|back turned|seen from behind", "posture=back turned"),
        (r"facing the camera|facing us", "posture=facing camera"),
    )
)
# What follows speaks of somebody or something else: "standing beside the man on the left".
_ELSEWHERE = re.compile(
    r"\b(?:of|from|than|to|by|with|behind|near|beside|between|against|at|towards?)"
    r" (?:the|a|an|another|two|his|her|their)"
    r" (?!left|right|far|middle|cent|front|back|top|bottom|camera)|\bnext to|\bin front of|\bbehind\b|\bbeside\b",
    re.IGNORECASE,
)


def doubt(text: str, observed: Observations, row: int) -> str | None:
    """The first thing that a caption says of a person and that is clearly false, or None."""
    elsewhere = _ELSEWHERE.search(text)
    end = len(text) if elsewhere is None else elsewhere.start()
    for pattern, fact in _CLAIMS:
        said = pattern.search(text)
        if said is not None and said.start() < end and _false(observed, fact, row):
            return f'says "{said[0]}" of somebody who is not'
    for pattern, part in _CLOTHES:
        for said in pattern.finditer(text[:end]):
            colour = said[1].lower().replace("gray", "grey")
            if _false(observed, f"{part}={colour}", row):
                return f'says "{said[0]}", of which nothing is seen there'
    return None


def twins(captions: Sequence[tuple[str, int, str]]) -> set[int]:
    """Places of the captions (picture, person, words) that stand in a picture for more than one person."""
    said = {(picture, person, _plain(text)) for picture, person, text in captions}
    often = Counter((picture, text) for picture, _, text in said)
    return {place for place, (picture, _, text) in enumerate(captions) if often[picture, _plain(text)] > 1}


def _false(observed: Observations, fact: str, row: int) -> bool:
    return fact in observed.facts and bool(observed.facts[fact][row] == 0)


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))
