"""The second look learns from its own answers to mirrored crops, and what is named is looked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import rectangles
from anypose.models.promptable.pointer import Pointer
from anypose.models.promptable.pointer.things import KINDS, Things
from anypose.recipes.loop import Settings, train
from anypose.recipes.refining import Refining
from anypose.skeleton import COCO17

TINY = rectangles.TINY
MIRROR = torch.tensor(COCO17.mirror)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rectangles.write_with_pointer(tmp_path_factory.mktemp("refining"))


def recipe(folder: Path, out: Path, **options: Any) -> Refining:
    return Refining(
        out=out, people=(str(folder / "labels.json"), str(folder)), words=str(folder), model=TINY, workers=0,
        weights=str(folder / "tiny.safetensors"), data={"pictures": 1, "crops_each": 2, "crops": 2}, **options,
    )  # fmt: skip


def test_a_mirrored_crop_has_the_mirrored_answer() -> None:
    torch.manual_seed(0)
    second = Pointer(**TINY).second.eval()
    crops, hints = torch.rand(2, 3, 256, 192) * 255, torch.randn(2, 64, 48)
    with torch.no_grad():
        maps = second.heatmaps_both_ways(crops, hints, MIRROR)
        turned = second.heatmaps_both_ways(crops.flip(3), hints.flip(2), MIRROR)
        once = second(crops, hints).heatmaps
    back = turned.flip(3)[:, MIRROR]
    # Heat-map pixel 0 stands at crop pixel 0, pixel 47 at 188, so that a mirror moves by one.
    torch.testing.assert_close(back[..., 1:-1], maps[..., 2:], atol=1e-5, rtol=1e-4)
    assert (once - maps).abs().max() > 1e-3


def test_only_the_second_look_learns_and_it_comes_nearer_to_its_teacher(folder: Path, tmp_path: Path) -> None:
    refining = recipe(folder, tmp_path, lr_trunk=5e-3)
    before = {name: value.clone() for name, value in refining.model.state_dict().items()}
    taught = refining.losses(next(refining.batches(0)))["taught"]
    settings = Settings(steps=15, warmup=2, ema=0.5, threads=1, device="cpu")
    trained = train(refining, settings, tmp_path)
    moved = {name for name, value in trained.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.split(".")[0] for name in moved} == {"second"}
    assert {"trunk", "heatmaps", "outline"} <= {name.split(".")[1] for name in moved}
    assert refining.losses(next(refining.batches(0)))["taught"] < 0.98 * taught


def test_masks_do_not_teach_the_trunk(folder: Path, tmp_path: Path) -> None:
    refining = recipe(folder, tmp_path)
    refining.losses(next(refining.batches(0)))["mask"].backward()
    assert isinstance(refining.model, Pointer)
    second = refining.model.second
    assert all(parameter.grad is None for parameter in second.trunk.parameters())
    assert all(parameter.grad is not None for parameter in second.outline.parameters())


def test_what_is_named_and_not_there_speaks_for_nobody() -> None:
    torch.manual_seed(0)
    things = Things(vector=16, width=8)
    things.vectors.normal_()
    table = torch.cat((torch.zeros(2, 16), things.vectors[:3], torch.randn(5, 16)))
    ids = torch.tensor([[2, 0], [3, 2], [6, 7], [0, 0]])  # the first thing; the second and the first; others; no words
    with torch.no_grad():
        named = things.named(ids, table, torch.zeros(4, 2, 8))
        assert [row.nonzero()[:, 0].tolist() for row in named > 0] == [[0], [0, 1], [], []]
        nothing, first = torch.zeros(4, KINDS), torch.zeros(4, KINDS)
        first[:, 0] = 1
        missing, there = things.lacking(named, nothing), things.lacking(named, first)
    assert missing[0] > 1
    assert missing[1] > missing[0]
    assert missing[3] == pytest.approx(0, abs=1e-5)
    assert there[0] < 0.1 * missing[0]
    assert there[1] == pytest.approx(float(missing[1] - missing[0]), rel=0.2)


def test_the_surest_cell_says_what_is_in_the_picture() -> None:
    things = Things(vector=16, width=8)
    cells = torch.full((1, 5, KINDS), 1e-3)
    cells[0, 3, 7] = 0.8
    with torch.no_grad():
        seen = things.seen(cells)[0]
    assert seen.argmax() == 7
    assert seen[7] > 0.9
    assert seen[8] < 0.2
