"""RefHuman's figures: the authors' protocol to the last digit, and a strict one with its definitions put right.

`refhuman`: pose AP and mask AP over up to 20 ranked answers an entry, each entry a picture of its own; PCKh@0.5 of the
best answer, with the distance of the labelled ears as head length and entries without both ears left out; oIoU, mIoU
and P@0.5 to 0.9 of the best mask.

`strict`: the best answer only; a head length that everybody has; and nobody is asked for twice by the same prompt
(an entry is a pair of person and caption, so that one scribble stands in several entries).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..people import People
from .bootstrap import interval, resampled_pictures, resampled_ratio
from .precision import Kind, average_precision
from .similarity import mask_overlap

PROTOCOLS = ("refhuman", "strict")
KINDS = ("text", "point", "scribble")
CANDIDATES = 20
PRECISIONS = (0.5, 0.6, 0.7, 0.8, 0.9)
HEAD_SHARE = 0.5
# The median of ear distance over the root of the area among the 1149 people of coco_people's train.json with both
# ears labelled is 0.279 (experiments/refhuman_heads.py): a head length for those whose ears are not.
HEAD_OF_AREA = 0.279

Figures = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """What came of one question.

    Attributes:
        entry: id of the entry.
        kind: of the prompt: "text", "point" or "scribble".
        picture: the file that the entry shows; entries of one picture are drawn together in the intervals.
        question: equal for questions that ask for the same person by the same prompt.
        truth: the person meant, one row.
        found: the answers, at most 20 of them count.
    """

    entry: int
    kind: str
    picture: str
    question: str
    truth: People
    found: People


def refhuman_figures(replies: Sequence[Reply], protocol: str = "refhuman") -> Figures:
    """Figures by prompt kind, in 0..1, None where there is nothing to measure, each with its 95 % interval.

    Raises:
        ValueError: there is no such protocol.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"there is no protocol {protocol!r}; the protocols are {' and '.join(PROTOCOLS)}")
    out: Figures = {}
    for kind in KINDS:
        asked = [reply for reply in replies if reply.kind == kind]
        if asked:
            kept = _once(asked) if protocol == "strict" else asked
            out[kind] = _figures(kept, protocol) | {"repeated": len(asked) - len(kept)}
    return out


def ranked(found: People, most: int = CANDIDATES) -> People:
    """The answers with the best scores, best first; equal ones in the order given."""
    return found[np.argsort(-found.scores, kind="stable")[:most]]


def head_lengths(truth: People, protocol: str) -> NDArray[np.float64]:
    """(N,) pixels; NaN for those whom the protocol leaves out of PCKh.

    "refhuman" takes the distance of the labelled ears, which is short in profile, "strict" a share of the root of the
    area.
    """
    if protocol == "strict":
        return HEAD_OF_AREA * np.sqrt(truth.areas)
    ears = [truth.skeleton.keypoints.index(name) for name in ("left_ear", "right_ear")]
    labelled = (truth.confidence[:, ears] > 0).all(1)
    apart = truth.keypoints[:, ears[0]].astype(np.float64) - truth.keypoints[:, ears[1]]
    return np.where(labelled, np.linalg.norm(apart, axis=1), np.nan)


def _once(replies: Sequence[Reply]) -> list[Reply]:
    first: dict[str, Reply] = {}
    for reply in replies:
        first.setdefault(reply.question, reply)
    return list(first.values())


def _figures(replies: Sequence[Reply], protocol: str) -> Figures:
    most = 1 if protocol == "strict" else CANDIDATES
    truth, found = [reply.truth for reply in replies], [ranked(reply.found, most) for reply in replies]
    pictures, place = np.unique([reply.picture for reply in replies], return_inverse=True)
    counts = resampled_pictures(len(pictures))
    figures: dict[str, float] = {}
    draws: dict[str, NDArray[np.float64]] = {}
    kinds: tuple[tuple[str, Kind], ...] = (("pose", "keypoints"), ("mask", "masks"), ("box", "boxes"))
    for name, kind in kinds:
        precision = average_precision(truth, found, kind)
        again = precision.matches.resampled(counts[:, place])
        for suffix, key in (("ap", "AP"), ("ap50", "AP50"), ("ap75", "AP75")):
            figures[f"{name}_{suffix}"] = precision.figures[key]
            draws[f"{name}_{suffix}"] = again[key]
        for key in ("APM", "APL"):
            figures[f"{name}_{key.lower()}"] = precision.figures[key]
    rows = [_row(reply, protocol) for reply in replies]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    masked = columns["has_mask"]
    ones = masked.astype(np.float64)
    ratios = {
        "pckh": (columns["hits"], columns["judged"]),
        "oiou": (columns["shared"] * masked, columns["united"] * masked),
        "miou": (columns["iou"] * masked, ones),
    } | {f"p{round(100 * level)}": ((columns["iou"] > level) * ones, ones) for level in PRECISIONS}
    for name, (part, whole) in ratios.items():
        figures[name] = float(part.sum() / whole.sum()) if whole.sum() else float("nan")
        parts, wholes = (np.bincount(place, values, len(pictures)) for values in (part, whole))
        draws[name] = resampled_ratio(parts, wholes, counts)
    known = {name: value if np.isfinite(value) else None for name, value in figures.items()}
    intervals = {name: [float(bound) for bound in interval(values)] for name, values in draws.items()}
    intervals = {name: bounds for name, bounds in intervals.items() if np.isfinite(bounds).all()}
    people = {"entries": len(replies), "pictures": len(pictures), "answered": sum(len(part) > 0 for part in found)}
    return {**known, **people, "heads": int((columns["judged"] > 0).sum()), "intervals": intervals}


def _row(reply: Reply, protocol: str) -> dict[str, float | bool]:
    """What the best answer of one entry adds to the ratios."""
    truth, found = reply.truth, reply.found
    has_mask = truth.masks is not None and bool(truth.masks.known[0])
    area = float(truth.masks.areas()[0]) if truth.masks is not None else 0.0
    row: dict[str, float | bool] = {"hits": 0, "judged": 0, "has_mask": has_mask}
    row |= {"shared": 0.0, "united": area, "iou": 0.0}
    labelled, head = truth.confidence[0] > 0, head_lengths(truth, protocol)[0]
    if np.isfinite(head):
        row["judged"] = int(labelled.sum())
    if not len(found):
        return row
    best = int(found.scores.argmax())
    if np.isfinite(head):
        distance = np.linalg.norm(found.keypoints[best].astype(np.float64) - truth.keypoints[0], axis=-1)
        row["hits"] = int(((distance <= HEAD_SHARE * head) & labelled).sum())
    # Among equal scores the authors take the last for the mask and the first for the keypoints.
    drawn = len(found) - 1 - int(found.scores[::-1].argmax()) if protocol == "refhuman" else best
    if has_mask and found.masks is not None and found.masks.known[drawn]:
        assert truth.masks is not None
        shared, united = (float(part[0, 0]) for part in mask_overlap(truth.masks, found.masks[[drawn]]))
        # The authors divide in float32, which shows in the ninth decimal of mIoU.
        divided = np.float32(shared) / np.float32(united) if protocol == "refhuman" and united else None
        exact = shared / united if united else 0.0
        row |= {"shared": shared, "united": united, "iou": exact if divided is None else float(divided)}
    return row
