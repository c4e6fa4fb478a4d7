"""TokenCLIPose's own promises: options, text, names that are replaced, and a recipe that reaches beyond crops."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from anypose import zoo
from anypose.boxed import BoxPredictor
from anypose.models.promptable.tokenclipose import VARIANTS, Batch, TokenCLIPose, text
from anypose.models.promptable.tokenclipose.graphs import graphs
from anypose.models.promptable.tokenclipose.image import start_backbone
from anypose.models.promptable.tokenclipose.text import ClipText, WordVectors, tokens
from anypose.people import People
from anypose.prompt import Prompt, PromptError
from anypose.recipes import experiment
from anypose.recipes.reaching import Kept, answered, beyond_unknown, pck, trials
from anypose.recipes.reaching_data import Crowd, Views, cut
from anypose.runtime.export import export
from anypose.runtime.onnx import OnnxEngine
from anypose.runtime.torch import TorchEngine
from anypose.skeleton import COCO17, HOCKEY15, SKELETONS

STICK = ["butt end of the hockey stick", "heel of the hockey stick", "toe of the hockey stick"]


pytestmark = pytest.mark.usefixtures("one_thread")


def tiny(**options: Any) -> TokenCLIPose:
    torch.manual_seed(0)
    return TokenCLIPose(**{**VARIANTS["tiny"], **options})


def hockey(**options: Any) -> TokenCLIPose:
    body = [name.replace("_", " ") for name in HOCKEY15.keypoints[:12]]
    return tiny(skeleton=HOCKEY15, names=[*body, *STICK], **options)


class Tower:
    """What stands for CLIP's: the mean of its pieces' vectors."""

    def __init__(self, width: int = 32, places: int = 24) -> None:
        self.config = SimpleNamespace(max_position_embeddings=places, projection_dim=width)
        self._table = torch.randn(300, width, generator=torch.Generator().manual_seed(0))

    def eval(self) -> Tower:
        return self

    def requires_grad_(self, flag: bool) -> Tower:
        return self

    def __call__(self, input_ids: torch.Tensor) -> Any:
        return SimpleNamespace(text_embeds=self._table[input_ids].mean(1))


def letters(said: str) -> list[int]:
    return [298, *(sum(map(ord, word)) % 290 for word in said.split()), 299]


@pytest.mark.parametrize("variant", ["hrnet-w48", "resnet-50", "mspn-50", "lite"])
def test_every_backbone_gives_one_grid(variant: str) -> None:
    """The real sizes, without their memory."""
    with torch.device("meta"):
        model = TokenCLIPose(**VARIANTS[variant]).eval()
        answer = model(torch.empty(2, 3, 256, 192))
    assert answer.keypoints.shape == (2, 17, 2)
    # 12 C^2 for each layer of attention and MLP, and what stands beside them: spec, section 1b.
    width, depth = model.table.shape[1], len(model.decoder.layers)
    size = sum(value.numel() for value in model.decoder.layers.parameters())
    assert size == pytest.approx(12 * width**2 * depth, rel=0.04)


def test_the_main_models_decoder_has_nearly_19_million_weights() -> None:
    with torch.device("meta"):
        model = TokenCLIPose()
    assert sum(value.numel() for value in model.decoder.parameters()) == pytest.approx(18.9e6, rel=0.005)


@pytest.mark.parametrize(
    ("grid", "patches", "cells"),
    [((16, 16), False, (16, 12)), ((16, 12), True, (16, 16)), ((32, 32), True, (8, 6)), ((8, 8), False, (32, 24))],
)
def test_the_grid_is_a_setting(grid: tuple[int, int], patches: bool, cells: tuple[int, int]) -> None:
    model = tiny(size=(256, 192), grid=grid, patches=patches)
    with torch.no_grad():
        fused = model.image(model.see(torch.rand(1, 3, 256, 192) * 255), model.size)
    assert fused.shape == (1, *cells, 32)


def test_detaching_is_a_switch() -> None:
    batch = Batch(torch.rand(2, 3, 64, 64) * 255, (), torch.zeros(2, 17, 2), torch.ones(2, 17))
    reached = {}
    for detach in (True, False):
        model = tiny(detach=detach)
        model.loss(batch)["final"].backward()
        grad = model.get_parameter("coarse.2.weight").grad
        reached[detach] = grad is not None and bool(grad.any())
    assert reached == {True: False, False: True}


def test_text_changes_only_where_tokens_start() -> None:
    tables = {}
    for prompts in ("random", "single", "ensemble"):
        model = hockey(prompts=prompts)
        before = model.table.detach().clone()
        model.start_tokens()
        tables[prompts] = model.table.detach()
        assert torch.equal(before, tables[prompts]) == (prompts == "random")
        assert model.table.requires_grad
        torch.testing.assert_close(tables[prompts].norm(dim=1), torch.ones(15))
    assert not torch.equal(tables["single"], tables["ensemble"])
    alike = tables["ensemble"] @ tables["ensemble"].T
    names = model.names
    wrist, other, heel = (names.index(name) for name in ("left wrist", "right wrist", "heel of the hockey stick"))
    assert alike[wrist, other] > alike[wrist, heel]
    assert alike[heel, -1] > alike[heel, wrist]


def test_clip_is_one_encoder_behind_the_same_interface() -> None:
    clip = ClipText(Tower(), letters)
    model = hockey(text="clip")
    model.start_tokens(clip)
    one = tokens(clip, ["left knee"], ["a {}", "the {}"])
    said = clip(["a left knee", "the left knee"])
    torch.testing.assert_close(one, torch.nn.functional.normalize(said.mean(0, keepdim=True), dim=-1))
    with pytest.raises(ValueError, match="at most 24"):
        clip(["a " * 23])
    with pytest.raises(ValueError, match="33 numbers, the model's tokens 32"):
        model.start_tokens(ClipText(Tower(33), letters))


def test_without_a_network_clip_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(name: str, local_files_only: bool = False) -> None:
        raise OSError(f"no route to {name}")

    # The package itself takes seconds to import.
    absent = SimpleNamespace(from_pretrained=offline)
    stand_in = SimpleNamespace(CLIPTextModelWithProjection=absent, CLIPTokenizer=absent)
    monkeypatch.setitem(sys.modules, "transformers", stand_in)
    with pytest.raises(ValueError, match="connect once, or take the word vectors"):
        tiny(text="clip").start_tokens()


@pytest.mark.parametrize("said", ["", "   ", "...", None])
def test_text_without_a_word_is_refused(said: Any) -> None:
    for encode in (WordVectors(16), ClipText(Tower(), letters)):
        with pytest.raises(ValueError, match="holds no word"):
            encode([said])
    with pytest.raises(ValueError, match="holds no word"):
        hockey().with_keypoints({"left wrist": said})


def test_text_that_is_too_long_or_without_a_template_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 64 are read"):
        WordVectors(16)(["stick " * 65])
    with pytest.raises(ValueError, match="no prompt template"):
        tokens(WordVectors(16), ["heel"], [])
    with pytest.raises(ValueError, match="'clip' or 'words'"):
        text.encoder_of("word2vec", 16)


def test_new_names_replace_rows_and_freeze_the_rest() -> None:
    model = hockey()
    model.start_tokens()
    other = model.with_keypoints({STICK[2]: "tip of the racket"})
    assert torch.equal(other.table[:14], model.table[:14])
    assert not torch.equal(other.table[14], model.table[14])
    assert {name for name, value in other.named_parameters() if value.requires_grad} == {"table"}
    batch = Batch(torch.rand(1, 3, 64, 64) * 255, (), torch.ones(1, 15, 2), torch.ones(1, 15))
    other.loss(batch)["final"].backward()
    assert other.table.grad is not None
    assert (other.table.grad[:14] == 0).all()
    assert other.table.grad[14].any()
    # The old one is as it was, and answers of rows that stay move by what the new token says alone.
    assert all(value.requires_grad for value in model.parameters())
    assert other.skeleton.keypoints[14] == "tip_of_the_racket"
    assert other.skeleton.bones == model.skeleton.bones


def test_fewer_names_leave_out_the_last_as_lacrosse_does() -> None:
    model = hockey()
    other = model.with_keypoints([*model.names[:12], "butt end of the lacrosse stick", "far end of the lacrosse stick"])
    assert other.table.shape == (14, 32)
    assert len(other.skeleton.extensions) == 2
    assert other(torch.zeros(1, 3, 64, 64)).keypoints.shape == (1, 14, 2)
    assert graphs(other)["see"].notes["skeleton"]


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        ({"heel of the hocky stick": "tip"}, "did you mean 'heel of the hockey stick'"),
        ({"left wrist": "right wrist"}, "two keypoints are to be called 'right wrist'"),
        ({"left wrist": "Right_Wrist"}, "two keypoints are to be called 'right wrist'"),
        (["nose"], "1 names for 15 keypoints"),
        ("nose", "give a list"),
        ([*"abcdefghijklmnop"], "16 names for 15 keypoints"),
    ],
)
def test_names_that_cannot_be_are_refused(names: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        hockey().with_keypoints(names)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"backbone": "vit"}, "there is no backbone 'vit'"),
        ({"attention": "full"}, "there is no attention 'full'"),
        ({"prompts": "many"}, "there is no prompts 'many'"),
        ({"text": "bert"}, "there is no text 'bert'"),
        ({"base": "cauchy"}, "there is no base 'cauchy'"),
        ({"skeleton": "hockey16"}, "did you mean 'hockey15'"),
        ({"names": ["nose"]}, "1 names for the 17 keypoints"),
        ({"grid": (48, 48)}, "does not divide crops"),
        ({"grid": (0, 16)}, "does not divide crops"),
        ({"width": 30}, "multiple of 4"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        tiny(**options)


def test_intention_says_that_it_does_not_export() -> None:
    with pytest.raises(ValueError, match="intention attention"):
        graphs(tiny(attention="intention"))


def coco_file(folder: Path, people: int = 8) -> tuple[str, str]:
    """Pictures of one upright coloured bar each, with keypoints along it."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for number in range(people):
        x, y = rng.uniform(40, 80), rng.uniform(10, 30)
        pixels = rng.integers(0, 60, (160, 120, 3)).astype(np.uint8)
        pixels[int(y) : int(y) + 120, int(x) - 10 : int(x) + 10] = (200, 80, 30)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        places = np.stack((x + 9 * np.where(np.arange(17) % 2, -1, 1), y + 120 * np.linspace(0.02, 0.98, 17)), 1)
        keypoints = np.column_stack((places, np.full(17, 2))).flatten().round(2).tolist()
        images.append({"id": number, "file_name": f"{number}.png", "width": 120, "height": 160})
        annotations.append({"id": number, "image_id": number, "category_id": 1, "bbox": [x - 10, y, 20, 120],
                            "area": 2400, "iscrowd": 0, "num_keypoints": 17, "keypoints": keypoints})  # fmt: skip
    (folder / "people.json").write_text(json.dumps({"images": images, "annotations": annotations, "categories": []}))
    return str(folder / "people.json"), str(folder)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return coco_file(tmp_path_factory.mktemp("bars"))


def recipe(people: tuple[str, str], out: Path, **changes: Any) -> Any:
    values = {"recipe": "reaching", "people": people, "variant": "tiny", "batch": 4, "steps": 1, **changes}
    return experiment.build(values, out)[0]


@pytest.mark.parametrize("kept", [0, 2])
def test_the_recipe_learns_beyond_crops(people: tuple[str, str], tmp_path: Path, kept: int) -> None:
    made = recipe(people, tmp_path, kept=kept, views={"beyond": 1.0}, judged=people)
    batches = made.batches(0)
    first = next(batches)
    beyond = (first.keypoints.abs() > 0.5).any(-1) & (first.known > 0)
    assert (beyond.sum(1) >= 3).all()
    assert ((first.keypoints.abs() <= 0.5).all(-1) & (first.known > 0)).any(1).all()
    again = next(recipe(people, tmp_path, kept=kept, views={"beyond": 1.0}).batches(0))
    torch.testing.assert_close(again.keypoints, first.keypoints)
    assert bool(first.maps) == bool(kept)
    made.step(first)
    learned = made.model.backbone.trunk.first[0].weight.grad is not None
    assert learned == (not kept)
    figures = made.judge()
    assert set(figures) == {"outside", "inside"}


def test_targets_are_cut_only_when_that_is_asked(people: tuple[str, str], tmp_path: Path) -> None:
    whole, part = (
        next(recipe(people, tmp_path, cut_targets=on, views={"beyond": 1.0}).batches(0)) for on in (False, True)
    )
    torch.testing.assert_close(beyond_unknown(whole).known, part.known)
    assert part.known.sum() < whole.known.sum()


def test_kept_maps_are_what_the_model_sees(people: tuple[str, str], tmp_path: Path) -> None:
    made = recipe(people, tmp_path, kept=1)
    crowd = Crowd(made._crowd.samples, made.model.size)
    view = crowd.view(3, Views(), np.random.default_rng((0, 3, 0)))
    with torch.no_grad():
        maps = made.model.eval().see(torch.tensor(view.crop).permute(2, 0, 1)[None].float())
    for ours, level in zip(made._kept.batch(np.array([3])).maps, maps):
        torch.testing.assert_close(ours, level, atol=0.02, rtol=0.02)


def test_a_mirrored_view_has_its_left_on_the_right(people: tuple[str, str], tmp_path: Path) -> None:
    crowd = recipe(people, tmp_path)._crowd
    region = np.array([0.0, 0, 120, 160])
    plain, mirrored = crowd.shown(0, region), crowd.shown(0, region, flip=True)
    expected = plain.keypoints[COCO17.mirror] * (-1, 1)
    np.testing.assert_allclose(mirrored.keypoints, expected, atol=1e-6)
    np.testing.assert_array_equal(mirrored.crop, plain.crop[:, ::-1])


def test_turning_moves_pixels_and_keypoints_together(people: tuple[str, str], tmp_path: Path) -> None:
    crowd = recipe(people, tmp_path)._crowd
    view = crowd.shown(1, np.array([-20.0, -20, 130, 180]), turn=30)
    inside = (np.abs(view.keypoints) < 0.45).all(1)
    places = ((view.keypoints[inside] + 0.5) * 64).astype(int)
    assert inside.sum() > 8
    assert (view.crop[places[:, 1], places[:, 0], 0] > 120).mean() > 0.8  # on the bar


def test_pck_counts_outside_and_inside_apart(people: tuple[str, str], tmp_path: Path) -> None:
    judged = trials(recipe(people, tmp_path)._crowd)
    truth = np.stack([trial.view.keypoints for trial in judged])
    assert pck(truth, judged) == {"outside": 1.0, "inside": 1.0}
    wrong = np.where((np.abs(truth) > 0.5).any(-1, keepdims=True), truth + 9, truth).astype(np.float32)
    assert pck(wrong, judged) == {"outside": 0.0, "inside": 1.0}
    cut_off = cut(judged[0].view)
    assert cut_off.known.sum() == ((np.abs(judged[0].view.keypoints) <= 0.5).all(1)).sum()


@pytest.mark.parametrize(
    ("changes", "fault"),
    [({"variant": "large"}, "no variant 'large'"), ({"skeleton": "hocky15"}, "hocky15"),
     ({"skeleton": "hockey15"}, "keypoints")],
)  # fmt: skip
def test_a_recipe_names_what_is_not_there(
    people: tuple[str, str], tmp_path: Path, changes: dict[str, Any], fault: str
) -> None:
    with pytest.raises((ValueError, OSError), match=fault):
        recipe(people, tmp_path, **changes)


def test_a_users_skeleton_may_name_only_its_own_mirror_pairs(people: tuple[str, str], tmp_path: Path) -> None:
    file = tmp_path / "diver.json"
    file.write_text(json.dumps({"extends": "coco17", "name": "diver19", "keypoints": ["left_fin", "right_fin"],
                                "mirror_pairs": [["left_fin", "right_fn"]]}))  # fmt: skip
    with pytest.raises(ValueError, match="right_fn"):
        recipe(people, tmp_path, skeleton=str(file))


def test_nobody_to_learn_from_is_said(people: tuple[str, str], tmp_path: Path) -> None:
    samples = recipe(people, tmp_path)._crowd.samples
    with pytest.raises(ValueError, match="nobody in 8 pictures has 18"):
        Crowd(samples, (64, 64), 18)


class Finder:
    """A locator that counts how often it looks, and finds one box."""

    def __init__(self) -> None:
        self.looks = 0

    def encode(self, image: Any) -> Finder:
        self.looks += 1
        self.size = image.shape[:2]
        return self

    def find(self, prompts: list[Prompt], *, threshold: float | None = None) -> list[People]:
        nobody = People.empty(self.size, COCO17, "nobody is there")
        someone = People(
            size=self.size, boxes=np.array([[20.0, 20, 60, 90]]), scores=np.array([0.5]),
            keypoints=np.zeros((1, 17, 2)), confidence=np.zeros((1, 17)), state=np.zeros((1, 17, 3)),
            presence=np.array([0.75]),
        )  # fmt: skip
        return [nobody if prompt.text == "nobody" else someone for prompt in prompts]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    export(graphs(hockey()), folder)
    return folder


def predictor(folder: Path, finder: Any) -> BoxPredictor:
    return BoxPredictor("promptable/tokenclipose", OnnxEngine(folder, ("see",)), lambda: finder)


def test_a_box_needs_no_locator_and_answers_beyond_itself(exported: Path) -> None:
    ours = predictor(exported, None)
    assert ours.skeleton == HOCKEY15
    image = np.random.default_rng(0).integers(0, 255, (100, 120, 3)).astype(np.uint8)
    box, mask = [20, 20, 60, 90], np.zeros((100, 120), bool)
    mask[20:90, 20:60] = True
    drawn, masked, named = ours.encode(image).find([Prompt(box=box), Prompt(mask=mask), Prompt(box=box, name="goalie")])
    assert drawn.keypoints.shape == (1, 15, 2)
    assert drawn.boxes.tolist() == [box]
    np.testing.assert_allclose(masked.keypoints, drawn.keypoints, atol=1e-3)
    assert named.names == ("goalie",)
    assert 0 < drawn.scores[0] < 1
    with_torch = BoxPredictor("promptable/tokenclipose", TorchEngine(graphs(hockey())), zoo.load)
    again = with_torch.find(image, Prompt(box=box))
    np.testing.assert_allclose(again.keypoints, drawn.keypoints, atol=0.1)
    # A crop moves with its box: the same pixels elsewhere give the same answer there.
    wide = np.zeros((100, 200, 3), np.uint8)
    wide[:, 50:170] = image
    moved = ours.find(wide, Prompt(box=[70, 20, 110, 90]))
    np.testing.assert_allclose(moved.keypoints - (50, 0), drawn.keypoints, atol=2)


def test_other_prompts_are_located_once(exported: Path) -> None:
    finder = Finder()
    ours = predictor(exported, finder)
    scene = ours.encode(np.zeros((100, 120, 3), np.uint8))
    assert finder.looks == 0
    point, nobody, box = scene.find([Prompt(points=(30, 30)), Prompt(text="nobody"), Prompt(box=[20, 20, 60, 90])])
    scene.find(Prompt(text="the left one"))
    assert finder.looks == 1
    assert len(nobody) == 0
    assert nobody.reason == "nobody is there"
    assert nobody.skeleton == HOCKEY15
    np.testing.assert_allclose(point.keypoints, box.keypoints, atol=1e-3)
    assert point.scores[0] == pytest.approx(box.scores[0] / 2, rel=1e-4)
    assert point.presence is not None
    assert point.presence.tolist() == [0.75]
    assert box.presence is None


def test_a_box_outside_the_picture_is_refused(exported: Path) -> None:
    scene = predictor(exported, None).encode(np.zeros((100, 120, 3), np.uint8))
    with pytest.raises(PromptError, match=r"box \(300, 20, 340, 90\) lies outside the picture of 120 x 100"):
        scene.find(Prompt(box=[300, 20, 340, 90]))


def test_load_composes_predictors(exported: Path) -> None:
    finder: Any = Finder()
    ours = zoo.load("promptable/tokenclipose", weights=exported, locator=finder)
    assert isinstance(ours, BoxPredictor)
    assert isinstance(ours.locator, Finder)
    with pytest.raises(ValueError, match="cannot find them"):
        zoo.load("promptable/tokenclipose", weights=exported, locator="promptable/tokenclipose")
    with pytest.raises(ValueError, match="takes no locator"):
        zoo.load("promptable/pointer", locator="promptable/pointer")


def test_a_file_says_which_variant_it_is(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(hockey().state_dict(), tmp_path / "tiny.safetensors")
    assert zoo.create("promptable/tokenclipose", tmp_path / "tiny.safetensors", skeleton=HOCKEY15).variant == "tiny"
    with pytest.raises(ValueError, match="does not fit"):
        zoo.create("promptable/tokenclipose", tmp_path / "tiny.safetensors")


def test_the_published_trunk_fits_the_small_backbone(shared: Any) -> None:
    model = TokenCLIPose(**VARIANTS["lite"])
    before = model.backbone.trunk.first[0].weight.detach().clone()
    start_backbone(model.backbone, shared("weights/tinypose_256x192.onnx"))
    assert not torch.equal(before, model.backbone.trunk.first[0].weight)
    with pytest.raises(ValueError, match="convolutions"):
        start_backbone(tiny().backbone, shared("weights/tinypose_256x192.onnx"))


def test_a_large_backbone_starts_from_its_authors_file(tmp_path: Path) -> None:
    small = {"backbone": "resnet-50", "trunk": {"blocks": (1, 1, 1, 1), "width": 8}}
    one, other = tiny(**small), tiny(**small)
    with torch.no_grad():
        for value in one.backbone.parameters():
            value.normal_()
    state = {**one.backbone.state_dict(), "fc.weight": torch.zeros(2, 2)}
    torch.save(state, tmp_path / "resnet.pth")
    start_backbone(other.backbone, tmp_path / "resnet.pth")
    assert all(torch.equal(a, b) for a, b in zip(one.backbone.parameters(), other.backbone.parameters()))
    deeper = tiny(backbone="resnet-50", trunk={"blocks": (2, 1, 1, 1), "width": 8})
    with pytest.raises(ValueError, match="does not fit this ResNet"):
        start_backbone(deeper.backbone, tmp_path / "resnet.pth")
    torch.save({"other.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="no entry of a ResNet"):
        start_backbone(other.backbone, tmp_path / "other.pth")


def test_answers_of_trials_come_in_their_order(people: tuple[str, str], tmp_path: Path) -> None:
    made = recipe(people, tmp_path)
    judged = trials(made._crowd)
    found = answered(made.model.eval(), judged)
    kept = Kept.seen(made.model, iter([trial.view for trial in judged]))
    with torch.no_grad():
        read = made.model.read(kept.batch(np.arange(len(judged))).maps).keypoints.numpy()
    np.testing.assert_allclose(found, read, atol=0.02)


def test_the_skeletons_that_an_experiment_may_name_are_known() -> None:
    assert {"hockey15", "lacrosse14", "coco17", "crowdpose14"} <= set(SKELETONS)
