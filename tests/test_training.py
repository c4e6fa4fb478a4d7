"""The default model's recipe through the loop and through the command line, on pictures of rectangles."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import rectangles
from anypose.models.promptable.pointer import VARIANTS, Pointer
from anypose.recipes.loop import recompute, train
from anypose.recipes.pointing import Pointing
from anypose.recipes.recipe import Recipe
from anypose.recipes.referring import Referring
from cases import CASES, Case
from test_loop_many import ended, free_port, launch
from toys import settings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rectangles, their tokenizer, and words.safetensors for the tiny pointer."""
    made = tmp_path_factory.mktemp("rectangles")
    rectangles.write(made)
    table, things = torch.randn(100, 16), torch.randn(79, 16)
    save_file({"table": table, "things": things}, made / "words.safetensors")
    return made


def options(folder: Path) -> dict[str, Any]:
    return {
        "people": (str(folder / "labels.json"), str(folder)),
        "words": str(folder),
        "model": VARIANTS["tiny"],
        "data": {"pictures": 2, "prompts_each": 4, "crops": 2},
        "workers": 0,
    }


def test_answers_are_drawn_and_judged_as_training_goes_on(folder: Path, tmp_path: Path) -> None:
    labels = (str(folder / "labels.json"), str(folder))
    recipe = Pointing(out=tmp_path, judged=labels, **options(folder))
    train(recipe, settings(4, pictures_every=2, save_every=2), tmp_path)
    assert len(list((tmp_path / "pictures").iterdir())) == 2
    figures = torch.load(tmp_path / "best.pt", weights_only=True)["figures"]
    assert set(figures) == {"pose_ap", "miou", "right_person"}
    assert "after step 4" in (tmp_path / "report.html").read_text()


def test_the_command_trains_in_two_processes(folder: Path, tmp_path: Path) -> None:
    experiment = tmp_path / "tiny.py"
    values = {
        **options(folder),
        "recipe": "pointing",
        "steps": 3,
        "warmup": 1,
        "log_every": 1,
        "lr": 1e-3,
        "device": "cpu",
    }
    experiment.write_text("".join(f"{name} = {value!r}\n" for name, value in values.items()))
    program = ["-m", "anypose", "train", str(experiment), "--out", str(tmp_path / "run"), "--set", "lr=1e-4"]
    output = ended(launch(["--num_processes", "2", "--num_machines", "1"], program, free_port()))
    assert output.count("step 3 of 3") == 1
    assert output.count("weights: ") == 1
    assert json.loads((tmp_path / "run" / "about.json").read_text())["processes"] == 2
    trained = Pointer(**VARIANTS["tiny"])  # type: ignore[arg-type]
    trained.load_state_dict(load_file(tmp_path / "run" / "model.safetensors"))
    # Each process read its own batches: alone, the run takes another course.
    train(Pointing(out=tmp_path / "alone", **options(folder)), settings(3, warmup=1), tmp_path / "alone")
    two, one = (
        json.loads((tmp_path / name / "metrics.jsonl").read_text().splitlines()[-1]) for name in ("run", "alone")
    )
    assert two["total"] != one["total"]


@pytest.mark.parametrize(
    ("case", "recipe"), list(zip(CASES, (Pointing, Referring))), ids=lambda one: getattr(one, "name", "")
)
def test_blocks_that_are_computed_again_leave_the_same_gradients(case: Case, recipe: type[Recipe]) -> None:
    def gradients(again: bool) -> dict[str, torch.Tensor]:
        model = case.build().train()
        if again:
            recompute(model, recipe.blocks)
        torch.manual_seed(0)
        torch.stack(list(model.loss(case.batch(model)).values())).sum().backward()  # type: ignore[operator]
        return {name: value.grad for name, value in model.named_parameters() if value.grad is not None}

    kept, again = gradients(False), gradients(True)
    assert recipe.blocks
    for name, value in kept.items():
        torch.testing.assert_close(again[name], value, rtol=1e-4, atol=1e-5)


def test_tensorboard_gets_the_curves(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(Pointing(out=tmp_path, **options(folder)), settings(3, tensorboard=True, pictures_every=3), tmp_path)
    events = EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    assert [event.step for event in events.Scalars("total")] == [1, 2, 3]
    assert events.Tags()["images"] == ["answers"]


def test_without_tensorboard_it_is_said_before_the_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from anypose.recipes.checkpoints import TrainingError

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(TrainingError, match=r"pip install 'anypose\[tensorboard\]'"):
        train(Pointing(out=tmp_path, **options(folder)), settings(3, tensorboard=True), tmp_path)
