"""One question with its truth and its answer, whichever protocol asked it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from anypose.data.refhuman import Referred, RefHuman
from anypose.data.sample import Sample
from anypose.evaluation import Exam, Reply, box_iou, object_keypoint_similarity
from anypose.people import People
from anypose.prompt import Prompt

# The answer is somebody else when it overlaps another person this much, and more than the one meant.
WRONG_IOU = 0.3


@dataclass(frozen=True)
class Case:
    """A question and what came of it.

    Attributes:
        sample: opens the picture.
        kind: of the prompt.
        prompt: what was asked, or None where that is not known any more.
        people: everybody known in the picture.
        person: which of them is meant.
        found: the best answer, or nobody.
    """

    sample: Sample
    kind: str
    prompt: Prompt | None
    people: People
    person: int
    found: People

    @property
    def truth(self) -> People:
        """The person meant, one row."""
        return self.people[[self.person]]

    @cached_property
    def similarity(self) -> float | None:
        """OKS of the answer, 0 for nobody; None where the person has no labelled keypoint."""
        if not (self.truth.confidence > 0).any():
            return None
        return float(object_keypoint_similarity(self.truth, self.found)[0, 0]) if len(self.found) else 0.0

    @cached_property
    def overlaps(self) -> list[float]:
        """IoU of the answer with everybody known: of masks where all are known, else of boxes."""
        if not len(self.found):
            return [0.0] * len(self.people)
        masks, answer = self.people.masks, self.found.masks
        if masks is not None and answer is not None and masks.known.all() and answer.known.all():
            return masks.iou(answer)[:, 0].tolist()
        return box_iou(self.people.boxes, self.found.boxes)[:, 0].tolist()

    @property
    def overlap(self) -> float:
        """IoU of the answer with the person meant."""
        return self.overlaps[self.person]

    @property
    def quality(self) -> float:
        """The mean of OKS and IoU, by which answers are put in order."""
        return self.overlap if self.similarity is None else (self.similarity + self.overlap) / 2

    @property
    def is_wrong_person(self) -> bool:
        """Whether the answer is somebody else who is known."""
        most = max(self.overlaps)
        return most >= WRONG_IOU and most > self.overlap


def cases_of_replies(replies: Sequence[Reply], data: RefHuman) -> list[Case]:
    """The cases of a RefHuman file; everybody known in a picture are the people whom its entries ask for."""
    entries: dict[int, Referred] = {one.entry: one for one in data}
    known: dict[str, People] = {}
    for one in entries.values():
        person, path = one.sample.people[[one.row]], str(one.sample.path)
        before = known.get(path)
        if before is None:
            known[path] = person
        elif not (np.abs(before.boxes - person.boxes).max(1) < 1e-3).any():
            known[path] = People.concatenate([before, person])
    cases = []
    for reply in replies:
        one = entries[reply.entry]
        people = known[str(one.sample.path)]
        row = int(np.abs(people.boxes - reply.truth.boxes).max(1).argmin())
        best = reply.found[[int(reply.found.scores.argmax())]] if len(reply.found) else reply.found
        cases.append(Case(one.sample, reply.kind, one.prompt(reply.kind), people, row, best))
    return cases


def cases_of_exam(exam: Exam) -> list[Case]:
    """The cases of an exam."""
    cases = []
    for answer in exam.answers:
        sample = exam.samples[answer.picture]
        cases.append(Case(sample, answer.kind, answer.prompt, sample.people, answer.person, answer.found))
    return cases
