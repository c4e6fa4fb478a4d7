"""UniPHD beyond the generic tests and parity: files, questions, options and what is said when something is wrong."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from typer.testing import CliRunner

import anypose
from anypose import Prompt, zoo
from anypose.cli import app
from anypose.models.promptable.uniphd import UniPHD
from anypose.models.promptable.uniphd.answers import calibration
from anypose.prompt import PromptError
from anypose.referring import ReferringPredictor, ReferringScene, middle_line
from anypose.runtime import SizedEngine
from small_uniphd import NAME, Letters, authors_state, perturbed, save

EXAMPLES = Path(anypose.__file__).parent / "examples"


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def tiny() -> UniPHD:
    return perturbed()


@pytest.fixture(scope="module")
def checkpoint(tiny: UniPHD, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tiny, tmp_path_factory.mktemp("authors") / "checkpoint.pth")


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


class NoWork(SizedEngine):
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
        (
            lambda: Prompt(text="word " * 600),
            "602 word pieces or more; promptable/uniphd reads at most 512: shorten it",
        ),
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
    with pytest.raises(PromptError, match=said):
        predictor.find(np.zeros((40, 60, 3), np.uint8), ask())


def test_text_of_few_long_words_is_counted_in_pieces() -> None:
    predictor = ReferringPredictor(NAME, NoWork(), Path("nowhere"), words=4)
    predictor._tokenizer = Letters()
    assert predictor._check(Prompt(text="a man"))[1] is None

    class Pieces(Letters):
        def encode(self, text: str) -> Any:
            return self.Encoding(" ".join(text))

    predictor._tokenizer = Pieces()
    with pytest.raises(PromptError, match="7 word pieces; promptable/uniphd reads at most 4: shorten it"):
        predictor._check(Prompt(text="tower"))


def test_find_takes_weights_and_says_what_is_wrong(checkpoint: Path, tmp_path: Path) -> None:
    picture = str(EXAMPLES / "group.jpg")
    (tmp_path / "cut.pth").write_bytes(checkpoint.read_bytes()[:5000])

    def answered(weights: Path, *asked: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["find", picture, "--model", NAME, "--weights", str(weights), *asked])
        return done.exit_code, " ".join((done.stdout + done.stderr).split())

    code, said = answered(checkpoint, "--point", "30,30")
    assert code == 0
    assert "a person" in said
    for weights, asked, expected in (
        (tmp_path / "cut.pth", ["--point", "30,30"], "is not a whole checkpoint"),
        (tmp_path / "none.pth", ["--point", "30,30"], "none.pth is not there"),
        (checkpoint, ["--point", "9999,5"], "lies outside the picture of 1040 x 512"),
        (checkpoint, ["--scribble", "5,5"], "a scribble is a line of two places or more"),
        (checkpoint, ["--text", ""], "text is empty"),
        (checkpoint, ["--text", "word " * 600], "shorten it"),
    ):
        code, said = answered(weights, *asked)
        assert code == 2
        assert expected in said


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
