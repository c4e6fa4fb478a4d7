"""Every command of the README is run, and every picture and link in it exists."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import anypose

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.removeprefix("$ ")
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("$ ")
]
RUN_HERE = [part for command in COMMANDS for part in command.split(" && ") if part.startswith("anypose ")]
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)

# Absolute, because commands run in another folder.
PACKAGES = os.pathsep.join([str(Path(anypose.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
ENVIRONMENT = os.environ | {"PYTHONPATH": PACKAGES}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder in which the README's paths exist, and nothing else."""
    examples = tmp_path / "src/anypose/examples"
    shutil.copytree(ROOT / "src/anypose/examples", examples)
    return tmp_path


def test_the_two_commands_that_set_everything_up() -> None:
    """Both are run in fresh environments by .ci/run, which takes them from here."""
    first, second = COMMANDS[:2]
    assert re.fullmatch(r'pip install \. && anypose find \S+ --text "[^"]+" --out \S+', first)
    assert second == 'pip install -c constraints.txt -e ".[dev]" && pytest'
    assert "README.md" in (ROOT / ".ci/run").read_text(encoding="utf-8")


def test_every_command_is_known_to_this_test() -> None:
    parts = [part for command in COMMANDS for part in command.split(" && ")]
    assert all(part.startswith(("anypose ", "pip install ")) or part == "pytest" for part in parts), parts
    assert len(RUN_HERE) >= 7


@pytest.mark.parametrize("command", RUN_HERE)
def test_a_command_runs_and_writes_what_it_names(command: str, checkout: Path) -> None:
    arguments = shlex.split(command)[1:]
    result = subprocess.run(
        [sys.executable, "-m", "anypose", *arguments],
        cwd=checkout,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    for option in ("--out", "--json"):
        if option in arguments and (name := arguments[arguments.index(option) + 1]) != "-":
            assert (checkout / name).exists(), name


def test_the_python_example_runs(checkout: Path) -> None:
    assert PYTHON
    subprocess.run([sys.executable, "-c", "\n".join(PYTHON)], cwd=checkout, env=ENVIRONMENT, check=True, timeout=120)
    assert (checkout / "people.json").is_file()


def test_pictures_and_links_exist() -> None:
    places = re.findall(r"\]\(([^)#]+)\)", README)
    missing = [place for place in places if "://" not in place and not (ROOT / place).exists()]
    assert not missing
    assert re.search(r"!\[[^\]]{20,}\]\(", README), (
        "the README has one picture, with a text for those who cannot see it"
    )
