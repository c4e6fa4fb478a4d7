"""`anypose evaluate` from outside: the table, the JSON, and one clear line for what is wrong."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import anypose
from anypose.cli import app
from anypose.data.coco import read
from test_evaluation import SIZE, Oracle, person_at

MEASURES = ("pose_ap", "pose_ap50", "pose_ap75", "pck", "mask_ap", "oiou", "miou", "right_person")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """data.json with three pictures of two people, their pictures, and a system that knows the answers."""
    images, annotations = [], []
    for picture in range(3):
        pixels = np.full((*SIZE, 3), 90, np.uint8)
        pixels[0, 0, 0] = picture
        pixels[30:90, 25:55], pixels[30:90, 100:130] = (200, 20, 20), (20, 20, 200)
        Image.fromarray(pixels).save(tmp_path / f"{picture}.png")
        images.append({"id": picture, "file_name": f"{picture}.png", "height": SIZE[0], "width": SIZE[1]})
        for person in (person_at(40, 60, 10 * picture + 1), person_at(115, 55, 10 * picture + 2)):
            annotations += person.to_coco(picture, labels=True)
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
    (tmp_path / "data.json").write_text(json.dumps(content))
    oracle = Oracle(read(tmp_path / "data.json", tmp_path))

    def load(name: str, threads: int | None = None) -> Any:
        if name != "promptable/pointer":
            raise ValueError(f"there is no system {name!r}; did you mean 'promptable/pointer'?")
        return oracle

    monkeypatch.setitem(vars(anypose), "load", load)
    return tmp_path


def evaluated(folder: Path, *options: str, model: str = "promptable/pointer", data: str = "data.json") -> Result:
    arguments = ["evaluate", model, str(folder / data)]
    if "--images" not in options:
        arguments += ["--images", str(folder)]
    return CliRunner().invoke(app, [*arguments, *options])


def test_table_and_json(folder: Path) -> None:
    out = folder / "figures.json"
    result = evaluated(folder, "--json", str(out))
    assert result.exit_code == 0, result.stderr
    assert not result.stderr
    for kind in ("point", "scribble", "box", "text", "everyone"):
        assert any(line.split()[:1] == [kind] for line in result.stdout.splitlines())
    assert "chance of the right person, two or more people: 50.0%" in result.stdout
    figures = json.loads(out.read_text())
    for kind in ("point", "scribble", "box"):
        for measure in MEASURES:
            assert figures[kind][measure] == pytest.approx(1)
            assert len(figures[kind]["intervals"][measure]) == 2
        assert figures[kind]["people"] == 6
    assert figures["everyone"]["pose_ap"] == pytest.approx(1)
    assert figures["text"]["chance"] == 0.5
    assert set(figures["text"]["by_words"]) <= {"with position", "without position"}
    assert 0 < figures["text"]["share_without_position"] < 1
    assert figures["about"]["pictures"] == 3


def test_only_what_is_asked_for(folder: Path) -> None:
    out = folder / "figures.json"
    result = evaluated(folder, "--prompts", "box, point", "--limit", "2", "--json", str(out))
    assert result.exit_code == 0, result.stderr
    figures = json.loads(out.read_text())
    assert set(figures) == {"point", "box", "about"}
    assert figures["box"]["people"] == 4


def test_two_runs_are_the_same(folder: Path) -> None:
    assert evaluated(folder).stdout == evaluated(folder).stdout


def test_a_broken_picture_is_said_at_the_end(folder: Path) -> None:
    (folder / "1.png").write_bytes(b"no picture")
    result = evaluated(folder, "--prompts", "box")
    assert result.exit_code == 2
    assert "100.0" in result.stdout
    assert "1.png" in result.stderr
    assert "1 of 3 pictures could not be opened" in result.stderr


def test_the_skeleton_is_that_of_the_file(folder: Path) -> None:
    from anypose.cli.evaluate import _skeleton
    from anypose.skeleton import COCO17, CROWDPOSE14

    person = {"id": 1, "name": "person", "keypoints": list(CROWDPOSE14.keypoints)}
    assert _skeleton({"categories": [{"id": 2, "name": "dog", "keypoints": ["tail"]}, person]}, COCO17) == CROWDPOSE14
    skier = _skeleton({"categories": [{"id": 1, "name": "skier", "keypoints": ["left_hip", "ski_tip"]}]}, COCO17)
    assert skier.keypoints == ("left_hip", "ski_tip")
    for categories in ([{"keypoints": 3}], [7], [], None):
        assert _skeleton({"categories": categories}, COCO17) == COCO17
    assert _skeleton({}, CROWDPOSE14) == CROWDPOSE14


def test_a_file_of_crowdpose(folder: Path) -> None:
    """The system is given boxes and knows everybody; without boxes it finds everybody, too."""
    from anypose.skeleton import CROWDPOSE14

    content = json.loads((folder / "data.json").read_text())
    content["categories"][0]["keypoints"] = list(CROWDPOSE14.keypoints)
    content["annotations"] = []
    for record, index in zip(content["images"], (0.0, 0.15, 0.8)):
        record["crowdIndex"] = index
        people = next(s.people for s in read(folder / "data.json", folder) if s.name == record["file_name"])
        content["annotations"] += people.to_skeleton(CROWDPOSE14).to_coco(record["id"], labels=True)
    for record in content["annotations"]:
        del record["area"]
    (folder / "crowd.json").write_text(json.dumps(content))
    out = folder / "figures.json"
    result = evaluated(folder, "--prompts", "box,everyone", "--json", str(out), data="crowd.json")
    assert result.exit_code == 0, result.stderr
    assert "CrowdPose, %; 1 easy, 2 medium, 0 hard pictures" in result.stdout
    assert "  everyone: AP 100.0, AP50 100.0, AP75 100.0, easy 100.0, medium 100.0, hard -" in result.stdout
    crowd = json.loads(out.read_text())["crowd"]
    assert crowd["pictures"] == {"easy": 1, "medium": 2, "hard": 0}
    for kind in ("box", "everyone"):
        found = crowd[kind]
        assert [found[name] for name in ("AP", "AP50", "AP75", "AR", "easy", "medium", "hard")] == [1] * 6 + [None]
        assert found["by_program"] == {"easy": 1, "medium": None, "hard": 1}


@pytest.mark.parametrize(
    ("options", "changes", "said"),
    [
        (["--prompts", "point,scrible"], {}, "did you mean 'scribble'"),
        (["--prompts", ","], {}, "names no kind"),
        ([], {"model": "promptable/ponter"}, "did you mean 'promptable/pointer'"),
        ([], {"data": "missing.json"}, "missing.json"),
        ([], {"data": "0.png"}, "0.png"),
        (["--images", "nowhere"], {}, "nowhere"),
        (["--json", "nowhere/figures.json"], {}, "its folder does not exist"),
    ],
)
def test_one_clear_line_for_what_is_wrong(folder: Path, options: list[str], changes: dict[str, str], said: str) -> None:
    result = evaluated(folder, *options, **changes)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert "Traceback" not in result.stderr
    assert not result.stdout


def test_a_folder_without_the_pictures(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    empty = tmp_path_factory.mktemp("empty")
    result = evaluated(folder, "--images", str(empty))
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert "0.png is not in" in result.stderr


@pytest.mark.parametrize("name", ["data.json", "1.png", "kept.json"])
def test_what_is_read_or_protected_is_not_overwritten(folder: Path, name: str) -> None:
    (folder / "kept.json").write_text("{}")
    (folder / "kept.json").chmod(0o444)
    before = (folder / name).read_bytes()
    result = evaluated(folder, "--json", str(folder / name))
    assert result.exit_code == 2
    assert ("write-protected" if name == "kept.json" else "would overwrite") in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert (folder / name).read_bytes() == before
