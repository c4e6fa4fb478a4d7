"""Words are learned against pictures that were encoded once."""

from pathlib import Path

import pytest
import torch

import rectangles
from anypose.models.promptable.pointer import Pointer
from anypose.recipes.loop import Settings, train
from anypose.recipes.telling import Telling, Views, encoded, fits

TINY = rectangles.TINY
ORDER = ("left", "on", "right")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rectangles.write_with_pointer(tmp_path_factory.mktemp("telling"))


def recipe(folder: Path, out: Path) -> Telling:
    return Telling(
        out=out, people=(str(folder / "labels.json"), str(folder)), words=str(folder),
        weights=str(folder / "tiny.safetensors"), model=TINY, views=4, pictures=8, lr=2e-2, workers=0,
    )  # fmt: skip


def rows_of_three(out: Path) -> None:
    """views.pt as a first look would leave it that finds everybody: three people in a row, and what is said."""
    random = torch.Generator().manual_seed(0)
    views = []
    for _ in range(40):
        x = torch.rand(3, generator=random).argsort() * 120.0 + 30 + torch.rand(3, generator=random) * 20
        boxes = torch.zeros(12, 4)
        boxes[:3] = torch.stack((x, torch.full((3,), 60.0), x + 60, torch.full((3,), 220.0)), 1)
        scores = torch.cat((torch.full((3,), 3.0), torch.full((9,), -1e4)))
        overlap = torch.cat((torch.eye(3), torch.zeros(9, 3)))
        rank = x.argsort().argsort().tolist()
        views.append({
            "tokens": torch.randn(12, 32, generator=random).half(), "refined": boxes.half(), "scores": scores.half(),
            "sizes": torch.tensor([320.0, 416.0]).half(), "overlap": overlap.half(), "nobody": [],
            "told": [[[ORDER[k]], []] for k in rank],
        })  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    torch.save(views, out / "views.pt")


def right(telling: Telling) -> float:
    batch = next(telling.batches(9_999))
    with torch.no_grad():
        best = fits(telling.model.first, batch).argmax(1)  # type: ignore[arg-type]
    return float(batch.good.gather(1, best[:, None]).float().mean())


def test_places_in_a_row_are_learned_and_nothing_else_moves(folder: Path, tmp_path: Path) -> None:
    rows_of_three(tmp_path)
    telling = recipe(folder, tmp_path)
    before = {name: value.clone() for name, value in telling.model.state_dict().items()}
    assert right(telling) < 0.6
    trained = train(telling, Settings(steps=100, warmup=5, ema=0.5, threads=1, device="cpu"), tmp_path)
    assert right(telling) > 0.9
    moved = {name for name, value in trained.state_dict().items() if not torch.equal(value, before[name])}
    assert "first.words.table" in moved
    assert "first.counted" in moved
    assert {name.split(".")[1] for name in moved} <= {"words", "say", "listen", "be", "be_at", "counted"}
    assert all(name.startswith("first.") for name in moved)


def test_views_are_the_same_whoever_makes_them(folder: Path) -> None:
    views = Views((str(folder / "labels.json"), str(folder)), folder / "tokenizer.json", 3, seed=1)
    loaded = list(torch.utils.data.DataLoader(views, batch_size=None, num_workers=2))
    assert len(loaded) == 3
    for number, other in enumerate(loaded):
        alone = views[number]
        assert (torch.as_tensor(alone["image"]) == other["image"]).all()
        assert alone["told"] == other["told"]
        assert len(alone["told"]) == len(alone["people"])
    assert any(where or others for view in loaded for where, others in view["told"])


def test_views_are_encoded_as_the_pointer_would(folder: Path) -> None:
    views = Views((str(folder / "labels.json"), str(folder)), folder / "tokenizer.json", 2, seed=1)
    torch.manual_seed(5)
    pointer = Pointer(**TINY).eval()
    found = encoded(pointer, views, 0)[1]
    image = torch.as_tensor(views[1]["image"]).permute(2, 0, 1)[None].float()
    with torch.no_grad():
        candidates = pointer.encode(image, torch.tensor([views[1]["size"]], dtype=torch.float32))
    torch.testing.assert_close(found["tokens"].float(), candidates.tokens[0], atol=1e-2, rtol=1e-2)
    assert found["overlap"].shape == (len(candidates.boxes[0]), len(views[1]["people"]))


def test_a_first_look_that_finds_nobody_is_said(folder: Path, tmp_path: Path) -> None:
    rows_of_three(tmp_path)
    views = torch.load(tmp_path / "views.pt")
    for view in views:
        view["overlap"].zero_()
    torch.save(views, tmp_path / "views.pt")
    with pytest.raises(ValueError, match="finds none of the people"):
        next(recipe(folder, tmp_path).batches(0))


def test_a_repeat_of_somebody_is_not_counted() -> None:
    first = Pointer(**TINY).first
    boxes = torch.tensor([[[10.0, 50, 60, 200], [12, 50, 62, 200], [150, 50, 200, 200]]])
    scores, sizes = torch.tensor([[4.0, 3.0, 4.0]]), torch.tensor([[320.0, 416.0]])
    with torch.no_grad():
        together = first.placed(boxes, scores, sizes)[:, [0, 2]]
        alone = first.placed(boxes[:, [0, 2]], scores[:, [0, 2]], sizes)
    torch.testing.assert_close(together, alone, atol=1e-3, rtol=0)
