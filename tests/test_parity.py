"""Our networks against the authors', intermediate by intermediate, from the same weights.

The folder of reference vectors can be replaced by another of the same form: ANYPOSE_VECTORS=FOLDER.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from anypose.models.promptable.uniphd import VARIANTS, Answer, Seen, UniPHD, authors, rename
from anypose.models.promptable.uniphd.answers import at_full_size, ranked
from anypose.models.promptable.uniphd.losses import Batch, corners
from anypose.models.promptable.uniphd.masks import pixels
from anypose.models.promptable.uniphd.pictures import DEVIATION, MEAN, normalised
from anypose.models.promptable.uniphd.prompts import WORD_PADDING, Prompts
from conftest import vectors

KINDS = ("text", "point", "scribble")
POINT = 5  # of a scribble, that the authors evaluate with
NEAR = 1e-4
ALIAS = "transformer.decoder."
# Our names of the loss terms, theirs.
TERMS = {
    "class": "loss_ce",
    "box": "loss_bbox",
    "giou": "loss_giou",
    "keypoints": "loss_keypoints",
    "oks": "loss_oks",
    "visibility": "loss_keypoints_visi",
    "mask": "loss_mask",
    "dice": "loss_dice",
    "mask_low": "loss_mask_low",
    "dice_low": "loss_dice_low",
}


@dataclass
class Reference:
    """The authors' small model with its inputs, and ours with the same weights and quirks."""

    folder: Path
    model: UniPHD
    state: dict[str, Tensor]
    pictures: Tensor
    sizes: Tensor
    inputs: dict[str, Tensor]
    answers: dict[str, tuple[Seen, Prompts, Answer, dict[str, Tensor]]] = field(default_factory=dict)

    @property
    def number(self) -> int:
        return len(self.pictures)

    def targets(self, name: str) -> list[Tensor]:
        return [self.inputs[f"target.{i}.{name}"] for i in range(self.number)]

    def prompts(self, kind: str) -> Prompts:
        if kind == "text":
            words = [self.inputs[f"input_ids.{i}"] for i in range(self.number)]
            return Prompts.from_words(torch.nn.utils.rnn.pad_sequence(words, True, WORD_PADDING))
        places = torch.stack(self.targets("scribble")).float()
        return Prompts.from_places(places if kind == "scribble" else places[:, POINT : POINT + 1])

    def expected(self, kind: str) -> dict[str, Tensor]:
        return load_file(self.folder / f"{kind}.safetensors")

    def answer(self, kind: str) -> tuple[Seen, Prompts, Answer, dict[str, Tensor]]:
        """What ours finds, with what passes between its parts."""
        if kind not in self.answers:
            between: dict[str, Tensor] = {}

            def note(name: str) -> Any:
                return lambda module, given, out: between.__setitem__(name, out)

            parts = {"fused": self.model.fusion, "queries": self.model.queries}
            parts |= {f"encoder.{i}": layer for i, layer in enumerate(self.model.encoder.layers)}
            handles = [part.register_forward_hook(note(name)) for name, part in parts.items()]
            with torch.no_grad():
                seen = self.model.encode(self.pictures, self.sizes)
                prompts = self.prompts(kind)
                with torch.enable_grad():  # where there are gradients the pose of every cell is computed
                    answer = self.model.ask(seen, prompts)
            for handle in handles:
                handle.remove()
            self.answers[kind] = seen, prompts, answer, between
        return self.answers[kind]


@pytest.fixture(scope="module")
def reference() -> Iterator[Reference]:
    folder = vectors("uniphd") / "small"
    info = json.loads((folder / "info.json").read_text())
    options, swin, roberta = info["args"], info["swin"], info["roberta"]
    model = UniPHD(
        swin_width=swin["embed_dim"],
        swin_depths=tuple(swin["depths"]),
        swin_heads=tuple(swin["num_heads"]),
        swin_window=swin["window_size"],
        width=options["hidden_dim"],
        heads=options["nheads"],
        feedforward=options["dim_feedforward"],
        encoder_layers=options["enc_layers"],
        decoder_layers=options["dec_layers"],
        groups=options["num_queries"],
        vocabulary=roberta["vocab_size"],
        text_positions=roberta["max_position_embeddings"],
        text_width=roberta["hidden_size"],
        text_layers=roberta["num_hidden_layers"],
        text_heads=roberta["num_attention_heads"],
        text_feedforward=roberta["intermediate_size"],
        dead_class=True,
        isotropic_oks=False,
        visibility_halved_again=True,
    )
    state = load_file(folder / "state_dict.safetensors")
    state |= {alias: state[first] for alias, first in info["alias"].items()}
    model.load_state_dict(rename(state))
    inputs = load_file(folder / "inputs.safetensors")
    # Theirs are normalised already.
    pictures = (inputs["samples"] * torch.tensor(DEVIATION)[:, None, None] + torch.tensor(MEAN)[:, None, None]) * 255
    sizes = torch.stack([inputs[f"target.{i}.size"] for i in range(len(pictures))])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Reference(folder, model.eval(), state, pictures, sizes, inputs)
    torch.set_num_threads(threads)


def close(found: Tensor, expected: Tensor, what: str, tolerance: float = NEAR) -> None:
    assert found.shape == expected.shape, what
    torch.testing.assert_close(found.detach(), expected, atol=tolerance, rtol=0, msg=lambda m: f"{what}: {m}")


def test_names_go_both_ways(reference: Reference) -> None:
    back = authors(reference.model.state_dict())
    assert back.keys() == reference.state.keys()
    for key, value in reference.state.items():
        assert torch.equal(back[key], value), key


def test_the_published_layout_is_swin_t() -> None:
    lines = (vectors("uniphd") / "full_keys.txt").read_text().splitlines()
    listed = {key: shape for key, shape, _ in (line.split("\t") for line in lines)}
    with torch.device("meta"):
        model = UniPHD()
    ours = {key: str(tuple(value.shape)) for key, value in authors(model.state_dict()).items()}
    aliases = {key for key, shape in listed.items() if shape == "alias of"}
    assert len(listed) == 948
    assert len(aliases) == 84
    assert ours.keys() == listed.keys()
    assert {key: shape for key, shape in ours.items() if key not in aliases} == {
        key: shape for key, shape in listed.items() if key not in aliases
    }
    meta = {key: torch.empty(value.shape, device="meta") for key, value in authors(model.state_dict()).items()}
    assert rename(meta).keys() == model.state_dict().keys()


@pytest.mark.parametrize(
    ("variant", "parameters"), [("swin-t", 184031828), ("swin-b", 244142610), ("swin-l", 353965646)]
)
def test_every_variant_has_its_size_and_names(variant: str, parameters: int) -> None:
    with torch.device("meta"):
        model = UniPHD(**VARIANTS[variant])
    assert sum(value.numel() for value in model.parameters()) == parameters
    theirs = authors(model.state_dict())
    assert {key: value.shape for key, value in rename(theirs).items()} == {
        key: value.shape for key, value in model.state_dict().items()
    }
    # Deeper backbones have more blocks of the same entries, and the published layout's others as they are.
    listed = {line.split("\t")[0] for line in (vectors("uniphd") / "full_keys.txt").read_text().splitlines()}
    assert listed <= theirs.keys()
    assert {re.sub(r"blocks\.\d+", "blocks", key) for key in theirs} == {
        re.sub(r"blocks\.\d+", "blocks", key) for key in listed
    }


def test_backbone(reference: Reference) -> None:
    expected = load_file(reference.folder / "backbone.safetensors")
    with torch.no_grad():
        maps = reference.model.backbone(normalised(reference.pictures, reference.sizes))
    for level, found in enumerate(maps):
        close(found, expected[f"backbone.{level}.feat"], f"level {level}")
    seen = reference.answer("text")[0]
    close(seen.codes(), expected["backbone.2.pos"], "position codes")
    padding = seen.ground.padding.split([h * w for h, w in seen.ground.shapes], 1)
    for level in (1, 2, 3):
        assert torch.equal(padding[level - 1], expected[f"backbone.{level}.mask"].flatten(1)), level


@pytest.mark.parametrize("kind", KINDS)
def test_prompt_and_fusion(reference: Reference, kind: str) -> None:
    seen, _, answer, between = reference.answer(kind)
    expected = reference.expected(kind)
    told = answer.told[0]
    close(told.tokens, expected["prompt.tokens"], "tokens")
    close(told.summary, expected["prompt.global"], "summary")
    close(told.positions, expected["prompt.key_pos"].transpose(0, 1), "positions")
    for level, part in enumerate(between["fused"].split([h * w for h, w in seen.ground.shapes], 1)):
        close(part, expected[f"fused.{level}"].transpose(0, 1), f"fused level {level}")


@pytest.mark.parametrize("kind", KINDS)
def test_encoder_and_choice(reference: Reference, kind: str) -> None:
    seen, _, answer, between = reference.answer(kind)
    expected = reference.expected(kind)
    for layer in range(len(reference.model.encoder.layers)):
        close(between[f"encoder.{layer}"], expected[f"encoder.{layer}"], f"encoder layer {layer}")
    parts = answer.memory.split([h * w for h, w in seen.ground.shapes], 1)
    for level in range(3):
        shaped = parts[level].transpose(1, 2).unflatten(-1, seen.ground.shapes[level])
        close(shaped, expected[f"memory.{level}"], f"memory {level}")
    close(answer.choice.memory, expected["twostage.memory"], "choice memory")
    close(answer.choice.scores, expected["twostage.logits"], "choice scores")
    close(answer.choice.deltas, expected["twostage.pose_delta"], "choice poses")
    assert torch.equal(answer.choice.top, expected["twostage.topk"])
    close(between["queries"], expected["decoder.tgt_init"], "first queries")
    close(answer.choice.references.flatten(2), expected["decoder.ref_init"], "first references")


@pytest.mark.parametrize("kind", KINDS)
def test_decoder_and_heads(reference: Reference, kind: str) -> None:
    _, _, answer, _ = reference.answer(kind)
    expected = reference.expected(kind)
    for i, layer in enumerate(answer.layers):
        close(layer.queries, expected[f"decoder.{i}.hs"], f"queries of layer {i}")
        close(layer.references.flatten(2), expected[f"decoder.ref.{i}"], f"references of layer {i}")
        close(layer.keypoints, expected[f"out.{i}.keypoints_xy"], f"keypoints of layer {i}")
        close(layer.visibility, expected[f"out.{i}.visibility_logits"], f"visibility of layer {i}")
        close(layer.scores, expected[f"out.{i}.logits"], f"scores of layer {i}")
        close(layer.boxes, expected[f"out.{i}.boxes_cxcywh"], f"boxes of layer {i}")
    close(answer.references.flatten(2), expected[f"decoder.ref.{len(answer.layers)}"], "last references")


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_masks_and_answers(reference: Reference, kind: str) -> None:
    seen, prompts, answer, _ = reference.answer(kind)
    expected = reference.expected(kind)
    last, head = answer.layers[-1], reference.model.mask
    assert head is not None
    close(head.controller(last.queries[:, :, 0]), expected["mask.controller"], "controller")
    everyone = torch.arange(last.scores.shape[1]).expand(reference.number, -1)
    coarse = reference.model.masks(seen, prompts, answer, everyone)
    close(coarse, expected["mask.dynconv"], "dynamic convolutions")
    refined = reference.model.refined(seen, prompts, coarse)
    close(refined, expected["mask.refined"], "refined masks")
    masks = pixels(refined)
    close(masks, expected["final.pred_masks"], "masks")
    scores, groups = ranked(last.scores, dead_class=True)
    for row in range(reference.number):
        original = reference.inputs[f"target.{row}.orig_size"]
        scale = original.flip(0).float()  # width, height
        close(scores[row], expected[f"post.{row}.scores"], "scores")
        boxes = corners(last.boxes[row, groups[row]]) * torch.cat((scale, scale))
        close(boxes, expected[f"post.{row}.boxes"], "boxes in pixels", 1e-3)
        keypoints = (last.keypoints[row, groups[row]] * scale).flatten(1)  # x y of each keypoint
        listed = expected[f"post.{row}.keypoints"].unflatten(-1, (-1, 3))[..., :2].flatten(1)
        close(keypoints, listed, "keypoints in pixels", 1e-3)
        height, width = (int(side) for side in reference.sizes[row])
        best = at_full_size(masks[row, groups[row, :1]], (height, width), (int(original[0]), int(original[1])))[0]
        differing = (best != expected[f"post.{row}.masks_top1"].bool()).float().mean()
        assert differing < 1e-4, f"{differing:.2%} of the best mask differ"  # pixels on the very edge may round


def training_batch(reference: Reference, kind: str) -> Batch:
    keypoints = torch.cat(reference.targets("keypoints"))  # all x y, then all visibilities
    joints = keypoints.shape[1] // 3
    masks = torch.zeros(reference.number, *reference.pictures.shape[-2:])
    for row, mask in enumerate(reference.targets("masks")):
        masks[row, : mask.shape[1], : mask.shape[2]] = mask[0]
    return Batch(
        reference.pictures,
        reference.sizes,
        reference.prompts(kind),
        torch.cat(reference.targets("boxes")),
        keypoints[:, : 2 * joints].unflatten(1, (joints, 2)),
        keypoints[:, 2 * joints :],
        torch.cat(reference.targets("area")),
        masks,
        torch.ones(reference.number, dtype=torch.bool),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_losses_and_gradients(reference: Reference, kind: str) -> None:
    """On the stored indices; those of the encoder's choice are not stored, and are matched."""
    expected = load_file(reference.folder / f"train_{kind}.safetensors")
    aux, main = expected["aux_indices"][..., 0], expected["main_indices"][:, 0]
    model = reference.model
    model.zero_grad()
    terms = model.losses.terms(model, training_batch(reference, kind), [None, *aux, main])
    total = torch.zeros(())
    for name, value in terms.items():
        stage, _, term = name.rpartition(".")
        suffix = {"": "", "encoder": "_interm"}.get(stage, f"_{stage}")
        stored = expected[f"loss.{TERMS[term]}{suffix}"][0]
        torch.testing.assert_close(
            value.detach(),
            stored,
            rtol=1e-4,
            atol=1e-7,
            msg=f"{name}: {float(value.detach())} instead of {float(stored)}",
        )
        total = total + model.losses.weights[term] * value
    torch.testing.assert_close(total.detach(), expected["loss_total"][0], rtol=1e-4, atol=0)
    total.backward()
    ours = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    zeros = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    gradients = authors({**zeros, **ours})
    norms = {key.removeprefix("gradnorm."): value for key, value in expected.items() if key.startswith("gradnorm.")}
    assert norms
    for key, norm in norms.items():
        apart = abs(float(gradients[key].norm()) - float(norm))
        assert apart <= max(1e-3 * float(norm), 1e-6), f"the gradient of {key} is {apart:g} from {float(norm):g}"
    for key, value in expected.items():
        if key.startswith("grad."):
            close(gradients[key.removeprefix("grad.")], value, key)
    # An alias is listed under one of its two names.
    listed = {name for key in norms for name in (key, key.removeprefix(ALIAS), ALIAS + key)}
    for key, value in gradients.items():
        if key not in listed and value.is_floating_point():
            assert not value.any(), f"{key} has a gradient that theirs has not"
