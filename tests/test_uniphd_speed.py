"""UniPHD's precisions, devices and compiling: what each gives, and what is said where it cannot be had."""

import importlib.util
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch._dynamo.exc import TorchDynamoException

from anypose import Prompt, zoo
from anypose.models.promptable.uniphd import VARIANTS, UniPHD
from anypose.models.promptable.uniphd.prompts import WordReader
from anypose.nn import eight_bits
from anypose.runtime import torch as runtime
from small_uniphd import NAME, perturbed, save

BENCHMARK = Path(__file__).parent.parent / "benchmarks" / "uniphd.py"
PICTURE = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def tiny() -> UniPHD:
    return perturbed()


@pytest.fixture(scope="module")
def checkpoint(tiny: UniPHD, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tiny, tmp_path_factory.mktemp("authors") / "checkpoint.pth")


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("uniphd_benchmark", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_bfloat16_is_close_where_it_is_allowed(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "has_bfloat16", lambda device: False)
    with pytest.raises(ValueError, match=r"has no bfloat16.*precision='float32'"):
        zoo.load(NAME, weights=checkpoint, precision="bfloat16")
    with pytest.raises(ValueError, match="no precision 'int4'"):
        zoo.load(NAME, weights=checkpoint, precision="int4")
    monkeypatch.setattr(runtime, "has_bfloat16", lambda device: True)  # imitated where the processor has none
    picture = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    whole, half = (
        zoo.load(NAME, weights=checkpoint, precision=precision).encode(picture) for precision in ("float32", "bfloat16")
    )
    apart = np.abs(whole.features["pyramid"] - half.features["pyramid"])
    assert 0 < apart.mean() < 0.1
    assert np.isfinite(half.find(Prompt(points=(40, 30))).keypoints).all()


def test_int8_is_close(checkpoint: Path) -> None:
    whole, small = (zoo.load(NAME, weights=checkpoint, precision=p).encode(PICTURE) for p in ("float32", "int8"))
    scale = np.abs(whole.features["pyramid"]).mean()
    apart = np.abs(whole.features["pyramid"] - small.features["pyramid"]).mean()
    assert 0 < apart < 0.1 * scale
    assert np.isfinite(small.find(Prompt(points=(40, 30))).keypoints).all()


def test_heads_and_places_keep_their_precision() -> None:
    """Every kind of layer that is named is there, and nothing that says where somebody is."""
    model = UniPHD(**VARIANTS["tiny"])
    small = {name for name, module in model.named_modules() if type(module) is torch.nn.Linear}
    assert runtime.prepared(model, "int8") == "float32"
    small -= {name for name, module in model.named_modules() if type(module) is torch.nn.Linear}
    for pattern in UniPHD.EIGHT_BITS:
        assert any(eight_bits.fnmatchcase(name, pattern) for name in small), pattern
    heads = ("offsets", "weights", "score", "box", "pose", "visibility", "two_stage", "mask", "places", "summary")
    assert not [name for name in small if set(heads) & set(name.split("."))]


@pytest.mark.parametrize(
    ("half", "faster", "chosen"),
    [(True, True, "bfloat16"), (False, True, "int8"), (False, False, "float32")],
)
def test_the_fastest_setting_is_what_the_processor_has(
    monkeypatch: pytest.MonkeyPatch, half: bool, faster: bool, chosen: str
) -> None:
    monkeypatch.setattr(runtime, "has_bfloat16", lambda device="cpu": half)
    monkeypatch.setattr(eight_bits, "eight_bits_are_faster", lambda: faster)
    model = UniPHD(**VARIANTS["tiny"])
    assert runtime.prepared(model, "fastest") == ("bfloat16" if half else "float32")
    small = any(isinstance(module, eight_bits.EightBitLinear) for module in model.modules())
    assert small == (chosen == "int8")


def test_what_cannot_be_had_is_said(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"sees no GPU here.*take device='cpu'"):
        zoo.load(NAME, weights=checkpoint, device="cuda")
    with pytest.raises(ValueError, match="no device 'gpu'"):
        zoo.load(NAME, weights=checkpoint, device="gpu")
    with pytest.raises(ValueError, match="Pointer has no parts that are known to bear int8"):
        zoo.load(engine="torch", precision="int8")
    for option in ({"precision": "int8"}, {"device": "cuda"}, {"compiled": True}):
        with pytest.raises(ValueError, match=f"{next(iter(option))}=.*take engine='torch'"):
            zoo.load(engine="onnx", **option)


def test_what_does_not_compile_runs_as_it_is(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []

    def no_compiler(module: Any, mode: str | None) -> Any:
        def fails(*inputs: Any) -> Any:
            raise TorchDynamoException("no C++ compiler")

        modes.append(mode)
        return fails

    monkeypatch.setattr(torch, "compile", no_compiler)
    plain, compiled = (zoo.load(NAME, weights=checkpoint, compiled=c) for c in (False, True))
    assert modes == [None] * 3
    with pytest.warns(UserWarning, match="'encode' was not compiled and runs as it is .no C.. compiler"):
        scene = compiled.encode(PICTURE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is said once
        np.testing.assert_array_equal(compiled.encode(PICTURE).features["pyramid"], scene.features["pyramid"])
    np.testing.assert_array_equal(plain.encode(PICTURE).features["pyramid"], scene.features["pyramid"])


def test_weights_from_a_file_are_not_drawn_before() -> None:
    """The state of the generator shows whether numbers were drawn."""
    before = torch.get_rng_state()
    with runtime.Unfilled():
        WordReader(16, vocabulary=50, positions=9, roberta_width=8, layers=1, heads=2, feedforward=8, dropout=0.0)
        torch.nn.Conv2d(3, 4, 3)
        torch.nn.MultiheadAttention(8, 2)
    assert torch.equal(torch.get_rng_state(), before)
    torch.nn.Linear(3, 3)
    assert not torch.equal(torch.get_rng_state(), before)


def test_the_plain_form_gives_the_same_answer(benchmark: ModuleType) -> None:
    model = benchmark.random_model("tiny")
    wanted = [benchmark.PLAIN, benchmark.FAST, benchmark.FIRST, benchmark.FASTEST]
    todo = benchmark.rows(model, (64, 96), wanted)
    with torch.inference_mode():
        answers = {name: todo[name]() for name in wanted}
        again = todo[benchmark.FAST]()
    assert torch.equal(again, answers[benchmark.FAST])  # the plain form leaves nothing behind
    for name in (benchmark.PLAIN, benchmark.FIRST):
        torch.testing.assert_close(answers[name], answers[benchmark.FAST], atol=1e-3, rtol=0)
    assert answers[benchmark.FASTEST].isfinite().all()


def test_the_row_of_a_gpu_runs_anywhere(benchmark: ModuleType) -> None:
    figures = benchmark.graphics(benchmark.random_model("tiny"), "cpu", batch=2, side=64, runs=1)
    assert figures["pictures a second"] > 0
