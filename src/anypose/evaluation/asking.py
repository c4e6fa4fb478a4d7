"""Asking a system RefHuman's questions: each picture is encoded once, in parts that several processes share."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from ..data.refhuman import Referred, RefHuman
from ..data.sample import DataError
from ..people import People
from ..pictures import PictureError
from ..prompt import Prompt, PromptError
from .answers import Answers, Part
from .exam import System
from .refhuman import CANDIDATES, KINDS, Reply, ranked

PICTURES = 16  # in a part


def dealt(data: RefHuman, limit: int | None = None) -> list[list[int]]:
    """The places of the entries in parts: those of 16 pictures each, all of a picture in one part, always the same."""
    pictures: dict[str, list[int]] = {}
    for place in range(len(data)):
        pictures.setdefault(data.records(place)[0]["file_name"], []).append(place)
    groups = list(pictures.values())[:limit]
    return [list(chain(*groups[start : start + PICTURES])) for start in range(0, len(groups), PICTURES)]


def ask(
    system: System,
    data: RefHuman,
    answers: Answers,
    kinds: Sequence[str] = KINDS,
    *,
    protocol: str = "refhuman",
    share: tuple[int, int] = (0, 1),
    limit: int | None = None,
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Answer what is not answered yet.

    Args:
        system: what is asked.
        data: the entries.
        answers: where the answers are kept.
        kinds: some of "text", "point" and "scribble".
        protocol: "refhuman" gives the places of points and scribbles as the authors read them, "strict" the centres of
            the pixels meant.
        share: (which, of how many) processes this one is; each takes every n-th part.
        limit: only the first pictures.
        advance: called after each picture.
    """
    which, processes = share
    for number, places in enumerate(dealt(data, limit)):
        if number % processes == which and not answers.has(number):
            answers.put(number, _part(system, data, places, kinds, protocol, advance))


def gathered(
    data: RefHuman, answers: Answers, kinds: Sequence[str] = KINDS, limit: int | None = None
) -> tuple[list[Reply], tuple[str, ...]]:
    """Every answer with its question and truth, once, and the faults. AnswersError where some are missing."""
    parts = dealt(data, limit)
    replies: list[Reply] = []
    faults: list[str] = []
    for places, part in zip(parts, answers.parts(range(len(parts)))):
        entries = {one.entry: one for one in (data[place] for place in places)}
        replies += [_reply(entries[entry], kind, found) for entry, kind, found in part.answers if kind in kinds]
        faults += part.faults
    return replies, tuple(faults)


def _part(
    system: System, data: RefHuman, places: Sequence[int], kinds: Sequence[str], protocol: str, advance: Callable
) -> Part:
    pictures: dict[str, list[Referred]] = {}
    for place in places:
        one = data[place]
        pictures.setdefault(str(one.sample.path), []).append(one)
    found: list[tuple[int, str, People]] = []
    faults: list[str] = []
    for entries in pictures.values():
        try:
            found += _picture(system, entries, kinds, centred=protocol == "strict")
        except (PictureError, PromptError, DataError, OSError) as error:
            faults.append(" ".join(str(error).split()))
        advance()
    return Part(tuple(found), tuple(faults))


def _picture(
    system: System, entries: Sequence[Referred], kinds: Sequence[str], centred: bool
) -> list[tuple[int, str, People]]:
    asked: list[tuple[int, str, Prompt]] = []
    for one in entries:
        prompts = ((kind, one.prompt(kind, centred=centred)) for kind in kinds)
        asked += [(one.entry, kind, prompt) for kind, prompt in prompts if prompt is not None]
    if not asked:
        return []
    scene = system.encode(entries[0].sample.image())
    options: dict[str, Any] = {"threshold": 0.0, "candidates": CANDIDATES}
    known = inspect.signature(scene.find).parameters
    answers = scene.find([prompt for _, _, prompt in asked], **{k: v for k, v in options.items() if k in known})
    if len(answers) != len(asked):
        raise ValueError(f"{entries[0].sample.name}: {len(answers)} answers to {len(asked)} prompts")
    skeleton = entries[0].sample.people.skeleton
    alike = (found if found.skeleton == skeleton else found.to_skeleton(skeleton) for found in answers)
    return [(entry, kind, ranked(found)) for (entry, kind, _), found in zip(asked, alike)]


def _reply(one: Referred, kind: str, found: People) -> Reply:
    truth = one.sample.people[[one.row]]
    prompt = one.prompt(kind)
    said = repr(prompt) + np.asarray(truth.boxes).tobytes().hex()
    picture = str(one.sample.path)
    question = hashlib.sha256(f"{picture} {kind} {said}".encode()).hexdigest()
    return Reply(one.entry, kind, picture, question, truth, found)
