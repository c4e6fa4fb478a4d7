"""`anypose demo`, the example pictures and `anypose systems`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import anypose
from anypose.cli import app
from anypose.cli.demo import ASKED, EXAMPLES
from anypose.examples import make
from anypose.people import People
from anypose.prompt import KINDS
from stand_in import StandIn


def test_demo_asks_with_every_kind_of_prompt_and_says_where_answers_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(vars(anypose), "load", lambda name: StandIn())
    result = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / "answers")])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) == len(ASKED) + 1
    assert str(tmp_path / "answers") in lines[-1]
    for line in lines[:-1]:
        path = Path(line.split(": ", 1)[0])
        people = People.load(path.with_suffix(".json"))
        assert Image.open(path).size == people.size[::-1]
    told = " ".join(lines)
    assert all(kind in told for kind in KINDS if kind != "text")
    assert '"the person on the right"' in told
    assert "everybody" in told


def test_demo_says_in_one_line_what_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(vars(anypose), "load", lambda name: StandIn())
    (tmp_path / "taken").write_text("a file")
    result = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / "taken")])
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1


def test_systems_are_listed() -> None:
    result = CliRunner().invoke(app, ["systems"])
    assert result.exit_code == 0, result.output
    assert "promptable/pointer" in result.stdout.splitlines()


def test_examples_are_small_and_their_sources_are_stated() -> None:
    stated = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    pictures = [path for path in EXAMPLES.iterdir() if path.suffix in (".jpg", ".png")]
    assert len(pictures) >= 4
    for path in pictures:
        assert path.stat().st_size < 400_000
        assert f"`{path.name}`" in stated
    assert {picture for picture, _, _ in ASKED} == {path.name for path in pictures}


def test_the_group_picture_is_what_its_script_makes() -> None:
    made = np.asarray(make.group(), int)
    kept = np.asarray(Image.open(EXAMPLES / "group.jpg"), int)
    assert np.abs(made - kept).mean() < 3


def test_help_lists_every_command_with_a_line() -> None:
    result = CliRunner().invoke(app, ["--help"])
    for name in ("demo", "find", "systems"):
        line = next(line for line in result.stdout.splitlines() if line.strip().startswith(f"{name} "))
        assert len(line.split()) > 3
    assert json.dumps(result.stdout).count("Examples:") == 1
