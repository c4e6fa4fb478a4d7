"""Measure a system on labelled pictures, by every kind of prompt."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anypose.cli import stop

if TYPE_CHECKING:
    from anypose.data.sample import Sample
    from anypose.report import Case
    from anypose.skeleton import Skeleton

_KINDS = "point,scribble,box,text,mosaic,nobody,everyone"


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="See `anypose systems`.")],
    data: Annotated[Path, typer.Argument(metavar="DATA.json", help="People and keypoints in COCO's format.")],
    images: Annotated[Path, typer.Option(metavar="DIR", help="The folder of the pictures.")],
    prompts: Annotated[
        str | None, typer.Option(metavar="KINDS", help=f"What to ask by, separated by commas.  [default: {_KINDS}]")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(metavar="NAME", help="For RefHuman's files: refhuman (the authors') or strict.")
    ] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the figures there.")] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="Only the first N pictures.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Draws other points, scribbles and sentences.")] = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of the model.")] = None,
    weights: Annotated[Path | None, typer.Option(metavar="PATH", help="Weights instead of the package's.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Look at each person once, and from no nearer, as `find --quick`.")
    ] = False,
    answers: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep RefHuman's answers there; a run that stopped goes on.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Share RefHuman's questions among so many processes.")] = 1,
    report: Annotated[Path | None, typer.Option(metavar="DIR", help="Also write a page to look at there.")] = None,
) -> None:
    """Ask MODEL for every labelled person of DATA.json and print how right it is, with 95 % intervals.

    Each prompt is one question about one person, and only the best answer counts. Points and scribbles are
    drawn inside the person's mask, the same ones in every run. Text is the annotation's own `caption` or a
    sentence made from the labels that is true of this person alone. Where pictures have captions, those of
    people alone are asked among others (mosaic) and about other pictures (nobody). Figures are over people with
    labelled keypoints; a difference inside the intervals is not an improvement.

    Where DATA.json has CrowdPose's crowd indices, its figures come with those of the easy, medium and hard pictures.
    With --protocol DATA.json is a RefHuman file, asked by its own captions, points and scribbles.

    Exit code: 0 when all is well; 2 when the input is wrong or a picture could not be opened (the others
    count).

    \b
    Examples:
      anypose evaluate promptable/pointer dev.json --images photos/
      anypose evaluate promptable/pointer dev.json --images photos/ --prompts point,text --json figures.json
      anypose evaluate promptable/pointer RefHuman_val.json --images photos/ --protocol refhuman --report page/
    """
    if protocol is not None:
        if quick:
            stop("--quick is not for RefHuman's files: leave it out")
        from anypose.cli._refhuman import Run, evaluate_refhuman

        _check_json(json)
        _refuse_inputs(json, [data])
        run = Run(model, data, images, protocol, prompts, limit, threads, weights)
        evaluate_refhuman(run, json=json, answers=answers, processes=processes, report=report)
        return
    if answers is not None or processes > 1:
        stop("--answers and --processes are for RefHuman's files: add --protocol refhuman or --protocol strict")
    kinds = _kinds(_KINDS if prompts is None else prompts)
    _check_json(json)
    if report is not None:
        make_folder(report)
    samples = _samples(data, images)[:limit]
    _refuse_inputs(json, [data, *(sample.path for sample in samples)])
    system = load_system(model, threads, weights, quick)

    from anypose.evaluation import crowd_figures, examine, figures_of
    from anypose.evaluation.bootstrap import RESAMPLES

    with progress(len(samples)) as advance:
        exam = examine(system, samples, kinds, seed, advance)
    if not exam.samples:
        stop(f"none of the {len(samples)} pictures in {images} could be opened; the first: {exam.faults[0]}")
    figures = figures_of(exam)
    if any(sample.crowd_index is not None for sample in exam.samples):
        figures["crowd"] = crowd_figures(exam)
    _show(figures, f"{model} on {data.name}, {len(exam.samples)} pictures")
    about = {"model": model, "data": data.name, "pictures": len(exam.samples), "broken": len(exam.faults)}
    if json is not None:
        write_figures(json, figures | {"about": about | {"seed": seed, "resamples": RESAMPLES}})
    if report is not None:
        from anypose.report import cases_of_exam

        write_page(report, cases_of_exam(exam), figures, about)
    for fault in exam.faults:
        typer.echo(f"anypose: {fault}", err=True)
    if exam.faults:
        stop(f"{len(exam.faults)} of {len(samples)} pictures could not be opened and are left out")


def _check_json(json: Path | None) -> None:
    if json is not None and (json.is_dir() or not json.resolve().parent.is_dir()):
        stop(f"--json {json}: " + ("is a folder; name a file" if json.is_dir() else "its folder does not exist"))


def _kinds(prompts: str) -> list[str]:
    known = _KINDS.split(",")
    kinds = [kind.strip() for kind in prompts.split(",") if kind.strip()]
    if not kinds:
        stop(f"--prompts names no kind of prompt; the kinds are {', '.join(known)}")
    for kind in kinds:
        if kind not in known:
            near = difflib.get_close_matches(kind, known, n=1, cutoff=0.4)
            advice = f"did you mean {near[0]!r}?" if near else f"the kinds are {', '.join(known)}"
            stop(f"--prompts: there is no prompt kind {kind!r}; {advice}")
    return kinds


def _samples(data: Path, images: Path) -> list[Sample]:
    from anypose.data import coco, crowdpose
    from anypose.data.sample import DataError
    from anypose.skeleton import COCO17, CROWDPOSE14

    if not images.is_dir():
        stop(f"--images {images} is {'a file, not a folder' if images.exists() else 'not there'}")
    try:
        content = coco.load(data)
        reader, usual = (crowdpose, CROWDPOSE14) if crowdpose.is_crowdpose(content) else (coco, COCO17)
        samples = reader.read(data, images, _skeleton(content, usual))
    except DataError as error:
        if len(error.faults) > 1:
            stop(f"{data} has {len(error.faults)} faults; the first: {error.faults[0]}")
        stop(" ".join(str(error).split()))
    if not any(len(sample.people) for sample in samples):
        stop(f"{data} has no labelled person to ask for")
    return samples


def _refuse_inputs(json: Path | None, inputs: list[Path]) -> None:
    from anypose.cli._answers import AnswerError, refuse_inputs
    from anypose.files import refuse_protected

    try:
        if json is not None:
            refuse_inputs([json], [str(path) for path in inputs])
            refuse_protected(json)
    except (AnswerError, OSError) as error:
        stop(f"--json {json}: {getattr(error, 'strerror', None) or error}")


def _skeleton(content: dict[str, Any], usual: Skeleton) -> Skeleton:
    """The skeleton of the keypoints that the file names; the usual one where they are not told or are not sound."""
    from anypose.skeleton import Skeleton

    try:
        named = [category for category in content["categories"] if category.get("keypoints")]
        return Skeleton.from_category(next((c for c in named if c.get("name") == "person"), named[0]))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return usual


def load_system(model: str, threads: int | None, weights: Path | None, quick: bool = False) -> Any:
    """The system of a name, or the end of the command in one line."""
    from anypose import load

    options: dict[str, Any] = {} if weights is None else {"weights": weights}
    options |= {"quick": True} if quick else {}
    try:
        return load(model, threads=threads, **options)
    except (ValueError, ImportError, OSError) as error:
        stop(" ".join(str(error).split()))


def _show(figures: dict[str, Any], title: str) -> None:
    from rich.console import Console

    from anypose.evaluation import print_table

    print_table(Console(), figures, title)


def write_figures(path: Path, figures: dict[str, Any]) -> None:
    """Write figures as JSON, whole or not at all."""
    from json import dumps

    from anypose.files import write_atomically

    try:
        write_atomically(path, dumps(figures, indent=1, allow_nan=False) + "\n")
    except OSError as error:
        stop(f"--json {path}: {error.strerror or error}")


def make_folder(folder: Path) -> None:
    """Make the folder of a report, or end the command in one line."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        stop(f"--report {folder}: {error.strerror or error}")


def write_page(folder: Path, cases: Sequence[Case], figures: dict[str, Any], about: dict[str, Any]) -> None:
    """Write the page to look at."""
    from anypose.report import write_report

    try:
        typer.echo(f"report: {write_report(folder, cases, figures, about)}", err=True)
    except OSError as error:
        stop(f"--report {folder}: {error.strerror or error}")


@contextmanager
def progress(count: int, what: str = "pictures") -> Iterator[Callable[[], None]]:
    """A progress bar on standard error at a terminal; otherwise nothing."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=count)
        yield lambda: bar.advance(task)
