"""`anypose find`: what goes in, what comes out, and what happens when something is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import anypose
from anypose.cli import app
from anypose.people import People
from stand_in import StandIn


@pytest.fixture
def predictor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> StandIn:
    stand_in = StandIn()
    monkeypatch.setitem(vars(anypose), "load", lambda name, weights=None: stand_in)
    monkeypatch.chdir(tmp_path)
    return stand_in


def picture(path: str, size: tuple[int, int] = (120, 90)) -> str:
    """Write a picture of size (W, H) and return its path."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise(size, 60).convert("RGB").save(path)
    return path


def find(*arguments: str, code: int = 0, **options: Any) -> Any:
    result = CliRunner().invoke(app, ["find", *arguments], **options)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def files() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*") if path.is_file())


def test_a_line_a_person_without_out_and_json(predictor: StandIn) -> None:
    result = find(picture("a.jpg"), "--text", "the goalie")
    assert result.stdout == "a.jpg: the goalie, score 0.90, box 30,9,90,81, 17 of 17 keypoints are sure\n"
    assert files() == ["a.jpg"]


def test_out_draws_and_is_quiet(predictor: StandIn) -> None:
    result = find(picture("a.jpg"), "--text", "the goalie", "--out", "new/found.png")
    assert result.output == ""
    drawn = np.asarray(Image.open("new/found.png"))
    assert drawn.shape == (90, 120, 3)
    assert np.abs(drawn.astype(int) - np.asarray(Image.open("a.jpg"))).max() > 60
    assert files() == ["a.jpg", "new/found.png"]


def test_plain_options_are_one_person_and_each_prompt_one_more(predictor: StandIn) -> None:
    result = find(
        picture("a.jpg"), "--text", "her", "--point", "40,50", "--point", "1.5,2,0",
        "--scribble", "3,4 5,6", "--box", "10,20,60,70",
        "--prompt", "goalie: text=the goalie; point=12,40,0", "--prompt", "box=1,2,30,40", "--json", "-",
    )  # fmt: skip
    answers = json.loads(result.stdout)["pictures"][0]["answers"]
    assert [answer["prompt"] for answer in answers] == [
        {
            "text": "her",
            "points": [[40, 50], [1.5, 2]],
            "labels": [1, 0],
            "scribble": [[3, 4], [5, 6]],
            "box": [10, 20, 60, 70],
        },
        {"name": "goalie", "text": "the goalie", "points": [[12, 40]], "labels": [0]},
        {"box": [1, 2, 30, 40]},
    ]
    assert [answer["people"] for answer in answers] == [[0], [1], [2]]
    assert json.loads(result.stdout)["pictures"][0]["people"]["names"] == ["her", "goalie", None]


@pytest.mark.parametrize("options", [[], ["--everyone"]])
def test_everyone_is_the_default(predictor: StandIn, options: list[str]) -> None:
    result = find(picture("a.jpg"), *options)
    assert len(result.stdout.splitlines()) == 2
    assert "a person, score 0.80" in result.stdout


def test_json_alone_on_standard_output_and_lossless(predictor: StandIn) -> None:
    result = find(picture("a.jpg"), "--json", "-", "--text", "the goalie")
    report = json.loads(result.stdout)
    assert set(report) == {"model", "pictures", "failed"}
    people = People.from_dict(report["pictures"][0]["people"])
    assert people.names == ("the goalie",)
    assert people.masks is not None
    assert people.masks.areas().tolist() == [60 * 72]
    find("a.jpg", "--json", "deep/answer.json", "--text", "the goalie")
    assert json.loads(Path("deep/answer.json").read_text()) == report


def test_nobody_is_no_error_and_says_why(predictor: StandIn) -> None:
    result = find(picture("a.jpg"), "--text", "a giraffe", "--json", "-")
    assert result.stderr == "a.jpg: nobody for text: no person fits these words\n"
    entry = json.loads(result.stdout)["pictures"][0]
    assert entry["answers"][0]["people"] == []
    assert entry["answers"][0]["reason"] == "no person fits these words"


def test_a_bad_picture_does_not_stop_the_rest(predictor: StandIn) -> None:
    picture("in/a.jpg")
    picture("in/c.png")
    Path("in/b.jpg").write_bytes(Path("in/a.jpg").read_bytes()[:300])
    Path("in/d.png").write_bytes(b"")
    result = find("in", "missing.jpg", "--out", "out", "--json", "all.json", code=2)
    lines = result.stderr.splitlines()
    assert len(lines) == 4, lines
    assert [name in line for name, line in zip(("in/b.jpg", "in/d.png", "missing.jpg"), lines)] == [True] * 3
    assert lines[3] == "anypose: 3 of 5 pictures failed"
    assert sorted(p.name for p in Path("out").iterdir()) == ["a.jpg", "c.png"]
    report = json.loads(Path("all.json").read_text())
    assert [entry["picture"] for entry in report["pictures"]] == ["in/a.jpg", "in/c.png"]
    assert [entry["picture"] for entry in report["failed"]] == ["in/b.jpg", "in/d.png", "missing.jpg"]


def test_a_folder_keeps_formats_and_tells_equal_names_apart(predictor: StandIn) -> None:
    for path in ("one/a.jpg", "two/a.jpg", "x/two/a.jpg", "one/b.webp", "one/c.gif"):
        picture(path)
    find("one", "two", "x/two", "--out", "out/")
    written = {path.name: Image.open(path).format for path in Path("out").iterdir()}
    assert written == {
        "one_a.jpg": "JPEG", "two_a.jpg": "JPEG", "two_a_2.jpg": "JPEG", "b.webp": "WEBP", "c.png": "PNG",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["a.jpg", "b.jpg", "--out", "one.png"], "one.png is one file, but there are 2 pictures"),
        (["a.jpg", "--out", ""], "--out is empty"),
        (["a.jpg", "--text", "her", "--text", "him"], "--text comes 2 times"),
        (["a.jpg", "--json", "kept.json"], "write-protected"),
        (["a.jpg", "--text", "caf\udce9"], "is not valid text"),
        (["http://[bad", "--out", "o/"], "http://[bad"),
        (["a.jpg", "--out", "a.jpg"], "a.jpg would overwrite what"),
        (["a.jpg", "--out", "."], "a.jpg would overwrite what"),
        (["a.jpg", "--json", "a.jpg"], "a.jpg would overwrite what"),
        (["a.jpg", "--out", "found.xyz"], "cannot write .xyz"),
        (["a.jpg", "--out", "-"], "--out -"),
        (["a.jpg", "--json", "."], "is a folder"),
        (["a.jpg", "--out", "found.png", "--json", "found.png"], "found.png would overwrite"),
        (["a.jpg", "--masks", "png"], "--masks png"),
        (["a.jpg", "--point", "12"], 'cannot read the point "12"'),
        (["a.jpg", "--box", "9,9,1,1"], "(9, 9, 1, 1)"),
        (["a.jpg", "--text", " "], "text is empty"),
        (["a.jpg", "--point", "1,2,0"], "only negative points"),
        (["a.jpg", "--prompt", "goalie: txt=her"], "txt=her"),
        (["a.jpg", "--everyone", "--text", "her"], "--everyone"),
        (["a.jpg", "--point", "500,20"], "a.jpg: point (500, 20) lies outside"),
    ],
)
def test_wrong_input_is_one_line_and_writes_nothing(predictor: StandIn, options: list[str], words: str) -> None:
    before = Path(picture("a.jpg")).read_bytes()
    Path("kept.json").touch(mode=0o444)
    picture("b.jpg")
    result = find(*options, code=2)
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""
    assert files() == ["a.jpg", "b.jpg", "kept.json"]
    assert Path("a.jpg").read_bytes() == before


def test_masks_as_png_polygon_and_none(predictor: StandIn) -> None:
    find(picture("a.jpg"), "--text", "her", "--masks", "png", "--out", "out/found.jpg", "--json", "out/a.json")
    bitmap = Image.open("out/found_mask_1.png")
    assert bitmap.mode == "L"
    values, counts = np.unique(np.asarray(bitmap), return_counts=True)
    assert (values.tolist(), counts.tolist()) == ([0, 255], [120 * 90 - 60 * 72, 60 * 72])
    people = json.loads(Path("out/a.json").read_text())["pictures"][0]["people"]
    assert people["mask_files"] == ["out/found_mask_1.png"]

    find("a.jpg", picture("one/a.png"), "--text", "her", "--masks", "png", "--json", "beside/b.json")
    assert Path("beside/b_a_mask_1.png").is_file()
    assert Path("beside/b_a_2_mask_1.png").is_file()

    entry = json.loads(find("a.jpg", "--text", "her", "--masks", "polygon", "--json", "-").stdout)
    assert len(entry["pictures"][0]["people"]["polygons"][0][0]) >= 8

    entry = json.loads(find("a.jpg", "--text", "her", "--masks", "none", "--json", "-").stdout)
    assert entry["pictures"][0]["people"]["masks"] is None


def test_standard_input(predictor: StandIn) -> None:
    content = Path(picture("a.jpg")).read_bytes()
    find("-", "--out", "out/", input=content)
    assert Image.open("out/stdin.png").size == (120, 90)


def test_control_c_leaves_nothing_half_written(predictor: StandIn) -> None:
    predictor.interrupt_at = 1
    for name in "abc":
        picture(f"{name}.jpg")
    result = find("a.jpg", "b.jpg", "c.jpg", "--out", "out/", "--json", "all.json", code=130)
    assert result.stderr == "anypose: stopped\n"
    assert files() == ["a.jpg", "all.json", "b.jpg", "c.jpg", "out/a.jpg"]
    stopped = json.loads(Path("all.json").read_text())
    assert stopped["stopped"] is True
    assert [entry["picture"] for entry in stopped["pictures"]] == ["a.jpg"]


def test_a_mask_and_a_picture_of_the_same_name(predictor: StandIn) -> None:
    find(
        picture("a.jpg"), picture("a_mask_1.png"), "--text", "her", "--out", "o/", "--json", "a.json", "--masks", "png"
    )
    entries = json.loads(Path("a.json").read_text())["pictures"]
    assert [entry["drawn"] for entry in entries] == ["o/a.jpg", "o/a_mask_1.png"]
    assert [entry["people"]["mask_files"] for entry in entries] == [["o/a_2_mask_1.png"], ["o/a_mask_1_mask_1.png"]]
    assert Image.open("o/a_mask_1.png").mode == "RGB"
    assert Image.open("o/a_2_mask_1.png").mode == "L"


def test_a_device_is_written_to_and_stays_one(predictor: StandIn) -> None:
    os.mkfifo("pipe")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(Path("pipe").read_text()))
    reader.start()
    find(picture("a.jpg"), "--text", "her", "--json", "pipe")
    reader.join(timeout=10)
    assert Path("pipe").is_fifo()
    assert len(json.loads(read[0])["pictures"]) == 1


def test_names_that_are_no_text(predictor: StandIn) -> None:
    picture("b\udcff.jpg")
    find("b\udcff.jpg", "--text", "h\u00e9", "--json", "b.json")
    assert Path("b.json").read_bytes().isascii()
    assert json.loads(Path("b.json").read_text())["pictures"][0]["picture"] == "b\udcff.jpg"


def test_a_pipe_that_closes_early_is_no_accident(tmp_path: Path) -> None:
    code = (
        "import anypose, stand_in; vars(anypose)['load'] = lambda name, weights=None: stand_in.StandIn()\n"
        "from anypose.cli import main; main()"
    )
    arguments = ["find", *[picture(str(tmp_path / f"{i}.png")) for i in range(40)], "--json", "-"]
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(anypose.__file__).parents[1])])
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": path},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(20)
        process.stdout.close()
        assert process.stderr.read() == b""


def test_wrong_names_get_a_hint() -> None:
    result = CliRunner().invoke(app, ["fnd"])
    assert result.exit_code == 2
    assert result.stderr == "anypose: there is no command 'fnd'; did you mean 'find'?\n"
    result = CliRunner().invoke(app, ["find", "a.jpg", "--txt", "her"])
    assert result.exit_code == 2
    assert "--text" in result.stderr


def test_help_and_version_import_neither_numpy_nor_rich() -> None:
    code = (
        "import sys; from anypose.cli import app\n"
        "try: app(sys.argv[1:], prog_name='anypose')\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print(sorted({'numpy', 'PIL', 'rich', 'onnxruntime', 'torch'} & set(sys.modules)))"
    )
    for arguments, words in (
        (["--help"], "Examples"),
        (["--version"], "anypose"),
        (["find", "--help"], "--scribble"),
    ):
        result = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, timeout=60
        )
        assert words in result.stdout
        assert result.stdout.splitlines()[-1] == "[]", result.stdout
