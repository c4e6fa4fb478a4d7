"""What the pointer is trained on, made from pictures of coloured rectangles."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import rectangles
from anypose.data import coco
from anypose.data.things import COCO_THINGS
from anypose.models.promptable.pointer.first_look import NEGATIVE, NOTHING, POSITIVE, STROKE, Prompts
from anypose.models.promptable.pointer.losses import NOBODY, VISIBLE, Batch
from anypose.recipes.pointing_data import Photographs, PointingData, things_in


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> PointingData:
    folder = tmp_path_factory.mktemp("rectangles")
    rectangles.write(folder)
    return fresh(coco.read(folder / "labels.json", folder), folder / "tokenizer.json")


def fresh(samples: Any, tokenizer: Path, **changes: Any) -> PointingData:
    options = {"pictures": 3, "prompts_each": 8, "crops": 5, "seed": 4} | changes
    return PointingData(Photographs(samples, {}), Photographs([], {}), tokenizer, **options)


def again(data: PointingData, **changes: Any) -> PointingData:
    """The same with nothing kept in memory."""
    return fresh(data.photographs.samples, data.tokenizer_file, **changes)


def tensors(batch: Batch) -> Iterator[tuple[str, torch.Tensor]]:
    for name, value in batch._asdict().items():
        if isinstance(value, Prompts):
            yield from value._asdict().items()
        else:
            yield name, value


def assert_same(one: Batch, other: Batch) -> None:
    for (name, left), (_, right) in zip(tensors(one), tensors(other)):
        assert torch.equal(left, right), name


def test_a_batch_is_the_same_whoever_makes_it(made: PointingData) -> None:
    in_order = [made.batch(number) for number in range(4)]
    alone = again(made).batch(3)
    assert_same(in_order[3], alone)
    assert_same(made.batch(0), in_order[0])
    other = again(made, seed=5).batch(0)
    assert other.pictures.shape != in_order[0].pictures.shape or not torch.equal(other.pictures, in_order[0].pictures)


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_change_nothing(made: PointingData, workers: int) -> None:
    data = again(made, start=2)
    loader = torch.utils.data.DataLoader(data, batch_size=None, num_workers=workers)
    for number, batch in zip(range(2, 5), loader):
        assert_same(batch, again(made).batch(number))


@pytest.fixture(scope="module")
def batches(made: PointingData) -> list[Batch]:
    return [made.batch(number) for number in range(8)]


def test_shapes(batches: list[Batch]) -> None:
    for batch in batches:
        height, width = batch.pictures.shape[2:]
        assert (height, width) in ((320, 416), (416, 320))
        people, prompts, crops = len(batch.people), len(batch.prompt_picture), len(batch.crops)
        assert batch.pictures.shape == (3, 3, height, width)
        assert batch.people_masks.shape == (people, height // 8, width // 8)
        assert batch.prompts.points.shape == (prompts, 16, 2)
        assert batch.prompts.words.shape == (prompts, 32)
        assert batch.crops.shape == (crops, 3, 256, 192)
        assert 5 <= crops <= 6
        assert batch.crop_masks.shape == (crops, 128, 96)
        assert all(value.isfinite().all() for _, value in tensors(batch))
        assert batch.prompt_person.max() < people
        assert batch.crop_person.max() < people


def test_every_kind_of_prompt_comes(batches: list[Batch]) -> None:
    kinds = {int(kind) for batch in batches for kind in batch.prompts.point_kinds.unique()}
    assert kinds == {NOTHING, POSITIVE, NEGATIVE, STROKE}
    assert any(batch.prompts.has_box.any() for batch in batches)
    assert any((batch.prompts.words > 1).any() for batch in batches)
    assert any((batch.prompt_person == NOBODY).any() for batch in batches)


def inside(places: torch.Tensor, box: torch.Tensor, margin: float) -> torch.Tensor:
    return ((places >= box[:2] - margin) & (places <= box[2:] + margin)).all(-1)


def test_prompts_lie_on_their_person(batches: list[Batch]) -> None:
    seen = 0
    for batch in batches:
        for i, person in enumerate(batch.prompt_person.tolist()):
            kinds, places = batch.prompts.point_kinds[i], batch.prompts.points[i]
            mine = places[(kinds == POSITIVE) | (kinds == STROKE)]
            picture = batch.prompt_picture[i]
            if person == NOBODY:
                for box in batch.people[batch.people_picture == picture]:
                    assert not inside(mine, box, 0).any()
                continue
            assert batch.people_picture[person] == picture
            box = batch.people[person]
            assert inside(mine, box, 3).all()
            seen += len(mine)
            if batch.prompts.has_box[i]:
                assert box_overlap(batch.prompts.boxes[i], box) > 0.6
    assert seen > 100


def box_overlap(one: torch.Tensor, other: torch.Tensor) -> float:
    from anypose.ops.boxes import iou

    return float(iou(one[None], other[None])[0, 0])


def test_clicks_lie_on_the_mask(batches: list[Batch]) -> None:
    for batch in batches:
        for i in torch.nonzero(batch.prompt_person != NOBODY)[:, 0]:
            mask = batch.people_masks[batch.prompt_person[i]]
            for x, y in batch.prompts.points[i][batch.prompts.point_kinds[i] == POSITIVE]:
                row, column = min(int(y) // 8, mask.shape[0] - 1), min(int(x) // 8, mask.shape[1] - 1)
                assert mask[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2].max() > 0


def test_keypoints_of_crops_lie_on_the_person_in_the_picture(batches: list[Batch]) -> None:
    seen = 0
    for batch in batches:
        for n in torch.nonzero(batch.crop_person != NOBODY)[:, 0]:
            affine = batch.crop_to_picture[n]
            places = batch.keypoints[n] @ affine[:, :2].T + affine[:, 2]
            box = batch.people[batch.crop_person[n]]
            visible = batch.known[n] == VISIBLE
            assert inside(places[visible], box, 2).all()
            # Keypoints are where BODY says, wherever the crop was taken, mirrored or not; a box may be cut.
            height = places[visible][:, 1]
            nose, hips = places[0], places[11:13].mean(0)
            if visible[[0, 11, 12]].all() and len(height) == 17:
                assert float((hips[1] - nose[1]) / (box[3] - box[1])) == pytest.approx(0.48, abs=0.02)
                seen += 1
    assert seen > 3


def test_crops_show_what_the_picture_shows(batches: list[Batch]) -> None:
    """The middle of the torso has the same colour in the crop and in the picture."""
    compared = 0
    for batch in batches:
        for n in torch.nonzero(batch.crop_person != NOBODY)[:, 0]:
            torso = batch.keypoints[n, [5, 6, 11, 12]].mean(0)
            affine = batch.crop_to_picture[n]
            at = affine[:, :2] @ torso + affine[:, 2]
            number = batch.people_picture[batch.crop_person[n]]
            height, width = batch.sizes[number].int().tolist()
            if not (0 <= torso[0] < 192 and 0 <= torso[1] < 256 and 0 <= at[0] < width and 0 <= at[1] < height):
                continue
            in_crop = batch.crops[n, :, int(torso[1]), int(torso[0])]
            in_picture = batch.pictures[number, :, int(at[1]), int(at[0])]
            compared += int((in_crop - in_picture).abs().max() < 12)
    assert compared > 10  # some torsos are behind a cut-out


def test_masks_of_crops_hold_their_keypoints(batches: list[Batch]) -> None:
    for batch in batches:
        visible = (batch.known == VISIBLE) & batch.crop_mask_known[:, None]
        for n, joint in torch.nonzero(visible).tolist():
            x, y = (batch.keypoints[n, joint] / 2).int().tolist()
            around = batch.crop_masks[n, max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
            assert around.max() > 0.4


def test_captions_name_things() -> None:
    assert things_in("A man on skis, holding a ski pole") == {"skis"}
    assert things_in("Two Tennis players; a ball!") == {"tennis racket", "sports ball"}
    assert things_in("A woman carries a cat") == {"cat"}
    assert things_in("A person in an orange vest carving a scarf") == frozenset()


def test_words_of_nobody_name_what_is_not_there(made: PointingData) -> None:
    data = again(made)
    data.captions = [("A man rides a horse.", frozenset({"horse"})), ("A man and his dog", frozenset({"dog"}))]
    view = data.photographs.view(0)
    horse = dataclasses.replace(view, things=(("horse", view.boxes[0], 0.9),))
    for seen, expected in ((view, {"A man rides a horse.", "A man and his dog"}), (horse, {"A man and his dog"})):
        rng = np.random.default_rng(0)
        said = {data._of_nobody(seen, rng) for _ in range(200)}
        assert {caption for caption, _ in data.captions} & said == expected
        assert {f"{article}{thing}" for article in ("a ", "the ", "one ", "") for thing in COCO_THINGS} & said
