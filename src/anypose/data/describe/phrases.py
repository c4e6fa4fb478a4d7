"""Grammar: facts about a person become a phrase, a question, a command or a few bare words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import numpy as np

from anypose.data.describe.observations import Observations
from anypose.data.describe.wording import (
    COLOUR_WORDS,
    LOOKS,
    ORDINALS,
    RELATIONS,
    WORDINGS,
    Wording,
    legs_wording,
    looks_wording,
    thing_wording,
    torso_wording,
)

POSITION_GROUPS = frozenset(("across", "down", "depth", "relation"))
# Facts of one group say much the same, so a sentence has one of each at most.
_GROUPS = {
    "across": ("leftmost", "rightmost", "side", "middle", "between", "left", "right", "edge"),
    "down": ("top", "bottom", "row"),
    "depth": ("closest", "farthest", "foreground", "distant"),
    "size": ("tallest", "shortest", "biggest", "smallest", "little", "large"),
    "torso": ("torso",),
    "legs": ("legs",),
    "garment": ("garment",),
    "pattern": ("pattern",),
    "hat": ("hat",),
    "hair": ("hair",),
    "shoes": ("shoes",),
    "action": ("action",),
    "noun": ("noun",),
    "arms": ("left arm raised", "right arm raised", "one arm raised", "both arms raised", "arms spread",
             "hands together"),
    "stance": ("standing", "sitting", "low", "lying", "bending"),
    "feet": ("legs apart", "foot raised"),
    "facing": ("facing camera", "back turned", "facing left", "facing right"),
    "thing": ("with", "on", "near"),
}  # fmt: skip
_GROUP_OF = {name: group for group, names in _GROUPS.items() for name in names}
_KIND_OF = {
    "across": "position", "down": "position", "depth": "position", "size": "size", "torso": "colour",
    "legs": "colour", "garment": "clothing", "pattern": "clothing", "hat": "clothing", "hair": "clothing",
    "shoes": "clothing", "action": "posture", "arms": "posture", "stance": "posture", "feet": "posture",
    "facing": "posture", "thing": "thing",
}  # fmt: skip
_OF_ONESELF = frozenset(("torso", "legs", "arms", "stance", "feet", "facing", "thing"))
_ORDER = (
    "noun",
    "size",
    "torso",
    "legs",
    "garment",
    "pattern",
    "hat",
    "hair",
    "shoes",
    "action",
    "stance",
    "arms",
    "feet",
    "facing",
    "thing",
    "depth",
    "down",
    "across",
)
NEUTRAL = ("person", "person", "person", "one", "one", "figure", "individual", "human")
NOUNS = {
    "masculine": ("man", "guy", "male"),
    "feminine": ("woman", "lady", "female"),
    "child": ("child", "kid"),
}
YOUNG = {"masculine": ("boy",), "feminine": ("girl",)}
COMMANDS = ("find", "show me", "select", "point at", "pick", "where is", "I mean", "look for", "segment")


@cache
def group(fact: str) -> str:
    """The group a fact belongs to, "" where it is not for sentences."""
    if "(" in fact:
        return "relation"
    name = re.split("[=:]", fact, maxsplit=1)
    return _GROUP_OF.get(name[1] if name[0] == "posture" else name[0], "")


def kinds(facts: Sequence[str]) -> frozenset[str]:
    """What a sentence with these facts speaks of."""
    found = set()
    for fact in facts:
        related = re.fullmatch(r"\w+\((.+)\)", fact)
        if related:
            found |= {"position"} | kinds(related[1].split("+"))
        elif group(fact) in _KIND_OF:
            found.add(_KIND_OF[group(fact)])
    return frozenset(found)


def phrase(observations: Observations, index: int | None, facts: Sequence[str], rng: np.random.Generator) -> str:
    """One way of saying the facts of person `index`, None where they are true of nobody."""
    spoken = sorted(facts, key=lambda fact: _rank(fact))
    wordings = [_wording(observations, index, fact, rng) for fact in spoken if group(fact) != "noun"]
    noun = _noun(observations, index, spoken, rng)
    # A noun that singles the person out must be said; the first two forms have none.
    form = rng.random() if len(wordings) == len(spoken) else rng.uniform(0.25, 1.0)
    if 0 < len(wordings) < 3 and form < 0.17 and all(wording.bare for wording in wordings):
        joint = _one_of((" ", ", ", " "), rng)
        text = joint.join(_one_of(wording.bare, rng) for wording in wordings)
    elif wordings and form < 0.25 and all(wording.after + wording.asked for wording in wordings):
        tails = _join([_one_of(wording.after + wording.asked, rng) for wording in wordings], rng)
        text = _one_of(("who is {}?", "who is {}", "which one is {}?", "which person is {}?"), rng).format(tails)
    elif form < 0.29 and not any(word in noun for word in ("body", "someone")):
        text = _one_of(COMMANDS, rng) + " " + _noun_phrase(noun, wordings, rng, articles=1.0)
    else:
        text = _noun_phrase(noun, wordings, rng, articles=0.75)
    return _dress(text, rng)


def referent(observations: Observations, index: int, facts: Sequence[str], rng: np.random.Generator) -> str:
    """ "the person" with the facts that follow, to go on with."""
    spoken = sorted(facts, key=_rank)
    wordings = [_wording(observations, index, fact, rng) for fact in spoken if group(fact) != "noun"]
    noun = _noun(observations, index, spoken, rng)
    return _noun_phrase("person" if noun in ("someone", "somebody") else noun, wordings, rng, articles=1.0)


def own_facts(observations: Observations, index: int) -> list[str]:
    """What is true of a person for itself: what it wears, does and has, not where it is beside the others."""
    true = (fact for fact, truth in observations.facts.items() if truth[index] == 1)
    return [fact for fact in true if group(fact) in _OF_ONESELF]


def _rank(fact: str) -> int:
    name = group(fact)
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


def _one_of(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _noun(observations: Observations, index: int | None, facts: Sequence[str], rng: np.random.Generator) -> str:
    """A neutral noun unless what is known of the person, or one of the facts, says more."""
    names = [fact[5:] for fact in facts if group(fact) == "noun"]
    if index is not None and not names and rng.random() < 0.6:
        true = [f for f, truth in observations.facts.items() if group(f) == "noun" and truth[index] == 1]
        names = [fact[5:] for fact in true]
    if index is not None and names and "child" not in names:
        young = observations.facts.get("noun=child")
        if young is not None and young[index] == 1:
            return _one_of(YOUNG[names[0]], rng)
    if "child" in names and len(names) > 1:
        return _one_of(YOUNG[next(name for name in names if name != "child")], rng)
    if names:
        return _one_of(NOUNS[names[0]], rng)
    return _one_of((*NEUTRAL, "someone", "somebody"), rng)


def _noun_phrase(noun: str, wordings: list[Wording], rng: np.random.Generator, articles: float) -> str:
    """ "the <adjective> <noun> <what follows>"."""
    if noun in ("someone", "somebody"):
        if any(not (wording.after or wording.having) for wording in wordings):
            noun = "person"
        else:
            said = [_one_of(wording.after + wording.having, rng) for wording in wordings]
            return f"{noun} {_join(said, rng)}".strip()
    adjectives: list[str] = []
    tails: list[str] = []
    for wording in wordings:
        following = wording.after + wording.having
        if wording.before and not adjectives and (not following or rng.random() < 0.45):
            adjectives.append(_one_of(wording.before, rng))
        elif following:
            tail = _one_of(following, rng)
            clause = tail in wording.after and rng.random() < 0.15
            tails.append(f"{_one_of(('who is', 'that is'), rng)} {tail}" if clause else tail)
    # Two relative clauses in one phrase do not read well.
    clauses = [k for k, tail in enumerate(tails) if tail.startswith(("who is ", "that is "))]
    for k in clauses[1:]:
        tails[k] = tails[k].split(" ", 2)[2]
    if len(clauses) == 1 and clauses[0] + 1 < len(tails):
        tails.append(tails.pop(clauses[0]))
    if not tails:
        tails = [""]
    start = "the " if rng.random() < articles or noun not in ("person", "man", "woman") else ""
    return re.sub(r"\s+", " ", f"{start}{' '.join(adjectives)} {noun} {_join(tails, rng)}").strip()


def _join(tails: list[str], rng: np.random.Generator) -> str:
    """Phrases in a row: those of place follow directly, the others after "and" or a comma."""
    text = tails[0] if tails else ""
    for tail in tails[1:]:
        follows = tail.startswith(("on ", "in ", "at ", "to ", "of ", "next ", "by ", "between "))
        text += _one_of((" ", " ", ", ") if follows else (" and ", ", "), rng) + tail
    return text


def _dress(text: str, rng: np.random.Generator) -> str:
    """Upper and lower case and a full stop, as people type."""
    dice = rng.random()
    if dice < 0.2:
        text = text[0].upper() + text[1:]
        if not text.endswith("?") and rng.random() < 0.4:
            text += "."
    elif dice < 0.23:
        text = text.upper()
    return text


def _wording(observations: Observations, index: int | None, fact: str, rng: np.random.Generator) -> Wording:
    if "(" in fact:
        return _relation_wording(observations, fact, rng)
    name, mark, value = re.split("([=:])", fact, maxsplit=1) if re.search("[=:]", fact) else (fact, "", "")
    if name in ("torso", "legs"):
        colour = _one_of(COLOUR_WORDS.get(value, (value,)), rng)
        if name == "torso":
            return torso_wording(colour, shade_only=value in ("dark", "light"))
        return legs_wording(colour, _garment(observations, index))
    if name in LOOKS:
        return looks_wording(name, value)
    if mark == ":":
        return thing_wording(name, value)
    if name in ("left", "right"):
        return _rank_wording(name, int(value), rng)
    return WORDINGS[fact]


def _garment(observations: Observations, index: int | None) -> str | None:
    for garment in ("trousers", "shorts"):
        truth = observations.facts.get(garment)
        if index is not None and truth is not None and truth[index] == 1:
            return garment
    return None


def _rank_wording(side: str, rank: int, rng: np.random.Generator) -> Wording:
    ordinal = _one_of(ORDINALS[rank], rng)
    after = (f"{ordinal} from the {side}", f"{ordinal} from {side}",
             f"number {rank} from the {side}")  # fmt: skip
    return Wording(
        after=after,
        bare=(*after[:2], f"{ordinal} person from the {side}", f"{ordinal} one from {side}"),
    )


def _relation_wording(observations: Observations, fact: str, rng: np.random.Generator) -> Wording:
    name, _, inner = fact.partition("(")
    facts = inner.rstrip(")").split("+")
    anchors = observations.true_of(*facts)
    anchor = anchors[0] if len(anchors) == 1 else None
    wordings = [_wording(observations, anchor, each, rng) for each in facts]
    noun = _one_of(("person", "one", "person"), rng)
    other = _noun_phrase(noun, wordings, rng, articles=1.0)
    tails = tuple(f"{relation} {other}" for relation in RELATIONS[name])
    return Wording(after=tails, bare=tails)
