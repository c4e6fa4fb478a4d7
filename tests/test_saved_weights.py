"""A file of weights says what it is of, so that what was trained for one's own keypoints is used by its name alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from typer.testing import CliRunner

from anypose import zoo
from anypose.cli import app
from anypose.models.promptable.tokenclipose import VARIANTS, TokenCLIPose
from anypose.people import People
from anypose.skeleton import COCO17, HOCKEY15

SKATER = COCO17.extended("skater18", ["pole_tip"], [("left_wrist", "pole_tip")])


def made(**options: Any) -> TokenCLIPose:
    torch.manual_seed(0)
    return TokenCLIPose(**{**VARIANTS["tiny"], **options})


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"skeleton": "hockey15"},
        {"skeleton": SKATER, "depth": 1, "location": False, "registers": 2},
        {"skeleton": SKATER, "names": [f"thing {k}" for k in range(18)], "grid": (32, 16), "patches": True},
    ],
)
def test_a_file_is_enough(options: dict[str, Any], tmp_path: Path) -> None:
    model = made(**options).eval()
    zoo.save(model, tmp_path / "mine.safetensors")
    again = zoo.create("promptable/tokenclipose", tmp_path / "mine.safetensors").eval()
    assert (again.skeleton, again.names, again.size) == (model.skeleton, model.names, model.size)
    crops = torch.rand(2, 3, *model.size) * 255
    with torch.no_grad():
        torch.testing.assert_close(again(crops).keypoints, model(crops).keypoints)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.safetensors"]


def test_renamed_rows_are_kept_in_a_file(tmp_path: Path) -> None:
    model = made(skeleton=HOCKEY15).with_keypoints({"stick toe": "tip of the blade"})
    zoo.save(model, tmp_path / "mine.safetensors")
    again = zoo.create("promptable/tokenclipose", tmp_path / "mine.safetensors")
    assert again.names[-1] == "tip of the blade"
    assert again.skeleton == model.skeleton
    fewer = model.with_keypoints(list(model.names[:13]))
    zoo.save(fewer, tmp_path / "fewer.safetensors")
    assert zoo.create("promptable/tokenclipose", tmp_path / "fewer.safetensors").table.shape[0] == 13


def test_two_files_of_one_model_are_the_same(tmp_path: Path) -> None:
    for name in ("a", "b"):
        zoo.save(made(skeleton=SKATER), tmp_path / f"{name}.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_another_variant_than_the_files_is_refused(tmp_path: Path) -> None:
    zoo.save(made(), tmp_path / "mine.safetensors")
    with pytest.raises(ValueError, match=r"mine\.safetensors does not fit promptable/tokenclipose"):
        zoo.create("promptable/tokenclipose/lite", tmp_path / "mine.safetensors")


@pytest.mark.parametrize(
    ("notes", "said"),
    [
        ("no json", r"mine\.safetensors has notes that are no JSON"),
        ('{"size": [64, 64]}', r"mine\.safetensors says of itself what does not fit TokenCLIPose: KeyError"),
    ],
)
def test_notes_that_are_not_sound_are_named(notes: str, said: str, tmp_path: Path) -> None:
    state = {key: value.contiguous() for key, value in made().state_dict().items()}
    save_file(state, tmp_path / "mine.safetensors", metadata={"notes": notes})
    with pytest.raises(ValueError, match=said):
        zoo.create("promptable/tokenclipose", tmp_path / "mine.safetensors")


def test_another_systems_file_is_refused(tmp_path: Path) -> None:
    zoo.save(made(), tmp_path / "mine.safetensors")
    with pytest.raises(ValueError, match=r"mine\.safetensors does not fit promptable/pointer"):
        zoo.create("promptable/pointer", tmp_path / "mine.safetensors")


def test_systems_without_notes_write_none(tmp_path: Path) -> None:
    zoo.save(torch.nn.Linear(2, 2), tmp_path / "plain.safetensors")
    with safe_open(tmp_path / "plain.safetensors", "pt") as file:
        assert not (file.metadata() or {}).get("notes")


def test_ones_own_keypoints_by_command(tmp_path: Path) -> None:
    """`anypose find` and `anypose export` take the file as it is."""
    zoo.save(made(skeleton=SKATER), tmp_path / "skater.safetensors")
    Image.new("RGB", (96, 80), (90, 120, 60)).save(tmp_path / "a.png")
    asked = ["--box", "10,10,60,70", "--model", "promptable/tokenclipose"]
    found = ["--json", str(tmp_path / "a.json"), "--out", str(tmp_path / "found.png")]
    weights = str(tmp_path / "skater.safetensors")
    result = CliRunner().invoke(app, ["find", str(tmp_path / "a.png"), *asked, "--weights", weights, *found])
    assert result.exit_code == 0, result.stderr
    people = People.from_dict(json.loads((tmp_path / "a.json").read_text())["pictures"][0]["people"])
    assert people.skeleton == SKATER
    out = tmp_path / "exported"
    result = CliRunner().invoke(app, ["export", weights, "--model", "promptable/tokenclipose", "--out", str(out)])
    assert result.exit_code == 0, result.stderr
    assert zoo.create("promptable/tokenclipose", out / "model.safetensors").skeleton == SKATER
