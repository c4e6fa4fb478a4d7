"""Who is meant: expressions read back from their words alone and looked up in a frame's truth.

This is the second opinion on `words.py`, and shares nothing with it but the frame: it takes the text, not the facts
behind it, reads it with a vocabulary of its own, and decides by measuring masks, joints in space and outfits without
the margins of the describer. A text of which a word is not understood means nobody.

In a photograph with people put in, nothing is known of the photograph's own people but where they are. What a text says
beyond that may be true of any of them, and is not known to be true of the one who is meant.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from anypose.data.synthetic.frame import Frame
from anypose.data.synthetic.measured import (
    NotKnownError,
    Test,
    World,
    arms,
    colours,
    does,
    faces,
    has,
    has_hair,
    in_middle,
    is_noun,
    is_rank,
    least,
    little,
    on_side,
    relates,
    spread,
    stands,
    tall,
    wears,
    wears_hat,
    wears_legs,
    wears_top,
)

_COLOUR = (
    r"(?P<colour>(?:light|dark)(?: coloured)?(?: (?:blue|red|green))?|(?:pale|sky|deep|navy) blue|deep green|"
    r"navy|pale|maroon|crimson|burgundy|"
    r"black|white|grey|gray|red|orange|yellow|green|blue|purple|violet|pink|brown|blond)"
)
_THINGS = r"(?P<thing>tennis racket|baseball bat|hockey stick|handbag|cell phone|umbrella)"
_ORDINAL = {"second": 2, "2nd": 2, "third": 3, "3rd": 3, "fourth": 4, "4th": 4, "fifth": 5, "5th": 5}
_RELATION = re.compile(
    r"\b(?P<how>(?:to the|on the|at the|right)? ?(?:left|right)(?: side)? of|right next to|next to|beside|"
    r"closest to|by the side of) "
    r"(?P<anchor>the (?!camera).+)$"
)
_FILLER = re.compile(
    r"(?:find|show me|select|point at|pick|where is|i mean|look for|segment|which (?:person|one)|who is|that is|"
    r"who has|that has|who|that|"
    r"is|the|an|a|person|one|figure|individual|human|someone|somebody|and|in|on|wearing|dressed|holding|"
    r"carrying|having|with|has)\b"
)


class Reader:
    """Reads texts about one frame, which is measured once.

    Args:
        frame: with the N people of whom everything is known.
        others: (H, W) bool, the masks of people in the same picture of whom nothing else is known; they are number N
            and on.
    """

    def __init__(self, frame: Frame, others: Sequence[np.ndarray] = ()) -> None:
        self._world = World.of(frame, others)

    def meant(self, text: str) -> list[int]:
        """The people of whom a text is true or may be true; none where it is not understood, or where it is not
        known to be true of the only one left."""
        try:
            return _whom(_read(text, self._world), self._world)
        except NotKnownError:
            return []


def _whom(tests: list[Test], world: World) -> list[int]:
    if not tests:
        return []
    truths = {k: [_truth(test, k) for test in tests] for k in range(len(world))}
    left = [k for k, found in truths.items() if False not in found]
    return left if len(left) != 1 or None not in truths[left[0]] else []


def _truth(test: Test, k: int) -> bool | None:
    """None where it is not known."""
    try:
        return bool(test(k))
    except NotKnownError:
        return None


def meant(text: str, frame: Frame) -> list[int]:
    """The people of a frame of whom a text is true; `Reader` is cheaper for several texts."""
    return Reader(frame).meant(text)


def _read(text: str, world: World) -> list[Test]:
    words = re.sub(r"[-,.?]+", " ", text.lower())
    words = re.sub(r"\s+", " ", words).strip()
    related = _RELATION.search(words)
    tests: list[Test] = []
    if related:
        found = _whom(_read(related["anchor"], world), world)
        if len(found) != 1:
            return []
        tests.append(relates(related["how"], found[0], world))
        words = words[: related.start()].strip()
    while words:
        for pattern, make in _PATTERNS:
            match = pattern.match(words)
            if match:
                tests.append(make(match, world))
                break
        else:
            match = _FILLER.match(words)
            if match is None:
                return []
        words = words[match.end() :].strip()
    return tests


_ONE = r"(?: (?:person|one))?"
_TAIL = r"(?: on(?! (?:the|their|our)\b))?\b"


def _table() -> list[tuple[re.Pattern[str], Callable[[re.Match[str], World], Test]]]:
    rules: list[tuple[str, Callable[[re.Match[str], World], Test]]] = [
        (
            rf"(?:in|wearing|with|who has|has)? ?(?:an?|the)? ?{_COLOUR} (?P<noun>shirt|top|clothes)(?: "
            rf"person)?{_TAIL}",
            lambda m, w: wears_top(m["colour"], w),
        ),
        (
            rf"(?:in|wearing|with|who has|has)? ?(?:an?|the)? ?{_COLOUR} (?P<noun>trousers|pants|shorts|"
            rf"bottoms){_TAIL}",
            lambda m, w: wears_legs(m["colour"], m["noun"], w),
        ),
        (
            rf"(?:in|wearing|with|who has|has)? ?(?:an?|the)? ?{_COLOUR} (?P<hat>cap|beanie|sun hat){_TAIL}",
            lambda m, w: wears_hat(m["colour"], m["hat"], w),
        ),
        (rf"(?:person )?(?:with|who has|that has|has)? ?{_COLOUR} hair\b", lambda m, w: has_hair(m["colour"], w)),
        (
            rf"(?:in|wearing|with|who has|has)? ?{_COLOUR} shoes{_TAIL}",
            lambda m, w: lambda k: w.person(k).placed.person.outfit.shoes_colour in colours(m["colour"]),
        ),
        (rf"(?:in|wearing|dressed in) {_COLOUR}\b", lambda m, w: wears_top(m["colour"], w)),
        (rf"{_COLOUR} one\b", lambda m, w: wears_top(m["colour"], w)),
        (r"(?:in |wearing |with |who has )?(?:an? )?shorts" + _TAIL, lambda m, w: wears_legs(None, "shorts", w)),
        (r"(?:in |wearing |with |who has )?(?:an? )?dress" + _TAIL, lambda m, w: wears(w, top="dress")),
        (
            r"(?:in |wearing |with |who has )?(?:an? )?skirt" + _TAIL,
            lambda m, w: lambda k: wears(w, bottom="skirt")(k) and not wears(w, top="dress")(k),
        ),
        (
            r"(?:in |wearing |with |who has )?(?:an? )?(?P<g>jacket|tank top)" + _TAIL,
            lambda m, w: wears(w, top=m["g"]),
        ),
        (
            r"(?:in |wearing |with |who has )?(?:an? )?(?P<p>striped|checked) top(?: person)?" + _TAIL,
            lambda m, w: wears(w, pattern=m["p"]),
        ),
        (
            r"(?:in |wearing |with |who has )?(?:an? )?(?P<hat>cap|beanie|sun hat)" + _TAIL,
            lambda m, w: wears_hat(None, m["hat"], w),
        ),
        (
            r"(?:person )?(?:with |who has |that has |has )?(?:an? )?(?P<s>long hair|ponytail|bun|bald head)\b",
            lambda m, w: wears(w, hair_style=m["s"].split()[0]),
        ),
        (
            rf"(?:holding|carrying|with|who has|has)? ?(?:an?|the)? ?{_THINGS}(?: person)?\b",
            lambda m, w: has(m["thing"], w),
        ),
        (
            r"(?:number (?P<n>[2-5])|(?P<o>second|2nd|third|3rd|fourth|4th|fifth|5th)(?: person| one)?) from "
            r"(?:the )?(?P<side>left|right)\b",
            lambda m, w: is_rank(m["side"], int(m["n"]) if m["n"] else _ORDINAL[m["o"]], w),
        ),
        (
            r"(?:with )?(?:the |their )?(?P<side>left|right) (?:arm|hand) (?:raised|up|in the air)\b",
            lambda m, w: arms(m["side"], w),
        ),
        (
            r"(?:raising|holding up|lifting) (?:the |their )?(?P<side>left|right) arm\b",
            lambda m, w: arms(m["side"], w),
        ),
        (
            r"(?:raising|holding|reaching up with|with)? ?(?:both|their|hands|arms) ?(?:arms|hands)? ?(?:raised|"
            r"up|in the air)\b",
            lambda m, w: arms("both", w),
        ),
        (
            r"raising both arms\b|reaching up with both arms\b|hands in the air\b|arms raised\b",
            lambda m, w: arms("both", w),
        ),
        (
            r"raising an arm\b|holding a hand up\b|with an arm raised\b|with a hand in the air\b|arm up\b|"
            r"raised hand\b",
            lambda m, w: arms("any", w),
        ),
        (
            r"raising one arm\b|holding one hand up\b|lifting an arm\b|raising a hand\b|with one arm raised\b|"
            r"with a hand up\b|"
            r"with an arm in the air\b|with one arm up\b|arm raised\b|hand up\b|one arm up\b",
            lambda m, w: arms("one", w),
        ),
        (
            r"holding their arms out\b|stretching both arms out to the sides\b|spreading their arms\b|with arms "
            r"outstretched\b|"
            r"with both arms spread\b|with arms out to the sides\b|arms out\b|arms spread wide\b",
            lambda m, w: spread(w),
        ),
        (r"sitting down\b|sitting(?: one)?\b|seated(?: person)?\b", lambda m, w: does(("sitting",), w)),
        (
            r"bending over\b|bent forward\b|leaning over\b|bending down\b|bent over\b|bending\b",
            lambda m, w: does(("bending",), w),
        ),
        (r"standing on one leg(?: person)?\b", lambda m, w: does(("standing on one leg",), w)),
        (r"standing up\b|standing(?: person)?\b|upright\b|on their feet\b", lambda m, w: stands(w)),
        (
            r"(?P<a>walking|running|kicking|lunging|crouching|kneeling|reaching out|pointing|throwing|swinging|"
            r"waving|jumping)(?: person)?\b",
            lambda m, w: does((m["a"],), w),
        ),
        (
            r"facing the camera\b|facing us\b|turned towards the camera\b|looking this way\b|whose face is "
            r"turned to us\b|facing camera\b",
            lambda m, w: faces("camera", w),
        ),
        (
            r"facing away(?: from us)?\b|seen from the back\b|turned away from the camera\b|with the back to "
            r"the camera\b|"
            r"with their back turned\b|whose back we see\b|back turned\b|back to camera\b",
            lambda m, w: faces("away", w),
        ),
        (
            r"(?:in profile )?facing (?P<s>left|right)\b|(?:looking|turned) (?:to the )?(?P<t>left|right)\b",
            lambda m, w: faces(m["s"] or m["t"], w),
        ),
        (r"(?:the )?tallest" + _ONE + r"\b|taller than (?:everyone else|the rest)\b", lambda m, w: tall(w)),
        (
            r"(?:the )?shortest" + _ONE + r"\b|shorter than (?:the rest|everybody else)\b",
            lambda m, w: least(lambda k: w.stature(k), w),
        ),
        (
            r"little(?: one)?\b|small(?: person)?\b|child sized\b|smaller than the others\b|as small as a child\b",
            lambda m, w: little(w),
        ),
        (
            r"(?:at the |on the )?far (?P<s>left|right)"
            + _ONE
            + r"\b|(?:farthest|furthest) (?:to the )?(?P<t>left|right)\b|"
            r"all the way to the (?P<u>left|right)\b|(?P<v>left|right) ?most" + _ONE + r"\b",
            lambda m, w: is_rank(m["s"] or m["t"] or m["u"] or m["v"], 1, w),
        ),
        (
            r"(?:on the |to the |at |on our )?(?P<s>left|right)(?: hand)?(?: side)?"
            + _ONE
            + r"\b|person (?P<t>left|right)\b",
            lambda m, w: on_side(m["s"] or m["t"], w),
        ),
        (
            r"one in between\b|between (?:the other two|two people|the two)\b|flanked by the other two\b|with "
            r"one person on each side\b|"
            r"with somebody on either side\b|(?:in the |at the )?(?:middle|cent(?:er|re)|central)(?: person)?\b",
            lambda m, w: in_middle(w),
        ),
        (
            r"nearest the (?P<e>top|bottom) of the picture\b",
            lambda m, w: least(lambda k: w.y[k] if m["e"] == "top" else -w.y[k], w),
        ),
        (
            r"closest to (?:the camera|us)\b|nearest (?:to us|the camera)\b|in the foreground\b|at the front\b|"
            r"(?:closest|nearest)" + _ONE + r"\b|front(?: person)?\b|foreground person\b",
            lambda m, w: least(w.distance, w),
        ),
        (
            r"(?:farthest|furthest) (?:from the camera|away)\b|at the back\b|in the background\b|in the rear\b|"
            r"(?:farthest|furthest)\b|rear\b|"
            r"most distant\b|back person\b|person in background\b",
            lambda m, w: least(lambda k: -w.distance(k), w),
        ),
        (
            r"highest(?: up| one)?\b|top ?most\b|upper ?most\b|at the top\b|higher up than the rest\b|nearest "
            r"the top of the picture\b|top(?: person)\b",
            lambda m, w: least(lambda k: w.y[k], w),
        ),
        (
            r"lowest(?: down| one)?\b|bottom(?: person)?\b|at the bottom\b|lower than the rest\b|nearest the "
            r"bottom of the picture\b",
            lambda m, w: least(lambda k: -w.y[k], w),
        ),
        (
            r"in the (?:upper half|top half of the picture)\b|top half\b",
            lambda m, w: lambda k: bool(w.y[k] < 0.47 * w.height),
        ),
        (
            r"in the (?:lower half|bottom half of the picture)\b|lower half\b",
            lambda m, w: lambda k: bool(w.y[k] > 0.53 * w.height),
        ),
        (r"top\b", lambda m, w: least(lambda k: w.y[k], w)),
        (r"(?P<n>man|guy|male|woman|lady|female|child|kid|boy|girl)\b", lambda m, w: is_noun(m["n"], w)),
    ]
    return [(re.compile(pattern), make) for pattern, make in rules]


_PATTERNS = _table()
