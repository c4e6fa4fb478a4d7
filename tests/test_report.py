"""The pages: everything is on them, nothing is fetched for them, and a browser opens them without a complaint."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import anypose
from anypose.cli import app
from anypose.data.refhuman import RefHuman, read
from anypose.data.sample import Sample
from anypose.evaluation import Reply, refhuman_figures
from anypose.people import People
from anypose.prompt import Prompt
from anypose.report import Case, cases_of_replies, write_data_page, write_report
from stand_in import StandIn
from test_evaluation import SIZE, person_at
from test_refhuman import entry

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


class Reader(HTMLParser):
    """Collects tags that must be closed, addresses, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        if tag not in ("img", "meta", "link", "rect", "path"):
            self.open.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "srcset", "data")]

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture
def data(tmp_path: Path) -> RefHuman:
    """Four entries of two pictures of two people each; one caption that would break a careless page."""
    images, annotations = [], []
    for ident in range(1, 5):
        image, record = entry(ident, 40.0 if ident % 2 else 115.0)
        image["file_name"] = f"{(ident + 1) // 2}.png"
        Image.fromarray(np.full((*SIZE, 3), 40 * ident, np.uint8)).save(tmp_path / image["file_name"])
        images.append(image)
        annotations.append(record)
    images[0]["caption"] = "<script>alert('&')</script> the man"
    path = tmp_path / "data.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return read(path, tmp_path)


def replies(data: RefHuman) -> list[Reply]:
    """The first is answered rightly, the second with the first's person, the third with nobody, the fourth nearly."""
    one, _, _, four = (entry.sample.people for entry in data)
    shifted = four.warp(np.array([[1, 0, 4.0], [0, 1, 0]]), SIZE)
    found = [one, one, People.empty(SIZE, reason="nobody is <that>"), shifted]
    return [
        Reply(entry.entry, kind, str(entry.sample.path), f"{entry.entry}{kind}", entry.sample.people, answer)
        for kind in ("text", "scribble")
        for entry, answer in zip(data, found)
    ]


@pytest.fixture
def report(data: RefHuman, tmp_path: Path) -> Path:
    asked = replies(data)
    about = {"model": "promptable/toy", "data": "data.json", "protocol": "refhuman", "note": "<b>&</b>"}
    return write_report(tmp_path / "page", cases_of_replies(asked, data), refhuman_figures(asked), about)


def test_cases_know_the_wrong_person(data: RefHuman) -> None:
    cases = cases_of_replies(replies(data), data)
    assert [case.is_wrong_person for case in cases[:4]] == [False, True, False, False]
    assert [len(case.people) for case in cases] == [2] * 8
    assert cases[0].quality == pytest.approx(1)
    assert (cases[2].similarity, cases[2].overlap) == (0, 0)
    assert 0.3 < cases[3].quality < 1


def test_without_keypoints_the_overlap_is_the_quality() -> None:
    person = person_at(60, 60, 1)
    bare = People(**{**vars(person), "confidence": np.zeros((1, 17))})
    case = Case(Sample("a", Path("a"), bare), "box", Prompt(box=person.boxes[0]), bare, 0, person)
    assert case.similarity is None
    assert case.quality == pytest.approx(1)


def test_everything_is_on_the_page(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    read = Reader(text)
    assert read.open == []
    words = " ".join(read.words)
    for expected in (
        "promptable/toy on data.json, protocol refhuman",
        "By size",
        "By people",
        "By words",
        "Answers to text prompts",
        "The wrong person",
        "2 of 8 answers are of somebody else",
        "nobody is <that>",
        "<b>&</b>",
        "<script>alert('&')</script> the man",
    ):
        assert expected in words
    assert "script" not in read.tags
    assert read.tags.count("svg") == 2
    assert all(f"<h3>{name}</h3>" in text for name in ("best", "median", "worst"))


def test_nothing_is_fetched(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    addresses = Reader(text).addresses
    assert addresses
    assert all(address.startswith("data:") for address in addresses)
    assert not re.search(r"url\(|@import|https?://", text)


def test_a_picture_that_went_does_not_stop_the_page(data: RefHuman, tmp_path: Path) -> None:
    (data.folder / "1.png").unlink()
    asked = replies(data)
    path = write_report(tmp_path / "page", cases_of_replies(asked, data), refhuman_figures(asked), {})
    read = Reader(path.read_text())
    assert read.tags.count("img") > 0
    assert any("1.png#1" in line and line.endswith(")") for line in read.words)


@pytest.mark.parametrize("kind", ["report", "data"])
def test_a_browser_opens_it_without_a_complaint(report: Path, data: RefHuman, kind: str, tmp_path: Path) -> None:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"needs a browser: {', '.join(BROWSERS)}")
    path = report
    if kind == "data":
        path = tmp_path / "data.html"
        write_data_page(path, data)
    command = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        "--virtual-time-budget=2000",
    ]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    done = subprocess.run([*command, path.as_uri()], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0
    assert "CONSOLE" not in done.stderr
    assert "</html>" in done.stdout
    assert done.stdout.count("<img") == path.read_text().count("<img") > 3
    broken = tmp_path / "broken.html"
    broken.write_text("<script>nothing()</script>")
    complaint = subprocess.run([*command, broken.as_uri()], capture_output=True, text=True, timeout=240)
    assert "CONSOLE" in complaint.stderr


def test_the_page_of_a_data_set(data: RefHuman, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["data", "show", str(data.path), "--images", str(data.folder), "--entries", "3"])
    assert result.exit_code == 0, result.stderr
    read = Reader((tmp_path / "data.html").read_text())
    assert read.open == []
    assert read.tags.count("img") == 3
    assert "data.json: 4 entries" in " ".join(read.words)
    missing = CliRunner().invoke(app, ["data", "show", str(tmp_path / "no.json"), "--images", str(data.folder)])
    assert missing.exit_code == 2
    assert len(missing.stderr.strip().splitlines()) == 1


def test_both_evaluations_write_a_page(data: RefHuman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vars(anypose), "load", lambda name, threads=None: StandIn())
    arguments = ["evaluate", "promptable/pointer", str(data.path), "--images", str(data.folder), "--prompts", "point"]
    for name, options in (("a", ["--protocol", "strict"]), ("b", [])):
        result = CliRunner().invoke(app, [*arguments, *options, "--report", str(tmp_path / name)])
        assert result.exit_code == 0, result.stderr
        assert "Answers to point prompts" in (tmp_path / name / "index.html").read_text()
