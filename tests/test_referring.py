"""UniPHD's training data: RefHuman's file, and batches of views of it."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from anypose.data import refhuman
from anypose.data.refhuman_views import Augmentation
from anypose.data.sample import DataError
from anypose.models.promptable.uniphd.answers import found_in
from anypose.recipes.referring import Referring, start_from_published
from anypose.recipes.referring_data import batch_of, show
from cases.promptable import tiny_uniphd
from conftest import vectors


@pytest.fixture(scope="module")
def entries() -> list[refhuman.Referred]:
    folder = vectors("uniphd") / "evaluation"
    return list(refhuman.read(folder / "RefHuman_val.json", folder / "images"))


def test_augmented_people_stay_meant(entries: list[refhuman.Referred]) -> None:
    for authors in (False, True):
        augment = Augmentation(sides=(50, 70), longest=90, before=(60, 80), crop=(40, 60), authors=authors)
        for seed in range(10):
            batch = batch_of(entries[:3], "scribble", augment, None, 96, seed)
            assert batch.sizes.max() <= 90
            assert batch.visible.any(1).all()
            assert (batch.masks.sum((1, 2)) > 0).all()
            assert (batch.area > 0).all()
            place = (batch.keypoints * batch.sizes.flip(1)[:, None])[batch.visible.bool()]
            assert (place >= -1).all()
            assert (place <= 90).all()


def test_a_scribble_is_drawn_where_there_is_none(entries: list[refhuman.Referred]) -> None:
    bare = dataclasses.replace(entries[0], scribbles=None)
    for authors in (False, True):
        view = show(bare, np.random.default_rng(0), authors)
        assert view.scribble is not None
        assert view.person.masks is not None
        x, y = view.scribble.astype(int).T
        assert view.person.masks.bitmap(0)[y, x].all()
        assert (view.scribble % 1 == (0 if authors else 0.5)).all()


@pytest.mark.parametrize("kind", ["text", "scribble", "point"])
def test_refhuman_makes_batches_that_train(entries: list[refhuman.Referred], kind: str) -> None:
    class Letters:
        def encode(self, text: str) -> Any:
            return type("Encoding", (), {"ids": [0, *(3 + ord(letter) % 100 for letter in text[:9]), 2]})

    model = tiny_uniphd().train()
    batch = batch_of(entries[:2], kind, None, Letters(), 96, seed=0)
    assert batch.pictures.shape[-1] % 16 == 0
    scale = batch.sizes.flip(1)[:, None]
    place = (batch.keypoints * scale)[batch.visible.bool()]
    assert (place >= 0).all()
    losses = model.loss(batch)
    assert all(value.isfinite() for value in losses.values())


def test_who_has_few_groups_gives_as_many_answers(entries: list[refhuman.Referred]) -> None:
    model = tiny_uniphd().eval()
    batch = batch_of(entries[:1], "scribble", None, None, 96, seed=0)
    with torch.no_grad():
        asked = (batch.pictures, batch.sizes, batch.prompts)
        one, most = (found_in(model, *asked, torch.arange(count)) for count in (1, 500))
    assert one.scores.shape == (1, 1)
    assert 1 < most.scores.shape[1] < 500
    assert torch.equal(one.scores[0, 0], most.scores[0, 0])


def test_a_step_depends_on_its_number_alone(tmp_path: Path) -> None:
    folder = vectors("uniphd") / "evaluation"
    data = (str(folder / "RefHuman_val.json"), str(folder / "images"))
    recipe = Referring(
        out=tmp_path, refhuman_data=data, variant="tiny", pretrained=False, batch=2, side=64, model={"groups": 5}
    )
    from_start = recipe.batches(0)
    next(from_start)
    one, two = next(from_start), next(recipe.batches(1))
    assert torch.equal(one.pictures, two.pictures)
    assert all(torch.equal(a, b) for a, b in zip(one.prompts, two.prompts))


def test_what_is_no_refhuman_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(DataError, match="is no RefHuman file"):
        refhuman.read(tmp_path / "a.json", tmp_path)
    image = {"id": 1, "file_name": "a.jpg", "height": 4, "width": 4}
    (tmp_path / "b.json").write_text(
        json.dumps({"images": [image], "annotations": [{"id": 7, "image_id": 1, "keypoints": [0] * 51}]})
    )
    with pytest.raises(DataError, match=r"a\.jpg is not in") as caught:
        refhuman.read(tmp_path / "b.json", tmp_path)
    # No image is sound, so what is said of them ends with the file.
    assert len(caught.value.faults) == 2
    assert "annotation 7" in caught.value.faults[1]


def test_starting_from_the_hub_says_what_to_do_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    def offline(name: str) -> None:
        raise OSError("no network")

    monkeypatch.setattr(transformers.SwinModel, "from_pretrained", offline)
    with pytest.raises(ValueError, match=r"swin-tiny-patch4-window7-224 are not kept here.*connect once"):
        start_from_published(tiny_uniphd(), "swin-t")
    with pytest.raises(ValueError, match="no published Swin for the variant 'tiny'"):
        start_from_published(tiny_uniphd(), "tiny")
