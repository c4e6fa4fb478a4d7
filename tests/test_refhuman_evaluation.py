"""RefHuman's protocols: the authors' figures to the last digit, strict ones by hand, answers that survive a stop."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import anypose
from anypose.cli import app
from anypose.data.refhuman import RefHuman, read
from anypose.data.sample import Sample
from anypose.evaluation import (
    Answers,
    AnswersError,
    Reply,
    ask,
    dealt,
    gathered,
    prompted_precision,
    refhuman_figures,
    select,
    selected_precision,
)
from anypose.evaluation.refhuman import HEAD_OF_AREA, head_lengths
from anypose.masks import Masks
from anypose.people import People
from stand_in import StandIn, somebody
from test_evaluation import SIZE, person_at
from test_refhuman import entry

EARS = [3, 4]


@pytest.fixture
def folder(vectors: Callable[[str], Path]) -> Path:
    return vectors("uniphd") / "evaluation"


@pytest.fixture
def stored(folder: Path) -> list[Reply]:
    """The stored predictions after the authors' post-processing."""
    safetensors = pytest.importorskip("safetensors")
    torch = pytest.importorskip("torch")
    replies = []
    with (
        safetensors.safe_open(folder / "fake_predictions.safetensors", "pt") as predictions,
        safetensors.safe_open(folder / "val_samples.safetensors", "pt") as samples,
    ):
        for one in read(folder / "RefHuman_val.json", folder / "images"):
            height, width = one.sample.people.size
            scores, order = predictions.get_tensor(f"{one.entry}.pred_logits").sigmoid().flatten().sort(descending=True)
            rows = order // 2
            keypoints = predictions.get_tensor(f"{one.entry}.pred_keypoints")[rows, :34].reshape(-1, 17, 2)
            centre, size = predictions.get_tensor(f"{one.entry}.pred_boxes")[rows].split(2, 1)
            corners = torch.cat((centre - size / 2, centre + size / 2), 1)
            h, w = samples.get_tensor(f"{one.entry}.size").tolist()
            masks = predictions.get_tensor(f"{one.entry}.pred_masks_bool")[rows, None, :h, :w].float()
            masks = torch.nn.functional.interpolate(masks, (height, width), mode="bilinear")[:, 0] > 0.5
            found = People(
                size=(height, width),
                boxes=(corners * torch.tensor([width, height, width, height])).numpy(),
                scores=scores.numpy(),
                keypoints=(keypoints * torch.tensor([width, height])).numpy(),
                confidence=np.ones((len(rows), 17)),
                state=np.zeros((len(rows), 17, 3)),
                masks=Masks.from_bitmaps(masks.numpy()),
            )
            replies.append(Reply(one.entry, "text", one.sample.name, str(one.entry), one.sample.people, found))
    return replies


def test_the_authors_figures(stored: list[Reply], folder: Path) -> None:
    expected = json.loads((folder / "metrics.json").read_text())
    figures = refhuman_figures(stored)["text"]
    named = {
        **dict(zip(("pose_ap", "pose_ap50", "pose_ap75"), expected["coco_eval_keypoints"])),
        **dict(zip(("mask_ap", "mask_ap50", "mask_ap75"), expected["coco_eval_masks"])),
        **dict(zip(("box_ap", "box_ap50", "box_ap75"), expected["coco_eval_bbox"])),
        "pose_apl": expected["coco_eval_keypoints"][4],
        **{"pckh": expected["PCKh@0.5"], "oiou": expected["oIoU"], "miou": expected["mIoU"]},
    }
    for name, value in named.items():
        assert figures[name] == pytest.approx(value, abs=1e-9), name
    assert figures["pose_apm"] is None
    assert figures["intervals"]["oiou"][0] < figures["oiou"] < figures["intervals"]["oiou"][1]


def test_the_strict_figures_of_the_authors_samples(stored: list[Reply]) -> None:
    ours = refhuman_figures(stored, "strict")["text"]
    theirs = refhuman_figures(stored)["text"]
    assert ours["heads"] == 6 > theirs["heads"]
    assert ours["oiou"] == pytest.approx(theirs["oiou"])
    best = [dataclasses.replace(reply, found=reply.found[[0]]) for reply in stored]
    assert ours["pose_ap"] == refhuman_figures(best)["text"]["pose_ap"]
    assert ours["pose_ap"] != theirs["pose_ap"]


def reply(found: People, ident: int = 1, question: str | None = None, **changes: Any) -> Reply:
    truth = dataclasses.replace(person_at(60, 60, ident), **changes)
    return Reply(ident, "point", "a.png", question or str(ident), truth, found)


def test_a_head_is_as_long_as_the_ears_are_apart_or_as_the_area_says() -> None:
    truth = person_at(60, 60, 1)
    apart = float(np.linalg.norm(truth.keypoints[0, 3] - truth.keypoints[0, 4]))
    assert head_lengths(truth, "refhuman") == pytest.approx([apart])
    assert head_lengths(truth, "strict") == pytest.approx([HEAD_OF_AREA * np.sqrt(truth.areas[0])])
    confidence = truth.confidence.copy()
    confidence[0, 3] = 0
    without = dataclasses.replace(truth, confidence=confidence)
    assert np.isnan(head_lengths(without, "refhuman"))
    assert np.isfinite(head_lengths(without, "strict"))
    shifted = without.warp(np.array([[1, 0, apart * 0.4], [0, 1, 0]]), SIZE)
    figures = refhuman_figures([reply(shifted, confidence=confidence)])["point"]
    assert (figures["pckh"], figures["heads"]) == (None, 0)
    near = refhuman_figures([reply(truth.warp(np.array([[1, 0, apart * 0.4], [0, 1, 0]]), SIZE))])["point"]
    far = refhuman_figures([reply(truth.warp(np.array([[1, 0, apart * 0.6], [0, 1, 0]]), SIZE))])["point"]
    assert (near["pckh"], far["pckh"]) == (1, 0)


def test_who_answers_with_nobody_has_nothing_right() -> None:
    figures = refhuman_figures([reply(person_at(60, 60, 1)), reply(People.empty(SIZE), 2)], "strict")["point"]
    assert (figures["miou"], figures["pckh"], figures["answered"]) == (0.5, 0.5, 1)
    assert figures["oiou"] == pytest.approx(0.5)
    assert figures["p90"] == 0.5


def test_of_equal_scores_the_authors_take_the_last_mask_and_the_first_keypoints() -> None:
    truth = person_at(60, 60, 1)
    found = People.concatenate([person_at(120, 60, 5), truth])
    theirs, ours = (refhuman_figures([reply(found)], protocol)["point"] for protocol in ("refhuman", "strict"))
    assert (theirs["miou"], theirs["pckh"]) == (1, 0)
    assert ours["miou"] == 0


def test_nobody_is_asked_for_twice_when_strict() -> None:
    replies = [reply(person_at(60, 60, 1), question="same"), reply(People.empty(SIZE), question="same")]
    assert refhuman_figures(replies)["point"]["entries"] == 2
    strict = refhuman_figures(replies, "strict")["point"]
    assert (strict["entries"], strict["repeated"], strict["miou"]) == (1, 1, 1)
    with pytest.raises(ValueError, match="no protocol 'loose'"):
        refhuman_figures(replies, "loose")


def test_choosing_by_the_true_box() -> None:
    everyone = People.concatenate([person_at(60, 60, 1), person_at(75, 60, 2), person_at(130, 60, 3)])
    everyone = dataclasses.replace(everyone, scores=np.array([0.5, 0.9, 0.99]), ids=np.array([1, 2, 3]))
    box = person_at(60, 60, 1).boxes[0]

    def ids(*how: Any) -> list[int]:
        chosen = select(everyone, box, *how).ids
        return [] if chosen is None else chosen.tolist()

    assert ids("none") == [3, 2, 1]
    assert ids("l1") == [1]
    assert ids("iou", 0.3) == [2, 1]
    assert ids("iou", 0.5) == [1]
    assert ids("intersection", 0.5) == [2, 1]
    assert ids("intersection", 0.6) == [1]
    with pytest.raises(ValueError, match="no strategy"):
        select(everyone, box, "guess")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="share"):
        select(everyone, box, "iou", 2)
    truth = [person_at(60, 60, 1)]
    assert selected_precision(truth, [everyone], "l1").figures["AP"] == pytest.approx(1)
    assert selected_precision(truth, [everyone], "none").figures["AP"] < 0.5


def test_everybody_of_a_picture_asked_for(tmp_path: Path) -> None:
    people = [person_at(40, 60, 1), person_at(115, 60, 2)]
    sample = Sample("a", tmp_path, People.concatenate(people))
    assert prompted_precision([sample], [people]).figures["AP"] == pytest.approx(1)
    assert prompted_precision([sample], [[people[0], people[0]]]).figures["AP"] < 0.6


@pytest.fixture
def data(tmp_path: Path) -> RefHuman:
    """40 entries of 20 pictures."""
    from PIL import Image

    images, annotations = [], []
    for ident in range(1, 41):
        image, record = entry(ident)
        image["file_name"] = f"{(ident + 1) // 2}.png"
        Image.fromarray(np.full((*SIZE, 3), ident, np.uint8)).save(tmp_path / image["file_name"])
        images.append(image)
        annotations.append(record)
    path = tmp_path / "data.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return read(path, tmp_path)


def stand_in(**options: Any) -> Any:
    """The stand-in wants a prompt where a system need not have one, which a type checker minds and nobody else."""
    return StandIn(**options)


def test_processes_count_nothing_twice(data: RefHuman, tmp_path: Path) -> None:
    alone, shared = Answers(tmp_path / "alone", {}), Answers(tmp_path / "shared", {})
    ask(stand_in(), data, alone)
    assert len(dealt(data)) == 2
    for which in (1, 0):
        before = len(list((tmp_path / "shared").iterdir()))
        ask(stand_in(), data, shared, share=(which, 2))
        assert len(list((tmp_path / "shared").iterdir())) == before + 1
    one, two = gathered(data, alone)[0], gathered(data, shared)[0]
    assert [(r.entry, r.kind) for r in one] == [(r.entry, r.kind) for r in two]
    assert len({(r.entry, r.kind) for r in one}) == len(one) == 120
    assert refhuman_figures(one) == refhuman_figures(two)


def test_an_interrupted_run_goes_on(data: RefHuman, tmp_path: Path) -> None:
    answers = Answers(tmp_path / "answers", {"model": "a"})
    with pytest.raises(KeyboardInterrupt):
        ask(stand_in(interrupt_at=18), data, answers)
    assert (answers.has(0), answers.has(1)) == (True, False)
    with pytest.raises(AnswersError, match="missing"):
        gathered(data, answers)
    again = stand_in()
    ask(again, data, Answers(tmp_path / "answers", {"model": "a"}))
    assert len(again.pictures) == 4
    assert len(gathered(data, answers)[0]) == 120
    with pytest.raises(AnswersError, match="another run"):
        Answers(tmp_path / "answers", {"model": "b"})


def test_a_picture_that_cannot_be_opened_is_told_and_left_out(data: RefHuman, tmp_path: Path) -> None:
    (data.folder / "3.png").write_bytes(b"")
    answers = Answers(tmp_path / "answers", {})
    ask(stand_in(), data, answers)
    replies, faults = gathered(data, answers)
    assert len(replies) == 114
    assert len(faults) == 1
    assert "3.png" in faults[0]


class Ranking(StandIn):
    """Answers with as many as it is asked for, and never with nobody unless it may."""

    def encode(self, image: Any) -> Any:
        size = image.shape[:2]

        class Scene:
            def find(self, prompts: Any, *, threshold: float | None = None, candidates: int = 1) -> Any:
                assert threshold == 0
                many = [somebody(size, 0.02 * place, 0.01 * (place + 1)) for place in range(candidates)]
                return [People.concatenate(many) for _ in prompts]

        return Scene()


def test_ranked_answers_are_asked_for(data: RefHuman, tmp_path: Path) -> None:
    answers = Answers(tmp_path / "answers", {})
    ask(Ranking(), data, answers, ("text",), limit=2)
    replies, _ = gathered(data, answers, ("text",), 2)
    assert [len(reply.found) for reply in replies] == [20] * 4
    assert (np.diff(replies[0].found.scores) < 0).all()


@pytest.fixture
def evaluated(data: RefHuman, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    def load(name: str, threads: int | None = None) -> Any:
        return StandIn()

    monkeypatch.setitem(vars(anypose), "load", load)

    def evaluated(*options: str, path: Path = data.path) -> Result:
        arguments = ["evaluate", "promptable/pointer", str(path), "--images", str(data.folder)]
        return CliRunner().invoke(app, [*arguments, "--protocol", *options])

    return evaluated


@pytest.mark.parametrize("protocol", ["refhuman", "strict"])
def test_the_command_names_the_protocol(evaluated: Callable[..., Result], tmp_path: Path, protocol: str) -> None:
    out = tmp_path / "figures.json"
    result = evaluated(protocol, "--json", str(out), "--answers", str(tmp_path / "answers"))
    assert result.exit_code == 0, result.stderr
    assert f"protocol {protocol}" in " ".join(result.stdout.split())
    figures = json.loads(out.read_text())
    assert set(figures) == {"text", "point", "scribble", "about"}
    assert figures["about"]["protocol"] == protocol
    assert figures["text"]["entries"] == 40
    assert evaluated(protocol, "--answers", str(tmp_path / "answers")).stdout == result.stdout


def test_what_is_faulty_is_counted_and_the_rest_evaluated(
    evaluated: Callable[..., Result], data: RefHuman, tmp_path: Path
) -> None:
    content = json.loads(data.path.read_text())
    content["annotations"][3]["scribble"] = [0] * 120
    path = tmp_path / "faulty.json"
    path.write_text(json.dumps(content))
    (data.folder / "9.png").write_bytes(b"no picture")
    result = evaluated("refhuman", "--prompts", "point", path=path)
    assert result.exit_code == 0, result.stderr
    assert "annotation 4 of image 4: 60 of 60" in result.stderr
    assert "9.png" in result.stderr
    assert "faulty entries" in result.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["loose"], "no protocol 'loose'"),
        (["refhuman", "--prompts", "box"], "no prompt kind 'box'"),
        (["refhuman", "--json", "nowhere/a.json"], "its folder does not exist"),
    ],
)
def test_one_line_for_what_is_wrong(evaluated: Callable[..., Result], options: list[str], said: str) -> None:
    result = evaluated(*options)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_several_processes_give_the_same_figures(folder: Path, tmp_path: Path) -> None:
    arguments = [
        "evaluate",
        "promptable/pointer",
        str(folder / "RefHuman_val.json"),
        "--images",
        str(folder / "images"),
    ]
    arguments += ["--protocol", "refhuman", "--prompts", "point", "--threads", "1"]
    alone = CliRunner().invoke(app, arguments)
    apart = CliRunner().invoke(app, [*arguments, "--processes", "2"])
    assert alone.exit_code == apart.exit_code == 0, apart.stderr
    assert alone.stdout == apart.stdout
