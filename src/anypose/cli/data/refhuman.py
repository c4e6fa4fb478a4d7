"""Build a data set of RefHuman's kind from people annotated as in COCO."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anypose.cli import stop

if TYPE_CHECKING:
    from anypose.data.building import Describer
    from anypose.data.sample import Sample


def refhuman(
    data: Annotated[Path, typer.Argument(metavar="PEOPLE.json", help="People and keypoints in COCO's format.")],
    images: Annotated[Path, typer.Option(metavar="DIR", help="The folder of the pictures.")],
    out: Annotated[Path, typer.Option(metavar="FILE.json", help="The data set; its card goes beside it.")],
    rules: Annotated[
        str, typer.Option(metavar="NAME", help="Whom to ask for: train, val (the paper's) or wide.")
    ] = "wide",
    describer: Annotated[
        str, typer.Option(metavar="NAME", help="Who makes the captions: offline or endpoint.")
    ] = "offline",
    captions: Annotated[
        int, typer.Option(min=1, max=5, metavar="N", help="Of each person at most, each an entry of its own.")
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Draws other scribbles and captions.")] = 0,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="Only the first N pictures.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="Share the pictures among so many processes.")] = 1,
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The endpoint's replies.  [default: beside FILE.json]")
    ] = None,
    parallel: Annotated[int, typer.Option(min=1, help="People asked for at the endpoint at a time.")] = 4,
    price_in: Annotated[float, typer.Option(min=0, help="Of a million tokens to the endpoint.")] = 0.0,
    price_out: Annotated[float, typer.Option(min=0, help="Of a million tokens from the endpoint.")] = 0.0,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before the endpoint is used.")] = False,
) -> None:
    """Write one entry for each person: a caption, five scribbles inside the mask, keypoints, box and mask.

    Captions are made offline from labels and pixels, true of this person and of nobody else, half of them without a
    word of position; with --captions 3 up to three of each person, which speak of different things. Or an
    OpenAI-compatible vision endpoint makes them: ANYPOSE_VISION_URL, ANYPOSE_VISION_MODEL and ANYPOSE_VISION_KEY in
    the environment. What it answered is kept, so that the same command goes on after a stop.
    Every entry waits for a human check: `anypose data review FILE.json --images DIR`.

    Exit code: 0 when a data set was written, with a line for each person or picture that was left out because something
    was wrong; 2 when the input was wrong or nothing could be written.

    \b
    Examples:
      anypose data refhuman people.json --images photos/ --out referred.json
      anypose data refhuman people.json --images photos/ --out referred.json --describer endpoint --price-in 2.5
    """
    from anypose.cli.evaluate import progress
    from anypose.data.building import RULES, build, chosen, data_card
    from anypose.files import write_atomically

    if rules not in RULES:
        stop(f"--rules: there are no rules {rules!r}; there are {', '.join(RULES)}")
    if describer not in ("offline", "endpoint"):
        stop(f"--describer: there is no describer {describer!r}; there are offline and endpoint")
    if out.is_dir() or not out.resolve().parent.is_dir() or out.resolve() == data.resolve():
        stop(f"--out {out}: name a new file in a folder that exists")
    samples = _samples(data, images)[:limit]
    folder = cache or out.with_name(f"{out.stem}_captions")
    asking, counted = None, (len(samples), "pictures")
    if describer == "endpoint":
        people = [(sample, row) for sample in samples for row in chosen(sample, RULES[rules])]
        settings = {"parallel": parallel, "captions": captions}
        asking, counted = _endpoint(people, folder, settings, (price_in, price_out), yes), (len(people), "people")
    about = {
        "file": out.name,
        "source": data.name,
        "describer": "offline, from labels and pixels" if asking is None else asking.name,
        "seed": seed,
        "command": shlex.join(["anypose", *sys.argv[1:]]),
    }
    info = {"description": f"referred people from {data.name}", "seed": seed, "captions": about["describer"]}
    options: dict[str, Any] = {
        "captions": captions,
        "seed": seed,
        "describer": asking,
        "processes": processes,
        "info": info,
    }
    with progress(*counted) as advance:
        built = build(samples, RULES[rules], advance=advance, **options)
    for fault in built.faults:
        typer.echo(f"anypose: {fault}", err=True)
    if not built.counts["entries"]:
        stop(f"nobody in {data} could be asked for by the rules {rules}: {_reasons(built.counts)}")
    try:
        write_atomically(out, json.dumps(built.content, ensure_ascii=False, allow_nan=False) + "\n")
        write_atomically(out.with_suffix(".md"), data_card(built, RULES[rules], about))
    except OSError as error:
        stop(f"--out {out}: {error.strerror or error}")
    counts = built.counts
    told = f"{counts['entries']} entries of {counts['people']} of {counts['eligible']} people who may be asked for"
    typer.echo(f"{out}: {told}; {_reasons(built.counts)}")


def _reasons(counts: dict[str, int]) -> str:
    from anypose.data.building.card import NAMED

    left = [f"{number} left out: {why}" for why, number in sorted(counts.items()) if why not in NAMED]
    unplaced, spots = counts["unplaced"], counts["spots"]
    said = [f"{unplaced} captions have no word of position, {spots} mean one person by a spot only"]
    said += [f"{counts[state]} captions are {state}" for state in ("doubted", "rejected") if counts[state]]
    return "; ".join([*said, *left])


def _samples(data: Path, images: Path) -> list[Sample]:
    import warnings

    from anypose.data.coco import read
    from anypose.data.sample import DataError, DataWarning

    if not images.is_dir():
        stop(f"--images {images} is {'a file, not a folder' if images.exists() else 'not there'}")
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", DataWarning)
            samples = read(data, images, strict=False)
    except DataError as error:
        stop(" ".join(str(error).split()))
    for warning in said:
        typer.echo(f"anypose: {warning.message}", err=True)
    return samples


def _endpoint(
    people: list[tuple[Sample, int]], cache: Path, settings: dict[str, int], prices: tuple[float, float], yes: bool
) -> Describer:
    """The endpoint, after saying what it will take; ends the command where that is not wanted."""
    from anypose.data.building import Endpoint, EndpointError, Settings

    try:
        endpoint = Endpoint(Settings.from_environment(cache, **settings))
    except EndpointError as error:
        stop(str(error))
    most = endpoint.estimate(people)
    price = f", {most.cost(*prices):.2f} at the prices given" if any(prices) else ""
    typer.echo(
        f"{len(people)} people: at most {most.requests} requests to {endpoint.name}, about {most.tokens_in:,} tokens "
        f"in and {most.tokens_out:,} out{price}; replies kept in {cache} are not asked for again",
        err=True,
    )
    if not yes and not (sys.stdin.isatty() and typer.confirm("Go on?", err=True)):
        stop("nothing was asked; add --yes to go on without a question")
    return endpoint
