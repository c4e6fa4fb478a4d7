"""UniPHD's options: ablations, quirks and what training is told."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from anypose.models.promptable.uniphd import VARIANTS, UniPHD
from anypose.models.promptable.uniphd.answers import found, found_in, ranked
from anypose.models.promptable.uniphd.losses import PERSON, Losses
from anypose.models.promptable.uniphd.matching import assign
from anypose.models.promptable.uniphd.prompts import Prompts
from cases.promptable import uniphd_batch
from small_uniphd import perturbed

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def tiny() -> UniPHD:
    return perturbed()


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
