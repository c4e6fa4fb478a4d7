"""UniPHD beyond the generic tests and parity: files, questions, options and what is said when something is wrong."""

import argparse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

import anypose
from anypose import Prompt, zoo
from anypose.models.promptable.uniphd import VARIANTS, UniPHD, authors
from anypose.models.promptable.uniphd.answers import calibration, found, found_in, ranked
from anypose.models.promptable.uniphd.losses import PERSON, Losses
from anypose.models.promptable.uniphd.matching import assign
from anypose.models.promptable.uniphd.prompts import Prompts
from anypose.models.promptable.uniphd.queries import mlp
from anypose.nn.deformable import DeformableAttention
from anypose.nn.dynamic_masks import dynamic_masks, dynamic_sizes
from anypose.prompt import PromptError
from anypose.referring import ReferringPredictor, ReferringScene, middle_line
from cases.promptable import tiny_uniphd, uniphd_batch

EXAMPLES = Path(anypose.__file__).parent / "examples"
NAME = "promptable/uniphd"


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Networks this small lose time in handing work around."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def tiny() -> UniPHD:
    model = tiny_uniphd().eval()
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.randn_like(value) * 0.02)
        for layer in model.decoder.layers:
            layer.edges.normal_()  # type: ignore[operator]
    return model


@pytest.fixture(scope="module")
def checkpoint(tiny: UniPHD, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the authors save it: a Namespace beside the weights, and a buffer of older transformers among them."""
    path = tmp_path_factory.mktemp("authors") / "checkpoint.pth"
    torch.save({"model": authors_state(tiny), "epoch": 19, "args": argparse.Namespace(lr=1e-4, names=["a"])}, path)
    return path


def authors_state(model: UniPHD) -> dict[str, Tensor]:
    return authors(model.state_dict()) | {"text_encoder.text_backbone.embeddings.position_ids": torch.arange(40)[None]}


class Letters:
    """A tokenizer that needs no vocabulary: a piece a word, between a first and a last."""

    class Encoding:
        def __init__(self, text: str) -> None:
            self.ids = [0, *(3 + sum(map(ord, word)) % 100 for word in text.split()), 2]

    def encode(self, text: str) -> Any:
        return self.Encoding(text)


@pytest.fixture(scope="module")
def predictor(checkpoint: Path) -> ReferringPredictor:
    loaded = zoo.load(NAME, weights=checkpoint)
    assert isinstance(loaded, ReferringPredictor)
    loaded._tokenizer = Letters()
    return loaded


@pytest.fixture(scope="module")
def scene(predictor: ReferringPredictor) -> ReferringScene:
    return predictor.encode(EXAMPLES / "group.jpg")


# Files


def test_the_authors_file_is_loaded_and_says_its_variant(checkpoint: Path, tiny: UniPHD) -> None:
    model = zoo.create(NAME, checkpoint)
    assert model.variant == "tiny"
    for key, value in tiny.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key


def test_a_predictor_says_its_variant(predictor: ReferringPredictor) -> None:
    assert predictor.variant == "tiny"
    assert predictor.name == NAME


def wrong(change: Callable[[dict[str, Tensor]], Any]) -> Callable[[UniPHD], dict[str, Any]]:
    def saved(model: UniPHD) -> dict[str, Any]:
        state = authors_state(model)
        change(state)
        return {"model": state}

    return saved


class Program:
    def __reduce__(self) -> Any:
        return print, ("a program ran",)


@pytest.mark.parametrize(
    ("saved", "said"),
    [
        (wrong(lambda s: s.pop("class_embed.0.bias")), r"'class_embed\.0\.bias' is missing"),
        (wrong(lambda s: s.update(extra=torch.zeros(1))), "'extra' is too many"),
        (wrong(lambda s: s.update({"class_embed.1.bias": torch.zeros(3)})), r"shape \(3,\) where \(2,\) is needed"),
        (wrong(lambda s: s.update({"transformer.decoder.class_embed.0.bias": torch.ones(2)})), "the two are one"),
        (lambda model: {"weights": 3}, "holds no weights under the name 'model'"),
        (lambda model: {"model": {}, "x": Program()}, "can run as a program"),
    ],
)
def test_a_file_that_does_not_fit_names_what_differs(
    tiny: UniPHD, tmp_path: Path, saved: Callable[[UniPHD], Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(saved(tiny), tmp_path / "wrong.pth")
    with pytest.raises(ValueError, match=said):
        zoo.create(NAME, tmp_path / "wrong.pth")
    assert "a program ran" not in capsys.readouterr().out


def test_another_variant_is_refused(checkpoint: Path) -> None:
    with pytest.raises(ValueError, match=r"does not fit UniPHD swin-t: 'backbone\.0\."):
        zoo.create(NAME + "/swin-t", checkpoint)
    with pytest.raises(ValueError, match=r"no variant 'swin-x'.*swin-t, swin-b, swin-l, tiny"):
        zoo.create(NAME + "/swin-x")


@pytest.mark.parametrize("keep", [0, 300, 0.5, 0.999])
def test_a_truncated_file_is_refused(checkpoint: Path, tmp_path: Path, keep: float) -> None:
    whole = checkpoint.read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: int(keep if keep > 1 else keep * len(whole))])
    with pytest.raises(ValueError, match=r"not a whole checkpoint.*download it again"):
        zoo.create(NAME, tmp_path / "cut.pth")


def test_there_are_no_weights_in_the_package() -> None:
    with pytest.raises(FileNotFoundError, match=r"comes without weights: give weights=FILE"):
        zoo.load(NAME)


# Questions


def test_every_kind_of_prompt_is_answered(scene: ReferringScene) -> None:
    height, width = scene.size
    x, y = width / 2, height / 2
    mask = np.zeros(scene.size, bool)
    mask[100:300, 200:400] = True
    prompts = [
        Prompt(points=(x, y)),
        Prompt(text="the woman in red", name="Ann"),
        Prompt(scribble=[(x, y), (x + 30, y + 60)]),
        Prompt(box=(10, 10, 300, 500)),
        Prompt(mask=mask),
    ]
    people = scene.find(prompts)
    assert [len(found) for found in people] == [1] * 5
    assert people[1].names == ("Ann",)
    for one in people:
        assert one.size == scene.size
        assert one.masks is not None
        assert one.masks.bitmap(0).shape == scene.size
        assert np.isfinite(one.keypoints).all()
        assert ((one.confidence > 0) & (one.confidence < 1)).all()


def test_prompts_may_come_from_a_generator_and_words_are_no_prompt(scene: ReferringScene) -> None:
    asked: Any = (Prompt(points=(x, 20)) for x in (20, 30))
    assert [len(people) for people in scene.find(asked)] == [1, 1]
    wrong: Any = "the man"
    with pytest.raises(TypeError, match=r"write find\(Prompt\(text='the man'\)\)"):
        scene.find(wrong)


def test_a_scene_keeps_its_picture(predictor: ReferringPredictor) -> None:
    pixels = np.full((48, 64, 3), 90, np.uint8)
    scene = predictor.encode(pixels)
    pixels[:] = 0
    assert scene.picture.all()


def test_prompts_in_a_batch_are_answered_as_alone(scene: ReferringScene) -> None:
    prompts = [
        Prompt(points=(300, 200)),
        Prompt(text="a man"),
        Prompt(box=(20, 50, 200, 400)),
        Prompt(text="one two 3"),
    ]
    for prompt, together in zip(prompts, scene.find(prompts, candidates=3)):
        alone = scene.find(prompt, candidates=3)
        assert len(alone) == 3
        np.testing.assert_allclose(together.scores, alone.scores, atol=1e-6)
        np.testing.assert_allclose(together.keypoints, alone.keypoints, atol=1e-2)


def test_the_best_candidate_is_the_answer(scene: ReferringScene) -> None:
    one, three = (scene.find(Prompt(points=(300, 200)), candidates=k) for k in (1, 3))
    assert (np.diff(three.scores) <= 0).all()
    np.testing.assert_allclose(one.keypoints[0], three.keypoints[0], atol=1e-3)
    assert one.masks is not None
    assert three.masks is not None
    assert (one.masks.bitmap(0) != three.masks.bitmap(0)).mean() < 1e-4


@pytest.mark.parametrize("size", [(1, 1), (700, 9), (40, 17), (333, 500)])
def test_odd_pictures_are_answered(predictor: ReferringPredictor, size: tuple[int, int]) -> None:
    scene = predictor.encode(np.full((*size, 3), 90, np.uint8))
    found = scene.find(Prompt(points=(size[1] / 2, size[0] / 2)))
    assert found.size == size
    assert (found.boxes >= 0).all()


class NoWork:
    """An engine that must not be asked to run."""

    def run(self, graph: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        raise AssertionError("worked")

    def sides(self, graph: str, name: str) -> tuple[int | None, ...]:
        raise AssertionError("worked")


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: Prompt(points=(61, 5)), r"\(61, 5\) lies outside the picture of 60 x 40"),
        (lambda: Prompt(text="  "), "text is empty"),
        (lambda: Prompt(scribble=[(3, 4)]), "two places or more"),
        (lambda: Prompt(text="word " * 600), "602 word pieces; promptable/uniphd reads at most 512: shorten it"),
        (lambda: Prompt(), "say or show who is meant"),
        (lambda: Prompt(text="a man", points=(5, 5)), "words or places, not both"),
        (lambda: Prompt(points=[(5, 5), (9, 9)], labels=[1, 0]), "knows no points that are not on the person"),
    ],
)
def test_bad_prompts_are_refused_before_any_work(ask: Callable[[], Prompt], said: str) -> None:
    predictor = ReferringPredictor(NAME, NoWork(), Path("nowhere"))
    predictor._tokenizer = Letters()
    scene = ReferringScene(predictor, np.zeros((40, 60, 3), np.uint8), np.array([[1.0, 0, 0], [0, 1, 0]]), {})
    with pytest.raises(PromptError, match=said):
        scene.find(ask())
    if "60 x 40" not in said:  # what is wrong in any picture is refused before the picture is encoded
        with pytest.raises(PromptError, match=said):
            predictor.find(np.zeros((40, 60, 3), np.uint8), ask())


def test_long_text_is_cut_on_demand(checkpoint: Path) -> None:
    predictor = zoo.load(NAME, weights=checkpoint, long_text="cut")
    predictor._tokenizer = Letters()
    found = predictor.encode(np.zeros((64, 64, 3), np.uint8)).find(Prompt(text="word " * 600))
    assert len(found) == 1
    assert "602 word pieces" in str(found.reason)


def test_words_without_a_tokenizer_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def offline(*arguments: Any) -> str:
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    predictor = ReferringPredictor(NAME, NoWork(), Path("nowhere/tokenizer.json"))
    with pytest.raises(PromptError, match=r"RoBERTa's tokenizer\.json.*put it there, or connect once"):
        predictor.find(np.zeros((40, 60, 3), np.uint8), Prompt(text="a man"))


def test_a_box_is_read_on_its_middle_line() -> None:
    upright = middle_line(np.array([10.0, 20, 30, 100]))
    assert upright.shape == (12, 2)
    assert (upright[:, 0] == 20).all()
    np.testing.assert_allclose(upright[[0, -1], 1], [30, 90])
    assert (middle_line(np.array([0.0, 0, 80, 20]))[:, 1] == 10).all()


# Presence


def test_calibration_tells_nobody_from_somebody() -> None:
    random = torch.Generator().manual_seed(0)
    meant = torch.rand(4000, generator=random) < 0.5
    logits = torch.where(meant, -1.0, -3.0) + torch.randn(4000, generator=random)
    slope, intercept = calibration(logits, meant)
    # For two normal distributions of one width the truth is known: 2 (x + 2).
    assert abs(slope - 2) < 0.2
    assert abs(intercept - 4) < 0.4
    with pytest.raises(ValueError, match="prompts that mean nobody"):
        calibration(logits, torch.ones_like(meant))


def test_a_calibrated_model_can_answer_with_nobody(checkpoint: Path) -> None:
    from anypose.models.promptable.uniphd.graphs import graphs
    from anypose.runtime.torch import TorchEngine

    model = zoo.create(NAME, checkpoint).eval()
    prompt, picture = Prompt(points=(30, 30)), np.full((64, 64, 3), 90, np.uint8)
    answers = []
    for intercept in (0.0, -30.0, 30.0):
        model.calibration[1] = intercept
        answers.append(ReferringPredictor(NAME, TorchEngine(graphs(model)), Path("none")).find(picture, prompt))
    assert [len(found) for found in answers] == [1, 0, 1]
    assert "nobody here is under that point" in str(answers[1].reason)


# Precision


def test_bfloat16_is_close_where_it_is_allowed(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from anypose.runtime import torch as runtime

    monkeypatch.setattr(runtime, "has_bfloat16", lambda: False)
    with pytest.raises(ValueError, match=r"has no bfloat16.*precision='float32'"):
        zoo.load(NAME, weights=checkpoint, precision="bfloat16")
    with pytest.raises(ValueError, match="no precision 'int4'"):
        zoo.load(NAME, weights=checkpoint, precision="int4")
    monkeypatch.setattr(runtime, "has_bfloat16", lambda: True)  # imitated where the processor has none
    picture = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    whole, half = (
        zoo.load(NAME, weights=checkpoint, precision=precision).encode(picture) for precision in ("float32", "bfloat16")
    )
    apart = np.abs(whole.features["pyramid"] - half.features["pyramid"])
    assert 0 < apart.mean() < 0.1
    assert np.isfinite(half.find(Prompt(points=(40, 30))).keypoints).all()


# Options


OPTIONS: list[dict[str, Any]] = [
    {"pose_head": False},
    {"mask_head": False},
    {"within": "none"},
    {"within": "attention"},
    {"query_initialisation": False},
    {"groups": 5},
    {"groups": 10},
    {"groups": 20},
    {"width": 96},
    {"encoder_layers": 2},
    {"position_leak": False},
    {"padding_too": False},
    {"prompt_sampling": "centres"},
    {"pad_together": True},
    {"dead_class": True},
    {"isotropic_oks": False},
    {"visibility_halved_again": True},
]
# What an ablation leaves without use.
UNUSED = {
    "mask_head": ("backbone.model.hidden_states_norms.stage1.",),
    "query_initialisation": ("words.roberta.pooler.", "words.summary.", "places.summary."),
}


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(f"{k}={v}" for k, v in options.items()))
def test_ablations_and_quirks_train_and_answer(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = UniPHD(**{**VARIANTS["tiny"], "dropout": 0.0, "drop_path": 0.0, "pad_together": False, **options})
    batch = uniphd_batch(model)
    losses = model.loss(batch)
    assert all(value.isfinite() for value in losses.values())
    names = {name.split(".")[-1] for name in losses}
    assert ("keypoints" in names) == options.get("pose_head", True)
    assert ("mask" in names) == options.get("mask_head", True)
    torch.stack(list(losses.values())).sum().backward()
    missing = [name for name, value in model.named_parameters() if value.grad is None]
    unused = UNUSED.get(next(iter(options)), ())
    assert all(name.startswith(unused) for name in missing) if unused else not missing
    with torch.no_grad():
        answer = found_in(model.eval(), batch.pictures, batch.sizes, batch.prompts, torch.arange(2))
    assert all(value.isfinite().all() for value in answer)


@pytest.mark.parametrize(
    "options", [{"position_leak": False}, {"prompt_sampling": "centres"}, {"within": "attention"}], ids=str
)
def test_options_change_the_answer_from_the_same_weights(tiny: UniPHD, options: dict[str, Any]) -> None:
    other = UniPHD(**{**VARIANTS["tiny"], "pad_together": False, **options}).eval()
    other.load_state_dict({key: value for key, value in tiny.state_dict().items() if key in other.state_dict()})
    batch = uniphd_batch(tiny)
    with torch.no_grad():
        one, two = (
            found_in(model, batch.pictures, batch.sizes, batch.prompts, torch.arange(1)) for model in (tiny, other)
        )
    assert (one.keypoints - two.keypoints).abs().max() > 1e-3


def test_what_padding_changes(tiny: UniPHD) -> None:
    """The smaller picture beside the larger one, and alone: the same only where pictures are taken apart."""
    batch = uniphd_batch(tiny)
    alone, rows = batch.prompts.about(torch.tensor([1]))
    height, width = batch.sizes[1].tolist()

    def apart() -> float:
        with torch.no_grad():
            both = found_in(tiny, batch.pictures, batch.sizes, batch.prompts, torch.arange(1))
            one = found_in(tiny, batch.pictures[1:, :, :height, :width], batch.sizes[1:], alone, torch.arange(1))
        return float((both.keypoints[rows] - one.keypoints).abs().max())

    assert apart() < 1e-3
    tiny.pad_together = True
    try:
        assert apart() > 1e-2
    finally:
        tiny.pad_together = False


def test_padding_is_chosen_only_when_asked(tiny: UniPHD) -> None:
    batch = uniphd_batch(tiny)
    with torch.no_grad():
        seen = tiny.encode(batch.pictures, batch.sizes)
        shut = seen.ground.of(batch.prompts.pictures).padding
        tiny.two_stage.padding_too = False
        choice = tiny.ask(seen, batch.prompts).choice
        tiny.two_stage.padding_too = True
    assert not shut.gather(1, choice.top).any()
    assert choice.references.isfinite().all()


def test_the_dead_class_can_rank_first_only_when_asked() -> None:
    scores = torch.full((1, 3, 2), -3.0)
    scores[0, 1, 1 - PERSON], scores[0, 2, PERSON] = 2.0, 1.0
    assert ranked(scores, dead_class=True)[1][0, 0] == 1
    best, groups = ranked(scores, dead_class=False)
    assert groups[0, 0] == 2
    assert float(best[0, 0]) == pytest.approx(1 / (1 + np.exp(-1)))


def test_loss_weights_can_be_set_and_misspelt_ones_are_named(tiny: UniPHD) -> None:
    batch = uniphd_batch(tiny)
    options = {"isotropic_oks": True, "visibility_halved_again": False}
    with torch.no_grad():
        plain = Losses(None, None, **options)(tiny, batch)
        without = Losses({"dice": 0}, {"mask": 0, "dice": 0}, **options)(tiny, batch)
    assert float(plain["dice"]) > 0
    assert float(without["dice"]) == 0
    with pytest.raises(ValueError, match="no loss 'dise'; there are class, box"):
        Losses({"dise": 1}, None, **options)
    with pytest.raises(ValueError, match="no cost 'maks'"):
        Losses(None, {"maks": 1}, **options)


def test_who_means_nobody_trains_the_class_alone(tiny: UniPHD) -> None:
    batch = uniphd_batch(tiny)
    with torch.no_grad():
        first = tiny.losses.terms(tiny, batch)
        moved = batch._replace(boxes=torch.where(batch.present[:, None], batch.boxes, 0.9))
        second = tiny.losses.terms(tiny, moved)
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, msg=name)


def test_an_isotropic_loss_does_not_know_the_pictures_shape(tiny: UniPHD) -> None:
    """A keypoint ten pixels off costs the same to the side and upwards, whatever the picture's shape."""
    batch = uniphd_batch(tiny)
    sizes = batch.sizes[batch.prompts.pictures].float()

    def cost(axis: int, isotropic: bool) -> Tensor:
        losses = Losses(None, None, isotropic_oks=isotropic, visibility_halved_again=False)
        step = torch.zeros(2)
        step[axis] = 10.0
        off = batch.keypoints + step / sizes.flip(-1)[:, None]
        return losses._pose(off[:, None], batch)["oks"]

    torch.testing.assert_close(cost(0, True), cost(1, True), atol=1e-5, rtol=1e-5)
    assert (cost(0, False) - cost(1, False)).abs().max() > 1e-3


def test_the_cheapest_pairs() -> None:
    costs = torch.tensor([[[4.0, 1.0], [2.0, 0.5], [3.0, 9.0]]])
    assert assign(costs).tolist() == [[1, 0]]
    assert assign(costs[..., :1]).tolist() == [[1]]


# Layers


@settings(max_examples=15, deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=3),
    seed=st.integers(0, 1000),
    far=st.sampled_from([0.5, 30.0]),
)
def test_both_ways_of_reading_a_pyramid_agree(shapes: list[tuple[int, int]], seed: int, far: float) -> None:
    torch.manual_seed(seed)
    attention = DeformableAttention(16, heads=2, levels=len(shapes), points=3)
    torch.nn.init.normal_(attention.offsets.weight, std=far)
    cells = sum(h * w for h, w in shapes)
    memory, query = torch.randn(2, cells, 16), torch.randn(2, 5, 16)
    reference = torch.rand(2, 5, len(shapes), 2) * 1.4 - 0.2
    padding = torch.rand(2, cells) < 0.2
    found = []
    with torch.no_grad():
        for attention.sampling in ("grid", "rows", "auto"):
            found.append(attention(query, reference, memory, shapes, padding))
    torch.testing.assert_close(found[1], found[0], atol=1e-4, rtol=1e-4)
    assert torch.equal(found[2], found[1])


def test_dynamic_masks_are_two_convolutions() -> None:
    torch.manual_seed(0)
    features, offsets = torch.randn(1, 5, 3, 4), torch.randn(1, 1, 2, 3, 4)
    parameters = torch.randn(1, 1, sum(dynamic_sizes(5, 6)))
    first, second, first_bias, second_bias = parameters[0, 0].split(dynamic_sizes(5, 6))
    seen = torch.cat((features, offsets[:, 0]), 1)
    seen = torch.nn.functional.conv2d(seen, first.view(6, 7, 1, 1), first_bias).relu()
    expected = torch.nn.functional.conv2d(seen, second.view(6, 6, 1, 1), second_bias)
    torch.testing.assert_close(dynamic_masks(features, offsets, parameters, 6)[0], expected)


def test_an_mlp_ends_without_an_activation() -> None:
    assert [type(layer).__name__ for layer in mlp(2, 3, 1)] == ["Linear", "ReLU", "Linear"]


def test_only_the_masks_that_are_asked_for_are_computed(tiny: UniPHD) -> None:
    batch = uniphd_batch(tiny)
    sizes: list[int] = []
    assert tiny.mask is not None
    handle = tiny.mask.quarter.register_forward_hook(lambda module, given, out: sizes.append(out.shape[1]))
    with torch.no_grad():
        seen = tiny.encode(batch.pictures, batch.sizes)
        prompts = Prompts.from_places(batch.prompts.places[:1])
        found(tiny, seen, prompts, tiny.ask(seen, prompts), torch.arange(1))
    handle.remove()
    assert sizes == [1]
