"""An exam: every person of a data set asked for by every kind of prompt, and what the system answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..data.sample import DataError, Sample
from ..people import People
from ..pictures import PictureError
from ..prompt import Prompt
from .captions import Refusals, ask_nobody, mosaics
from .prompts import box_prompt, point_prompt, scribble_prompt
from .sentences import Sentences

PROMPT_KINDS = ("point", "scribble", "box", "text", "mosaic", "nobody", "everyone")


class Scene(Protocol):
    """A picture made ready: `find(prompts)` answers each prompt, `find()` finds everybody."""

    def find(self, prompts: Any = None) -> Any:
        """People for each of a list of prompts, at most one person each; all people without a prompt."""
        ...


class System(Protocol):
    """Whatever can be examined: a Predictor, or anything else that answers prompts."""

    def encode(self, image: NDArray[np.uint8]) -> Scene:
        """Make ready a picture (H, W, 3) uint8 RGB."""
        ...


@dataclass(frozen=True)
class Answer:
    """What came of one prompt.

    Attributes:
        picture: index of the picture in the exam.
        person: index of the person meant, among the picture's people.
        kind: of the prompt, one of `PROMPT_KINDS`.
        words: for text "caption", "with position" or "without position".
        found: the top answer, or nobody; in the skeleton of the truth.
        prompt: what was asked.
    """

    picture: int
    person: int
    kind: str
    words: str | None
    found: People
    prompt: Prompt | None = None


@dataclass
class Exam:
    """The questions, the answers and what could not be asked.

    Attributes:
        samples: the pictures that opened.
        answers: one for each prompt.
        everyone: for each picture who was found without a prompt, if that was asked.
        faults: one line for each picture that could not be opened.
        kinds: the kinds asked for.
        unsaid: people of whom no sentence is true of them alone.
        mosaics: the exam of single people set side by side, by their pictures' captions, if that was asked.
        refusals: what came of captions of other pictures, if that was asked.
    """

    kinds: tuple[str, ...]
    samples: list[Sample] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    everyone: list[People] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    unsaid: int = 0
    mosaics: Exam | None = None
    refusals: Refusals | None = None


def examine(
    system: System,
    samples: Sequence[Sample],
    kinds: Sequence[str] = PROMPT_KINDS,
    seed: int = 0,
    advance: Callable[[], None] = lambda: None,
) -> Exam:
    """Ask for every labelled person of every picture; each picture is encoded once and asked in one batch.

    Args:
        system: what is examined.
        samples: the pictures with the truth. One that cannot be opened is noted in `Exam.faults`.
        kinds: some of `PROMPT_KINDS`.
        seed: for the places of points and scribbles and the choice of sentences.
        advance: called after each picture.

    Raises:
        ValueError: a kind is not known.
    """
    unknown = [kind for kind in kinds if kind not in PROMPT_KINDS]
    if unknown:
        raise ValueError(f"there is no prompt kind {unknown[0]!r}; the kinds are {', '.join(PROMPT_KINDS)}")
    exam = Exam(tuple(kind for kind in PROMPT_KINDS if kind in kinds))
    sentences = Sentences(seed)
    for sample in samples:
        try:
            image = sample.image()
        except (PictureError, DataError, OSError) as error:
            exam.faults.append(" ".join(str(error).split()))
        else:
            _examine_picture(exam, system, sample, image, sentences, seed)
        advance()
    exam.unsaid = sentences.unsaid
    if "mosaic" in kinds:
        made, faults = mosaics(samples, seed)
        exam.mosaics = examine(system, made, ("text",), seed)
        exam.faults += faults
    if "nobody" in kinds:
        exam.refusals = ask_nobody(system, samples, seed)
        exam.faults += exam.refusals.faults
    exam.faults = list(dict.fromkeys(exam.faults))
    return exam


def _examine_picture(
    exam: Exam, system: System, sample: Sample, image: NDArray[np.uint8], sentences: Sentences, seed: int
) -> None:
    asked: list[tuple[int, str, str | None]] = []
    prompts: list[Prompt] = []
    for kind in exam.kinds:
        if kind == "text":
            said = sentences.of(sample, image)
            asked += [(person, kind, words) for person, words, _ in said]
            prompts += [prompt for _, _, prompt in said]
        elif kind in ("point", "scribble", "box"):
            asked += [(person, kind, None) for person in range(len(sample.people))]
            prompts += [_drawn(kind, person, seed) for person in sample.people]
    scene = system.encode(image)
    found = scene.find(prompts) if prompts else []
    if len(found) != len(prompts):
        raise ValueError(f"{sample.name}: {len(found)} answers to {len(prompts)} prompts")
    picture = len(exam.samples)
    exam.samples.append(sample)
    for (person, kind, words), prompt, people in zip(asked, prompts, found):
        exam.answers.append(Answer(picture, person, kind, words, _top(people, sample.people), prompt))
    if "everyone" in exam.kinds:
        exam.everyone.append(_alike(scene.find(), sample.people))


def _drawn(kind: str, person: People, seed: int) -> Prompt:
    if kind == "box":
        return box_prompt(person)
    return point_prompt(person, seed) if kind == "point" else scribble_prompt(person, seed)


def _top(found: People, truth: People) -> People:
    """The answer with the best score, alone."""
    best = found[[int(found.scores.argmax())]] if len(found) > 1 else found
    return _alike(best, truth)


def _alike(found: People, truth: People) -> People:
    return found if found.skeleton == truth.skeleton else found.to_skeleton(truth.skeleton)
