"""TokenCLIPose's published tables: nothing stands in our column that was not run, and what is printed is checked."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

import anypose
from anypose.people import People
from anypose.skeleton import HOCKEY15
from conftest import ROOT

WIDTH, HEIGHT = 120, 80
NAMES = list(HOCKEY15.keypoints)


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    place = ROOT / "experiments" / "tokenclipose_tables.py"
    spec = importlib.util.spec_from_file_location("tokenclipose_tables", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["tokenclipose_tables"] = module
    spec.loader.exec_module(module)
    return module


def run(**about: Any) -> dict[str, Any]:
    groups = {"body": 0.9001, "stick_butt_end": 0.8, "stick_heel": 0.7, "stick_toe": None}
    about = {"model": "promptable/tokenclipose/resnet-50", "skeleton": "hockey15"} | about
    return {"about": about, "groups": groups, "mean": 0.1234, "stick": 0.75}


def test_without_a_run_our_column_says_so(tables: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    tables.main([])
    output = capsys.readouterr().out
    cells = sum(len(row.paper) for table in tables.TABLES for row in table.rows)
    assert output.count("not run here") == cells
    assert "by the boxes of the labels" not in output
    assert "76.28" in output


def test_means_that_do_not_hold_are_noted(tables: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    tables.main([])
    notes = [
        line.strip() for line in capsys.readouterr().out.splitlines() if "printed" in line or "needs a body" in line
    ]
    assert notes == [
        "SimpleBaseline, ResNet-50: the mean of the printed groups is 68.28, printed is 68.83",
        "HRNet-W48: the mean of the printed groups is 70.51, printed is 70.44",
        "TokenCLIPose, ResNet-50: the mean of the printed groups is 75.39, printed is 74.92",
        "TokenCLIPose, MSPN: the mean of the printed groups is 76.41, printed is 75.53",
        "TokenCLIPose, HRNet-W48: the mean of the printed groups is 76.82, printed is 76.28",
        "TokenCLIPose, HRNet-W48: the mean of the printed groups is 79.62, printed is 78.61",
        "random: with 63.37 on the stick a mean of 72.93 needs a body of 101.61",
    ]


def test_runs_fill_their_rows(tables: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hockey, crowd = tmp_path / "hockey.json", tmp_path / "crowd.json"
    hockey.write_text(json.dumps(run()))
    by_program = {"easy": 0.61, "medium": 0.62, "hard": None}
    figures = {
        "AP": 0.601,
        "AP50": 0.602,
        "AP75": 0.603,
        "easy": 0.1,
        "medium": 0.2,
        "hard": 0.3,
        "by_program": by_program,
    }
    about = {"model": "promptable/tokenclipose"}
    crowd.write_text(json.dumps({"about": about, "crowd": {"box": figures}}))
    tables.main(["--hockey", f"resnet-50={hockey}", "--crowdpose", str(crowd)])
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if "TokenCLIPose, ResNet-50  " in line]
    assert line.split()[-7:] == ["90.01", "80.00", "70.00", "not", "run", "here", "12.34"]
    (line,) = [line for line in lines if "TokenCLIPose, 384x288" in line]
    assert line.split()[-8:] == ["60.1", "60.2", "60.3", "61.0", "62.0", "not", "run", "here"]
    assert sum("ours: by the boxes of the labels" in line for line in lines) == 2


@pytest.mark.parametrize(
    ("content", "row", "said"),
    [
        (run(model="promptable/pointer"), "resnet-50", "is of promptable/pointer, not of promptable/tokenclipose"),
        (run(skeleton="lacrosse14"), "resnet-50", "is of lacrosse14, not of hockey15"),
        (run(), "resnet-5", "there is no such row; the rows are cross"),
        ([], "resnet-50", "is of None"),
    ],
)
def test_other_runs_are_refused(
    tables: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: Any, row: str, said: str
) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(content))
    with pytest.raises(SystemExit):
        tables.main(["--hockey", f"{row}={path}"])
    assert said in capsys.readouterr().err


# Scoring


def labelled(folder: Path) -> Path:
    """Two players, each a tight box and a stick whose toe lies beyond it."""
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "a.png")
    annotations = []
    for number, left in ((4, 10), (7, 60)):
        places = [(left + i, 10 + i, 2) for i in range(14)] + [(left + 45, 70, 2)]
        flat = [value for place in places for value in place]
        record = {"id": number, "image_id": 1, "category_id": 1, "bbox": [left, 10, 15, 15], "keypoints": flat}
        annotations.append(record)
    image = {"id": 1, "file_name": "a.png", "width": WIDTH, "height": HEIGHT}
    category = {"id": 1, "name": "player", "keypoints": NAMES}
    path = folder / "labels.json"
    path.write_text(json.dumps({"images": [image], "annotations": annotations, "categories": [category]}))
    (folder / "heads.json").write_text(json.dumps({"a.png": {"4": 20, "7": 20}}))
    return path


class Player:
    """A system that knows the first player, off by 9 pixels at the heel and by 11 at the toe, and not the second."""

    def __init__(self, truth: People) -> None:
        self.truth = truth

    def encode(self, image: np.ndarray) -> Player:
        return self

    def find(self, prompts: Any) -> list[People]:
        out = []
        for prompt in prompts:
            row = self.truth[self.truth.boxes[:, 0] == prompt.box[0]]
            moved = row.keypoints + np.array([0.0] * 13 + [9.0, 11.0])[:, None] * (1, 0)
            out.append(dataclasses.replace(row, keypoints=moved)[: int(prompt.box[0] == 10)])
        return out


def scored(tables: ModuleType, folder: Path, *more: str) -> None:
    options = ["--score", "labels.json", "--images", ".", "--heads", "heads.json", "--json", "run.json"]
    tables.main([str(folder / o) if o.endswith((".json", ".")) else o for o in options] + list(more))


def test_a_model_is_scored(tables: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from anypose.data.coco import read

    truth = read(labelled(tmp_path), tmp_path, HOCKEY15)[0].people
    monkeypatch.setitem(vars(anypose), "load", lambda name: Player(truth))
    scored(tables, tmp_path)
    found = json.loads((tmp_path / "run.json").read_text())
    assert found["groups"] == {"body": 0.5, "stick_butt_end": 0.5, "stick_heel": 0.5, "stick_toe": 0}
    assert (found["mean"], found["stick"]) == (0.375, 0.333333)
    assert found["labelled"]["body"] == 24
    assert found["about"]["pictures"] == 1
    tables.main(["--hockey", f"hrnet-w48={tmp_path / 'run.json'}"])


def test_what_cannot_be_scored(
    tables: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    labelled(tmp_path)
    for heads, said in (
        ({"a.png": {"4": 20}}, "no head of person 7 of a.png"),
        ({"a.png": {"4": 1, "7": 0}}, "is 0 pixels"),
    ):
        (tmp_path / "heads.json").write_text(json.dumps(heads))
        monkeypatch.setitem(vars(anypose), "load", lambda name: Player(People.empty((HEIGHT, WIDTH), HOCKEY15)))
        with pytest.raises(SystemExit):
            scored(tables, tmp_path)
        assert said in capsys.readouterr().err
    assert not (tmp_path / "run.json").exists()
    with pytest.raises(SystemExit):
        scored(tables, tmp_path, "--skeleton", "lacrosse14")
    assert "there is no 'stick_far_end'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        tables.main(["--score", "labels.json"])
    assert "--score needs --images, --heads and --json" in capsys.readouterr().err
