"""`anypose evaluate --protocol`: a RefHuman file's own questions, on one process or several, resumable."""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from anypose.cli import stop
from anypose.cli.evaluate import load_system, make_folder, progress, write_figures, write_page

if TYPE_CHECKING:
    from anypose.data.refhuman import RefHuman
    from anypose.evaluation import Answers


@dataclass(frozen=True)
class Run:
    """What is evaluated on what, as the command line says it."""

    model: str
    data: Path
    images: Path
    protocol: str
    prompts: str | None
    limit: int | None
    threads: int | None
    weights: Path | None

    def kinds(self) -> tuple[str, ...]:
        """The kinds of prompts, in the order of the table."""
        from anypose.evaluation.refhuman import KINDS

        asked = KINDS if self.prompts is None else [kind.strip() for kind in self.prompts.split(",") if kind.strip()]
        unknown = [kind for kind in asked if kind not in KINDS]
        if unknown or not asked:
            what = f"there is no prompt kind {unknown[0]!r}" if unknown else "no kind of prompt is named"
            stop(f"--prompts: {what}; RefHuman has {', '.join(KINDS)}")
        return tuple(kind for kind in KINDS if kind in asked)

    def about(self) -> dict[str, Any]:
        """What tells this run from another: answers are only good for the same questions to the same weights."""
        # The protocol is part of the question: it says where in its pixel a point lies.
        return {
            "model": self.model,
            "weights": _digest(self.weights or _package_weights(self.model)),
            "data": hashlib.sha256(self.data.read_bytes()).hexdigest(),
            "protocol": self.protocol,
            "prompts": ",".join(self.kinds()),
            "limit": self.limit,
        }


def evaluate_refhuman(
    run: Run, *, json: Path | None, answers: Path | None, processes: int, report: Path | None
) -> None:
    """Ask, count, print and write; ends the command in one line where the input is wrong."""
    from anypose.evaluation import PROTOCOLS, AnswersError, dealt, gathered, refhuman_figures
    from anypose.report import cases_of_replies

    if run.protocol not in PROTOCOLS:
        stop(f"--protocol: there is no protocol {run.protocol!r}; the protocols are {' and '.join(PROTOCOLS)}")
    kinds = run.kinds()
    data = _entries(run)
    system = load_system(run.model, run.threads, run.weights) if processes == 1 else None
    if report is not None:
        make_folder(report)
    with _kept(answers or (report / "answers" if report is not None else None)) as folder:
        try:
            store = _answers(run, folder)
            if system is not None:
                _ask_here(run, system, data, store)
            else:
                _ask_apart(run, folder, processes)
            replies, faults = gathered(data, store, kinds, run.limit)
        except AnswersError as error:
            stop(str(error))
    pictures = sum(len({data.records(place)[0]["file_name"] for place in part}) for part in dealt(data, run.limit))
    if not replies:
        stop(f"none of the {pictures} pictures in {run.images} could be asked; the first: {(*faults, 'no prompts')[0]}")
    figures = refhuman_figures(replies, run.protocol)
    _show(figures, run, pictures)
    about = {**run.about(), "data": run.data.name, "pictures": pictures, "broken": len(faults)}
    if json is not None:
        write_figures(json, figures | {"about": about})
    if report is not None:
        write_page(report, cases_of_replies(replies, data), figures, about)
    for fault in (*data.faults, *faults):
        typer.echo(f"anypose: {fault}", err=True)
    if data.faults or faults:
        lost = f"{len(data.faults)} faulty entries and {len(faults)} of {pictures} pictures"
        typer.echo(f"anypose: {lost} are left out", err=True)


def _entries(run: Run) -> RefHuman:
    from anypose.data.refhuman import read
    from anypose.data.sample import DataError, DataWarning

    if not run.images.is_dir():
        stop(f"--images {run.images} is {'a file, not a folder' if run.images.exists() else 'not there'}")
    try:
        with warnings.catch_warnings():
            # What is skipped is told line by line at the end.
            warnings.simplefilter("ignore", DataWarning)
            data = read(run.data, run.images, strict=False)
    except DataError as error:
        stop(" ".join(str(error).split()))
    if not len(data):
        first = f"; {len(data.faults)} are faulty, the first: {data.faults[0]}" if data.faults else ""
        stop(f"{run.data} has no entry with a labelled person to ask for{first}")
    return data


@contextlib.contextmanager
def _kept(folder: Path | None) -> Iterator[Path]:
    """The folder of the answers; one that goes with the run where none is named."""
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="anypose-") as gone:
        yield Path(gone)


def _answers(run: Run, folder: Path) -> Answers:
    from anypose.evaluation import Answers

    try:
        return Answers(folder, run.about())
    except OSError as error:
        stop(f"--answers {folder}: {error.strerror or error}")


def _ask_here(run: Run, system: Any, data: RefHuman, store: Answers) -> None:
    from anypose.evaluation import ask, dealt

    left = [place for number, part in enumerate(dealt(data, run.limit)) if not store.has(number) for place in part]
    pictures = len({data.records(place)[0]["file_name"] for place in left})
    with progress(pictures) as advance:
        ask(system, data, store, run.kinds(), protocol=run.protocol, limit=run.limit, advance=advance)


def _ask_apart(run: Run, folder: Path, processes: int) -> None:
    """Each process loads the system and takes its share; what one has finished stays, whatever happens to another."""
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_work, args=(run, folder, which, processes)) for which in range(processes)]
    for worker in workers:
        worker.start()
    try:
        for worker in workers:
            worker.join()
    except KeyboardInterrupt:
        for worker in workers:
            worker.terminate()
        raise
    failed = sum(worker.exitcode != 0 for worker in workers)
    if failed:
        stop(f"{failed} of {processes} processes ended early; run the same command with --answers to go on")


def _work(run: Run, folder: Path, which: int, processes: int) -> None:
    from anypose.evaluation import ask

    try:
        system = load_system(run.model, run.threads, run.weights)
    except typer.Exit as ended:
        sys.exit(ended.exit_code)
    store = _answers(run, folder)
    ask(system, _entries(run), store, run.kinds(), protocol=run.protocol, share=(which, processes), limit=run.limit)


def _show(figures: dict[str, Any], run: Run, pictures: int) -> None:
    from rich.console import Console

    from anypose.evaluation import print_refhuman

    print_refhuman(Console(), figures, f"{run.model} on {run.data.name}, {pictures} pictures", run.protocol)


def _package_weights(model: str) -> Path:
    import anypose

    return Path(anypose.__file__).parent / "weights" / "/".join(model.split("/")[1:2])


def _digest(path: Path) -> str:
    """Names, sizes and times of the files at a path: enough to notice other weights, without reading them."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    facts = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.is_file()]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
