"""CrowdPose's figures: average precision, also of easy, medium and hard pictures by their crowd index.

Definitions: Li et al., CrowdPose, CVPR 2019, and the authors' program crowdposetools. It is COCO's average precision
with the sigmas of its 14 keypoints and 0.53 of the box as the area (`anypose.data.crowdpose` reads it so). Whom nothing
but head and neck is labelled of is ignored: the `num_keypoints` of the published files counts the other twelve.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..people import People
from .exam import Exam
from .precision import average_precision

PARTS = ("easy", "medium", "hard")
Bounds = tuple[float, float]

# A crowd index below the first is easy, from there to below the second medium. The paper has up to 0.1, up to 0.8 and
# above, of which 0.8 itself is medium.
PAPER: Bounds = (0.1, math.nextafter(0.8, 1.0))
# The authors' program, by which other papers' figures are made, calls more pictures easy.
PROGRAM: Bounds = (0.2, 0.8)

_UNCOUNTED = ("head", "neck")


def crowd_precision(
    truth: Sequence[People],
    found: Sequence[People],
    crowd_indices: Sequence[float | None],
    bounds: Bounds = PAPER,
) -> dict[str, float]:
    """AP, AP50, AP75 and AR of all pictures, and the AP of the easy, medium and hard ones, in 0..1; NaN of none.

    Args:
        truth, found: the people of P pictures, labelled and found, as in `average_precision`.
        crowd_indices: of the P pictures, from 0 to 1; one without (None) counts among all and in no part.
        bounds: `PAPER`, `PROGRAM`, or others.

    Raises:
        ValueError: the lists differ in length, or skeletons differ.
    """
    if not len(truth) == len(found) == len(crowd_indices):
        raise ValueError(
            f"truth, found and crowd_indices are of {len(truth)}, {len(found)} and {len(crowd_indices)} pictures"
        )
    ignored = [_uncounted(people) for people in truth]
    figures = average_precision(truth, found, ignored=ignored).figures
    out = {name: figures[name] for name in ("AP", "AP50", "AP75", "AR")}
    for part in PARTS:
        rows = [i for i, index in enumerate(crowd_indices) if index is not None and part_of(index, bounds) == part]
        labelled, answered = [truth[i] for i in rows], [found[i] for i in rows]
        out[part] = average_precision(labelled, answered, ignored=[ignored[i] for i in rows]).figures["AP"]
    return out


def _uncounted(people: People) -> NDArray[np.bool_]:
    """(N,) of whom no keypoint is labelled that CrowdPose's files count."""
    counted = [place for place, name in enumerate(people.skeleton.keypoints) if name not in _UNCOUNTED]
    return people.confidence[:, counted].sum(axis=1) == 0


def part_of(crowd_index: float, bounds: Bounds = PAPER) -> str:
    """Whether a picture is easy, medium or hard."""
    return PARTS[sum(crowd_index >= bound for bound in bounds)]


def crowd_figures(exam: Exam) -> dict[str, Any]:
    """CrowdPose's figures of an exam, ready for JSON: of who was found by each person's box, and of everyone.

    Beside the paper's easy, medium and hard, "by_program" holds those of the authors' program.
    """
    truth = [sample.people for sample in exam.samples]
    indices = [sample.crowd_index for sample in exam.samples]
    out: dict[str, Any] = {"pictures": dict.fromkeys(PARTS, 0)}
    for index in indices:
        if index is not None:
            out["pictures"][part_of(index)] += 1
    if "box" in exam.kinds:
        found = [[People.empty(people.size, people.skeleton)] for people in truth]
        for answer in exam.answers:
            if answer.kind == "box":
                found[answer.picture].append(answer.found)
        out["box"] = _both([People.concatenate(parts) for parts in found], truth, indices)
    if "everyone" in exam.kinds:
        out["everyone"] = _both(exam.everyone, truth, indices)
    return out


def _both(found: Sequence[People], truth: Sequence[People], indices: Sequence[float | None]) -> dict[str, Any]:
    """The figures with the paper's bounds and with the program's; None for what is not there."""

    def plain(figures: dict[str, float]) -> dict[str, float | None]:
        return {name: round(value, 6) if math.isfinite(value) else None for name, value in figures.items()}

    by_program = plain(crowd_precision(truth, found, indices, PROGRAM))
    return {**plain(crowd_precision(truth, found, indices)), "by_program": {part: by_program[part] for part in PARTS}}


def crowd_notes(crowd: dict[str, Any]) -> list[str]:
    """CrowdPose's figures in lines of text."""
    counts = ", ".join(f"{crowd['pictures'][part]} {part}" for part in PARTS)
    lines = [f"CrowdPose, %; {counts} pictures by crowd index below 0.1, up to 0.8 and above:"]
    for kind in ("box", "everyone"):
        if kind in crowd:
            part = crowd[kind]
            lines.append(
                f"  {kind}: " + ", ".join(f"{name} {_percent(part[name])}" for name in ("AP", "AP50", "AP75", *PARTS))
            )
            program = ", ".join(f"{name} {_percent(part['by_program'][name])}" for name in PARTS)
            lines.append(f"    divided at 0.2 and 0.8, as the authors' program does: {program}")
    return lines


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
