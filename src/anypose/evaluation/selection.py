"""Systems that take no prompt, asked for one person: choosing among their answers with the true box (Table 5), and
every person of a picture asked for in turn (Table 3).

The paper names the strategies and gives no code. Here "l1" keeps the one answer whose box corners lie nearest to the
true box's; "iou" keeps every answer whose box overlaps the true one by the threshold or more; "intersection" every
answer of whose box the threshold or more lies in the true one. What is kept is ranked by the system's own scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ..data.sample import Sample
from ..people import People
from .precision import Precision, average_precision
from .refhuman import CANDIDATES, ranked
from .similarity import box_iou

Strategy = Literal["none", "l1", "iou", "intersection"]


def select(found: People, box: ArrayLike, strategy: Strategy, threshold: float = 0.3) -> People:
    """Those of everybody found in a picture who are taken for the person in `box` (x0 y0 x1 y1 pixels), best first.

    Raises:
        ValueError: there is no such strategy, or the threshold is not within 0..1.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold is {threshold}; it is a share, from 0 to 1")
    target = np.asarray(box, dtype=np.float64).reshape(1, 4)
    if strategy == "none" or not len(found):
        chosen = np.arange(len(found))
    elif strategy == "l1":
        chosen = np.array([int(np.abs(found.boxes - target).sum(1).argmin())])
    elif strategy == "iou":
        chosen = np.flatnonzero(box_iou(found.boxes, target)[:, 0] >= threshold)
    elif strategy == "intersection":
        low, high = np.maximum(found.boxes[:, :2], target[:, :2]), np.minimum(found.boxes[:, 2:], target[:, 2:])
        sizes = (found.boxes[:, 2:] - found.boxes[:, :2]).prod(1).astype(np.float64)
        inside = (high - low).clip(0).prod(1)
        chosen = np.flatnonzero((inside >= threshold * sizes) & (inside > 0))
    else:
        raise ValueError(f"there is no strategy {strategy!r}; the strategies are none, l1, iou and intersection")
    return ranked(found[chosen])


def selected_precision(
    truth: Sequence[People], everyone: Sequence[People], strategy: Strategy, threshold: float = 0.3
) -> Precision:
    """Pose AP when the person of each entry is chosen from everybody found in its picture.

    Args:
        truth: the person meant in each of N entries, one row each.
        everyone: for each entry everybody whom the system finds in its picture.
    """
    found = [select(people, person.boxes[0], strategy, threshold) for person, people in zip(truth, everyone)]
    return average_precision(truth, found)


def prompted_precision(samples: Sequence[Sample], answers: Sequence[Sequence[People]]) -> Precision:
    """Table 3: pose AP over whole pictures, in which every labelled person was asked for.

    Args:
        samples: P pictures.
        answers: for each picture the answers to the prompts for its people; the best of each is gathered.
    """
    found = []
    for sample, replies in zip(samples, answers):
        best = [ranked(reply, 1) for reply in replies]
        found.append(People.concatenate(best) if best else People.empty(sample.people.size, sample.people.skeleton))
    most = [ranked(people, CANDIDATES) for people in found]
    crowds = [sample.crowds for sample in samples]
    complete = [sample.fully_labelled for sample in samples]
    return average_precision([sample.people for sample in samples], most, crowds=crowds, complete=complete)
