"""The published tables: nothing stands in our column that was not run."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from conftest import ROOT


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("refhuman_tables", ROOT / "experiments" / "refhuman_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["refhuman_tables"] = module
    spec.loader.exec_module(module)
    return module


def test_without_a_run_our_column_says_so(tables: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    tables.main([])
    output = capsys.readouterr().out
    cells = sum(len(row.paper) for table in tables.TABLES for row in table.rows)
    assert output.count("not run here") == cells
    assert "66.7" in output


def test_a_run_fills_its_own_rows_only(tables: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "val.json"
    about = {"model": "promptable/uniphd/swin-t", "protocol": "refhuman", "data": "RefHuman_val.json"}
    path.write_text(json.dumps({"about": about, "text": {"pose_ap": 0.1234, "pckh": None, "oiou": 0.5}}))
    tables.main(["--val", str(path)])
    output = capsys.readouterr().out
    line = next(line for line in output.splitlines() if "UniPHD, text" in line)
    assert "66.7" in line
    assert "12.3" in line
    assert "50.0" in line
    assert line.count("not run here") == 2
    assert output.count("12.3") == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "promptable/pointer"}, "is of promptable/pointer"),
        ({"protocol": "strict"}, "protocol strict"),
        ({"data": "dev.json"}, "not of the whole"),
        ({"limit": 5}, "not of the whole"),
    ],
)
def test_another_run_is_refused(
    tables: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, object], said: str
) -> None:
    path = tmp_path / "val.json"
    about = {"model": "promptable/uniphd", "protocol": "refhuman", "data": "RefHuman_val.json", "limit": None} | change
    path.write_text(json.dumps({"about": about, "text": {"pose_ap": 0.1234}}))
    with pytest.raises(SystemExit):
        tables.main(["--val", str(path)])
    assert said in " ".join(capsys.readouterr().err.split())
