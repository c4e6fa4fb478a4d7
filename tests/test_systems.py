"""What every system owes: the generic tests, one run for each line of cases.py."""

from pathlib import Path

import numpy as np
import pytest
import torch

from anypose.runtime.export import export
from anypose.runtime.onnx import OnnxEngine
from anypose.runtime.torch import TorchEngine
from anypose.zoo import systems
from cases import CASES, Case


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


pytestmark = pytest.mark.usefixtures("one_thread")


def test_no_system_is_left_out(case: Case) -> None:
    assert case.name in systems()
    assert {case.name for case in CASES} == set(systems())


def test_shapes_and_finite(case: Case) -> None:
    model = case.build().eval()
    batch = case.batch(model)
    with torch.no_grad():
        answer = case.answer(model, batch)
    assert {name: tuple(value.shape) for name, value in answer.items()} == case.shapes(batch)
    for name, value in answer.items():
        assert value.isfinite().all(), name


def test_eval_is_deterministic(case: Case) -> None:
    model = case.build().eval()
    batch = case.batch(model)
    with torch.no_grad():
        first, again = case.answer(model, batch), case.answer(model, batch)
    for name in first:
        assert torch.equal(first[name], again[name]), name


def test_building_twice_with_one_seed_gives_one_model(case: Case) -> None:
    one, other = case.build().state_dict(), case.build().state_dict()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_batch_equals_its_rows(case: Case) -> None:
    model = case.build().eval()
    batch = case.batch(model)
    with torch.no_grad():
        whole = case.answer(model, batch)
        rows = [case.answer(model, row) for row in case.rows(batch)]
    assert len(rows) > 1
    for name, value in whole.items():
        apart = torch.cat([row[name] for row in rows])
        torch.testing.assert_close(apart, value, atol=1e-4, rtol=1e-4, msg=f"{name} differs")


def test_a_gradient_reaches_every_parameter(case: Case) -> None:
    model = case.build().train()
    batch = case.batch(model)
    torch.manual_seed(0)
    with torch.no_grad():
        for value in model.parameters():
            if not value.any():  # layers that start at zero hide those before them for one step
                value.normal_(0, 0.05)
    torch.stack(list(model.loss(batch).values())).sum().backward()  # type: ignore[operator]
    for name, value in model.named_parameters():
        if value.requires_grad and not name.endswith(tuple(case.exempt)):
            assert value.grad is not None, f"{name} has no gradient"
            assert value.grad.abs().max() > 1e-9, f"no gradient reaches {name}"
            assert value.grad.isfinite().all(), f"the gradient of {name} is not finite"


def test_state_survives_a_strict_round_trip(case: Case, tmp_path: Path) -> None:
    model = case.build().eval()
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.randn_like(value) * 0.01)
    torch.save(model.state_dict(), tmp_path / "state.pt")
    other = case.build().eval()
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True), strict=True)
    batch = case.batch(model)
    with torch.no_grad():
        one, two = case.answer(model, batch), case.answer(other, batch)
    for name in one:
        assert torch.equal(one[name], two[name]), name


def test_thirty_steps_halve_the_loss(case: Case) -> None:
    model = case.build().train()
    batch = case.batch(model)
    optimiser = torch.optim.AdamW(model.parameters(), lr=case.rate)
    totals = []
    for _ in range(31):
        losses = model.loss(batch)  # type: ignore[operator]
        assert all(value.isfinite() for value in losses.values()), losses
        total = torch.stack(list(losses.values())).sum()
        totals.append(float(total.detach()))
        optimiser.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 20)
        optimiser.step()
    assert totals[30] < totals[0] * case.left


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, case: Case) -> tuple[TorchEngine, OnnxEngine, Path]:
    if case.graphs is None:
        pytest.skip(f"the contract of {case.name} exports nothing")
    model = case.build().eval()
    with torch.no_grad():
        for value in model.state_dict().values():
            if value.is_floating_point():
                value.copy_(value.half())
    graphs = case.graphs(model)
    folder = tmp_path_factory.mktemp("exported")
    export(graphs, folder)
    return TorchEngine(graphs), OnnxEngine(folder, list(graphs), threads=1), folder


@pytest.mark.parametrize("seed", range(3))
def test_exports_agree_with_the_system(case: Case, exported: tuple[TorchEngine, OnnxEngine, Path], seed: int) -> None:
    with_torch, with_onnx, _ = exported
    assert case.runs is not None
    for graph, inputs in case.runs(with_torch.run, seed):
        expected, found = with_torch.run(graph, inputs), with_onnx.run(graph, inputs)
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            assert found[name].shape == value.shape, f"{graph}: {name}"
            assert found[name].dtype == value.dtype, f"{graph}: {name}"
            scale = max(1.0, float(np.abs(np.where(value <= -1e4, 0, value)).max()))
            np.testing.assert_allclose(found[name] / scale, value / scale, atol=1e-4, err_msg=f"{graph}: {name}")


def test_exports_are_whole_and_leave_nothing_else(case: Case, exported: tuple[TorchEngine, OnnxEngine, Path]) -> None:
    _, engine, folder = exported
    assert case.graphs is not None
    names = {path.name for path in folder.iterdir()}
    assert names == {f"{name}.onnx" for name in case.graphs(case.build())}
    with pytest.raises(KeyError):
        engine.run("no such graph", {})
    with pytest.raises(KeyError):
        engine.run(next(iter(case.graphs(case.build()))), {})
