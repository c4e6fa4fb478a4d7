"""How each fact is put into words."""

from __future__ import annotations

from dataclasses import dataclass

ORDINALS = {2: ("second", "2nd"), 3: ("third", "3rd"), 4: ("fourth", "4th"), 5: ("fifth", "5th")}
COLOUR_WORDS = {
    "grey": ("grey", "gray"),
    "purple": ("purple", "violet"),
    "dark blue": ("navy", "dark blue", "navy blue", "deep blue"),
    "light blue": ("light blue", "pale blue", "sky blue"),
    "dark red": ("dark red", "maroon", "crimson", "burgundy"),
    "dark green": ("dark green", "deep green"),
    "dark": ("dark", "dark-coloured"),
    "light": ("light", "light-coloured", "pale"),
}


@dataclass(frozen=True)
class Wording:
    """Phrases for one fact.

    Attributes:
        before: adjectives, as in "the ... person".
        after: what can follow both "the person" and "who is".
        having: what can follow "the person" but not "who is" (with a ...).
        bare: what can stand alone, as typed into a search box.
        asked: what can follow "who is" but not "the person".
    """

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    having: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()


WORDINGS: dict[str, Wording] = {
    "leftmost": Wording(
        ("leftmost", "left-most", "far left"),
        ("on the far left", "furthest to the left", "at the far left", "farthest left",
         "all the way to the left"),
        bare=("far left", "leftmost", "leftmost person", "left-most one", "furthest left"),
    ),
    "rightmost": Wording(
        ("rightmost", "right-most", "far right"),
        ("on the far right", "furthest to the right", "at the far right", "farthest right",
         "all the way to the right"),
        bare=("far right", "rightmost", "rightmost person", "right-most one", "furthest right"),
    ),
    "side=left": Wording(
        ("left-hand", "left"),
        ("on the left", "on the left side", "to the left", "on the left-hand side", "at left", "on our left"),
        bare=("left", "left person", "left side", "person left", "left one"),
    ),
    "side=right": Wording(
        ("right-hand", "right"),
        ("on the right", "on the right side", "to the right", "on the right-hand side", "at right",
         "on our right"),
        bare=("right", "right person", "right side", "person right", "right one"),
    ),
    "middle": Wording(
        ("middle", "central", "centre"),
        ("in the middle", "in the centre", "in the center", "at the centre"),
        bare=("middle", "middle person", "center", "centre person"),
    ),
    "between": Wording(
        after=("between the other two", "between two people", "flanked by the other two"),
        having=("with one person on each side", "with somebody on either side"),
        bare=("between the two", "one in between"),
    ),
    "closest": Wording(
        ("closest", "nearest", "front"),
        ("closest to the camera", "nearest to us", "closest to us", "in the foreground", "nearest the camera",
         "at the front"),
        bare=("closest", "closest person", "nearest", "front person", "foreground person"),
    ),
    "farthest": Wording(
        ("farthest", "furthest", "rear", "most distant"),
        ("farthest from the camera", "at the back", "in the background", "furthest away", "in the rear",
         "farthest away"),
        bare=("back person", "furthest away", "person in background", "at the back", "most distant"),
    ),
    "top": Wording(
        ("highest", "topmost", "uppermost"),
        ("highest up", "at the top", "higher up than the rest", "nearest the top of the picture"),
        bare=("top", "top person", "highest one", "uppermost"),
    ),
    "bottom": Wording(
        ("lowest", "bottom"),
        ("lowest down", "at the bottom", "lower than the rest", "nearest the bottom of the picture"),
        bare=("bottom", "bottom person", "lowest one"),
    ),
    "row=top": Wording(after=("in the upper half", "in the top half of the picture"), bare=("top half",)),
    "row=bottom": Wording(after=("in the lower half", "in the bottom half of the picture"),
    bare=("lower half",)),
    "tallest": Wording(
        ("tallest",), ("taller than everyone else", "taller than the rest"),
        bare=("tallest", "tallest person", "tallest one"), asked=("the tallest", "tallest"),
    ),
    "shortest": Wording(
        ("shortest",), ("shorter than the rest", "shorter than everybody else"),
        bare=("shortest", "shortest person"), asked=("the shortest", "shortest"),
    ),
    "biggest": Wording(
        ("biggest", "largest"), having=("that looks biggest", "that takes up the most room"),
        bare=("biggest", "biggest person", "largest one"),
        asked=("the biggest", "the largest", "biggest here"),
    ),
    "smallest": Wording(
        ("smallest", "tiniest"), having=("that looks smallest", "that is the smallest in the picture"),
        bare=("smallest", "smallest person", "tiniest one"),
        asked=("the smallest", "smallest in the picture"),
    ),
    "little": Wording(
        ("little", "small", "child-sized"), ("smaller than the others", "as small as a child"),
        bare=("little one", "small person"),
    ),
    "foreground": Wording(
        after=("in the foreground", "close to the camera", "close to us"),
        having=("who is near the camera",), bare=("foreground person", "close to camera"),
    ),
    "distant": Wording(
        after=("in the background", "far off", "further back"), bare=("person in background", "further back"),
    ),
    "large": Wording(
        ("big", "large"),
        having=("that fills a good part of the picture", "who takes up much room", "that looks big"),
        bare=("big one", "large person"),
    ),
    "edge=left": Wording(
        after=("at the left edge", "by the left edge of the picture", "at the very left of the picture"),
        bare=("left edge", "person at left edge"),
    ),
    "edge=right": Wording(
        after=("at the right edge", "by the right edge of the picture", "at the very right of the picture"),
        bare=("right edge", "person at right edge"),
    ),
    "posture=left arm raised": Wording(
        after=("raising the left arm", "holding up the left arm", "lifting their left arm"),
        having=("with the left arm raised", "with their left hand up", "with left arm in the air"),
        bare=("left arm up", "left hand raised"),
    ),
    "posture=right arm raised": Wording(
        after=("raising the right arm", "holding up the right arm", "lifting their right arm"),
        having=("with the right arm raised", "with their right hand up", "with right arm in the air"),
        bare=("right arm up", "right hand raised"),
    ),
    "posture=one arm raised": Wording(
        after=("raising one arm", "holding one hand up", "lifting an arm", "raising a hand"),
        having=("with one arm raised", "with a hand up", "with an arm in the air", "with one arm up"),
        bare=("arm raised", "hand up", "one arm up"),
    ),
    "posture=both arms raised": Wording(
        after=("raising both arms", "holding both hands up", "reaching up with both arms"),
        having=("with both arms raised", "with both hands up", "with their arms in the air", "with hands up"),
        bare=("both arms up", "hands in the air", "arms raised"),
    ),
    "posture=arm raised": Wording(
        after=("raising an arm", "holding a hand up"), having=("with an arm raised",
        "with a hand in the air"),
        bare=("arm up", "raised hand"),
    ),
    "posture=arms spread": Wording(
        after=("holding their arms out", "stretching both arms out to the sides", "spreading their arms"),
        having=("with arms outstretched", "with both arms spread", "with arms out to the sides"),
        bare=("arms out", "arms spread wide"),
    ),
    "posture=hands together": Wording(
        after=("holding their hands together", "keeping both hands together"),
        having=("with hands together", "with both hands close together", "whose hands meet"),
        bare=("hands together",),
    ),
    "posture=standing": Wording(
        ("standing",), ("standing", "standing up", "upright", "on their feet"), bare=("standing",
         "standing person")
    ),
    "posture=sitting": Wording(
        ("sitting", "seated"), ("sitting", "seated", "sitting down"), bare=("sitting", "seated person",
         "sitting one")
    ),
    "posture=low": Wording(
        after=("down low with bent knees", "keeping low, knees bent", "low on folded legs"),
        having=("with both knees bent deeply", "with folded legs", "whose knees are drawn up"),
        bare=("knees bent", "folded legs", "down low"),
    ),
    "posture=lying": Wording(
        (), ("lying down", "lying flat", "stretched out"), bare=("lying down", "person lying")
    ),
    "posture=bending": Wording(
        ("bending",), ("bending over", "bent forward", "leaning over", "bending down"),
        bare=("bending over", "bent over"),
    ),
    "posture=legs apart": Wording(
        having=("with legs apart", "with feet wide apart", "with their legs spread",
        "whose feet are far apart"),
        after=("in a wide stance",), bare=("legs apart", "wide stance"),
    ),
    "posture=foot raised": Wording(
        having=("with one foot raised", "with a leg up", "with one foot higher than the other"),
        after=("lifting one foot", "raising a leg"), bare=("one leg up", "foot raised"),
    ),
    "posture=facing camera": Wording(
        after=("facing the camera", "facing us", "turned towards the camera", "looking this way"),
        having=("whose face is turned to us",), bare=("facing camera", "facing us"),
    ),
    "posture=back turned": Wording(
        after=("facing away", "seen from the back", "turned away from the camera", "facing away from us"),
        having=("with the back to the camera", "with their back turned", "whose back we see"),
        bare=("facing away", "back turned", "back to camera"),
    ),
    "posture=facing left": Wording(
        after=("facing left", "looking to the left", "turned to the left", "in profile, facing left"),
        bare=("facing left", "looking left"),
    ),
    "posture=facing right": Wording(
        after=("facing right", "looking to the right", "turned to the right", "in profile, facing right"),
        bare=("facing right", "looking right"),
    ),
}  # fmt: skip

RELATIONS = {
    "left_of": ("to the left of", "left of", "on the left side of"),
    "right_of": ("to the right of", "right of", "on the right side of"),
    "beside": ("next to", "beside", "right next to", "closest to", "by the side of"),
}
_CARRIED = Wording(
    after=("holding {a}", "holding the {n}", "carrying {a}"),
    having=("with the {n}", "with {a}", "who has {a}"),
    bare=("{n}", "{n} person", "has {n}"),
)
_THINGS = {
    "with": _CARRIED,
    "on": Wording(after=("on the {n}", "on {a}", "riding {a}", "riding the {n}"), bare=("on {n}", "riding {n}")),
    "near": Wording(
        after=("next to the {n}", "by the {n}", "near the {n}", "beside {a}", "close to the {n}"),
        bare=("by the {n}", "near {n}", "next to {n}"),
    ),
}
# Of what mostly lies before people on a table it is not said that they hold it.
_LYING_ABOUT = frozenset(
    ("cup", "bottle", "wine glass", "fork", "knife", "spoon", "laptop", "book", "pizza", "sandwich",
     "hot dog", "donut", "banana", "apple", "scissors", "sports ball")
)  # fmt: skip
_AT_HAND = Wording(having=("with the {n}", "with {a}", "who has {a}"), bare=("{n}", "person with {n}"))
_WORN = Wording(
    after=("wearing {a}",),
    having=("with {a}", "with the {n}", "who has {a}"),
    bare=("{n}", "person with {n}"),
)
_SEAT = Wording(after=("on the {n}", "sitting on the {n}", "sitting on {a}", "seated on the {n}"), bare=("on {n}",))


def article(noun: str) -> str:
    """The noun after "a" or "an"; plurals as they are."""
    if noun.endswith(("skis", "scissors", "trousers", "pants", "shorts", "bottoms", "clothes")):
        return noun
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def thing_wording(relation: str, name: str) -> Wording:
    """Words for `with:`, `on:` or `near:` a class of things."""
    wording = _THINGS[relation]
    if name in ("tie", "backpack") and relation == "with":
        wording = _WORN
    elif name in _LYING_ABOUT and relation == "with":
        wording = _AT_HAND
    elif name in ("chair", "couch", "bench", "bed") and relation == "on":
        wording = _SEAT
    noun = "TV" if name == "tv" else name

    def filled(phrases: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(phrase.format(n=noun, a=article(noun)) for phrase in phrases)

    return Wording(filled(wording.before), filled(wording.after), filled(wording.having), filled(wording.bare))


def torso_wording(colour: str, shade_only: bool) -> Wording:
    """Words for a colour, or only light or dark, on the upper body."""
    if shade_only:
        tops = [f"{colour} {noun}" for noun in ("top", "shirt", "clothes")]
        return Wording(
            after=(*(f"in {article(top)}" for top in tops), f"wearing {article(tops[0])}"),
            having=(f"with {article(tops[1])}",),
            bare=tuple(tops),
        )
    after = [f"in {colour}", f"wearing {colour}", f"dressed in {colour}"]
    having, bare = [], [f"in {colour}", f"{colour} one"]
    for noun in ("shirt", "top"):
        top = f"{colour} {noun}"
        after += [f"in {article(top)}", f"in the {top}", f"wearing {article(top)}", f"wearing the {top}"]
        having += [f"with {article(top)}", f"with the {top}", f"who has {article(top)} on"]
        bare += [top, f"{top} person"]
    return Wording(after=tuple(after), having=tuple(having), bare=tuple(bare))


def legs_wording(colour: str, garment: str | None) -> Wording:
    """Words for a colour on the legs; the garment is `trousers`, `shorts` or not known."""
    nouns = {"trousers": ("trousers", "pants"), "shorts": ("shorts",), None: ("bottoms",)}[garment]
    phrases = [f"{colour} {noun}" for noun in nouns]
    return Wording(
        after=tuple(f"{verb} {phrase}" for phrase in phrases for verb in ("in", "wearing")),
        having=tuple(f"with {phrase}" for phrase in phrases) + tuple(f"with the {phrase}" for phrase in phrases),
        bare=tuple(phrases),
    )


LOOKS = ("garment", "pattern", "hat", "hair", "shoes", "action")
"""Facts that no rule here finds in photographs; `data/synthetic` knows them."""


def looks_wording(kind: str, value: str) -> Wording:
    """Words for one of `LOOKS`: a garment, a pattern, something on the head, hair, shoes, what somebody does."""
    if kind == "action":
        return Wording(before=(value,) if " " not in value else (), after=(value,), bare=(value, f"{value} person"))
    if kind == "hair":
        hair = "a bald head" if value == "bald" else f"a {value}" if value in ("ponytail", "bun") else f"{value} hair"
        bare = hair.removeprefix("a ")
        return Wording(
            having=(f"with {hair}", f"who has {hair}", f"that has {hair}"), bare=(bare, f"person with {hair}")
        )
    if kind == "shoes":
        shoes = f"{value} shoes"
        return Wording(
            after=(f"in {shoes}", f"wearing {shoes}"), having=(f"with {shoes}", f"who has {shoes} on"), bare=(shoes,)
        )
    noun = f"{value} top" if kind == "pattern" else value
    with_article = article(noun)
    return Wording(
        after=(f"in {with_article}", f"wearing {with_article}"),
        having=(f"with {with_article}", f"who has {with_article} on"),
        bare=(noun, f"{noun} person") if kind == "pattern" else (noun,),
    )
