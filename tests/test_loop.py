"""Training stops at any moment and goes on as if nothing had happened."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from anypose.pictures import PictureError
from anypose.recipes import experiment as experiments
from anypose.recipes.checkpoints import checkpoints
from anypose.recipes.loop import Settings, TrainingError, rate, train
from conftest import ROOT
from toys import Fitting, settings

STEPS = 21


def curve(out: Path) -> list[tuple[float, ...]]:
    """Step, loss terms and norm of the gradient of every line of the metrics."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [tuple(line[name] for name in ("step", "error", "size", "total", "gradient")) for line in lines]


def weights(model: torch.nn.Module) -> list[float]:
    return [float(value) for tensor in model.state_dict().values() for value in tensor.flatten()]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[tuple[float, ...]], list[float]]:
    out = tmp_path_factory.mktemp("whole")
    model = train(Fitting(), settings(STEPS), out)
    return curve(out), weights(model)


def started(out: Path, *more: str, pause: float = 0.05) -> "subprocess.Popen[str]":
    program = [sys.executable, str(ROOT / "tests" / "toys.py"), str(out), str(STEPS), str(pause), *more]
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )


def wait_for_step(out: Path, step: int, process: "subprocess.Popen[str]") -> None:
    """Until the run in `out` has logged `step`."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        assert process.poll() is None, process.communicate()
        metrics = out / "metrics.jsonl"
        if metrics.exists() and len(metrics.read_text().splitlines()) >= step:
            return
        time.sleep(0.02)
    process.kill()
    raise AssertionError(f"the run never reached step {step}")


def test_it_learns(uninterrupted: tuple[list[tuple[float, ...]], list[float]]) -> None:
    lines, _ = uninterrupted
    assert [line[0] for line in lines] == list(range(1, STEPS + 1))
    assert lines[-1][3] < lines[0][3] / 2


@pytest.mark.parametrize("broken_off_at", [4, 10, 19])
def test_resuming_gives_the_same_curve(
    tmp_path: Path, broken_off_at: int, uninterrupted: tuple[list[tuple[float, ...]], list[float]]
) -> None:
    class Broken(Fitting):
        def step(self, batch: Any) -> Any:
            if int(self.model.state_dict()["seen"]) >= 16 * broken_off_at:
                raise ZeroDivisionError
            return super().step(batch)

    with pytest.raises(ZeroDivisionError):
        train(Broken(), settings(STEPS), tmp_path)
    assert len(curve(tmp_path)) == broken_off_at
    model = train(Fitting(), settings(STEPS), tmp_path, resume=True)
    assert curve(tmp_path) == uninterrupted[0]
    assert weights(model) == uninterrupted[1]


def test_a_run_that_is_killed_thrice_goes_on(
    tmp_path: Path, uninterrupted: tuple[list[tuple[float, ...]], list[float]]
) -> None:
    for step, more in ((2, ()), (9, ("resume",)), (15, ("resume",))):
        process = started(tmp_path, *more)
        wait_for_step(tmp_path, step, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    assert checkpoints(tmp_path)
    model = train(Fitting(), settings(STEPS), tmp_path, resume=True)
    assert curve(tmp_path) == uninterrupted[0]
    assert weights(model) == uninterrupted[1]


def test_ctrl_c_stops_after_the_step_in_hand(
    tmp_path: Path, uninterrupted: tuple[list[tuple[float, ...]], list[float]]
) -> None:
    process = started(tmp_path)
    wait_for_step(tmp_path, 5, process)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in errors
    assert f"of {STEPS}; go on with --resume" in output
    stopped = len(curve(tmp_path))
    assert 5 <= stopped < STEPS
    assert checkpoints(tmp_path)[-1].name == f"step-{stopped:07d}.pt"
    model = train(Fitting(), settings(STEPS), tmp_path, resume=True)
    assert curve(tmp_path) == uninterrupted[0]
    assert weights(model) == uninterrupted[1]


def test_training_leaves_ctrl_c_as_it_was(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    train(Fitting(), settings(2), tmp_path)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"not a number at step 10 .*error nan.*lower learning rate"):
        train(Fitting(broken_at=10), settings(STEPS), tmp_path)
    state = torch.load(checkpoints(tmp_path)[-1], weights_only=True)
    assert state["step"] == 8
    for kept in ("model", "average"):
        assert all(value.isfinite().all() for value in state[kept].values())
    train(Fitting(lr=0.01), settings(STEPS), tmp_path, resume=True)
    assert len(curve(tmp_path)) == STEPS


def test_without_a_checkpoint_none_is_promised(tmp_path: Path) -> None:
    with pytest.raises(TrainingError) as caught:
        train(Fitting(broken_at=0), settings(STEPS), tmp_path)
    assert "last checkpoint" not in str(caught.value)


def test_a_run_is_not_overwritten(tmp_path: Path) -> None:
    train(Fitting(), settings(4), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(TrainingError, match="--resume"):
        train(Fitting(), settings(4), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_finished_run_resumes_to_itself(tmp_path: Path) -> None:
    first = train(Fitting(), settings(6), tmp_path)
    again = train(Fitting(), settings(6), tmp_path, resume=True)
    assert weights(first) == weights(again)
    assert len(curve(tmp_path)) == 6


def test_waiting_for_data_is_said_aloud_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(Fitting(pause=0.03), settings(6), tmp_path)
    assert capsys.readouterr().out.count("of the time is spent waiting for data: give more workers") == 1
    waiting = [json.loads(line)["waiting"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert max(waiting) > 0.5


def test_old_checkpoints_go_and_the_newest_stay(tmp_path: Path) -> None:
    train(Fitting(), settings(12, save_every=2, keep=3), tmp_path)
    assert [path.name for path in checkpoints(tmp_path)] == [f"step-{n:07d}.pt" for n in (8, 10, 12)]
    assert not list(tmp_path.glob("*.partial"))


def test_a_checkpoint_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = torch.save

    def full_disk(state: Any, path: Path) -> None:
        if state["step"] < 8:
            written(state, path)
            return
        Path(path).write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(TrainingError, match=r"step-0000008\.pt \(no space left\); step-0000004\.pt is whole"):
        train(Fitting(), settings(STEPS), tmp_path)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-0000004.pt"]
    assert not list(tmp_path.glob("*.partial"))
    monkeypatch.setattr(torch, "save", written)
    train(Fitting(), settings(STEPS), tmp_path, resume=True)
    assert len(curve(tmp_path)) == STEPS


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    train(Fitting(), settings(8), tmp_path)
    newest = checkpoints(tmp_path)[-1]
    newest.write_bytes(newest.read_bytes()[:300])
    with pytest.raises(TrainingError, match=f"{newest.name}.*cannot be read"):
        train(Fitting(), settings(12), tmp_path, resume=True)
    newest.unlink()
    train(Fitting(), settings(12), tmp_path, resume=True)
    assert len(curve(tmp_path)) == 12


def test_the_rate_rises_and_falls() -> None:
    given = Settings(steps=100, warmup=10, floor=0.1)
    rates = [rate(step, given) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1
    assert all(one >= other for one, other in itertools.pairwise(rates[10:]))
    assert rates[99] == pytest.approx(0.1, abs=0.01)
    assert rate(5, Settings(steps=3, warmup=0)) > 0


def test_the_average_lags_behind(tmp_path: Path) -> None:
    train(Fitting(), settings(STEPS), tmp_path)
    state = torch.load(checkpoints(tmp_path)[-1], weights_only=True)
    assert state["average"]["line.weight"] != state["model"]["line.weight"]
    assert int(state["average"]["seen"]) == 16 * STEPS


def test_other_schedules() -> None:
    def last(**options: Any) -> float:
        return rate(99, Settings(steps=100, warmup=10, floor=0.1, **options))

    assert last(schedule="constant") == 1
    assert last(schedule="linear") == pytest.approx(0.11, abs=1e-6)
    assert last(schedule="drop") == 0.1
    assert rate(69, Settings(steps=100, warmup=10, schedule="drop")) == 1


def test_unknown_options_are_named(tmp_path: Path) -> None:
    for options, words in (
        ({"schedule": "cosin"}, "schedule is 'cosin', expected one of cosine"),
        ({"precision": "half"}, "precision is 'half', expected one of None, float32"),
        ({"recompute": True}, "Fitting does not say which blocks"),
    ):
        with pytest.raises(TrainingError, match=words):
            train(Fitting(), settings(2, **options), tmp_path / "run")
        assert not (tmp_path / "run").exists()


def test_a_loss_that_runs_away_stops_the_run_and_spoils_no_checkpoint(tmp_path: Path) -> None:
    class RunsAway(Fitting):
        def losses(self, batch: Any) -> dict[str, torch.Tensor]:
            terms = super().losses(batch)
            return {**terms, "size": terms["size"] + 1000.0} if int(self.model.state_dict()["seen"]) > 160 else terms

    with pytest.raises(TrainingError, match=r"runs away: .* at step 13.*step-0000010\.pt, is sound"):
        train(RunsAway(), settings(STEPS, save_every=2, log_every=1, keep=9), tmp_path / "a" / "b")
    assert checkpoints(tmp_path / "a" / "b")[-1].name == "step-0000010.pt"
    train(RunsAway(), settings(STEPS, diverge=0.0), tmp_path / "other")
    assert len(curve(tmp_path / "other")) == STEPS


def test_broken_data_end_the_run_with_a_checkpoint(
    tmp_path: Path, uninterrupted: tuple[list[tuple[float, ...]], list[float]]
) -> None:
    class BrokenPicture(Fitting):
        def batches(self, start: int, stride: int = 1) -> Iterator[Any]:
            for number, batch in enumerate(super().batches(start, stride), start):
                if number == 6:
                    raise PictureError("a.jpg is no picture")
                yield batch

    with pytest.raises(TrainingError, match=r"data of step 6 cannot be read: a\.jpg is no picture; .*step-0000006"):
        train(BrokenPicture(), settings(STEPS), tmp_path)
    train(Fitting(), settings(STEPS), tmp_path, resume=True)
    assert curve(tmp_path) == uninterrupted[0]


def test_the_best_checkpoint_is_kept_beside_the_newest(tmp_path: Path) -> None:
    class Judged(Fitting):
        def judge(self) -> dict[str, float]:
            self.asked = [*getattr(self, "asked", []), float(self.model.state_dict()["line.weight"])]
            return {"merit": -abs(len(self.asked) - 2.0)}  # the second is the best

    recipe = Judged()
    train(recipe, settings(STEPS), tmp_path)
    best = torch.load(tmp_path / "best.pt", weights_only=True)
    assert best["step"] == 8
    assert best["figures"] == {"merit": 0.0}
    assert [path.name for path in checkpoints(tmp_path)] == ["step-0000020.pt", "step-0000021.pt"]
    # It is the averaged weights that are judged, and the others that learn on.
    assert recipe.asked[1] == float(best["average"]["line.weight"]) != float(best["model"]["line.weight"])


def test_without_figures_the_lowest_loss_is_the_best(tmp_path: Path) -> None:
    train(Fitting(), settings(STEPS), tmp_path)
    losses = [line[3] for line in curve(tmp_path)]
    means = {step: sum(losses[step - 4 : step]) / 4 for step in (4, 8, 12, 16, 20)} | {21: losses[20]}
    assert torch.load(tmp_path / "best.pt", weights_only=True)["step"] == min(means, key=lambda step: means[step])


def test_accumulated_batches_make_one_step(tmp_path: Path) -> None:
    class Whole(Fitting):
        def batches(self, start: int, stride: int = 1) -> Iterator[Any]:
            halves = super().batches(start, stride)
            while True:
                yield torch.cat((next(halves), next(halves)))

    one = train(Whole(), settings(6), tmp_path / "whole")
    two = train(Fitting(), settings(6, accumulate=2), tmp_path / "halves")
    assert weights(one)[:2] == pytest.approx(weights(two)[:2], abs=1e-6)
    assert torch.load(checkpoints(tmp_path / "halves")[-1], weights_only=True)["batches"] == 12


def test_bfloat16_learns_with_float32_weights(tmp_path: Path) -> None:
    model = train(Fitting(), settings(STEPS, precision="bfloat16"), tmp_path / "low")
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    lines = curve(tmp_path / "low")
    assert lines[-1][3] < lines[0][3] / 2
    train(Fitting(), settings(STEPS), tmp_path / "full")
    assert lines[0][3] != curve(tmp_path / "full")[0][3]
    assert lines[0][3] == pytest.approx(curve(tmp_path / "full")[0][3], rel=0.02)


def test_what_is_computed_again_has_the_same_gradients(tmp_path: Path) -> None:
    calls: list[int] = []

    class Block(torch.nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            calls.append(1)
            return super().forward(x).tanh()

    class Deep(Fitting):
        blocks = (Block,)

        def __init__(self) -> None:
            super().__init__()
            self.model.line = torch.nn.Sequential(Block(1, 8), Block(8, 8), torch.nn.Linear(8, 1))
            self.groups = [{"params": list(self.model.parameters()), "lr": 0.01}]

        def losses(self, batch: Any) -> dict[str, torch.Tensor]:
            error = self.model.get_submodule("line")(batch[:, :1]) - batch[:, 1:]
            return {"error": error.square().mean(), "size": error.new_zeros(())}

    train(Deep(), settings(4), tmp_path / "kept")
    assert len(calls) == 8
    train(Deep(), settings(4, recompute=True), tmp_path / "again")
    assert len(calls) == 8 + 16
    assert curve(tmp_path / "again") == curve(tmp_path / "kept")


def test_the_report_shows_the_run(tmp_path: Path) -> None:
    class Drawing(Fitting):
        def pictures(self) -> list[Any]:
            shade = min(255, int(80 * abs(float(self.model.state_dict()["line.weight"]))))
            return [np.full((20, 30, 3), shade, np.uint8), np.full((24, 30, 3), 255 - shade, np.uint8)]

    train(Drawing(), settings(STEPS, pictures_every=5), tmp_path, about={"seed": 4, "lr": 0.05})
    assert len(list((tmp_path / "pictures").iterdir())) == 5
    text = (tmp_path / "report.html").read_text()
    for words in ("21 of 21", "<td>4</td>", "torch 2", "after step 21", ">gradient<", ">waiting<", "waiting for data"):
        assert words in text
    assert text.count("data:image/jpeg") == 5
    assert "http" not in text.replace("http://www.w3.org", "")


def test_drawing_changes_nothing(tmp_path: Path, uninterrupted: tuple[list[tuple[float, ...]], list[float]]) -> None:
    class Drawing(Fitting):
        def pictures(self) -> list[Any]:
            torch.rand(3), np.random.rand(3)  # noqa: NPY002
            return [np.zeros((4, 4, 3), np.uint8)]

    train(Drawing(), settings(STEPS, pictures_every=2), tmp_path)
    assert curve(tmp_path) == uninterrupted[0]


EXPERIMENT = (
    'recipe = "pointing"\ndata_dir = "d"\npeople = ("{data_dir}/a.json", "{data_dir}")\nwords = "w"\nlr = 1e-3\n'
)


def experiment(folder: Path, text: str = EXPERIMENT) -> Path:
    path = folder / "mine.py"
    path.write_text(text)
    return path


def test_values_are_read_changed_and_filled_in(tmp_path: Path) -> None:
    values = experiments.read(experiment(tmp_path), ["data_dir=/x y", "lr=2e-4", "words=w=1"])
    assert values["people"] == ("/x y/a.json", "/x y")
    assert (values["lr"], values["words"]) == (2e-4, "w=1")


@pytest.mark.parametrize(
    ("text", "changes", "words"),
    [
        (EXPERIMENT, ["lrr=1"], "did you mean 'lr'"),
        (EXPERIMENT, ["lr"], "name=value"),
        (EXPERIMENT + "step = 3\n", [], "did you mean 'steps'"),
        (EXPERIMENT.replace("pointing", "pointin"), [], "no recipe 'pointin'; did you mean 'pointing'"),
        (EXPERIMENT.replace('recipe = "pointing"', ""), [], "recipe"),
        (EXPERIMENT.replace('words = "w"', ""), [], "has to give words"),
        ("recipe = ", [], "is no experiment"),
        (EXPERIMENT + "steps = 9\n", ["steps=abc"], "steps is 'abc', expected a whole number"),
        (EXPERIMENT + "steps = 9\n", ["steps=0"], "steps is 0, expected 1 or more"),
        (EXPERIMENT, ["lr=fast"], "lr is 'fast', expected a number"),
        (EXPERIMENT + "athletes = 3\n", [], "athletes is 3, expected .* or None"),
        (EXPERIMENT + "learn = ('a', 4)\n", [], "learn is"),
    ],
)  # fmt: skip
def test_mistakes_in_experiments_are_named(tmp_path: Path, text: str, changes: list[str], words: str) -> None:
    with pytest.raises(experiments.ExperimentError, match=words):
        experiments.build(experiments.read(experiment(tmp_path, text), changes), tmp_path / "run")


def test_the_command_ends_with_code_2_and_the_nearest_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from anypose.cli import main

    path = experiment(tmp_path)
    for arguments, words in (
        ([str(path), "--set", "lrr=1"], "did you mean 'lr'"),
        ([str(tmp_path / "mime.py")], "did you mean 'mine.py'"),
    ):
        monkeypatch.setattr(sys, "argv", ["anypose", "train", *arguments, "--out", str(tmp_path / "run")])
        with pytest.raises(SystemExit) as caught:
            main()
        assert caught.value.code == 2
        errors = capsys.readouterr().err
        assert words in errors
        assert len(errors.splitlines()) == 1
    assert not (tmp_path / "run").exists()
