"""The published tables of RefHuman beside this project's figures.

Command: python experiments/refhuman_tables.py [--val val.json]
Result: tables 2 to 11 of the paper (NeurIPS 2024, arXiv 2410.20508), with "not run here" where no run was given

val.json is what this command writes, which needs the authors' validation file, COCO's pictures and the checkpoint:

    anypose evaluate promptable/uniphd RefHuman_val.json --images val2017 --weights UniPHD_RefHuman_SwinT.pth \
        --protocol refhuman --json val.json

Nothing of the paper ever stands in the column of this project: a figure is read from a run of the whole validation
file by the authors' protocol. The other tables need other data or other trainings; `anypose.evaluation` has their
protocols (`prompted_precision` for table 3, `selected_precision` for table 5).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

NOT_RUN = "not run here"
SYSTEM = "promptable/uniphd"
DATA = "RefHuman_val.json"


@dataclass(frozen=True)
class Row:
    """One row: its name, the paper's figures in %, and where ours is found in a run.

    kind: the prompt by which this project's run can fill the row, None where no run of this project can.
    """

    name: str
    paper: tuple[float | None, ...]
    kind: str | None = None


@dataclass(frozen=True)
class Published:
    """One table: title, the columns' headings and the names of our figures for them, and its rows."""

    title: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]


_MAIN = (("pose AP", "pose_ap"), ("PCKh@.5", "pckh"), ("oIoU", "oiou"), ("mask AP", "mask_ap"))
_COCO = (("AP", "AP"), ("AP50", "AP50"), ("AP75", "AP75"), ("APM", "APM"), ("APL", "APL"))
_ABLATION = (("text pose", ""), ("text mask", ""), ("scribble pose", ""), ("scribble mask", ""))

TABLES = (
    Published(
        "Table 2: RefHuman val",
        _MAIN,
        (
            Row("GroupPose Swin-T, true box", (72.0, None, None, None)),
            Row("ED-Pose Swin-L, true box", (72.8, None, None, None)),
            Row("GroupPose Swin-L, true box", (73.4, None, None, None)),
            Row("Uni-ED-Pose, text", (65.3, 78.3, 74.5, 61.5)),
            Row("Uni-GroupPose, text", (65.0, 78.0, 74.7, 61.4)),
            Row("UniPHD, text", (66.7, 79.0, 75.0, 62.2), kind="text"),
            Row("Uni-ED-Pose, point", (71.9, 88.9, 82.8, 67.7)),
            Row("Uni-GroupPose, point", (71.5, 88.5, 82.2, 67.6)),
            Row("UniPHD, point", (73.5, 88.7, 83.1, 68.9), kind="point"),
            Row("Uni-ED-Pose, scribble", (72.9, 89.6, 84.9, 69.2)),
            Row("Uni-GroupPose, scribble", (73.0, 89.3, 85.6, 69.0)),
            Row("UniPHD, scribble", (74.7, 90.4, 85.7, 70.0), kind="scribble"),
        ),
    ),
    Published(
        "Table 3: COCO val2017, every labelled person prompted",
        _COCO,
        (
            Row("PETR Swin-L", (66.4, 88.1, 73.0, 56.5, 80.0)),
            Row("ED-Pose Swin-L", (68.9, 89.8, 75.3, 60.1, 81.1)),
            Row("GroupPose Swin-T", (68.5, 88.9, 75.4, 60.5, 79.9)),
            Row("UniPHD, point", (73.5, 93.7, 81.1, 68.0, 81.8)),
            Row("UniPHD, scribble", (73.9, 93.9, 81.9, 68.5, 82.2)),
        ),
    ),
    Published(
        "Table 4: text segmentation, RefHuman",
        (("oIoU", "oiou"),),
        (
            Row("LAVT", (74.5,)),
            Row("CGFormer", (75.3,)),
            Row("ReLA", (75.9,)),
            Row("SgMg", (75.9,)),
            Row("UniPHD, trained on text only", (76.3,)),
        ),
    ),
    Published(
        "Table 5: choosing among GroupPose Swin-T's answers",
        (("AP", "AP"), ("APM", "APM"), ("APL", "APL")),
        (
            Row("none", (33.5, 30.3, 36.8)),
            Row("L1", (47.4, 45.9, 48.8)),
            Row("IoU .3", (69.1, 65.8, 72.3)),
            Row("intersection .5", (70.9, 68.7, 73.1)),
            Row("intersection .3", (72.0, 73.6, 72.7)),
        ),
    ),
    Published(
        "Tables 6, 7, 8, 10 and 11: ablations of UniPHD (each is a training of its own)",
        _ABLATION,
        (
            Row("baseline", (66.7, 62.2, 74.7, 70.0)),
            Row("6: without pose head", (None, 61.8, None, 68.7)),
            Row("6: without mask head", (63.3, None, 72.7, None)),
            Row("7: no global dependency", (53.6, 54.4, 63.5, 65.8)),
            Row("7: self-attention instead of graph", (64.9, 61.1, 73.8, 69.4)),
            Row("8: no query initialisation", (65.5, 61.0, 74.0, 69.6)),
            Row("10: 5 groups", (62.6, 60.1, 72.1, 69.1)),
            Row("10: 10 groups", (64.4, 61.4, 72.4, 69.5)),
            Row("11: more encoder layers", (66.3, 62.0, 74.9, 70.4)),
            Row("11: width 384", (66.6, 62.8, 74.5, 70.2)),
        ),
    ),
    Published(
        "Table 9: trained on all of COCO train2017, positional prompts only",
        _MAIN,
        (Row("UniPHD, point", (81.0, 94.3, 88.3, 72.3)), Row("UniPHD, scribble", (81.2, 94.9, 89.4, 73.2))),
    ),
)


def ours(row: Row, columns: Sequence[tuple[str, str]], run: dict[str, Any]) -> list[str]:
    """The cells of this project for a row: figures of the run, or that nothing was run."""
    if row.kind is None or row.kind not in run:
        return [NOT_RUN] * len(columns)
    values = (run[row.kind].get(key) for _, key in columns)
    return [NOT_RUN if value is None else f"{100 * value:.1f}" for value in values]


def unfit(run: dict[str, Any]) -> str | None:
    """Why a run cannot stand beside the paper's figures, or None."""
    about = run.get("about", {})
    if not str(about.get("model", "")).startswith(SYSTEM):
        return f"is of {about.get('model')}, not of {SYSTEM}"
    if about.get("protocol") != "refhuman":
        return f"is by the protocol {about.get('protocol')}, not by refhuman"
    if about.get("data") != DATA or about.get("limit") is not None:
        return f"is not of the whole of {DATA}"
    return None


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--val", type=Path, metavar="FILE", help=f"figures of {SYSTEM} on {DATA}")
    path = parser.parse_args(arguments).val
    run: dict[str, Any] = {}
    if path is not None:
        try:
            run = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            parser.error(f"--val {path}: {error}")
        wrong = unfit(run)
        if wrong is not None:
            parser.error(f"--val {path} {wrong}")
    console = Console(width=150)
    for published in TABLES:
        table = Table(title=published.title, title_justify="left", box=box.SIMPLE_HEAD)
        table.add_column("")
        for whose in ("paper", "ours"):
            for heading, _ in published.columns:
                table.add_column(f"{heading}\n{whose}", justify="right")
        for row in published.rows:
            paper = ["-" if value is None else f"{value:.1f}" for value in row.paper]
            table.add_row(row.name, *paper, *ours(row, published.columns, run))
        console.print(table)


if __name__ == "__main__":
    main()
