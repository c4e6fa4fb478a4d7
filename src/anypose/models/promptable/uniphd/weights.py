"""The authors' checkpoint: its names, in both directions."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

# Theirs, ours. "{}" is a number, and what follows the last part (weight, bias, ...) is kept.
NAMES: tuple[tuple[str, str], ...] = (
    ("backbone.0.patch_embed.proj.", "backbone.model.swin.embeddings.patch_embeddings.projection."),
    ("backbone.0.patch_embed.norm.", "backbone.model.swin.embeddings.norm."),
    ("backbone.0.layers.{}.blocks.{}.norm1.", "backbone.model.swin.encoder.layers.{}.blocks.{}.layernorm_before."),
    ("backbone.0.layers.{}.blocks.{}.norm2.", "backbone.model.swin.encoder.layers.{}.blocks.{}.layernorm_after."),
    ("backbone.0.layers.{}.blocks.{}.mlp.", "backbone.model.swin.encoder.layers.{}.blocks.{}.mlp."),
    ("backbone.0.layers.{}.blocks.{}.attn.proj.", "backbone.model.swin.encoder.layers.{}.blocks.{}.attention.o_proj."),
    (
        "backbone.0.layers.{}.blocks.{}.attn.relative_position_bias_table",
        "backbone.model.swin.encoder.layers.{}.blocks.{}.attention.relative_position_bias.relative_position_bias_table",
    ),
    ("backbone.0.layers.{}.downsample.", "backbone.model.swin.encoder.layers.{}.downsample."),
    ("text_encoder.text_backbone.", "words.roberta."),
    ("text_proj.fc.", "words.tokens.linear."),
    ("text_proj.layer_norm.", "words.tokens.norm."),
    ("sentence_proj.fc.", "words.summary.linear."),
    ("sentence_proj.layer_norm.", "words.summary.norm."),
    ("prompt_proj.fc.", "places.tokens.linear."),
    ("prompt_proj.layer_norm.", "places.tokens.norm."),
    ("glob_prompt_proj.fc.", "places.summary.linear."),
    ("glob_prompt_proj.layer_norm.", "places.summary.norm."),
    ("fusion_module.multihead_attn.", "fusion.words."),
    ("fusion_module.multihead_attn2.", "fusion.places."),
    ("input_proj.{}.{}.", "pyramid.levels.{}.{}."),
    ("transformer.level_embed", "encoder.level_codes"),
    ("transformer.encoder.layers.{}.self_attn.", "encoder.layers.{}.attention."),
    ("transformer.encoder.layers.{}.norm1.", "encoder.layers.{}.attention_norm."),
    ("transformer.encoder.layers.{}.linear1.", "encoder.layers.{}.feedforward.widen."),
    ("transformer.encoder.layers.{}.linear2.", "encoder.layers.{}.feedforward.narrow."),
    ("transformer.encoder.layers.{}.norm2.", "encoder.layers.{}.norm."),
    ("transformer.enc_output.", "two_stage.project."),
    ("transformer.enc_output_norm.", "two_stage.norm."),
    ("transformer.enc_out_class_embed.", "two_stage.score."),
    ("transformer.enc_pose_embed.layers.{}.", "two_stage.pose.{2x}."),
    ("transformer.keypoint_embedding.weight", "queries.keypoints"),
    ("transformer.decoder.half_pose_ref_point_head.layers.{}.", "decoder.position.{2x}."),
    ("transformer.decoder.layers.{}.adjacent_matrix", "decoder.layers.{}.edges"),
    ("transformer.decoder.layers.{}.within_attn.", "decoder.layers.{}.within."),
    ("transformer.decoder.layers.{}.within_norm.", "decoder.layers.{}.within_norm."),
    ("transformer.decoder.layers.{}.across_attn.", "decoder.layers.{}.across."),
    ("transformer.decoder.layers.{}.across_norm.", "decoder.layers.{}.across_norm."),
    ("transformer.decoder.layers.{}.cross_attn.", "decoder.layers.{}.look."),
    ("transformer.decoder.layers.{}.norm1.", "decoder.layers.{}.look_norm."),
    ("transformer.decoder.layers.{}.linear1.", "decoder.layers.{}.feedforward.widen."),
    ("transformer.decoder.layers.{}.linear2.", "decoder.layers.{}.feedforward.narrow."),
    ("transformer.decoder.layers.{}.norm2.", "decoder.layers.{}.norm."),
    ("transformer.decoder.layers.{}.linear1_.", "decoder.layers.{}.within_feedforward.widen."),
    ("transformer.decoder.layers.{}.linear2_.", "decoder.layers.{}.within_feedforward.narrow."),
    ("transformer.decoder.layers.{}.norm2_.", "decoder.layers.{}.last_norm."),
    ("controller.layers.{}.", "mask.controller.{2x}."),
    ("mask_refine.conv1_1div8.", "mask.eighth.see."),
    ("mask_refine.conv2_1div8.", "mask.eighth.say."),
    ("mask_refine.conv1_1div4.", "mask.quarter.see."),
    ("mask_refine.conv2_1div4.", "mask.quarter.say."),
    ("class_embed.{}.", "decoder.score.{}."),
    ("bbox_embed.{}.layers.{}.", "decoder.box.{}.{2x}."),
    ("pose_embed.{}.layers.{}.", "decoder.pose.{}.{2x}."),
    ("pose_visi_embed.{}.", "decoder.visibility.{}."),
)
# The four linear layers of deformable attention, whose names the table keeps out of its rows.
DEFORMABLE = {
    "sampling_offsets": "offsets",
    "attention_weights": "weights",
    "value_proj": "value",
    "output_proj": "output",
}
ALIASED = ("pose_embed.", "class_embed.", "bbox_embed.")  # saved a second time, inside the decoder
ALIAS = "transformer.decoder."
PARTS = ("q_proj", "k_proj", "v_proj")  # of a window attention, one matrix in the authors' file
INDEX = "attn.relative_position_index"  # follows from the window's size
POSITION_IDS = "text_encoder.text_backbone.embeddings.position_ids"  # 0, 1, 2, ... that older transformers saved
CALIBRATION = "calibration"  # ours


def rename(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' entries under our names.

    Raises:
        ValueError: an entry has no place here, or a second copy of one differs from the first.
    """
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        if key.startswith(ALIAS) and key.removeprefix(ALIAS).startswith(ALIASED):
            first = state.get(key.removeprefix(ALIAS))
            if first is None or not _same(first, value):
                raise ValueError(f"{key!r} is not what {key.removeprefix(ALIAS)!r} is; the two are one in UniPHD")
        elif key.endswith(INDEX):
            if not _same(_index(int(len(value) ** 0.5)), value):
                raise ValueError(f"{key!r} does not number the places of a window as Swin does")
        elif ".attn.qkv." in key:
            start, end = key.split(".attn.qkv.")
            start = start.replace("backbone.0.", "backbone.model.swin.encoder.")
            for part, rows in zip(PARTS, value.chunk(3)):
                renamed[f"{start}.attention.{part}.{end}"] = rows
        elif match := re.match(r"backbone\.0\.norm(\d)\.(.*)", key):
            renamed[f"backbone.model.hidden_states_norms.stage{int(match[1]) + 1}.{match[2]}"] = value
        elif key != POSITION_IDS:
            renamed[_moved(key, 0)] = value
    renamed[CALIBRATION] = torch.tensor([1.0, 0.0])
    return renamed


def authors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our entries as the authors' file holds them, aliases and buffers too: the inverse of `rename`."""
    named: dict[str, Tensor] = {}
    for key, value in state.items():
        if match := re.match(r"backbone\.model\.hidden_states_norms\.stage(\d)\.(.*)", key):
            named[f"backbone.0.norm{int(match[1]) - 1}.{match[2]}"] = value
        elif match := re.match(r"backbone\.model\.swin\.encoder\.(.*)\.attention\.q_proj\.(.*)", key):
            parts = [state[key.replace("q_proj", part)] for part in PARTS]
            named[f"backbone.0.{match[1]}.attn.qkv.{match[2]}"] = torch.cat(parts)
        elif key != CALIBRATION and not re.search(r"attention\.[kv]_proj\.", key):
            named[_moved(key, 1)] = value
        if key.endswith("relative_position_bias_table"):
            index = _index((int(len(value) ** 0.5) + 1) // 2).to(value.device)
            named[_moved(key, 1).replace("relative_position_bias_table", "relative_position_index")] = index
    return named | {ALIAS + key: value for key, value in named.items() if key.startswith(ALIASED)}


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and (one.is_meta or other.is_meta or torch.equal(one, other))


def _index(side: int) -> Tensor:
    """Which row of the table of relative positions each pair of a window's places has, (side², side²)."""
    y, x = (part.flatten() for part in torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij"))
    return (y[:, None] - y + side - 1) * (2 * side - 1) + x[:, None] - x + side - 1


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile("^" + re.escape(name).replace(r"\{\}", r"(\d+)").replace(r"\{2x\}", r"(\d+)"))


_PATTERNS = [tuple(_pattern(name) for name in row) for row in NAMES]


def _moved(key: str, source: int) -> str:
    """A key under the names of the other column of `NAMES`."""
    for names, patterns in zip(NAMES, _PATTERNS):
        if match := patterns[source].match(key):
            pieces = re.split(r"(\{\}|\{2x\})", names[1 - source])
            numbers = list(match.groups())
            marks = re.findall(r"\{\}|\{2x\}", names[1])
            for i, mark in enumerate(marks):
                # Activations are numbered in a torch Sequential and not in the authors' lists.
                value = int(numbers[i])
                if mark == "{2x}":
                    value = value * 2 if source == 0 else value // 2
                pieces[2 * i + 1] = str(value)
            return "".join(pieces) + _deformable(key[match.end() :], source)
    raise ValueError(f"{key!r} is no entry of a UniPHD checkpoint")


def _deformable(rest: str, source: int) -> str:
    first, dot, last = rest.partition(".")
    names = DEFORMABLE if source == 0 else {ours: theirs for theirs, ours in DEFORMABLE.items()}
    return names.get(first, first) + dot + last if dot else rest


def first_difference(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str | None:
    """What differs first, by name, between what was given and what is needed; None when all fits."""
    for key in sorted({*state, *expected}):
        if key not in state:
            return f"{key!r} is missing"
        if key not in expected:
            return f"{key!r} is too many"
        if state[key].shape != expected[key].shape:
            given, needed = tuple(state[key].shape), tuple(expected[key].shape)
            return f"{key!r} has the shape {given} where {needed} is needed"
    return None
