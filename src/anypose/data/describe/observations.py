"""What can be said about the people of one picture: every fact true, false or not known of each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from anypose.data.describe.colour import Truths, clothing
from anypose.data.describe.crowded import among_many, beyond_crowds, colours_of_crowds
from anypose.data.describe.place import Places, positions, relation, sizes
from anypose.data.describe.posture import postures
from anypose.data.describe.things import NAMES, Thing, possessions
from anypose.data.sample import Sample
from anypose.masks import Masks
from anypose.people import People

SAME_PERSON = 0.5
MASCULINE = frozenset(("man", "boy", "guy", "male", "gentleman", "he", "his", "him"))
FEMININE = frozenset(("woman", "girl", "lady", "female", "she", "her"))
CHILD = frozenset(("boy", "girl", "child", "kid", "toddler", "baby"))
_RELATION = re.compile(r"(left_of|right_of|beside)\((.+)\)")


@dataclass(frozen=True)
class Observations:
    """The facts of one picture with N listed people and E - N others of whom only the box is known.

    Attributes:
        count: N; people 0 to N - 1 can be described.
        facts: fact -> (E,) int8, 1 true, 0 false, -1 not known.
        places: the E boxes compared.
        things_known: things were looked for, so that those not found are known to be absent.
        mentioned: words of the picture's captions, lower case.
        thorough: whether everything was noted that might single somebody out; sentences then try more, too.
    """

    count: int
    facts: Truths
    places: Places
    things_known: bool = False
    mentioned: frozenset[str] = frozenset()
    thorough: bool = False
    _possible: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return self.count

    @property
    def entities(self) -> int:
        """E: listed people and others."""
        return len(self.places)

    def truth(self, *facts: str) -> np.ndarray:
        """(E,) int8 truth of all the facts together: false where one is false, else unknown where one is.

        A fact is a key of `facts`, or `left_of(...)`, `right_of(...)`, `beside(...)` around facts joined
        with `+` that are true of exactly one person. A fact that nobody knows of is not known.
        """
        if not facts:
            return np.ones(self.entities, np.int8)
        rows = np.stack([self._one(fact) for fact in facts])
        return np.where((rows == 0).any(0), 0, rows.min(0)).astype(np.int8)

    def true_of(self, *facts: str) -> list[int]:
        """Indices of those of whom all the facts are true."""
        return [int(index) for index in np.flatnonzero(self.truth(*facts) == 1)]

    def unique(self, index: int, *facts: str) -> bool:
        """Whether the facts are true of this person and clearly false of everybody else."""
        truth = self.truth(*facts)
        return bool(truth[index] == 1 and (np.delete(truth, index) == 0).all())

    def false_of_all(self, *facts: str) -> bool:
        """Whether the facts are together clearly false of everybody."""
        return bool((self.truth(*facts) == 0).all())

    def possible(self, fact: str) -> int:
        """Bits of those of whom the fact is true or not known."""
        if fact not in self._possible:
            self._possible[fact] = sum(1 << int(i) for i in np.flatnonzero(self.truth(fact) != 0))
        return self._possible[fact]

    def _one(self, fact: str) -> np.ndarray:
        if fact in self.facts:
            return self.facts[fact]
        related = _RELATION.fullmatch(fact)
        if related:
            anchors = self.truth(*related[2].split("+"))
            if (anchors == 0).all():
                return np.zeros(self.entities, np.int8)
            if (anchors == 1).sum() == 1 and (anchors != 0).sum() == 1:
                return relation(self.places, related[1], int(np.argmax(anchors)))
        kind, _, thing = fact.partition(":")
        absent = self.things_known and kind in ("with", "on", "near") and thing in NAMES
        if absent and not self.mentioned.intersection(thing.split()):
            return np.zeros(self.entities, np.int8)
        return np.full(self.entities, -1, np.int8)


def observe(
    image: np.ndarray,
    people: People,
    things: Sequence[Thing] | None = None,
    others: np.ndarray | None = None,
    crowds: np.ndarray | Masks | None = None,
    captions: Sequence[str] = (),
    thorough: bool = False,
) -> Observations:
    """Look at a picture once and note everything that can be said about its people.

    Args:
        image: (H, W, 3) uint8 RGB.
        people: the N people to describe, with keypoints and masks as far as they are known.
        things: (class name of COCO's 80, box, score) of detected things; None when nothing looked for
            them, an empty sequence when nothing was found.
        others: (M, 4) boxes of further people. Nothing but their place is known, so only sentences of
            position and size can tell a listed person from them. Boxes that overlap a listed person
            by an IoU of 0.5 are taken to be that person.
        crowds: (C, 4) boxes of crowds, or their masks: people who might be anywhere in them.
        captions: sentences about the picture. With one person in it they say man, woman or child.
        thorough: also note what tells people apart among many. The sentences that the default model was trained and
            is measured on are made without.

    Raises:
        ValueError: the picture is not of the size that the people were labelled in.
    """
    if image.shape[:2] != tuple(people.size):
        raise ValueError(f"image is {image.shape[:2]} (height, width), the people are of {tuple(people.size)}")
    height, width = people.size
    boxes = np.asarray(people.boxes, np.float64).reshape(-1, 4)
    further = _unlisted(np.asarray([] if others is None else others, np.float64).reshape(-1, 4), boxes)
    gathered = (
        np.asarray([] if crowds is None else crowds, np.float64) if not isinstance(crowds, Masks) else crowds.boxes()
    )
    gathered = gathered.astype(np.float64).reshape(-1, 4)
    count = len(boxes)
    everyone = np.concatenate([boxes, further, gathered])
    places = Places.of(everyone, np.arange(len(everyone)) >= count + len(further), (height, width))
    own = clothing(image, people) | postures(people)
    sitting = own.get("posture=sitting", np.full(count, -1, np.int8))
    own |= possessions(things or (), people, sitting)
    mentioned = frozenset(re.findall(r"[a-z]+", " ".join(captions).lower()))
    if len(everyone) == 1 == count:
        own |= _nouns(captions)
    unknown = np.full(len(everyone) - count, -1, np.int8)
    facts = {name: np.concatenate([truth, unknown]).astype(np.int8) for name, truth in own.items()}
    facts |= positions(places) | sizes(places)
    if thorough:
        facts |= among_many(places)
        beyond_crowds(facts, places)
        for name, truth in colours_of_crowds(image, crowds).items() if isinstance(crowds, Masks) else ():
            facts[name][len(everyone) - len(gathered) :] = truth
    _heights_of_the_standing(facts)
    return Observations(count, facts, places, things is not None, mentioned, thorough)


def observe_sample(
    sample: Sample, things: Sequence[Thing] | None = None, others: np.ndarray | None = None
) -> Observations:
    """`observe` the picture, people, crowds and captions of a sample; opens the picture.

    Where the sample is not fully labelled, give `others`, the people detected beside those listed;
    otherwise sentences are true of one person among the listed only.
    """
    crowds = None if sample.crowds is None else sample.crowds.boxes()
    captions = sample.captions if sample.fully_labelled else ()
    return observe(sample.image(), sample.people, things, others, crowds, captions)


def _heights_of_the_standing(facts: Truths) -> None:
    """A tall box is a tall person only of somebody who stands, and a low one only among the standing."""
    standing = facts.get("posture=standing")
    if standing is None or "tallest" not in facts:
        return
    facts["tallest"][(standing != 1) & (facts["tallest"] == 1)] = -1
    if not (standing == 1).all():
        facts["shortest"][facts["shortest"] == 1] = -1


def _unlisted(others: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """The boxes that are not a listed person seen again."""
    if len(others) == 0 or len(boxes) == 0:
        return others
    low = np.maximum(others[:, None, :2], boxes[:, :2])
    high = np.minimum(others[:, None, 2:], boxes[:, 2:])
    shared = np.prod(np.maximum(0, high - low), -1)
    areas = [np.prod(np.maximum(1e-6, side[:, 2:] - side[:, :2]), -1) for side in (others, boxes)]
    iou = shared / (areas[0][:, None] + areas[1] - shared)
    return others[iou.max(1) < SAME_PERSON]


def _nouns(captions: Sequence[str]) -> Truths:
    """Facts `noun=man|woman|child` of a single person, where the captions agree on it."""
    words = [set(re.findall(r"[a-z]+", caption.lower())) for caption in captions]
    facts: Truths = {}
    male, female = (sum(bool(said & gender) for said in words) for gender in (MASCULINE, FEMININE))
    young = sum(bool(said & CHILD) for said in words)
    if max(male, female) >= 2 and min(male, female) == 0:
        facts["noun=masculine"] = np.array([int(male > 0)], np.int8)
        facts["noun=feminine"] = np.array([int(female > 0)], np.int8)
    if words and young in (0, len(words)):
        facts["noun=child"] = np.array([int(young > 0)], np.int8)
    return facts
