"""Who is meant: expressions read back from their words alone and looked up in a frame's truth.

This is the second opinion on `words.py`, and shares nothing with it but the frame: it takes the text, not the facts
behind it, reads it with a vocabulary of its own, and decides by measuring masks, joints in space and outfits without
the margins of the describer. A text of which a word is not understood means nobody.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from anypose.data.synthetic.body import SMPLH_JOINTS
from anypose.data.synthetic.frame import Frame, PersonTruth

Test = Callable[[int], bool]

_SAME = {
    "gray": "grey",
    "violet": "purple",
    "navy": "dark blue",
    "navy blue": "dark blue",
    "deep blue": "dark blue",
    "pale blue": "light blue",
    "sky blue": "light blue",
    "maroon": "dark red",
    "crimson": "dark red",
    "burgundy": "dark red",
    "deep green": "dark green",
    "dark coloured": "dark",
    "light coloured": "light",
    "pale": "light",
}
# What somebody may wear of whom a colour is said.
_WORN = {
    "blue": {"blue", "dark blue", "light blue"},
    "red": {"red", "dark red"},
    "green": {"green", "dark green"},
    "dark": {"black", "dark blue", "dark red", "dark green"},
    "light": {"white"},
}
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


@dataclass(frozen=True)
class _World:
    """What is measured of the N people of a frame, anew."""

    people: list[PersonTruth]
    width: int
    x: np.ndarray
    left: np.ndarray
    right: np.ndarray
    top: np.ndarray
    bottom: np.ndarray
    y: np.ndarray
    height: int

    @classmethod
    def of(cls, frame: Frame) -> _World:
        count = len(frame.people)
        edges = np.zeros((count, 4))
        for k in range(count):
            own = frame.layers.ids == k + 1
            rows, columns = (np.flatnonzero(own.any(axis)) for axis in (1, 0))
            edges[k] = columns[0], columns[-1] + 1, rows[0], rows[-1] + 1
        left, right, top, bottom = edges.T
        tall, wide = frame.layers.ids.shape
        return cls(frame.people, wide, (left + right) / 2, left, right, top, bottom, (top + bottom) / 2, tall)

    def joint(self, k: int, name: str) -> np.ndarray:
        return self.people[k].placed.joints[SMPLH_JOINTS.index(name)]

    def distance(self, k: int) -> float:
        return float(self.people[k].joints_3d[:, 2].mean())

    def stature(self, k: int) -> float:
        return self.people[k].placed.person.stature


class Reader:
    """Reads texts about one frame, which is measured once."""

    def __init__(self, frame: Frame) -> None:
        self._world = _World.of(frame)

    def meant(self, text: str) -> list[int]:
        """The people of whom a text is true; none where it is not understood."""
        tests = _read(text, self._world)
        if not tests:
            return []
        return [k for k in range(len(self._world.people)) if all(test(k) for test in tests)]


def meant(text: str, frame: Frame) -> list[int]:
    """The people of a frame of whom a text is true; `Reader` is cheaper for several texts."""
    return Reader(frame).meant(text)


def _read(text: str, world: _World) -> list[Test]:
    words = re.sub(r"[-,.?]+", " ", text.lower())
    words = re.sub(r"\s+", " ", words).strip()
    related = _RELATION.search(words)
    tests: list[Test] = []
    if related:
        anchors = _read(related["anchor"], world)
        found = [k for k in range(len(world.people)) if anchors and all(test(k) for test in anchors)]
        if len(found) != 1:
            return []
        tests.append(_related(related["how"], found[0], world))
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


def _related(how: str, anchor: int, world: _World) -> Test:
    if "left" in how:
        return lambda k: k != anchor and world.x[k] < world.x[anchor]
    if how.strip().endswith("right of") or "right side of" in how:
        return lambda k: k != anchor and world.x[k] > world.x[anchor]

    def gap(k: int) -> float:
        across = max(0.0, world.left[k] - world.right[anchor], world.left[anchor] - world.right[k])
        along = max(0.0, world.top[k] - world.bottom[anchor], world.top[anchor] - world.bottom[k])
        return float(np.hypot(across, along))

    return lambda k: k != anchor and all(gap(k) < gap(j) for j in range(len(world.people)) if j not in (k, anchor))


def _rank(side: str, rank: int, world: _World) -> Test:
    order = np.argsort(world.x if side == "left" else -world.x)
    return lambda k: rank <= len(order) and int(order[rank - 1]) == k


def _side(side: str, world: _World) -> Test:
    share = world.x / world.width if side == "left" else 1 - world.x / world.width
    if len(world.people) > 3:
        return lambda k: bool(share[k] < 0.45)
    # Of few people the outermost is meant, or two who are about as far out as each other.
    near = 0.22 * (world.right - world.left) / world.width
    return lambda k: bool(
        share[k] == share.min() or (share[k] < 0.45 and share[k] - share.min() < max(near.min(), 0.025))
    )


def _middle(world: _World) -> Test:
    if len(world.people) == 3:
        return _rank("left", 2, world)
    return lambda k: bool(abs(world.x[k] / world.width - 0.5) < 0.15)


def _least(value: Callable[[int], float], world: _World) -> Test:
    values = [value(k) for k in range(len(world.people))]
    return lambda k: values[k] == min(values) and values.count(values[k]) == 1


def _colour(said: str) -> set[str]:
    name = _SAME.get(said, said)
    return _WORN.get(name, {name})


def _top(said: str, world: _World) -> Test:
    def test(k: int) -> bool:
        outfit = world.people[k].placed.person.outfit
        return outfit.pattern in ("plain", "logo") and outfit.top_colour in _colour(said)

    return test


def _legs(said: str | None, noun: str, world: _World) -> Test:
    def test(k: int) -> bool:
        outfit = world.people[k].placed.person.outfit
        kinds = {"trousers": ("trousers",), "pants": ("trousers",), "shorts": ("shorts",)}.get(
            noun, ("trousers", "shorts", "skirt")
        )
        return outfit.bottom in kinds and (said is None or outfit.bottom_colour in _colour(said))

    return test


def _hat(said: str | None, kind: str, world: _World) -> Test:
    def test(k: int) -> bool:
        outfit = world.people[k].placed.person.outfit
        return outfit.hat == kind and (said is None or outfit.hat_colour in _colour(said))

    return test


def _wears(world: _World, **values: object) -> Test:
    return lambda k: all(getattr(world.people[k].placed.person.outfit, name) == value for name, value in values.items())


def _hair(said: str, world: _World) -> Test:
    def test(k: int) -> bool:
        outfit = world.people[k].placed.person.outfit
        return outfit.hair_style != "bald" and outfit.hair_colour == _SAME.get(said, said)

    return test


def _noun(noun: str, world: _World) -> Test:
    def test(k: int) -> bool:
        build = world.people[k].placed.person.build
        if noun in ("child", "kid", "boy", "girl"):
            return build.years < 13
        return build.years >= 13 and (build.gender < 0.5 if noun in ("man", "guy", "male") else build.gender > 0.5)

    return test


def _raised(k: int, side: str, world: _World) -> bool:
    return bool(world.joint(k, f"{side}_wrist")[1] > world.joint(k, f"{side}_shoulder")[1])


def _arms(which: str, world: _World) -> Test:
    def test(k: int) -> bool:
        up = {side: _raised(k, side, world) for side in ("left", "right")}
        if which in up:
            return up[which] and not all(up.values())
        return sum(up.values()) == (2 if which == "both" else 1) if which != "any" else any(up.values())

    return test


def _spread(world: _World) -> Test:
    def test(k: int) -> bool:
        apart = world.joint(k, "left_wrist") - world.joint(k, "right_wrist")
        rise = max(abs(world.joint(k, f"{s}_wrist")[1] - world.joint(k, f"{s}_shoulder")[1]) for s in ("left", "right"))
        return bool(np.linalg.norm(apart) > 0.58 * world.stature(k) and rise < 0.17 * world.stature(k))

    return test


def _does(names: tuple[str, ...], world: _World) -> Test:
    return lambda k: world.people[k].placed.drawn.stance.action in names


def _stands(world: _World) -> Test:
    def test(k: int) -> bool:
        stature = world.stature(k)
        hips, neck = world.joint(k, "pelvis")[1], world.joint(k, "neck")[1]
        still = world.people[k].placed.drawn.stance.action in (None, "waving", "pointing", "reaching out")
        lowest = min(world.joint(k, f"{side}_ankle")[1] for side in ("left", "right"))
        level = abs(world.joint(k, "left_ankle")[1] - world.joint(k, "right_ankle")[1]) < 0.08 * stature
        return bool(still and level and hips - lowest > 0.4 * stature and neck - lowest > 0.7 * stature)

    return test


def _faces(where: str, world: _World) -> Test:
    def test(k: int) -> bool:
        # Where the shoulders face: across the line between them, in the camera's axes, seen from above.
        index = SMPLH_JOINTS.index
        points = world.people[k].joints_3d
        across = points[index("left_shoulder")] - points[index("right_shoulder")]
        ahead = np.array([across[2], -across[0]])  # x right, z away
        ahead = ahead / max(float(np.linalg.norm(ahead)), 1e-6)
        camera = -points[0, [0, 2]] / np.linalg.norm(points[0, [0, 2]])
        toward = float(ahead @ camera)
        sideways = float(camera[0] * ahead[1] - camera[1] * ahead[0])
        limits = {"camera": toward > 0.55, "away": toward < -0.55, "right": sideways > 0.45, "left": sideways < -0.45}
        return limits[where]

    return test


def _has(thing: str, world: _World) -> Test:
    def test(k: int) -> bool:
        held = world.people[k].placed.thing
        return held is not None and held.name == thing

    return test


def _little(world: _World) -> Test:
    return lambda k: all(world.stature(k) < 0.9 * world.stature(j) for j in range(len(world.people)) if j != k)


def _tall(world: _World) -> Test:
    return _least(lambda k: -world.stature(k), world)


_ONE = r"(?: (?:person|one))?"
_TAIL = r"(?: on(?! (?:the|their|our)\b))?\b"


def _table() -> list[tuple[re.Pattern[str], Callable[[re.Match[str], _World], Test]]]:
    rules: list[tuple[str, Callable[[re.Match[str], _World], Test]]] = [
        (
            rf"(?:in|wearing|with|who has|has)? ?(?:an?|the)? ?{_COLOUR} (?P<noun>shirt|top|clothes)(?: "
            rf"person)?{_TAIL}",
            lambda m, w: _top(m["colour"], w),
        ),
        (
            rf"(?:in|wearing|with|who has|has)? ?(?:an?|the)? ?{_COLOUR} (?P<noun>trousers|pants|shorts|"
            rf"bottoms){_TAIL}",
            lambda m, w: _legs(m["colour"], m["noun"], w),
        ),
        (
            rf"(?:in|wearing|with|who has|has)? ?(?:an?|the)? ?{_COLOUR} (?P<hat>cap|beanie|sun hat){_TAIL}",
            lambda m, w: _hat(m["colour"], m["hat"], w),
        ),
        (rf"(?:person )?(?:with|who has|that has|has)? ?{_COLOUR} hair\b", lambda m, w: _hair(m["colour"], w)),
        (
            rf"(?:in|wearing|with|who has|has)? ?{_COLOUR} shoes{_TAIL}",
            lambda m, w: lambda k: w.people[k].placed.person.outfit.shoes_colour in _colour(m["colour"]),
        ),
        (rf"(?:in|wearing|dressed in) {_COLOUR}\b", lambda m, w: _top(m["colour"], w)),
        (rf"{_COLOUR} one\b", lambda m, w: _top(m["colour"], w)),
        (r"(?:in |wearing |with |who has )?(?:an? )?shorts" + _TAIL, lambda m, w: _legs(None, "shorts", w)),
        (r"(?:in |wearing |with |who has )?(?:an? )?dress" + _TAIL, lambda m, w: _wears(w, top="dress")),
        (
            r"(?:in |wearing |with |who has )?(?:an? )?skirt" + _TAIL,
            lambda m, w: lambda k: _wears(w, bottom="skirt")(k) and not _wears(w, top="dress")(k),
        ),
        (
            r"(?:in |wearing |with |who has )?(?:an? )?(?P<g>jacket|tank top)" + _TAIL,
            lambda m, w: _wears(w, top=m["g"]),
        ),
        (
            r"(?:in |wearing |with |who has )?(?:an? )?(?P<p>striped|checked) top(?: person)?" + _TAIL,
            lambda m, w: _wears(w, pattern=m["p"]),
        ),
        (
            r"(?:in |wearing |with |who has )?(?:an? )?(?P<hat>cap|beanie|sun hat)" + _TAIL,
            lambda m, w: _hat(None, m["hat"], w),
        ),
        (
            r"(?:person )?(?:with |who has |that has |has )?(?:an? )?(?P<s>long hair|ponytail|bun|bald head)\b",
            lambda m, w: _wears(w, hair_style=m["s"].split()[0]),
        ),
        (
            rf"(?:holding|carrying|with|who has|has)? ?(?:an?|the)? ?{_THINGS}(?: person)?\b",
            lambda m, w: _has(m["thing"], w),
        ),
        (
            r"(?:number (?P<n>[2-5])|(?P<o>second|2nd|third|3rd|fourth|4th|fifth|5th)(?: person| one)?) from "
            r"(?:the )?(?P<side>left|right)\b",
            lambda m, w: _rank(m["side"], int(m["n"]) if m["n"] else _ORDINAL[m["o"]], w),
        ),
        (
            r"(?:with )?(?:the |their )?(?P<side>left|right) (?:arm|hand) (?:raised|up|in the air)\b",
            lambda m, w: _arms(m["side"], w),
        ),
        (
            r"(?:raising|holding up|lifting) (?:the |their )?(?P<side>left|right) arm\b",
            lambda m, w: _arms(m["side"], w),
        ),
        (
            r"(?:raising|holding|reaching up with|with)? ?(?:both|their|hands|arms) ?(?:arms|hands)? ?(?:raised|"
            r"up|in the air)\b",
            lambda m, w: _arms("both", w),
        ),
        (
            r"raising both arms\b|reaching up with both arms\b|hands in the air\b|arms raised\b",
            lambda m, w: _arms("both", w),
        ),
        (
            r"raising an arm\b|holding a hand up\b|with an arm raised\b|with a hand in the air\b|arm up\b|"
            r"raised hand\b",
            lambda m, w: _arms("any", w),
        ),
        (
            r"raising one arm\b|holding one hand up\b|lifting an arm\b|raising a hand\b|with one arm raised\b|"
            r"with a hand up\b|"
            r"with an arm in the air\b|with one arm up\b|arm raised\b|hand up\b|one arm up\b",
            lambda m, w: _arms("one", w),
        ),
        (
            r"holding their arms out\b|stretching both arms out to the sides\b|spreading their arms\b|with arms "
            r"outstretched\b|"
            r"with both arms spread\b|with arms out to the sides\b|arms out\b|arms spread wide\b",
            lambda m, w: _spread(w),
        ),
        (r"sitting down\b|sitting(?: one)?\b|seated(?: person)?\b", lambda m, w: _does(("sitting",), w)),
        (
            r"bending over\b|bent forward\b|leaning over\b|bending down\b|bent over\b|bending\b",
            lambda m, w: _does(("bending",), w),
        ),
        (r"standing on one leg(?: person)?\b", lambda m, w: _does(("standing on one leg",), w)),
        (r"standing up\b|standing(?: person)?\b|upright\b|on their feet\b", lambda m, w: _stands(w)),
        (
            r"(?P<a>walking|running|kicking|lunging|crouching|kneeling|reaching out|pointing|throwing|swinging|"
            r"waving|jumping)(?: person)?\b",
            lambda m, w: _does((m["a"],), w),
        ),
        (
            r"facing the camera\b|facing us\b|turned towards the camera\b|looking this way\b|whose face is "
            r"turned to us\b|facing camera\b",
            lambda m, w: _faces("camera", w),
        ),
        (
            r"facing away(?: from us)?\b|seen from the back\b|turned away from the camera\b|with the back to "
            r"the camera\b|"
            r"with their back turned\b|whose back we see\b|back turned\b|back to camera\b",
            lambda m, w: _faces("away", w),
        ),
        (
            r"(?:in profile )?facing (?P<s>left|right)\b|(?:looking|turned) (?:to the )?(?P<t>left|right)\b",
            lambda m, w: _faces(m["s"] or m["t"], w),
        ),
        (r"(?:the )?tallest" + _ONE + r"\b|taller than (?:everyone else|the rest)\b", lambda m, w: _tall(w)),
        (
            r"(?:the )?shortest" + _ONE + r"\b|shorter than (?:the rest|everybody else)\b",
            lambda m, w: _least(lambda k: w.stature(k), w),
        ),
        (
            r"little(?: one)?\b|small(?: person)?\b|child sized\b|smaller than the others\b|as small as a child\b",
            lambda m, w: _little(w),
        ),
        (
            r"(?:at the |on the )?far (?P<s>left|right)"
            + _ONE
            + r"\b|(?:farthest|furthest) (?:to the )?(?P<t>left|right)\b|"
            r"all the way to the (?P<u>left|right)\b|(?P<v>left|right) ?most" + _ONE + r"\b",
            lambda m, w: _rank(m["s"] or m["t"] or m["u"] or m["v"], 1, w),
        ),
        (
            r"(?:on the |to the |at |on our )?(?P<s>left|right)(?: hand)?(?: side)?"
            + _ONE
            + r"\b|person (?P<t>left|right)\b",
            lambda m, w: _side(m["s"] or m["t"], w),
        ),
        (
            r"one in between\b|between (?:the other two|two people|the two)\b|flanked by the other two\b|with "
            r"one person on each side\b|"
            r"with somebody on either side\b|(?:in the |at the )?(?:middle|cent(?:er|re)|central)(?: person)?\b",
            lambda m, w: _middle(w),
        ),
        (
            r"nearest the (?P<e>top|bottom) of the picture\b",
            lambda m, w: _least(lambda k: w.y[k] if m["e"] == "top" else -w.y[k], w),
        ),
        (
            r"closest to (?:the camera|us)\b|nearest (?:to us|the camera)\b|in the foreground\b|at the front\b|"
            r"(?:closest|nearest)" + _ONE + r"\b|front(?: person)?\b|foreground person\b",
            lambda m, w: _least(w.distance, w),
        ),
        (
            r"(?:farthest|furthest) (?:from the camera|away)\b|at the back\b|in the background\b|in the rear\b|"
            r"(?:farthest|furthest)\b|rear\b|"
            r"most distant\b|back person\b|person in background\b",
            lambda m, w: _least(lambda k: -w.distance(k), w),
        ),
        (
            r"highest(?: up| one)?\b|top ?most\b|upper ?most\b|at the top\b|higher up than the rest\b|nearest "
            r"the top of the picture\b|top(?: person)\b",
            lambda m, w: _least(lambda k: w.y[k], w),
        ),
        (
            r"lowest(?: down| one)?\b|bottom(?: person)?\b|at the bottom\b|lower than the rest\b|nearest the "
            r"bottom of the picture\b",
            lambda m, w: _least(lambda k: -w.y[k], w),
        ),
        (
            r"in the (?:upper half|top half of the picture)\b|top half\b",
            lambda m, w: lambda k: bool(w.y[k] < 0.47 * w.height),
        ),
        (
            r"in the (?:lower half|bottom half of the picture)\b|lower half\b",
            lambda m, w: lambda k: bool(w.y[k] > 0.53 * w.height),
        ),
        (r"top\b", lambda m, w: _least(lambda k: w.y[k], w)),
        (r"(?P<n>man|guy|male|woman|lady|female|child|kid|boy|girl)\b", lambda m, w: _noun(m["n"], w)),
    ]
    return [(re.compile(pattern), make) for pattern, make in rules]


_PATTERNS = _table()
