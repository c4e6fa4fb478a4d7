"""TokenCLIPose's published tables beside this project's figures.

Command: python experiments/tokenclipose_tables.py [--hockey ROW=run.json] [--lacrosse run.json] [--crowdpose run.json]
Result: tables 1 to 6 of "Seeing Beyond the Crop" (NeurIPS 2024), with "not run here" where no run is given, and notes
on printed means that are not the mean of the printed groups

The hockey and lacrosse pictures were never published, nor was any weight. Who has labelled pictures of players can fill
our column; ROW is one of the names that `--help` lists, and --hockey may come several times:

    python experiments/tokenclipose_tables.py --score labels.xml --images frames/ --heads heads.json \\
        --model promptable/tokenclipose/resnet-50 --weights mine.safetensors --json run.json

labels.xml is CVAT's, or a COCO file whose category names keypoints as `anypose.skeleton.HOCKEY15` does (for lacrosse
add --skeleton lacrosse14). heads.json gives the size of each head in pixels, which the paper leaves open, by picture
and by the person's id: {"frame_000000.jpg": {"4": 21.5}}. People are found by their labelled boxes, which is the
paper's "ground truth" row of the boxes; its other rows have boxes of Faster R-CNN.

CrowdPose's figures are written by

    anypose evaluate promptable/tokenclipose crowdpose_test.json --images images/ --prompts box --json run.json

and stand here with the division into easy, medium and hard of the authors' program, from boxes of the labels, too.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

NOT_RUN = "not run here"
SYSTEM = "promptable/tokenclipose"
SHARE = 0.5

Runs = dict[str, dict[str, float | None]]  # figures of each run by our names for the columns


@dataclass(frozen=True)
class Row:
    """One row: its name, the paper's figures in %, and the name of the run that fills ours, None where none can."""

    name: str
    paper: tuple[float | None, ...]
    run: str | None = None


@dataclass(frozen=True)
class Published:
    """One table.

    columns: headings, and where ours stand in a run. groups: of how many first columns the last is the mean.
    """

    title: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]
    groups: int = 0
    decimals: int = 2


_HOCKEY = (("body", "body"), ("butt", "stick_butt_end"), ("heel", "stick_heel"), ("toe", "stick_toe"), ("mean", "mean"))
_LACROSSE = (("body", "body"), ("butt", "stick_butt_end"), ("heel", "stick_far_end"), ("mean", "mean"))
_CROWD = (
    *(("AP", "AP"), ("AP50", "AP50"), ("AP75", "AP75")),
    *(("AP E", "easy"), ("AP M", "medium"), ("AP H", "hard")),
)

TABLES = (
    Published(
        "Table 1: ice hockey, PCKh@0.5, 256x192",
        _HOCKEY,
        (
            Row("SimpleBaseline, ResNet-50", (93.59, 69.57, 57.19, 52.76, 68.83)),
            Row("MSPN", (93.61, 70.30, 59.21, 55.69, 69.70)),
            Row("HRNet-W48", (94.90, 71.48, 60.29, 55.36, 70.44)),
            Row("TokenPose-L/D24, HRNet-W48", (95.13, 70.96, 60.93, 56.27, 70.82)),
            Row("ViTPose-B", (95.61, 71.94, 61.33, 58.80, 71.92)),
            Row("TokenCLIPose, ResNet-50", (95.81, 74.86, 65.79, 65.08, 74.92), "resnet-50"),
            Row("TokenCLIPose, MSPN", (97.17, 75.41, 66.70, 66.34, 75.53), "mspn-50"),
            Row("TokenCLIPose, HRNet-W48", (97.37, 75.94, 67.82, 66.15, 76.28), "hrnet-w48"),
        ),
        groups=4,
    ),
    Published(
        "Table 2: lacrosse without training on it, PCKh@0.5",
        _LACROSSE,
        (
            Row("SimpleBaseline, ResNet-50", (94.73, 67.28, 53.99, 72.00)),
            Row("MSPN", (95.84, 70.68, 57.40, 74.64)),
            Row("HRNet-W48", (95.92, 71.35, 58.41, 75.22)),
            Row("ViTPose-B", (95.77, 72.85, 60.18, 76.26)),
            Row("TokenCLIPose, HRNet-W48", (97.24, 76.60, 65.01, 78.61), "lacrosse"),
        ),
        groups=3,
    ),
    Published(
        "Table 3: CrowdPose test",
        _CROWD,
        (
            Row("Mask R-CNN, 256x192", (57.2, 83.5, 60.3, 69.4, 57.9, 45.8)),
            Row("AlphaPose, 256x192", (61.0, 81.3, 66.0, 71.2, 61.4, 51.1)),
            Row("SimpleBaseline, 256x192", (60.8, 81.4, 65.7, 71.4, 61.2, 51.2)),
            Row("CrowdPose, 256x192", (66.0, 84.2, 71.5, 75.5, 66.3, 57.4)),
            Row("Hourglass-104, 384x288", (65.2, 85.9, 69.5, None, None, None)),
            Row("KAPAO-L, 384x288", (68.9, 89.4, 75.6, 76.6, 69.9, 59.5)),
            Row("HRNet-W48, 384x288", (69.3, 89.7, 75.6, 77.7, 70.6, 57.8)),
            Row("TransPose-H, 384x288", (71.8, 91.5, 77.8, 79.5, 72.9, 62.2)),
            Row("HRFormer-B, 384x288", (72.4, 91.5, 77.9, 80.0, 73.5, 62.4)),
            Row("TokenCLIPose, 384x288", (76.2, 93.9, 82.4, 83.3, 77.4, 66.1), "crowdpose"),
        ),
        decimals=1,
    ),
    Published(
        "Table 4: hockey, what the keypoint tokens are told (HRNet-W48)",
        (("mean", "mean"),),
        (
            Row("image only", (72.48,), "image-only"),
            Row("and location", (72.93,), "location"),
            Row("and text", (75.72,), "text"),
            Row("all", (76.28,), "hrnet-w48"),
        ),
    ),
    Published(
        "Table 5: hockey, attention of the decoder (HRNet-W48)",
        (("mean", "mean"),),
        (
            Row("intention", (75.14,), "intention"),
            Row("self", (76.28,), "hrnet-w48"),
            Row("cross", (76.31,), "cross"),
        ),
    ),
    Published(
        "Table 6: hockey, what the tokens start from (HRNet-W48)",
        (("stick", "stick"), ("mean", "mean")),
        (
            Row("random", (63.37, 72.93), "location"),
            Row("single prompt", (67.41, 75.24), "single"),
            Row("ensemble of prompts", (69.97, 76.28), "hrnet-w48"),
        ),
    ),
    Published(
        "Boxes: hockey, whose boxes the crops come from (HRNet-W48)",
        (("mean", "mean"),),
        (Row("Faster R-CNN", (76.28,)), Row("ground truth", (78.75,), "hrnet-w48")),
    ),
)
HOCKEY_ROWS = sorted({row.run for t in TABLES for row in t.rows if row.run} - {"lacrosse", "crowdpose"})


def notes(published: Published) -> list[str]:
    """What does not hold between the printed figures of a table."""
    said = []
    for row in published.rows:
        printed = row.paper[-1]
        if published.groups and printed is not None:
            mean = float(np.mean([value for value in row.paper[: published.groups] if value is not None]))
            if abs(mean - printed) > 0.011:
                said.append(f"{row.name}: the mean of the printed groups is {mean:.2f}, printed is {printed:.2f}")
        if [heading for heading, _ in published.columns] == ["stick", "mean"]:
            stick, whole = row.paper
            assert stick is not None
            assert whole is not None
            body = 4 * whole - 3 * stick
            if body > 100:
                said.append(
                    f"{row.name}: with {stick:.2f} on the stick a mean of {whole:.2f} needs a body of {body:.2f}"
                )
    return said


def ours(row: Row, published: Published, runs: Runs) -> list[str]:
    """The cells of this project for a row: figures of its run, or that nothing was run."""
    values = (runs.get(row.run or "", {}).get(key) for _, key in published.columns)
    return [NOT_RUN if value is None else f"{100 * value:.{published.decimals}f}" for value in values]


def print_tables(runs: Runs) -> None:
    console = Console(width=170)
    for published in TABLES:
        console.print(published.title, highlight=False)
        table = Table(box=box.SIMPLE_HEAD)
        table.add_column("")
        for whose in ("paper", "ours"):
            for heading, _ in published.columns:
                table.add_column(f"{heading}\n{whose}", justify="right")
        for row in published.rows:
            paper = ["-" if value is None else f"{value:.{published.decimals}f}" for value in row.paper]
            table.add_row(row.name, *paper, *ours(row, published, runs))
        console.print(table)
        filled = any(row.run in runs for row in published.rows)
        for note in [*notes(published), *(["ours: by the boxes of the labels"] if filled else [])]:
            console.print(f"  {note}", markup=False, highlight=False)
        console.print()


# Runs


def opened(path: Path, skeleton: str | None) -> dict[str, float | None]:
    """A run's figures by our names for the columns; ValueError where it is of something else."""
    run = json.loads(path.read_text(encoding="utf-8"))
    about = run.get("about", {}) if isinstance(run, dict) else {}
    if not str(about.get("model", "")).startswith(SYSTEM):
        raise ValueError(f"is of {about.get('model')}, not of {SYSTEM}")
    if skeleton is None:
        found = run.get("crowd", {}).get("box")
        if found is None:
            raise ValueError("has no figures of CrowdPose by boxes")
        return {**found, **found["by_program"]}
    if about.get("skeleton") != skeleton:
        raise ValueError(f"is of {about.get('skeleton')}, not of {skeleton}")
    return {**run["groups"], "mean": run["mean"], "stick": run["stick"]}


def heads_of(path: Path, samples: Sequence[Any]) -> list[list[float]]:
    """The head sizes of the people of each picture, in pixels; ValueError names who has none."""
    told = json.loads(path.read_text(encoding="utf-8"))
    heads = []
    for sample in samples:
        here = told.get(sample.name, {})
        missing = [str(number) for number in sample.people.ids if str(number) not in here]
        if missing:
            raise ValueError(f"has no head of person {missing[0]} of {sample.name}")
        heads.append([float(here[str(number)]) for number in sample.people.ids])
    return heads


def score(model: Any, samples: Sequence[Any], heads: Sequence[Sequence[float]]) -> Any:
    """PCKh of each labelled person, asked for by its labelled box; who is not found has no right keypoint."""
    from anypose import People, Prompt
    from anypose.evaluation import head_pck

    found = []
    for sample in samples:
        truth = sample.people
        prompts = [Prompt(box=tuple(map(float, corners))) for corners in truth.boxes]
        answers = model.encode(sample.image()).find(prompts)
        found.append(People.concatenate([best(answer, one) for answer, one in zip(answers, truth)]))
    return head_pck([sample.people for sample in samples], found, heads, SHARE)


def best(answer: Any, truth: Any) -> Any:
    """The surest person of an answer, or one without a keypoint found where it has nobody."""
    if len(answer):
        return answer[[int(answer.scores.argmax())]].to_skeleton(truth.skeleton)
    return replace(truth, confidence=np.zeros_like(truth.confidence))


def run_of(options: argparse.Namespace) -> dict[str, Any]:
    """Scores a model on labelled players; ValueError or OSError says what is wrong."""
    from anypose import load
    from anypose.data import coco, cvat
    from anypose.skeleton import SKELETONS

    reader = cvat if options.score.suffix.lower() == ".xml" else coco
    samples = reader.read(options.score, options.images, SKELETONS[options.skeleton])
    samples = [sample for sample in samples if len(sample.people)]
    heads = heads_of(options.heads, samples)
    model = load(options.model, **({"weights": options.weights} if options.weights else {}))
    result = score(model, samples, heads)

    def plain(value: float) -> float | None:
        return round(value, 6) if np.isfinite(value) else None

    return {
        "about": {
            **{"model": options.model, "weights": options.weights and options.weights.name},
            **{"data": options.score.name, "skeleton": options.skeleton, "pictures": len(samples), "share": SHARE},
        },
        "groups": {name: plain(value) for name, value in result.groups.items()},
        "labelled": result.labelled,
        "mean": plain(result.mean),
        "stick": plain(result.stick),
    }


def parsed(arguments: Sequence[str] | None) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    rows = f"a run of hockey; ROW is {', '.join(HOCKEY_ROWS)}"
    parser.add_argument("--hockey", action="append", default=[], metavar="ROW=FILE", help=rows)
    parser.add_argument("--lacrosse", type=Path, metavar="FILE", help="a run of lacrosse")
    parser.add_argument("--crowdpose", type=Path, metavar="FILE", help="figures of `anypose evaluate` on CrowdPose")
    parser.add_argument("--score", type=Path, metavar="LABELS", help="score a model on labelled players instead")
    for name in ("images", "heads", "weights", "json"):
        parser.add_argument(f"--{name}", type=Path, help="for --score")
    parser.add_argument("--model", default=SYSTEM, help="for --score")
    parser.add_argument("--skeleton", choices=("hockey15", "lacrosse14"), default="hockey15", help="for --score")
    return parser, parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    parser, options = parsed(arguments)
    if options.score is not None:
        if not (options.images and options.heads and options.json):
            parser.error("--score needs --images, --heads and --json")
        try:
            text = json.dumps(run_of(options), indent=1)
            options.json.write_text(text + "\n", encoding="utf-8")
        except (OSError, ValueError) as error:
            parser.error(f"--score {options.score}: {error}")
        print(text)
        return
    runs: Runs = {}
    given = [(*said.partition("=")[::2], "hockey15") for said in options.hockey]
    given += [("lacrosse", options.lacrosse, "lacrosse14")] if options.lacrosse else []
    given += [("crowdpose", options.crowdpose, None)] if options.crowdpose else []
    for row, path, skeleton in given:
        if skeleton == "hockey15" and row not in HOCKEY_ROWS:
            parser.error(f"--hockey {row}: there is no such row; the rows are {', '.join(HOCKEY_ROWS)}")
        try:
            runs[row] = opened(Path(path), skeleton)
        except (OSError, ValueError, KeyError) as error:
            parser.error(f"{path} {error}")
    print_tables(runs)


if __name__ == "__main__":
    main()
