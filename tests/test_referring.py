"""UniPHD's training data: mirrored, cropped and scaled labels, RefHuman's file, and batches."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from anypose.data import refhuman
from anypose.data.sample import DataError
from anypose.recipes.referring import Referring, start_from_published
from anypose.recipes.referring_data import Augmentation, Shown, batch_of, cropped, flipped, resized
from anypose.skeleton import COCO17
from cases.promptable import tiny_uniphd
from conftest import vectors


def shown(text: str | None = "the left man, upright") -> Shown:
    random = np.random.default_rng(0)
    mask = np.zeros((80, 120), bool)
    mask[20:60, 30:90] = True
    keypoints = random.uniform((30, 20), (90, 60), (17, 2))
    stroke = random.uniform((30, 20), (90, 60), (12, 2))
    picture = random.integers(0, 256, (80, 120, 3), dtype=np.uint8)
    return Shown(picture, keypoints, np.ones(17, bool), mask, stroke, text)


def test_flipping_twice_changes_nothing() -> None:
    one = shown()
    two = flipped(flipped(one))
    np.testing.assert_allclose(two.keypoints, one.keypoints)
    np.testing.assert_array_equal(two.picture, one.picture)
    assert two.text == one.text


def test_a_flip_mirrors_words_and_sides() -> None:
    one, other = shown(), flipped(shown())
    assert other.text == "the right man, upright"
    left, right = COCO17.mirror_pairs[0]
    assert other.keypoints[left, 0] == pytest.approx(120 - one.keypoints[right, 0])
    assert flipped(shown(), "letters").text == "the right man, upleft"


def test_what_a_crop_leaves_out() -> None:
    one = shown()
    box = (40, 10, 70, 70)
    inside = (one.keypoints[:, 0] >= 40) & (one.keypoints[:, 0] <= 70)
    ours, theirs = cropped(one, box), cropped(one, box, "clamped")
    np.testing.assert_array_equal(ours.visible, inside)
    assert theirs.visible.all()
    assert (theirs.keypoints >= 0).all()
    assert (theirs.keypoints <= (30, 60)).all()
    columns, rows = ours.stroke.astype(int).T
    assert ours.mask[rows.clip(0, 59), columns.clip(0, 29)].mean() > 0.5


def test_scaling_keeps_everything_in_place() -> None:
    half = resized(shown(), 40, 1000)
    assert half.picture.shape == (40, 60, 3)
    np.testing.assert_allclose(half.keypoints * 2, shown().keypoints)
    assert half.mask.mean() == pytest.approx(shown().mask.mean(), abs=0.02)
    assert resized(shown(), 640, 90).picture.shape == (60, 90, 3)


def test_augmented_people_stay_meant() -> None:
    augment, random = Augmentation(sides=(50, 70), longest=90, before=(60, 80), crop=(40, 60)), np.random.default_rng(1)
    for _ in range(30):
        one = augment(shown(), random)
        assert max(one.mask.shape) <= 90
        assert one.mask.any()
        assert one.visible.any()


@pytest.fixture(scope="module")
def entries() -> list[refhuman.Referred]:
    folder = vectors("uniphd") / "evaluation"
    return list(refhuman.read(folder / "RefHuman_val.json", folder / "images"))


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
