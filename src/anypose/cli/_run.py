"""One run over pictures: each is opened, answered, drawn and reported; a bad one does not stop the rest."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import typer

from anypose.cli._answers import AnswerError, Report, file_name, refuse_inputs, shown_name
from anypose.files import write_atomically
from anypose.people import People
from anypose.pictures import PictureError, encode_picture, open_picture
from anypose.prompt import Prompt, PromptError

if TYPE_CHECKING:
    from anypose.predictor import Predictor

MaskForm = Literal["rle", "polygon", "png", "none"]


def _say(line: str) -> None:
    typer.echo(line, err=True)


@dataclasses.dataclass
class Run:
    """What is the same for all pictures of a run, and what failed so far.

    predictor answers, prompts are asked of each picture, report takes the JSON. masks is the form of masks;
    beside is a file beside which mask PNGs go when no picture is written. summary prints a line a person.
    threshold is as for `Scene.find`.
    stems are the names of mask PNGs that are taken, drawn the pictures that will be written.
    """

    predictor: Predictor
    prompts: Sequence[Prompt]
    report: Report
    masks: MaskForm = "rle"
    beside: Path | None = None
    summary: bool = False
    threshold: float | None = None
    failed: list[dict[str, str]] = dataclasses.field(default_factory=list)
    say: Callable[[str], None] = _say
    stems: set[str] = dataclasses.field(default_factory=set)
    drawn: set[Path] = dataclasses.field(default_factory=set)

    def answer_all(self, sources: Sequence[str], targets: Sequence[Path | None]) -> None:
        """Answer every picture; what fails is said in a line, counted in `failed`, and left behind."""
        self.drawn = {target for target in targets if target is not None}
        with self._progress(len(sources)) as advance:
            for source, target in zip(sources, targets):
                try:
                    self._answer(source, target, sources)
                except BrokenPipeError:
                    raise
                except (PictureError, PromptError, AnswerError, OSError) as error:
                    self.fail(source, error)
                advance()
        self.report.close(self.failed)

    def fail(self, source: str, error: Exception | str) -> None:
        """Count a picture that failed and say why, in one line that names it."""
        name, message = shown_name(source), " ".join(str(error).split())
        self.say(message if name in message else f"{name}: {message}")
        self.failed.append({"picture": name, "error": message})

    def _answer(self, source: str, target: Path | None, sources: Sequence[str]) -> None:
        image = open_picture(source)
        for prompt in self.prompts:
            prompt.check((image.shape[0], image.shape[1]))
        scene = self.predictor.encode(image)
        found = [
            _named(people, prompt)
            for people, prompt in zip(scene.find(list(self.prompts), threshold=self.threshold), self.prompts)
        ]
        people = People.concatenate(found)
        if target is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            drawn = people.draw(image) if self.masks != "none" else _without_masks(people).draw(image)
            write_atomically(target, encode_picture(drawn, target))
        bitmaps = self._write_bitmaps(people, target, source, sources) if self.masks == "png" else []
        self._speak(source, found)
        self.report.add(self._entry(source, target, found, people, bitmaps))

    def _entry(
        self, source: str, target: Path | None, found: list[People], people: People, bitmaps: list[str | None]
    ) -> dict[str, Any]:
        """The JSON of one picture: its people, and for each prompt who of them answers it, or why nobody."""
        answers, first = [], 0
        for prompt, answer in zip(self.prompts, found):
            indices = list(range(first, first + len(answer)))
            first += len(answer)
            answers.append({"prompt": _prompt_entry(prompt), "people": indices, "reason": answer.reason})
        entry: dict[str, Any] = {
            "picture": shown_name(source),
            "drawn": str(target) if target else None,
            "answers": answers,
        }
        entry["people"] = _people_entry(people, self.masks, bitmaps)
        return entry

    def _write_bitmaps(
        self, people: People, target: Path | None, source: str, sources: Sequence[str]
    ) -> list[str | None]:
        """Write a PNG of 0 and 255 for each person whose mask is known; their paths, None where it is not."""
        if people.masks is None:
            return [None] * len(people)
        if target is None:
            assert self.beside is not None
            stem = f"{self.beside.stem}_{Path(file_name(source)).stem}"
            target = self.beside.with_name(f"{stem}.png")
        # a.jpg and a.png, or one/a.jpg and two/a.jpg, must not share their masks' names.
        stem, number = target.stem, 2

        def taken(stem: str) -> bool:
            masks = {target.with_name(f"{stem}_mask_{i + 1}.png") for i in range(len(people))}
            return stem.casefold() in self.stems or not masks.isdisjoint(self.drawn)

        while taken(stem):
            stem, number = f"{target.stem}_{number}", number + 1
        self.stems.add(stem.casefold())
        written: list[str | None] = []
        for i in range(len(people)):
            path = target.with_name(f"{stem}_mask_{i + 1}.png")
            if not people.masks.known[i]:
                written.append(None)
                continue
            refuse_inputs([path], sources)
            write_atomically(path, encode_picture(people.masks.bitmap(i).astype(np.uint8) * 255, path))
            written.append(str(path))
        return written

    def _speak(self, source: str, found: list[People]) -> None:
        """A line a person where a summary is wanted, and always a line for a prompt that fits nobody."""
        for prompt, people in zip(self.prompts, found):
            if not len(people):
                asked = "" if prompt.is_everybody else f" for {prompt.name or ' and '.join(prompt.kinds)}"
                self.say(f"{shown_name(source)}: nobody{asked}: {people.reason or 'there is no such person'}")
            elif people.reason:
                self.say(f"{shown_name(source)}: {people.reason}")
            for i in range(len(people) if self.summary else 0):
                typer.echo(f"{shown_name(source)}: {_line(people, i)}")

    @contextmanager
    def _progress(self, count: int) -> Iterator[Callable[[], None]]:
        """A progress bar on standard error for several pictures at a terminal; otherwise nothing."""
        if count < 2 or not sys.stderr.isatty():
            yield lambda: None
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("pictures"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        console = Console(stderr=True)
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("pictures", total=count)
            before, self.say = (
                self.say,
                lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True),
            )
            try:
                yield lambda: bar.advance(task)
            finally:
                self.say = before


def _named(people: People, prompt: Prompt) -> People:
    name = prompt.name or prompt.text
    if name is None or people.names is not None:
        return people
    return dataclasses.replace(people, names=(name,) * len(people))


def _without_masks(people: People) -> People:
    return dataclasses.replace(people, masks=None)


def _line(people: People, person: int) -> str:
    name = people.names[person] if people.names is not None else None
    x0, y0, x1, y1 = (round(float(value)) for value in people.boxes[person])
    sure = int((people.confidence[person] >= 0.5).sum())
    return (
        f"{name or 'a person'}, score {people.scores[person]:.2f}, box {x0},{y0},{x1},{y1}, "
        f"{sure} of {len(people.skeleton)} keypoints are sure"
    )


def _prompt_entry(prompt: Prompt) -> dict[str, Any]:
    parts: dict[str, Any] = {"name": prompt.name, "text": prompt.text}
    for part in ("points", "labels", "scribble", "box"):
        values = getattr(prompt, part)
        parts[part] = None if values is None else np.asarray(values).tolist()
    return {key: value for key, value in parts.items() if value is not None}


def _people_entry(people: People, masks: MaskForm, bitmaps: list[str | None]) -> dict[str, Any]:
    """The people as our JSON, which `People.from_dict` reads, with the masks in the form asked for."""
    if masks == "rle" or people.masks is None:
        return people.to_dict()
    entry = _without_masks(people).to_dict()
    if masks == "polygon":
        entry["polygons"] = people.masks.polygons()
    elif masks == "png":
        entry["mask_files"] = bitmaps
    return entry
