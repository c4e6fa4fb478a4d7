"""English sentences about one person, each checked to be true of that person and of nobody else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from anypose.data.describe.mirror import mentions_position
from anypose.data.describe.observations import Observations
from anypose.data.describe.phrases import POSITION_GROUPS, group, kinds, phrase
from anypose.data.describe.things import HELD
from anypose.data.sample import Sample

ATTEMPTS = 6
MOST_ANCHORS = 24
PLURAL = re.compile(
    r"\b(people|men|women|boys|girls|children|kids|ladies|guys|couple|group|crowd|family|players|others?|another|"
    r"two|three|four|several|many|both|they|pair|team|bunch|persons|someone else)\b",
    re.IGNORECASE,
)
PERSON = re.compile(
    r"\b(man|woman|boy|girl|child|kid|lady|guy|person|male|female|player|surfer|skier|snowboarder|skateboarder|"
    r"rider|toddler|baby|gentleman|skater|batter|pitcher|cyclist|biker|someone|worker|officer|chef|"
    r"individual|athlete|cowboy|catcher|jockey|motorcyclist)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Sentence:
    """Words that mean one person of a picture.

    Attributes:
        text: the words.
        kinds: what they speak of: position, size, colour, clothing, posture, thing or caption.
        facts: the observed facts behind a synthetic sentence, for `Observations.unique` to check.
        synthetic: made from annotations and pixels, not written by a human.
    """

    text: str
    kinds: frozenset[str]
    facts: tuple[str, ...] = ()
    synthetic: bool = True

    @property
    def has_position(self) -> bool:
        """Whether it says where the person is or has a word of position for any other reason."""
        return "position" in self.kinds or mentions_position(self.text)


def describe(
    observations: Observations,
    index: int,
    rng: np.random.Generator,
    count: int = 1,
    with_position: bool | None = None,
) -> list[Sentence]:
    """Up to `count` different sentences, each true of person `index` and of nobody else.

    Args:
        with_position: False for sentences without any word of position, True for those with one,
            None for about half and half where both can be had.

    Returns:
        Fewer than `count` sentences, or none, where the facts do not tell the person apart.

    Raises:
        IndexError: there is no listed person `index`.
    """
    if not 0 <= index < len(observations):
        raise IndexError(f"there is no person {index} among {len(observations)}")
    pools = _pools(observations, index, rng)
    sentences: dict[str, Sentence] = {}
    for _ in range(ATTEMPTS * count):
        if len(sentences) == count:
            break
        wanted = with_position if with_position is not None else bool(rng.random() < 0.5)
        pool = pools[wanted] or (pools[not wanted] if with_position is None else [])
        if not pool:
            break
        facts = _choose(pool, rng)
        text = phrase(observations, index, facts, rng)
        sentence = Sentence(text, kinds(facts), facts)
        if with_position is None or sentence.has_position == with_position:
            sentences.setdefault(text.lower(), sentence)
    return list(sentences.values())


def describe_nobody(
    observations: Observations, rng: np.random.Generator, others: Sequence[Sentence] | None = None
) -> Sentence | None:
    """A sentence that is clearly false of everybody in the picture, or None if none was found.

    Half of them join facts that are true of different people ("in red on the left" where those in red
    are on the right); the rest name a colour, posture or thing that is not there, or, where `others`
    are given (sentences made for other pictures), one of those that fits nobody here.
    """
    borrowed = [s for s in others or () if s.facts and observations.false_of_all(*s.facts)]
    candidates = [s.facts for s in borrowed]
    texts = {s.facts: s for s in borrowed}
    absent, crossed = _absent(observations), _crossed(observations)
    for _ in range(ATTEMPTS):
        source = [pool for pool in (crossed, crossed, absent, candidates) if pool]
        if not source:
            return None
        pool = source[rng.integers(len(source))]
        facts = pool[rng.integers(len(pool))]
        if pool is candidates:
            return Sentence(texts[facts].text, texts[facts].kinds, facts)
        if observations.false_of_all(*facts):
            return Sentence(phrase(observations, None, facts, rng), kinds(facts), facts)
    return None


def captions_as_sentences(sample: Sample) -> list[Sentence]:
    """The human-written captions of a picture that mean its one person.

    Only where exactly one person is listed, everybody is listed and there is no crowd; captions that
    speak of more than one person or of none are left out.
    """
    if len(sample.people) != 1 or not sample.fully_labelled or sample.crowds is not None:
        return []
    meant = [text.strip() for text in sample.captions if PERSON.search(text) and not PLURAL.search(text)]
    return [Sentence(text, frozenset({"caption"}), synthetic=False) for text in meant]


def _choose(pool: list[tuple[str, ...]], rng: np.random.Generator) -> tuple[str, ...]:
    """A combination from the pool: short ones and rare kinds as likely as the many long ones."""
    lengths = sorted({len(facts) for facts in pool})
    weight = np.array([{1: 0.45, 2: 0.4}.get(length, 0.15) for length in lengths])
    length = lengths[rng.choice(len(lengths), p=weight / weight.sum())]
    sized = [facts for facts in pool if len(facts) == length]
    kind_sets = sorted({tuple(sorted(kinds(facts))) for facts in sized})
    wanted = kind_sets[rng.integers(len(kind_sets))]
    alike = [facts for facts in sized if tuple(sorted(kinds(facts))) == wanted]
    return alike[rng.integers(len(alike))]


def _pools(observations: Observations, index: int, rng: np.random.Generator) -> dict[bool, list[tuple[str, ...]]]:
    """Combinations of one to three facts that single the person out, without and with position."""
    true = [fact for fact, truth in observations.facts.items() if truth[index] == 1 and group(fact)]
    true = [true[k] for k in rng.permutation(len(true))]
    possible = {fact: observations.possible(fact) for fact in true}
    itself = 1 << index
    single = [(fact,) for fact in true if possible[fact] == itself]
    double = [(a, b) for a, b in combinations(true, 2) if group(a) != group(b) and possible[a] & possible[b] == itself]
    triple = []
    for _ in range((200 if observations.thorough else 40) if len(true) >= 3 else 0):
        a, b, c = (true[k] for k in rng.permutation(len(true))[:3])
        if len({group(a), group(b), group(c)}) == 3 and possible[a] & possible[b] & possible[c] == itself:
            triple.append((a, b, c))
    found = [*single, *double, *triple, *_related(observations, index, rng)]
    pools: dict[bool, list[tuple[str, ...]]] = {False: [], True: []}
    for facts in found:
        pools[any(group(fact) in POSITION_GROUPS for fact in facts)].append(facts)
    return pools


def _related(observations: Observations, index: int, rng: np.random.Generator) -> list[tuple[str, ...]]:
    """Relations to other people who can be named by one fact, such as "to the left of the tallest"."""
    found: list[tuple[str, ...]] = []
    if observations.entities < 2:
        return found
    own = [fact for fact, truth in observations.facts.items() if truth[index] == 1 and group(fact)]
    everyone = [fact for fact in observations.facts if group(fact) and group(fact) not in ("across", "noun")]
    for fact in (everyone[k] for k in rng.permutation(len(everyone))[:MOST_ANCHORS]):
        anchor = observations.possible(fact)
        # Exactly one bit set, and not this person's.
        if anchor == 0 or anchor & (anchor - 1) or anchor == 1 << index or not observations.true_of(fact):
            continue
        for name in ("left_of", "right_of", "beside"):
            relation = f"{name}({fact})"
            if observations.unique(index, relation):
                found.append((relation,))
            elif observations.thorough and observations.truth(relation)[index] == 1:
                # Not the only one there, but the only such one.
                apart = observations.possible(relation)
                alone = [f for f in own if apart & observations.possible(f) == 1 << index and _joins(f, relation)]
                found += [(f, relation) for f in alone[:2]]
        if len(found) >= 4:
            break
    return found


def _joins(fact: str, relation: str) -> bool:
    """Whether a fact of one's own says something else than a relation to somebody does."""
    return group(fact) not in ("across", "noun") and fact not in relation


def _absent(observations: Observations) -> list[tuple[str, ...]]:
    """Single facts that are false of everybody."""
    named = [fact for fact in observations.facts if group(fact) not in ("", "across", "down", "depth", "size")]
    named += [f"with:{thing}" for thing in HELD]
    named += [fact for fact in observations.facts if re.fullmatch("(left|right)=[3-5]", fact)]
    if observations.entities == 0:
        named += ["side=left", "posture=standing", "posture=sitting", "torso=red", "torso=blue"]
        return [(fact,) for fact in named]
    return [(fact,) for fact in named if observations.false_of_all(fact)]


def _crossed(observations: Observations) -> list[tuple[str, ...]]:
    """Pairs of facts that are each true of somebody and together of nobody."""
    true = [fact for fact, truth in observations.facts.items() if (truth == 1).any() and group(fact)]
    possible = {fact: observations.possible(fact) for fact in true}
    return [(a, b) for a, b in combinations(true, 2) if group(a) != group(b) and possible[a] & possible[b] == 0]
