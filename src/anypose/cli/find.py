"""Find people in pictures: keypoints and masks, as pictures and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from anypose.cli import stop

if TYPE_CHECKING:
    from anypose.predictor import Predictor
    from anypose.prompt import Prompt

MaskForm = Literal["rle", "polygon", "png", "none"]
DEFAULT_MODEL = "promptable/pointer"


def find(
    pictures: Annotated[
        list[str],
        typer.Argument(metavar="PICTURE...", help="Files, folders (not those within), globs, URLs, or - for stdin."),
    ],
    text: Annotated[list[str] | None, typer.Option(metavar="T", help="Words that mean the person.")] = None,
    point: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y[,0|1]", help="A pixel on the person (1) or off it (0). Repeatable."),
    ] = None,
    scribble: Annotated[
        list[str] | None, typer.Option(metavar='"X,Y X,Y ..."', help="A line drawn over the person, in pixels.")
    ] = None,
    box: Annotated[
        list[str] | None, typer.Option(metavar="X0,Y0,X1,Y1", help="A box around the person, in pixels.")
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(
            metavar='"NAME: text=...; point=X,Y,0"',
            help="One more person, by name; scribble= and box= as above. Repeatable.",
        ),
    ] = None,
    everyone: Annotated[bool, typer.Option("--everyone", help="Everybody; the default without a prompt.")] = False,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            min=0,
            max=1,
            help="Least probability that words or points mean somebody (0.5), or that one of everybody is there (0.2).",
        ),
    ] = None,
    model: Annotated[str, typer.Option(metavar="NAME", help="See `anypose systems`.")] = DEFAULT_MODEL,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE|FOLDER", help="Its weights, or its exported graphs.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Look at each person once, and from no nearer: faster, less right.")
    ] = False,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", metavar="FILE|FOLDER", help="Draw the answer; the suffix says how."),
    ] = None,
    json: Annotated[str | None, typer.Option(metavar="FILE|-", help="Write the answer as JSON.")] = None,
    masks: Annotated[
        MaskForm,
        typer.Option(help="Masks in the JSON, as PNG files (0 and 255) beside the answer, or not at all."),
    ] = "rle",
) -> None:
    """Find people in pictures and give their keypoints and masks.

    --text, --point, --scribble and --box together describe ONE person; each --prompt adds a named person.
    Pixels count from the upper left of the picture as it is displayed: x to the right, y down.

    Without --out and --json a line for each person is printed. With them the command is quiet. With --out
    FOLDER each picture keeps its name and, where it can be written, its format; two pictures of one name are
    told apart by the folder that they come from. A picture that is read is never overwritten.

    Exit code: 0 when all is well, also when a prompt fits nobody (standard error says why, and so does the
    JSON); 2 when the command cannot be understood or a picture failed (the others are still answered);
    130 on Ctrl-C.

    \b
    Examples:
      anypose find match.jpg --text "the goalie" --out found.png
      anypose find match.jpg --point 120,240 --point 180,230,0 --json -
      anypose find match.jpg --prompt "goalie: text=the goalie" --prompt "referee: box=10,20,90,260"
      anypose find match.jpg --box 10,20,90,260 --model promptable/uniphd --weights UniPHD_RefHuman_SwinT.pth
      anypose find "photos/*.jpg" --everyone --out answers/ --json answers.json --masks png
      curl -s https://example.org/match.jpg | anypose find - --box 10,20,90,260
    """
    from anypose.cli._answers import AnswerError, Report, plan, refuse_inputs
    from anypose.cli._run import Run
    from anypose.pictures import list_pictures
    from anypose.prompt import PromptError

    try:
        words, line, around = _once(text, "--text"), _once(scribble, "--scribble"), _once(box, "--box")
        prompts = asked(words, point or [], line, around, prompt or [], everyone)
        beside = Path(json) if json not in (None, "-") else None
        if masks == "png" and out is None and beside is None:
            raise AnswerError("--masks png writes files beside the answer: give --out, or --json FILE")
        sources = [str(source) for source in list_pictures(pictures)]
        targets = plan(sources, out)
        refuse_inputs([beside] if beside else [], [*sources, *(str(path) for path in targets if path)])
        predictor = _load(model, weights, quick)
        with Report(json, model) as report:
            run = Run(
                predictor, prompts, report, masks, beside, summary=out is None and json is None, threshold=threshold
            )
            run.answer_all(sources, targets)
    except BrokenPipeError:
        raise
    except (PromptError, AnswerError, OSError) as error:
        stop(str(error))
    if run.failed and len(sources) > 1:
        stop(f"{len(run.failed)} of {len(sources)} pictures failed")
    if run.failed:
        raise typer.Exit(2)


def _once(values: Sequence[str] | None, option: str) -> str | None:
    from anypose.prompt import PromptError

    if values and len(values) > 1:
        raise PromptError(f"{option} comes {len(values)} times, and means one person; give others by --prompt")
    return values[0] if values else None


def asked(
    text: str | None,
    points: Sequence[str],
    scribble: str | None,
    box: str | None,
    prompts: Sequence[str],
    everyone: bool,
) -> list[Prompt]:
    """The prompts that the options mean: one of the plain options together, then one for each named prompt.

    Without any, one for everybody. Raises PromptError naming the option that cannot be understood.
    """
    from anypose.prompt import Prompt, PromptError, read_box, read_point, read_scribble

    clicks = [read_point(point) for point in points]
    meant = []
    if text is not None or clicks or scribble is not None or box is not None:
        meant.append(
            Prompt(
                text=text,
                points=[click[:2] for click in clicks] or None,
                labels=[click[2] for click in clicks] or None,
                scribble=None if scribble is None else read_scribble(scribble),
                box=None if box is None else read_box(box),
            )
        )
    meant += [Prompt.parse(line) for line in prompts]
    if meant and everyone:
        raise PromptError("--everyone finds everybody; give it alone, or leave it out to find the person meant")
    return meant or [Prompt()]


def _load(model: str, weights: Path | None, quick: bool = False) -> Predictor:
    from anypose import load

    options: dict[str, Any] = {"quick": True} if quick else {}
    try:
        return load(model, weights=weights, **options)
    except (ValueError, ImportError) as error:
        stop(str(error))
