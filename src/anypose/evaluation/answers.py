"""Answers kept on the disk while an evaluation runs, so that an interrupted one goes on where it stopped.

Questions are dealt out in parts, always the same ones. A part is one file, written when all of it is answered: it is
there or it is not, whichever process wrote it, and nothing is counted twice.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files import write_atomically
from ..people import People

_RUN = "run.json"


class AnswersError(ValueError):
    """A folder of answers is of another run, or damaged; the message says what to do."""


@dataclass(frozen=True)
class Part:
    """The answers to one part of the questions, and a line for each picture of it that could not be opened."""

    answers: tuple[tuple[int, str, People], ...]
    faults: tuple[str, ...]


class Answers:
    """A folder of parts.

    Args:
        folder: made where it is not there.
        run: what the answers are of (data, system, prompts), as JSON holds it.

    Raises:
        AnswersError: the folder holds the answers of another run.
    """

    def __init__(self, folder: Path, run: dict[str, Any]) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / _RUN
        if path.exists():
            try:
                before = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise AnswersError(f"{path} is damaged ({error}); remove {folder} to start anew") from error
            differing = sorted(key for key in {*run, *before} if run.get(key) != before.get(key))
            if differing:
                raise AnswersError(
                    f"{folder} holds the answers of another run (other {', '.join(differing)}); "
                    "name another folder, or remove it to start anew"
                )
        elif any(folder.iterdir()):
            raise AnswersError(f"{folder} holds other files; name an empty folder for the answers")
        else:
            write_atomically(path, json.dumps(run, indent=1) + "\n")

    def has(self, part: int) -> bool:
        """Whether this part is answered."""
        return self._path(part).exists()

    def put(self, number: int, part: Part) -> None:
        """Keep the answers of a part."""
        answers = [{"entry": entry, "kind": kind, "found": found.to_dict()} for entry, kind, found in part.answers]
        content = {"answers": answers, "faults": list(part.faults)}
        write_atomically(self._path(number), json.dumps(content, allow_nan=False))

    def parts(self, numbers: Sequence[int]) -> list[Part]:
        """The parts of these numbers. AnswersError where one is missing or damaged."""
        return [self._part(number) for number in numbers]

    def _part(self, number: int) -> Part:
        path = self._path(number)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            answers = tuple((a["entry"], a["kind"], People.from_dict(a["found"])) for a in content["answers"])
            return Part(answers, tuple(content["faults"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise AnswersError(f"{path} is missing or damaged ({error}); remove it and run again") from error

    def _path(self, part: int) -> Path:
        return self.folder / f"part-{part:05d}.json"
