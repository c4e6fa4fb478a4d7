"""The figures of an exam, each with its 95 % interval."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..people import People
from .bootstrap import interval, resampled_pictures, resampled_ratio
from .calibration import resampled_calibration_error
from .captions import Refusals, refused
from .exam import Answer, Exam
from .precision import Precision, average_precision
from .records import Records, records_of

Figures = dict[str, Any]

_MEASURES = (
    *("pose_ap", "pose_ap50", "pose_ap75", "pck"),
    *("mask_ap", "mask_ap50", "mask_ap75", "oiou", "miou"),
    *("right_person", "calibration_error", "presence_calibration_error"),
)
WORDS = ("caption", "with position", "without position")


def figures_of(exam: Exam) -> Figures:
    """All figures by prompt kind, ready for JSON: shares in 0..1, None where there is nothing to measure.

    The figures of a prompt kind are over the people with labelled keypoints (in data without any, over all);
    those over the other people are under "without_keypoints". Beside each figure "intervals" holds [low,
    high], the 2.5th and 97.5th percentile over 1000 draws of the pictures.
    """
    out: Figures = {}
    for kind in exam.kinds:
        if kind == "everyone":
            out[kind] = _everyone(exam)
        elif kind == "mosaic":
            if exam.mosaics is not None and exam.mosaics.answers:
                out[kind] = _prompted(exam.mosaics, exam.mosaics.answers)
                out[kind]["chance"] = _chance(exam.mosaics, exam.mosaics.answers)
        elif kind == "nobody":
            if exam.refusals is not None and exam.refusals.true:
                out[kind] = _nobody(exam.refusals)
        else:
            answers = [answer for answer in exam.answers if answer.kind == kind]
            out[kind] = _text(exam, answers) if kind == "text" else _prompted(exam, answers)
    return out


def _prompted(exam: Exam, answers: Sequence[Answer]) -> Figures:
    main, rest = _by_keypoints(exam, answers)
    out = _figures(exam, main)
    if rest:
        out["without_keypoints"] = _figures(exam, rest)
    return out


def _text(exam: Exam, answers: Sequence[Answer]) -> Figures:
    out = _prompted(exam, answers) | _worded(exam, answers)
    out["no_sentence"] = exam.unsaid
    several = [answer for answer in answers if len(exam.samples[answer.picture].people) > 1]
    out["two_or_more"] = _figures(exam, _by_keypoints(exam, several)[0]) | _worded(exam, several)
    out["chance"] = out["two_or_more"]["chance"] = _chance(exam, _by_keypoints(exam, several)[0])
    return out


def _worded(exam: Exam, answers: Sequence[Answer]) -> Figures:
    groups = {words: [answer for answer in answers if answer.words == words] for words in WORDS}
    derived = [answer for answer in answers if answer.words != "caption"]
    plain = sum(answer.words == "without position" for answer in derived)
    return {
        "share_without_position": plain / len(derived) if derived else None,
        "by_words": {
            words: _figures(exam, main) | {"chance": _chance(exam, main)}
            for words, group in groups.items()
            if (main := _by_keypoints(exam, group)[0])
        },
    }


def _by_keypoints(exam: Exam, answers: Sequence[Answer]) -> tuple[list[Answer], list[Answer]]:
    """Answers about people with labelled keypoints, and the others; in data without any, all and none."""
    if not any((sample.people.confidence > 0).any() for sample in exam.samples):
        return list(answers), []
    labelled = [bool((_target(exam, answer).confidence > 0).any()) for answer in answers]
    return (
        [answer for answer, has in zip(answers, labelled) if has],
        [answer for answer, has in zip(answers, labelled) if not has],
    )


def _chance(exam: Exam, answers: Sequence[Answer]) -> float | None:
    """How often a guess among the annotated people would be right."""
    shares = [1 / len(exam.samples[answer.picture].people) for answer in answers]
    return float(np.mean(shares)) if shares else None


def _target(exam: Exam, answer: Answer) -> People:
    return exam.samples[answer.picture].people[[answer.person]]


def _figures(exam: Exam, answers: Sequence[Answer]) -> Figures:
    """The figures over a group of prompts, each one a picture of its own to COCO's average precision."""
    figures: dict[str, float] = dict.fromkeys(_MEASURES, math.nan)
    if not answers:
        return _rounded(figures | {"people": 0, "answered": 0, "by_box": 0, "pictures": 0}, {})
    records = records_of(exam.samples, answers)
    pictures, place = np.unique(records.picture, return_inverse=True)
    counts = resampled_pictures(len(pictures))
    draws: dict[str, NDArray[np.float64]] = {}
    truth, found = [_target(exam, answer) for answer in answers], [answer.found for answer in answers]
    if records.labelled.any():
        pose = average_precision(truth, found)
        _put_precision("pose_ap", pose, counts[:, place], figures, draws)
    if records.gives_mask.any() and records.has_mask.any():
        known = np.flatnonzero(records.has_mask)
        masks = average_precision([truth[i] for i in known], [found[i] for i in known], "masks")
        _put_precision("mask_ap", masks, counts[:, place[known]], figures, draws)
    _put_ratios(records, place, counts, figures, draws)
    _put_calibration(records, counts[:, place], figures, draws)
    sizes = {
        "people": len(answers),
        "answered": int(records.answered.sum()),
        "by_box": int(records.by_box.sum()),
    }
    return _rounded(figures | sizes | {"pictures": len(pictures)}, draws)


def _put_precision(
    name: str,
    precision: Precision,
    counts: NDArray[np.int64],
    figures: dict[str, float],
    draws: dict[str, NDArray[np.float64]],
) -> None:
    for coco, suffix in (("AP", ""), ("AP50", "50"), ("AP75", "75")):
        figures[name + suffix] = precision.figures[coco]
    for coco, values in precision.matches.resampled(counts).items():
        draws[name + coco[2:]] = values


def _put_ratios(
    records: Records,
    place: NDArray[np.int64],
    counts: NDArray[np.int64],
    figures: dict[str, float],
    draws: dict[str, NDArray[np.float64]],
) -> None:
    """Figures that are a sum over a sum: PCK, oIoU, mIoU, right person."""
    masked = records.has_mask & bool(records.gives_mask.any())
    iou = records.shared / np.maximum(records.united, 1)
    ratios = {
        "pck": (records.hits, records.labelled),
        "oiou": (records.shared * masked, records.united * masked),
        "miou": (iou * masked, masked),
        "right_person": (records.right, np.ones(len(records))),
    }
    for name, columns in ratios.items():
        parts, wholes = (np.bincount(place, column, minlength=counts.shape[1]) for column in columns)
        draws[name] = resampled_ratio(parts, wholes, counts)
        figures[name] = float(resampled_ratio(parts, wholes, np.ones((1, counts.shape[1]), np.int64))[0])


def _put_calibration(
    records: Records,
    counts: NDArray[np.int64],
    figures: dict[str, float],
    draws: dict[str, NDArray[np.float64]],
) -> None:
    """Calibration of the keypoints' confidence, and of presence (else the score) as the chance of being right."""
    rows, _ = np.nonzero(records.judged)
    answered = records.answered
    for name, promised, event, weights in (
        (
            "calibration_error",
            records.confidence[records.judged],
            records.placed[records.judged],
            counts[:, rows],
        ),
        ("presence_calibration_error", records.sure[answered], records.right[answered], counts[:, answered]),
    ):
        draws[name] = resampled_calibration_error(promised, event, weights)
        everyone = np.ones((1, len(promised)), np.int64)
        figures[name] = float(resampled_calibration_error(promised, event, everyone)[0])


def _everyone(exam: Exam) -> Figures:
    """COCO's average precision of all people found, pictures as they are."""
    truth = [sample.people for sample in exam.samples]
    crowds = [sample.crowds for sample in exam.samples]
    complete = [sample.fully_labelled for sample in exam.samples]
    counts = resampled_pictures(len(truth))
    figures: dict[str, float] = {}
    draws: dict[str, NDArray[np.float64]] = {}
    pose = average_precision(truth, exam.everyone, crowds=crowds, complete=complete)
    _put_precision("pose_ap", pose, counts, figures, draws)
    figures |= {f"pose_{name.lower()}": pose.figures[name] for name in ("APM", "APL", "AR")}
    boxes = average_precision(truth, exam.everyone, "boxes", crowds=crowds, complete=complete)
    _put_precision("box_ap", boxes, counts, figures, draws)
    if any(people.masks is not None for people in exam.everyone if len(people)):
        masks = average_precision(truth, exam.everyone, "masks", crowds=crowds, complete=complete)
        _put_precision("mask_ap", masks, counts, figures, draws)
    figures["people"] = sum(int((people.confidence > 0).any(1).sum()) for people in truth)
    figures["found"] = sum(len(people) for people in exam.everyone)
    return _rounded(figures | {"pictures": len(truth)}, draws)


def _nobody(refusals: Refusals) -> Figures:
    """Right refusals where 5 % of the true captions are refused, and what is refused as it stands."""
    true, false = np.array(refusals.true), np.array(refusals.false)
    counts = resampled_pictures(len(true))
    everyone = np.ones(len(true), np.int64)
    figures: dict[str, float] = {"refused_at_5_percent": refused(true, false, everyone), "pictures": len(true)}
    draws = {"refused_at_5_percent": np.array([refused(true, false, weights) for weights in counts])}
    for column, name in enumerate(("wrongly_refused", "rightly_refused")):
        refusals_here = np.array([pair[column] for pair in refusals.refused], float)
        figures[name] = float(refusals_here.mean())
        draws[name] = resampled_ratio(refusals_here, np.ones(len(true)), counts)
    return _rounded(figures, draws)


def _rounded(figures: dict[str, float], draws: dict[str, NDArray[np.float64]]) -> Figures:
    """Figures and intervals as JSON holds them: six decimals, None for what is not there."""

    def plain(value: float) -> float | int | None:
        if isinstance(value, int):
            return value
        return round(value, 6) if math.isfinite(value) else None

    out: Figures = {name: plain(value) for name, value in figures.items()}
    bounds = {name: interval(values) for name, values in draws.items()}
    out["intervals"] = {name: [plain(low), plain(high)] for name, (low, high) in bounds.items() if math.isfinite(low)}
    return out
