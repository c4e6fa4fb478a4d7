"""Building a data set of referred people: whom, in what words, and what is kept when something goes wrong."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from anypose.cli import app
from anypose.data import coco, refhuman
from anypose.data.building import RULES, Check, Endpoint, ReviewFile, Rules, Settings, build, chosen
from anypose.data.building.doubts import doubt
from anypose.data.building.landmarks import _SHARES, Distances, nearest
from anypose.data.building.offline import observed_in
from anypose.data.describe import mentions_position
from anypose.data.sample import DataError, Sample
from anypose.masks import Masks
from anypose.people import People
from test_evaluation import SIZE, person_at


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """people.json: three pictures of two people in red and blue, one of a single person."""
    images, annotations = [], []
    for picture in range(4):
        pixels = np.full((*SIZE, 3), 60 + 20 * picture, np.uint8)
        pixels[30:90, 25:55], pixels[30:90, 100:130] = (200, 20, 20), (20, 20, 200)
        Image.fromarray(pixels).save(tmp_path / f"{picture}.png")
        images.append({"id": picture, "file_name": f"{picture}.png", "height": SIZE[0], "width": SIZE[1]})
        places = ((40, 60), (115, 55)) if picture else ((40, 60),)
        for number, (x, y) in enumerate(places):
            annotations += person_at(x, y, 10 * picture + number + 1).to_coco(picture, labels=True)
    path = tmp_path / "people.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return path


def built_by(source: Path, *options: str, out: str = "out.json") -> Result:
    arguments = ["data", "refhuman", str(source), "--images", str(source.parent), "--out", str(source.parent / out)]
    return CliRunner().invoke(app, [*arguments, *options])


def test_the_papers_rules_choose() -> None:
    people = People.concatenate([person_at(20 + 35 * i, 60, i, width=30, height=60) for i in range(4)])
    sample = Sample("a", Path("a"), people)
    assert chosen(sample, RULES["train"]) == [0, 1, 2, 3]
    assert chosen(Sample("a", Path("a"), people[:3]), RULES["train"]) == []
    assert chosen(sample, Rules(area=0.5)) == []
    state = people.state.copy()
    state[1, :, 0], state[1, :10, 1] = 0, 1
    hidden = Sample("a", Path("a"), People(**{**vars(people), "state": state}))
    assert chosen(hidden, RULES["train"]) == [0, 2, 3]
    assert chosen(hidden, RULES["wide"]) == [0, 1, 2, 3]
    assert chosen(Sample("a", Path("a"), People(**{**vars(people), "masks": None})), RULES["wide"]) == []


def test_what_is_built_reads_back_without_a_fault(source: Path) -> None:
    result = built_by(source)
    assert result.exit_code == 0, result.stderr
    data = refhuman.read(source.parent / "out.json", source.parent)
    assert len(data) == 7
    original = coco.read(source, source.parent)
    first = data[0].sample.people
    assert first.masks == original[0].people[[0]].masks
    np.testing.assert_array_equal(first.keypoints, original[0].people[[0]].keypoints)
    texts: dict[str, list[str]] = {}
    for place in range(len(data)):
        image, record = data.records(place)
        texts.setdefault(image["file_name"], []).append(image["caption"])
        assert record["caption_by"]["synthetic"] is True
        assert record["caption_by"]["position"] == mentions_position(image["caption"])
        assert record["review"] == {"state": "unchecked", "by": None, "at": None}
    assert all(len(set(captions)) == len(captions) for captions in texts.values())
    unplaced = sum(not data.records(place)[1]["caption_by"]["position"] for place in range(7))
    assert f"{unplaced} captions have no word of position" in result.stdout
    card = (source.parent / "out.md").read_text()
    assert "| people with an entry | 7 (100.0% of them) |" in card
    assert "not written by people" in card.replace("\n", " ")


def test_the_same_seed_gives_the_same_file_on_any_number_of_processes(source: Path) -> None:
    for name, options in (("a", ()), ("b", ("--processes", "2")), ("c", ("--seed", "1"))):
        assert built_by(source, *options, out=f"{name}.json").exit_code == 0
    first, second, other = ((source.parent / f"{name}.json").read_text() for name in "abc")
    assert first == second != other


def spot_of(caption: str) -> tuple[float, float]:
    """Across and down, in shares of the sides, as a caption says."""
    if "exact centre" in caption:
        return 0.5, 0.5
    across, down = caption.replace("half way", "half of the way").split(" of the way across the picture and ")
    found = []
    for words in (across, down):
        percent = re.search(r"(\d+) percent", words)
        named = [share for share, name in _SHARES.items() if re.search(rf"(^| ){name}( |$)", words)]
        found.append(int(percent[1]) / 100 if percent else named[0])
    return found[0], found[1]


def test_a_spot_tells_a_person_whom_words_do_not(source: Path) -> None:
    samples = coco.read(source, source.parent)
    alike = [Sample(s.name, s.path, s.people, fully_labelled=False) for s in samples]
    built = build(alike, RULES["wide"])
    assert built.counts["spots"] == built.counts["entries"] == 7
    for image, record in zip(built.content["images"], built.content["annotations"]):
        across, down = spot_of(image["caption"])
        people = next(s for s in samples if s.name == image["file_name"]).people
        assert people.masks is not None
        covered = people.masks.bitmaps()[:, int(down * SIZE[0]), int(across * SIZE[1])]
        assert people.ids is not None
        assert people.ids[covered].tolist() == [record["original_id"]]


def test_a_spot_is_nobody_elses(tmp_path: Path) -> None:
    behind, front = person_at(60, 60, 1, width=60, height=90), person_at(60, 60, 2, width=40, height=80)
    Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(tmp_path / "a.png")
    sample = Sample("a.png", tmp_path / "a.png", People.concatenate([behind, front]), fully_labelled=False)
    assert front.masks is not None
    for seed in range(5):
        across, down = spot_of(build([sample], RULES["wide"], seed=seed).content["images"][0]["caption"])
        assert not front.masks.bitmap(0)[int(down * SIZE[0]), int(across * SIZE[1])]


def test_a_broken_picture_costs_only_its_own_people(source: Path) -> None:
    (source.parent / "2.png").write_bytes(b"no picture")
    result = built_by(source)
    assert result.exit_code == 0
    assert "2.png" in result.stderr
    assert "2 left out: picture cannot be opened" in result.stdout
    assert len(refhuman.read(source.parent / "out.json", source.parent)) == 5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rules", "none"], "no rules 'none'"),
        (["--describer", "poet"], "no describer 'poet'"),
        (["--rules", "train"], "nobody in"),
        (["--describer", "endpoint"], "set ANYPOSE_VISION_URL and ANYPOSE_VISION_MODEL"),
    ],
)
def test_one_line_for_what_is_wrong(
    source: Path, options: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("URL", "MODEL", "KEY"):
        monkeypatch.delenv(f"ANYPOSE_VISION_{name}", raising=False)
    result = built_by(source, *options)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (source.parent / "out.json").exists()


def test_a_group_names_the_nearest_command() -> None:
    result = CliRunner().invoke(app, ["data", "revue"])
    assert result.exit_code == 2
    assert "no command 'data revue'; did you mean 'review'" in result.stderr
    assert "review" in CliRunner().invoke(app, ["data", "--help"]).stdout


# The endpoint


@dataclass
class FakeServer:
    """An endpoint on loopback; `misbehave(number)` says what to do with a request: None answers it well."""

    misbehave: Callable[[int], Any] = lambda number: None
    seen: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reply(self, body: dict[str, Any]) -> tuple[int, bytes]:
        with self.lock:
            self.seen.append(body)
            number = len(self.seen)
        how = self.misbehave(number)
        if how == "slow":
            time.sleep(1.5)
        if isinstance(how, int):
            return how, b"{}"
        if isinstance(how, bytes):
            return 200, how
        text = f"the woman in a green coat who waves, number {number}"
        return 200, json.dumps({"choices": [{"message": {"content": text}}]}).encode()


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            fake.keys.append(self.headers.get("Authorization"))
            status, reply = fake.reply(body)
            try:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(reply)
            except BrokenPipeError:
                return

        def log_message(self, *args: Any) -> None:
            return

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    yield fake
    http.shutdown()
    http.server_close()
    thread.join()


@pytest.fixture
def people(source: Path) -> list[tuple[Sample, int]]:
    return [(sample, row) for sample in coco.read(source, source.parent) for row in range(len(sample.people))]


def endpoint(server: FakeServer, tmp_path: Path, **changes: Any) -> Endpoint:
    settings = {"key": "secret", "parallel": 1, "timeout": 0.5, **changes}
    return Endpoint(Settings(server.url, "eyes", cache=tmp_path / "cache", **settings), sleep=lambda seconds: None)


def test_three_steps_a_person(server: FakeServer, tmp_path: Path, people: list[tuple[Sample, int]]) -> None:
    (captions,) = endpoint(server, tmp_path).describe(people[:1])
    assert not isinstance(captions, str)
    (caption,) = captions
    assert (caption.text, caption.by) == ("the woman in a green coat who waves, number 3", "eyes")
    whole, near, merge = (request["messages"][0]["content"] for request in server.seen)
    assert [part["type"] for part in whole] == [part["type"] for part in near] == ["text", "image_url"]
    assert whole[1]["image_url"]["url"] != near[1]["image_url"]["url"]
    assert "number 1" in merge[0]["text"]
    assert "number 2" in merge[0]["text"]
    assert set(server.keys) == {"Bearer secret"}
    assert "secret" not in repr(endpoint(server, tmp_path).settings)


@pytest.mark.parametrize(
    "fault",
    [500, 429, "slow", b"<html>", b'{"choices": []}', b'{"choices": [{"message": {"content": "I cannot say that"}}]}'],
)
def test_what_goes_wrong_once_is_tried_again(
    server: FakeServer, tmp_path: Path, people: list[tuple[Sample, int]], fault: Any
) -> None:
    server.misbehave = lambda number: fault if number == 2 else None
    (caption,) = endpoint(server, tmp_path).describe(people[:1])
    assert not isinstance(caption, str)
    assert len(server.seen) == 4


def test_further_captions_cost_a_merge_each(
    server: FakeServer, tmp_path: Path, people: list[tuple[Sample, int]]
) -> None:
    asking = endpoint(server, tmp_path, captions=3)
    assert asking.estimate(people[:1]).requests == 5
    (captions,) = asking.describe(people[:1])
    assert not isinstance(captions, str)
    assert [caption.text[-1] for caption in captions] == ["3", "4", "5"]
    merges = [request["messages"][0]["content"][0]["text"] for request in server.seen[2:]]
    assert len(set(merges)) == 3


@pytest.mark.parametrize(
    "said",
    [
        "I'm sorry, I can't help with that",
        "As an AI I see a man",
        "no person is to be seen",
        "man",
        "12 345 678 90 11 12",
        "the man in the red box",
        "word " * 50,
        "",
    ],
)
def test_what_is_no_caption_is_not_taken(
    server: FakeServer, tmp_path: Path, people: list[tuple[Sample, int]], said: str
) -> None:
    reply = json.dumps({"choices": [{"message": {"content": said}}]}).encode()
    server.misbehave = lambda number: reply
    (reason,) = endpoint(server, tmp_path, attempts=2).describe(people[:1])
    assert isinstance(reason, str)
    assert reason.startswith("no caption: ")
    assert len(server.seen) == 2


def test_doubtful_captions_are_marked_and_twins_rejected(
    server: FakeServer, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANYPOSE_VISION_URL", server.url)
    monkeypatch.setenv("ANYPOSE_VISION_MODEL", "eyes")
    # The people of a picture stand left and right, the first in red; the first picture has one only.
    said = ["the person in a red shirt", "the man in a blue shirt", "the woman on the far right"] + [
        "somebody here"
    ] * 4

    def reply(number: int) -> bytes:
        return json.dumps({"choices": [{"message": {"content": said[(number - 1) // 3]}}]}).encode()

    server.misbehave = reply
    done = built_by(source, "--describer", "endpoint", "--yes", "--parallel", "1")
    assert done.exit_code == 0, done.stderr
    records = json.loads((source.parent / "out.json").read_text())["annotations"]
    assert [record["review"].get("doubt") for record in records] == [
        None,
        'says "blue shirt", of which nothing is seen there',
        None,
        *["stands for two people"] * 4,
    ]
    assert [record["review"]["state"] for record in records] == ["unchecked"] * 3 + ["rejected"] * 4
    assert "1 captions are doubted; 4 captions are rejected" in done.stdout
    assert (
        "| captions rejected because they stand for two people of a picture | 4 |"
        in (source.parent / "out.md").read_text()
    )
    assert len(refhuman.read(source.parent / "out.json", source.parent)) == 3
    # The doubtful ones come first, and those that no human has rejected come, too.
    shown = reviewed(source, "s\nr\nq\n")
    assert "1/7" in shown.stdout
    assert shown.stdout.index('doubt: says "blue shirt"') < shown.stdout.index("doubt: stands for two people")
    assert "1/6" in reviewed(source, "q\n").stdout


@pytest.mark.parametrize(
    ("text", "row", "doubted"),
    [
        ("the man on the left", 0, False),
        ("the man on the left", 1, True),
        ("the man standing beside the woman on the left", 1, False),
        ("a person to the left of the other", 1, False),
        ("the leftmost person", 1, True),
        ("someone in a gray jacket", 0, True),
        ("someone in a red jersey", 0, False),
        ("the person who is seated", 0, False),  # nothing tells
    ],
)
def test_what_is_gainsaid(source: Path, text: str, row: int, doubted: bool) -> None:
    sample = coco.read(source, source.parent)[1]
    observed = observed_in(sample, sample.image())
    assert observed is not None
    assert (doubt(text, observed, row) is not None) == doubted


def test_several_captions_of_a_person_are_entries_that_speak_of_different_things(source: Path) -> None:
    assert built_by(source, "--captions", "3").exit_code == 0
    data = refhuman.read(source.parent / "out.json", source.parent)
    people: dict[int, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
    for image, record in (data.records(place) for place in range(len(data))):
        people.setdefault(record["original_id"], []).append((image, record))
    assert len(people) == 7
    assert len(data) > 14
    several = 0
    for entries in people.values():
        assert len({image["caption"].lower() for image, _ in entries}) == len(entries)
        assert len({tuple(record["scribble"]) for _, record in entries}) == 1
        several += len({tuple(record["caption_by"]["kinds"]) for _, record in entries}) > 1
    assert several >= 4
    card = (source.parent / "out.md").read_text()
    assert "| people with an entry | 7 (100.0% of them) |" in card
    assert f"| entries, one for each caption | {len(data)} |" in card


def test_who_is_nearest_to_a_landmark_is_nearer_than_the_others(source: Path) -> None:
    sample = coco.read(source, source.parent)[1]
    observed = observed_in(sample, sample.image())
    assert observed is not None
    distances = Distances.of(sample.people, None)
    assert distances.landmarks(0, [1])[:2] == ["the top left corner", "the bottom left corner"]
    assert "the top right corner" in distances.landmarks(1, [0])
    assert not set(distances.landmarks(0, [1])) & set(distances.landmarks(1, [0]))
    observed.facts["torso=red"][:] = 1, -1
    texts = {nearest(observed, distances, 0, np.random.default_rng(seed)) for seed in range(20)}
    assert any("corner" in str(text) for text in texts)
    assert any("red" in str(text) for text in texts)
    # Somebody in a crowd may stand at any place of it.
    everywhere = Masks.from_bitmaps(np.ones((1, *SIZE), bool))
    assert Distances.of(sample.people, everywhere).landmarks(0, [1, 2]) == []


def test_attempts_wait_longer_and_longer(server: FakeServer, tmp_path: Path, people: list[tuple[Sample, int]]) -> None:
    waited: list[float] = []
    server.misbehave = lambda number: 503
    settings = Settings(server.url, "eyes", cache=tmp_path, parallel=1, attempts=5, pause=1.0)
    (reason,) = Endpoint(settings, sleep=waited.append).describe(people[:1])
    assert isinstance(reason, str)
    assert "answered 503" in reason
    assert len(waited) == 4
    assert all(0.5 * 2**i <= pause <= 1.5 * 2**i for i, pause in enumerate(waited))


def test_a_refusal_is_not_tried_again(server: FakeServer, tmp_path: Path, people: list[tuple[Sample, int]]) -> None:
    server.misbehave = lambda number: 401
    (reason,) = endpoint(server, tmp_path).describe(people[:1])
    assert isinstance(reason, str)
    assert "401" in reason
    assert len(server.seen) == 1


def test_an_endpoint_that_stops_half_way_loses_nothing(
    server: FakeServer, tmp_path: Path, people: list[tuple[Sample, int]]
) -> None:
    server.misbehave = lambda number: 500 if number > 6 else None
    first = endpoint(server, tmp_path, attempts=1).describe(people[:2] + people[2:] * 3)
    assert [isinstance(caption, str) for caption in first[:2]] == [False, False]
    assert sum("not asked" in str(caption) for caption in first) == len(first) - 2 - 8
    asked = len(server.seen)
    server.misbehave = lambda number: None
    again = endpoint(server, tmp_path).describe(people[:2])
    assert again == first[:2]
    assert len(server.seen) == asked


def test_the_command_says_what_it_will_cost_first(
    server: FakeServer, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANYPOSE_VISION_URL", server.url)
    monkeypatch.setenv("ANYPOSE_VISION_MODEL", "eyes")
    options = ["--describer", "endpoint", "--price-in", "1000000"]
    refused = built_by(source, *options)
    assert refused.exit_code == 2
    assert "7 people: at most 21 requests to eyes" in refused.stderr
    assert "at the prices given" in refused.stderr
    assert not server.seen
    done = built_by(source, *options, "--yes", "--parallel", "3")
    assert done.exit_code == 0, done.stderr
    assert len(server.seen) == 21
    data = refhuman.read(source.parent / "out.json", source.parent)
    assert len(data) == 7
    assert data.records(0)[1]["caption_by"] == {
        "describer": "eyes",
        "synthetic": True,
        "position": False,
        "spot": False,
        "kinds": [],
    }
    assert built_by(source, *options, "--yes").exit_code == 0
    assert len(server.seen) == 21


# The human check


def reviewed(source: Path, keys: str, *options: str) -> Result:
    arguments = ["data", "review", str(source.parent / "out.json"), "--images", str(source.parent), "--by", "Ada"]
    return CliRunner().invoke(app, [*arguments, *options], input=keys)


def test_every_answer_is_saved_with_who_and_when(source: Path) -> None:
    built_by(source)
    before = json.loads((source.parent / "out.json").read_text())
    result = reviewed(source, "a\ne\nthe man in red\nx\nr\ns\nq\n")
    assert result.exit_code == 0, result.stderr
    after = json.loads((source.parent / "out.json").read_text())
    assert [record["review"]["state"] for record in after["annotations"][:4]] == [
        "accepted",
        "edited",
        "rejected",
        "unchecked",
    ]
    assert after["annotations"][0]["review"]["by"] == "Ada"
    assert after["annotations"][0]["review"]["at"].endswith("+00:00")
    assert after["images"][1]["caption"] == "the man in red"
    assert after["annotations"][1]["caption_before"] == before["images"][1]["caption"]
    assert after["annotations"][1]["caption_by"] == {
        "describer": "Ada",
        "synthetic": False,
        "position": False,
        "spot": False,
        "kinds": [],
    }
    assert Image.open(source.parent / "out_review.jpg").height == 480
    assert "1 accepted, 1 edited, 1 rejected, 4 unchecked" in result.stdout
    data = refhuman.read(source.parent / "out.json", source.parent)
    assert (len(data), data.left_out) == (6, 1)
    assert data[1].state == "edited"
    again = reviewed(source, "q\n")
    assert "1/4" in again.stdout
    assert "1/7" in reviewed(source, "q\n", "--all").stdout


def test_the_end_of_the_input_means_to_quit(source: Path) -> None:
    built_by(source)
    before = (source.parent / "out.json").read_text()
    assert reviewed(source, "").exit_code == 0
    assert reviewed(source, "e\n\nb\n").exit_code == 0
    assert (source.parent / "out.json").read_text() == before


def test_a_check_knows_its_states(source: Path) -> None:
    built_by(source)
    file = ReviewFile(source.parent / "out.json")
    with pytest.raises(ValueError, match="no state 'maybe'"):
        Check.now("maybe", "Ada")
    with pytest.raises(ValueError, match="has words"):
        file.check(0, Check.now("edited", "Ada"), " ")
    (source.parent / "broken.json").write_text('{"images": [], "annotations": [{"image_id": 3}]}')
    with pytest.raises(DataError, match="without its image"):
        ReviewFile(source.parent / "broken.json")


def test_the_builder_on_real_people(shared: Callable[[str], Path]) -> None:
    folder = shared("data/coco_people")
    samples = [s for s in coco.read(folder / "train.json", folder / "images") if s.fully_labelled][:60]
    built = build(samples, RULES["wide"])
    assert built.counts["entries"] >= 0.95 * built.counts["eligible"] > 20
    # Of those whom words without a position can tell from the others, half are told so; in so few pictures fewer.
    assert 0.3 <= built.counts["unplaced"] / built.counts["entries"] <= 0.6
