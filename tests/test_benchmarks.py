"""The benchmarks run and report every figure that they promise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import anypose
import rectangles
from anypose.models.promptable.pointer import VARIANTS

FIND = Path(__file__).parents[1] / "benchmarks" / "find.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    source = str(Path(anypose.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": source, "COLUMNS": "160"}
    return subprocess.run([sys.executable, str(FIND), *arguments], capture_output=True, text=True, env=environment)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads a process's memory as Linux shows it")
def test_find_reports_every_figure(tmp_path: Path) -> None:
    done = run("--runs", "1", "--pictures", "4", "--json", str(tmp_path / "figures.json"))
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "figures.json").read_text())
    targets = {
        "cold start: wall": 0.9,
        "cold start: peak memory": 250,
        "encode": 20,
        "a prompt": 25,
        "folder: pictures a second": 12,
    }
    for name, target in targets.items():
        assert rows[name]["target"] == target
        assert rows[name]["value"] > 0
        assert name in done.stdout
    for name in ("cold start: wall: bare script", "encode: published detector", "a prompt: published pose"):
        assert rows[name]["value"] is None
        assert "--weights" in rows[name]["note"]
    assert {"encode: eager torch", "a prompt: eager torch", "folder: memory after 1"} <= set(rows)
    assert rows["folder: memory after all 4"]["ratio"] > 0


def test_find_names_the_network_that_is_not_there(tmp_path: Path) -> None:
    done = run("--weights", str(tmp_path))
    assert done.returncode == 2
    assert "holds no yolox_nano_416.onnx" in done.stderr


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads a process's memory as Linux shows it")
def test_refhuman_reports_every_figure(tmp_path: Path) -> None:
    script = Path(__file__).parents[1] / "benchmarks" / "refhuman.py"
    environment = {**os.environ, "PYTHONPATH": str(Path(anypose.__file__).parents[1])}
    command = [sys.executable, str(script), "--entries", "200", "--runs", "1", "--json", str(tmp_path / "figures.json")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["entries"] == 200
    assert all(figures[name] > 0 for name in ("open: seconds", "open: peak MB", "open / json.load, processor time"))
    assert "open: peak MB" in done.stdout


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads a process's memory as Linux shows it")
def test_training_reports_every_figure(tmp_path: Path) -> None:
    rectangles.write(tmp_path)
    save_file({"table": torch.randn(100, 16), "things": torch.randn(79, 16)}, tmp_path / "words.safetensors")
    values = {
        "recipe": "pointing", "people": (str(tmp_path / "labels.json"), str(tmp_path)), "words": str(tmp_path),
        "model": VARIANTS["tiny"], "data": {"pictures": 1, "prompts_each": 2, "crops": 1}, "device": "cpu",
    }  # fmt: skip
    experiment = tmp_path / "tiny.py"
    experiment.write_text("".join(f"{name} = {value!r}\n" for name, value in values.items()))
    script = Path(__file__).parents[1] / "benchmarks" / "training.py"
    environment = {**os.environ, "PYTHONPATH": str(Path(anypose.__file__).parents[1]), "COLUMNS": "160"}
    command = [sys.executable, str(script), str(experiment), "--steps", "3", "--rounds", "1", "--long", "100"]
    done = subprocess.run(
        [*command, "--json", str(tmp_path / "figures.json")], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    names = ("loop / bare, samples a second", "waiting for data", "going on from a checkpoint, seconds")
    assert all(figures[name] > 0 for name in names)
    assert "at least 0.95" in done.stdout
    wrong = subprocess.run([*command, "--set", "lrr=1"], capture_output=True, text=True, env=environment)
    assert wrong.returncode == 2
    assert "has no 'lrr'" in wrong.stderr


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="counts a child's processor time as Unix does")
def test_lift_reports_every_figure(tmp_path: Path) -> None:
    script = Path(__file__).parents[1] / "benchmarks" / "lift.py"
    environment = {**os.environ, "PYTHONPATH": str(Path(anypose.__file__).parents[1])}
    command = [sys.executable, str(script), "--frames", "40", "--runs", "1", "--json", str(tmp_path / "figures.json")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert (figures["frames"], figures["wall seconds, target"]) == (40, 1.0)
    assert all(figures[name] > 0 for name in ("wall seconds", "processor seconds", "processor / bare script"))


def test_synthetic_reports_every_figure(tmp_path: Path) -> None:
    program = FIND.with_name("synthetic.py")
    source = str(Path(anypose.__file__).parents[1])
    command = [sys.executable, str(program), "--pictures", "2", "--people", "1", "--size", "96", "--processes", "1"]
    command += ["--json", str(tmp_path / "figures.json")]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": source})
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["pictures"] == 2
    assert figures["sentences not read back as one person"] == 0
    assert sum(value for name, value in figures.items() if name.startswith("share of")) == pytest.approx(1)


def test_tokenclipose_reports_every_figure(tmp_path: Path) -> None:
    program = FIND.with_name("tokenclipose.py")
    source = str(Path(anypose.__file__).parents[1])
    command = [sys.executable, str(program), "--backbones", "lite", "--batch", "2", "--runs", "1", "--threads", "1"]
    command += ["--json", str(tmp_path / "figures.json")]
    environment = {**os.environ, "PYTHONPATH": source, "COLUMNS": "160"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    for head in ("tokens", "heat maps", "tokens by ONNX Runtime"):
        assert all(figures[f"lite: {head}, {what}"] > 0 for what in ("1", "2", "batch / one"))
    assert "at least 1.5" in done.stdout


def test_lifting_reports_every_figure(tmp_path: Path) -> None:
    """At toy sizes; ours gives what the plain form gives, and eight bits nearly so."""
    program = FIND.with_name("lifting.py")
    source = str(Path(anypose.__file__).parents[1])
    command = [sys.executable, str(program), "--toy", "--runs", "1", "--threads", "1"]
    done = subprocess.run(
        [*command, "--json", str(tmp_path / "figures.json")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": source, "COLUMNS": "160"},
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    transformers = ("mixste", "hot-mixste", "ktpformer")
    for name in (*transformers, "gla-gcn", "diffpose"):
        assert figures[name]["times wall"] > 0
        assert figures[name]["apart"] < 1e-4, name
        assert f"{name}, plain" in done.stdout
    for name in transformers:
        assert figures[f"{name}, products alone"]["wall"] > 0
        assert 1e-5 < figures[f"{name}, int8"]["apart"] < 0.2
    assert "of its host's time" in done.stdout
