"""The page of an evaluation: figures, curves, and answers beside the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from anypose.data.sample import DataError
from anypose.draw import draw
from anypose.files import write_atomically
from anypose.pictures import PictureError
from anypose.report.cases import Case
from anypose.report.page import cards, curves, heading, page, percent, picture, table

_SHOWN = 4  # of the best, the median and the worst answers by each kind of prompt
_WRONG_SHOWN = 12
_LEVELS = np.linspace(0, 1, 51)
_FIGURES = {
    "pose_ap": "pose AP",
    "pose_ap50": "AP50",
    "pose_ap75": "AP75",
    "pck": "PCK",
    "pckh": "PCKh@.5",
    "mask_ap": "mask AP",
    "oiou": "oIoU",
    "miou": "mIoU",
    **{f"p{tenth}0": f"P@.{tenth}" for tenth in (5, 6, 7, 8, 9)},
    "right_person": "right person",
}

Groups = Sequence[tuple[str, Callable[[Case], bool]]]


def write_report(folder: Path, cases: Sequence[Case], figures: dict[str, Any], about: dict[str, Any]) -> Path:
    """Write `index.html` into a folder.

    Args:
        folder: made where it is not there.
        cases: every question.
        figures: by prompt kind, as `refhuman_figures` and `figures_of` give them.
        about: model, data and whatever else tells one run from another.

    Returns:
        The page's path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kinds = list(dict.fromkeys(case.kind for case in cases))
    title = f"{about.get('model', 'a system')} on {about.get('data', 'a data set')}"
    if about.get("protocol"):
        title += f", protocol {about['protocol']}"
    parts = [table(("what", "which"), _told(about))]
    parts += [heading("Figures", "In %; below them 95 % intervals over pictures."), _figures(figures, kinds)]
    parts += [heading("How good the answers are", "The share of questions whose answer is at least so good.")]
    parts += [
        _curve("Keypoints", cases, kinds, lambda case: case.similarity, "OKS"),
        _curve("Masks or boxes", cases, kinds, lambda case: case.overlap, "IoU"),
    ]
    for name, note, groups, only in _tables():
        part = [case for case in cases if only is None or case.kind == only]
        if part:
            parts += [heading(name, note), _grouped(part, groups, kinds if only is None else [only])]
    for kind in kinds:
        parts += _gallery(kind, [case for case in cases if case.kind == kind])
    wrong = sorted((case for case in cases if case.is_wrong_person), key=lambda case: case.quality)
    note = f"{len(wrong)} of {len(cases)} answers are of somebody else who is known in the picture."
    parts += [heading("The wrong person", note), cards([_card(case) for case in wrong[:_WRONG_SHOWN]])]
    path = folder / "index.html"
    write_atomically(path, page(title, parts))
    return path


def _told(about: dict[str, Any]) -> list[tuple[str, str]]:
    """What tells one run from another, without what was not asked for."""
    return [(str(key), str(value)) for key, value in about.items() if value is not None]


def _figures(figures: dict[str, Any], kinds: Sequence[str]) -> str:
    names = [name for name in _FIGURES if any(figures.get(kind, {}).get(name) is not None for kind in kinds)]
    rows = []
    for kind in (kind for kind in kinds if kind in figures):
        bounds = figures[kind].get("intervals", {})
        cells = [percent(figures[kind].get(name)) for name in names]
        rows.append([kind, *cells])
        spans = [f"{100 * bounds[n][0]:.0f}-{100 * bounds[n][1]:.0f}" if bounds.get(n) else "" for n in names]
        if any(spans):
            rows.append(["", *spans])
    return table(["prompt", *(_FIGURES[name] for name in names)], rows)


def _curve(
    title: str, cases: Sequence[Case], kinds: Sequence[str], worth: Callable[[Case], float | None], name: str
) -> str:
    lines = {}
    for kind in kinds:
        values = np.array([value for case in cases if case.kind == kind and (value := worth(case)) is not None])
        if len(values):
            lines[kind] = [(float(level), float((values >= level).mean())) for level in _LEVELS]
    return curves(title, lines, f"{name} of at least", "share of questions")


def _tables() -> list[tuple[str, str, Groups, str | None]]:
    return [
        ("By size", "The share of the picture that the person covers.", _ranges(_size, (0, 0.01, 0.04, 0.16, 2)), None),
        ("By people", "How many people are known in the picture.", _ranges(_people, (1, 2, 3, 5, 10, 1000)), None),
        ("By words", "How many words the caption has.", _ranges(_words, (1, 4, 7, 10, 15, 1000)), "text"),
    ]


def _size(case: Case) -> float:
    height, width = case.people.size
    return float(case.truth.areas[0]) / (height * width)


def _people(case: Case) -> float:
    return len(case.people)


def _words(case: Case) -> float:
    return 0 if case.prompt is None or case.prompt.text is None else len(case.prompt.text.split())


def _ranges(value: Callable[[Case], float], edges: Sequence[float]) -> Groups:
    def within(low: float, high: float) -> Callable[[Case], bool]:
        return lambda case: low <= value(case) < high

    whole = edges[-1] > 2
    groups = []
    for low, high in pairwise(edges):
        last = high == edges[-1]
        if whole:
            name = f"{low:g} or more" if last else f"{low:g}" if high - low == 1 else f"{low:g} to {high - 1:g}"
        else:
            name = f"over {low:.0%}" if last else f"{low:.0%} to {high:.0%}"
        groups.append((name, within(low, high)))
    return groups


def _grouped(cases: Sequence[Case], groups: Groups, kinds: Sequence[str]) -> str:
    rows = []
    for name, belongs in groups:
        for kind in kinds:
            part = [case for case in cases if case.kind == kind and belongs(case)]
            if part:
                alike = [case.similarity for case in part if case.similarity is not None]
                overlap = float(np.mean([case.overlap for case in part]))
                wrong = sum(case.is_wrong_person for case in part) / len(part)
                mean = float(np.mean(alike)) if alike else None
                rows.append([name, kind, str(len(part)), percent(mean), percent(overlap), percent(wrong)])
    return table(("", "prompt", "questions", "mean OKS", "mean IoU", "wrong person"), rows)


def _gallery(kind: str, cases: Sequence[Case]) -> list[str]:
    ordered = sorted(cases, key=lambda case: -case.quality)
    middle = max(0, (len(ordered) - _SHOWN) // 2)
    parts = [heading(f"Answers to {kind} prompts", "The truth on the left, the answer on the right.")]
    chosen = (("best", ordered[:_SHOWN]), ("median", ordered[middle:][:_SHOWN]), ("worst", ordered[-_SHOWN:]))
    for name, part in chosen:
        parts += [f"<h3>{name}</h3>", cards([_card(case) for case in part])]
    return parts


def _card(case: Case) -> tuple[str, str]:
    said = {"text": f'"{case.prompt.text}"'} if case.prompt is not None and case.prompt.text else {}
    alike = "-" if case.similarity is None else f"{case.similarity:.2f}"
    answered = f"score {case.found.scores[0]:.2f}" if len(case.found) else case.found.reason or "nobody"
    line = f"{said.get(case.kind, case.kind)}, {case.sample.name}: OKS {alike}, IoU {case.overlap:.2f}, {answered}"
    try:
        image = case.sample.image()
    except (PictureError, DataError, OSError) as error:
        return "", f"{line} ({' '.join(str(error).split())})"
    drawn = [] if case.prompt is None or case.kind == "text" else [case.prompt]
    truth = draw(image, case.truth, prompts=drawn, labels=False)
    answer = draw(image, case.found, labels=False)
    return picture(truth, "the person meant") + " " + picture(answer, "the answer"), line
