"""The sentences of the evaluation: an annotator's caption of the person, else words made from the labels."""

import numpy as np
from numpy.typing import NDArray

from ..data.describe import describe, observe
from ..data.sample import Sample
from ..prompt import Prompt

# Sentences without a word of position are to be this share of those made, 45 % at the very least.
_SHARE_WITHOUT = 0.5


class Sentences:
    """Chooses one sentence a person, picture after picture, in the order of the file.

    Sentences with and without words of position take turns: each person gets the kind that is short so far
    or, where no sentence of that kind is true of this person alone, the other kind. People among others are
    counted apart; people alone in their picture, of whom anything can be said, even out the whole.

    Attributes:
        unsaid: people so far of whom no sentence is true of them alone. Where not everybody in the picture is
            labelled no sentence can be checked, so that only people with a caption are asked for there.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.unsaid = 0
        # Sentences with and without a word of position: all, and those of people among others.
        self._made, self._made_among_others = [0, 0], [0, 0]

    def of(self, sample: Sample, image: NDArray[np.uint8]) -> list[tuple[int, str, Prompt]]:
        """(person, kind of words, prompt) for each person of the picture (H, W, 3) that words can mean.

        The kind is "caption", "with position" or "without position".
        """
        people = sample.people
        captions = sample.person_captions or (None,) * len(people)
        observed = None
        if sample.fully_labelled and not all(captions):
            crowds = None if sample.crowds is None else sample.crowds.boxes()
            observed = observe(image, people, crowds=crowds, captions=sample.captions)
        said: list[tuple[int, str, Prompt]] = []
        for person, caption in enumerate(captions):
            if caption:
                said.append((person, "caption", Prompt(text=caption)))
                continue
            identity = person if people.ids is None else int(people.ids[person]) % (1 << 63)
            random = np.random.default_rng([identity, self.seed, 2])
            so_far = self._made_among_others if len(people) > 1 else self._made
            first = so_far[0] < (1 - _SHARE_WITHOUT) * sum(so_far)
            for with_position in (first, not first):
                made = describe(observed, person, random, 1, with_position) if observed is not None else []
                if made:
                    self._made[not with_position] += 1
                    self._made_among_others[not with_position] += len(people) > 1
                    words = "with position" if with_position else "without position"
                    said.append((person, words, Prompt(text=made[0].text)))
                    break
            else:
                self.unsaid += 1
        return said
