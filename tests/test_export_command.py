"""`anypose export` from outside."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from anypose.cli import app


def test_an_export_does_not_round_its_own_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"precious")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["export", "model.safetensors", "--out", "."])
    assert result.exit_code == 2
    assert "name another folder" in result.stderr
    assert weights.read_bytes() == b"precious"


def test_a_file_that_is_not_there_or_is_something_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "no.safetensors").write_bytes(b"nonsense")
    for name, words in (("missing.safetensors", "is not there"), ("no.safetensors", "not a whole safetensors file")):
        result = CliRunner().invoke(app, ["export", str(tmp_path / name), "--out", str(tmp_path / "out")])
        assert result.exit_code == 2
        assert name in result.stderr
        assert words in result.stderr
    assert not (tmp_path / "out").exists()
