"""Several processes, and several machines on one, learn what one process learns."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from anypose.recipes.checkpoints import checkpoints
from anypose.recipes.loop import train
from conftest import ROOT
from toys import Fitting, settings

STEPS = 9
TOYS = str(ROOT / "tests" / "toys.py")


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def launch(options: list[str], program: list[str], port: int) -> "subprocess.Popen[str]":
    """`accelerate launch` on processors, by the environment: its own switch for them starts one process."""
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--main_process_port", str(port)]
    command += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_ip", "127.0.0.1"]
    return subprocess.Popen(
        [*command, *options, *program],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
    )


def ended(process: "subprocess.Popen[str]") -> str:
    try:
        output, _ = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, output
    return output


def lines(out: Path) -> list[list[float]]:
    read = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [[line[name] for name in ("step", "error", "size", "total", "gradient")] for line in read]


def whole(out: Path) -> Path:
    """The same training in this process alone."""
    train(Fitting(noted=out.parent / "gradients.pt"), settings(STEPS), out)
    return out


def test_two_processes_with_half_the_batch_each_have_the_gradients_of_one(tmp_path: Path) -> None:
    alone = whole(tmp_path / "alone")
    options = ["--num_processes", "2", "--num_machines", "1"]
    output = ended(launch(options, [TOYS, str(tmp_path / "two"), str(STEPS), "0", "halves"], free_port()))
    assert output.count(f"step {STEPS} of {STEPS}") == 1  # one of them speaks
    one = torch.load(tmp_path / "gradients.pt", weights_only=True)
    for rank in (0, 1):
        two = torch.load(tmp_path / f"gradients-{rank}.pt", weights_only=True)
        for name, value in one.items():
            torch.testing.assert_close(two[name], value, rtol=0, atol=1e-5)
    assert lines(tmp_path / "two") == [pytest.approx(line, abs=1e-5) for line in lines(alone)]

    # Two began it, one goes on: the batches that are used up stay used up.
    newest = checkpoints(tmp_path / "two")[-1]
    state = torch.load(newest, weights_only=True)
    assert state["batches"] == 2 * STEPS
    assert len(state["random"]) == 2
    newest.unlink()
    train(Fitting(halves=True), settings(STEPS, accumulate=2), tmp_path / "two", resume=True)
    assert lines(tmp_path / "two") == [pytest.approx(line, abs=1e-5) for line in lines(alone)]


def test_two_machines_train_together(tmp_path: Path) -> None:
    alone = whole(tmp_path / "alone")
    port = free_port()
    program = [TOYS, str(tmp_path / "two"), str(STEPS), "0", "halves"]
    machines = [
        launch(["--num_processes", "2", "--num_machines", "2", "--machine_rank", str(rank)], program, port)
        for rank in (0, 1)
    ]
    first, second = (ended(machine) for machine in machines)
    assert f"step {STEPS} of {STEPS}" in first
    assert "step" not in second
    assert lines(tmp_path / "two") == [pytest.approx(line, abs=1e-5) for line in lines(alone)]
    assert (tmp_path / "two" / "model.safetensors").exists()
    assert '"processes": 2' in (tmp_path / "two" / "about.json").read_text()


SHARDED = """
import sys
import torch
from torch.distributed.fsdp import fully_shard
from anypose.recipes import sharded

torch.distributed.init_process_group("gloo")

def made(seed):
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    for part in (model[0], model[2], model):
        fully_shard(part)
    return model, torch.optim.AdamW([{"params": list(model.parameters()), "lr": 0.1}])

def learn(model, optimiser, steps):
    for _ in range(steps):
        optimiser.zero_grad()
        model(torch.linspace(-1, 1, 12).view(4, 3)).square().mean().backward()
        optimiser.step()

first, moments = made(1)
learn(first, moments, 3)
model, optimiser = sharded.states(first, moments)
if torch.distributed.get_rank() == 0:
    assert model["0.weight"].shape == (8, 3) and type(model["0.weight"]) is torch.Tensor
    torch.save({"model": model, "optimiser": optimiser}, sys.argv[1])
torch.distributed.barrier()
kept = torch.load(sys.argv[1], weights_only=True)
second, others = made(2)
sharded.restore(second, others, kept["model"], kept["optimiser"])
third = made(3)[0].state_dict()
for name, value in kept["model"].items():
    sharded.fill(third[name], value)
    assert torch.equal(sharded.gathered(third[name]), value), name
learn(first, moments, 2), learn(second, others, 2)
for one, other in zip(first.parameters(), second.parameters()):
    assert torch.equal(sharded.gathered(one.detach()), sharded.gathered(other.detach()))
print("equal")
"""


def test_weights_in_parts_are_kept_whole_and_given_back(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(SHARDED)
    options = ["--num_processes", "2", "--num_machines", "1"]
    output = ended(launch(options, [str(program), str(tmp_path / "state.pt")], free_port()))
    assert output.count("equal") == 2
