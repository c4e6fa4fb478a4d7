"""Find people in the example pictures with every kind of prompt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anypose.cli import stop

if TYPE_CHECKING:
    from anypose.people import People
    from anypose.prompt import Prompt

EXAMPLES = Path(__file__).parent.parent / "examples"

# Picture, what the answer is called, and the prompts, in pixels of the picture, as Prompt takes them.
ASKED: tuple[tuple[str, str, tuple[dict[str, Any], ...]], ...] = (
    ("group.jpg", "everyone", ({},)),
    ("group.jpg", "text", ({"text": "the person on the right"},)),
    ("group.jpg", "point", ({"points": (893, 440)},)),
    ("group.jpg", "two_points", ({"points": [(560, 330), (690, 460)], "labels": [1, 0]},)),
    ("group.jpg", "scribble", ({"scribble": [(95, 170), (70, 260), (90, 420)]},)),
    ("group.jpg", "box", ({"box": (405, 105, 765, 512)},)),
    ("group.jpg", "mask", ({"mask": (0, 60, 300, 512)},)),
    (
        "group.jpg",
        "names",
        (
            {"name": "admiral", "text": "the person on the right"},
            {"name": "astronaut", "points": (560, 330)},
            {"name": "photographer", "box": (0, 60, 330, 512)},
        ),
    ),
    ("group.jpg", "nobody", ({"points": (700, 40)},)),
    ("astronaut.jpg", "point", ({"points": (180, 330)},)),
    ("hopper.jpg", "text", ({"text": "the woman with glasses"},)),
    ("synthetic.jpg", "everyone", ({},)),
    ("synthetic.jpg", "text", ({"text": "the person on the right"},)),
    ("photographer.png", "scribble", ({"scribble": [(95, 170), (70, 260), (90, 420)]},)),
)


def demo(
    out: Annotated[str, typer.Option(metavar="FOLDER", help="Where the answers go.")] = "anypose_demo",
    model: Annotated[str, typer.Option(metavar="NAME", help="See `anypose systems`.")] = "promptable/pointer",
) -> None:
    """Find people in the example pictures with every kind of prompt: words, points, a scribble, a box,
    a mask, several named people at once, everybody, and a click on the sky, where nobody is.

    Writes a picture and a JSON for each into FOLDER, and prints what was asked and who was found.
    """
    from anypose import load
    from anypose.files import write_atomically
    from anypose.people import People
    from anypose.pictures import encode_picture, open_picture

    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        predictor = load(model)
        scenes: dict[str, Any] = {}
        for picture, kind, parts in ASKED:
            image = open_picture(EXAMPLES / picture)
            if picture not in scenes:
                scenes = {picture: predictor.encode(image)}
            prompts = [_prompt(part, (image.shape[0], image.shape[1])) for part in parts]
            found = scenes[picture].find(prompts)
            people = People.concatenate(found)
            path = folder / f"{Path(picture).stem}_{kind}{Path(picture).suffix}"
            write_atomically(path, encode_picture(people.draw(image, prompts=prompts), path))
            people.save(path.with_suffix(".json"))
            typer.echo(f"{path}: {_told(prompts, found)}")
    except (ValueError, OSError, ImportError) as error:
        stop(str(error))
    count = sum(len(parts) for _, _, parts in ASKED)
    typer.echo(f"The answers to {count} prompts are in {folder.resolve()}: pictures and JSON.")


def _prompt(part: dict[str, Any], size: tuple[int, int]) -> Prompt:
    """A prompt; its mask is given as the box of an ellipse (x0, y0, x1, y1)."""
    import numpy as np

    from anypose.prompt import Prompt

    if "mask" not in part:
        return Prompt(**part)
    x0, y0, x1, y1 = part["mask"]
    y, x = np.mgrid[: size[0], : size[1]]
    across, down = (2 * x - x0 - x1) / (x1 - x0), (2 * y - y0 - y1) / (y1 - y0)
    return Prompt(mask=across**2 + down**2 <= 1)


def _told(prompts: list[Prompt], found: list[People]) -> str:
    """What was asked and what came of it, in words."""
    lines = []
    for prompt, people in zip(prompts, found):
        asked = f'"{prompt.text}"' if prompt.text else " and ".join(prompt.kinds) or "everybody"
        scores = ", ".join(f"{score:.2f}" for score in people.scores)
        answer = f"{len(people)} found, score {scores}" if len(people) else f"nobody ({people.reason})"
        lines.append(f"{asked} -> {answer}")
    return "; ".join(lines)
