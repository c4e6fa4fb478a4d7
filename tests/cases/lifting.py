"""Lifting systems: keypoints of clips in, joints in space out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from anypose.models.lifting import diffpose, finepose, gla_gcn, hopfir, hot, ktpformer, lever
from anypose.nn.lifts import graphs
from anypose.ops.poses import Clips, rooted
from cases.case import Case, Inputs

CLIPS = 3
KEYS = "a softmax does not see what is added to all keys"
TOKENS = {"linear_k.bias": KEYS}
MHFORMER = {
    **TOKENS,
    **{f"norm3_{i}2.bias": KEYS for i in (1, 2, 3)},
    **{f"embeddings.{i}.0.bias": "a batch norm does not see what is added to a channel" for i in (1, 2, 3)},
}
GLA_GCN = {
    f"conv_a.{i}.bias": "a softmax over the joints of conv_a does not see what is added to all" for i in range(3)
}
TEXT = {"ask.key.bias": KEYS}
UNUSED = {
    **{
        f"bn{i}.{part}": "in the authors' files, but not in what they compute"
        for i in (1, 2)
        for part in ("weight", "bias")
    },
    **{f"conf_out.{part}": "in the authors' files, but not in what they compute" for part in ("weight", "bias")},
}


def clips(model: Any) -> Clips:
    """Three clips of bodies that sway, and their keypoints as cameras four metres away see them."""
    random = torch.Generator().manual_seed(0)
    joints, frames = len(model.skeleton), max(model.frames, 2)
    body = torch.randn(CLIPS, 1, joints, 3, generator=random) * 0.3
    phase = torch.rand(CLIPS, 1, joints, 1, generator=random) * 6
    poses = rooted(body + 0.03 * torch.sin(torch.arange(frames)[:, None, None] / 3 + phase))
    return Clips(2 * poses[..., :2] / (poses[..., 2:] + 4), poses)


def rows(batch: Clips) -> list[Clips]:
    return [Clips(*(part[i : i + 1] for part in batch)) for i in range(len(batch.keypoints))]


def deterministic(name: str, build: Callable[[], Any], **options: Any) -> Case:
    """A lifter without noise, which exports: (B, T, J, 2) to as many poses as `answers` says."""

    def made() -> nn.Module:
        torch.manual_seed(4)
        return build()

    model: Any = made()
    frames = {"all": max(model.frames, 2), "centre": 1}[model.answers]
    size = (max(model.frames, 2), len(model.skeleton), 2)

    def runs(run: Callable[[str, Inputs], Inputs], seed: int) -> list[tuple[str, Inputs]]:
        """Run number `seed`: other clips, and another number of them."""
        random = np.random.default_rng(seed)
        return [("lift", {"keypoints": random.normal(0, 0.3, (seed + 1, *size)).astype(np.float32)})]

    return Case(
        name,
        made,
        clips,
        lambda model, batch: {"joints": model(batch.keypoints)},
        lambda batch: {"joints": (len(batch.keypoints), frames, size[1], 3)},
        rows,
        graphs,
        runs,
        **options,
    )


def probabilistic(name: str, build: Callable[[], Any], answer: Callable[[Any, Tensor], Tensor], **options: Any) -> Case:
    """A lifter that draws M hypotheses, (B, M, T, J, 3), from noise that `answer` gives it."""

    def made() -> nn.Module:
        torch.manual_seed(4)
        return build()

    model: Any = made()
    count = int(model.hypotheses)
    return Case(
        name,
        made,
        clips,
        lambda model, batch: {"joints": answer(model, batch.keypoints)},
        lambda batch: {"joints": (len(batch.keypoints), count, *batch.joints.shape[1:])},
        rows,
        None,
        None,
        **options,
    )


def drawn(*shape: int) -> Tensor:
    """The same numbers whenever they are asked for."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def hypotheses(model: Any, keypoints: Tensor) -> Tensor:
    one = drawn(model.leaps, 1, model.hypotheses, *keypoints.shape[1:3], 3)
    return model(keypoints, noise=one.expand(-1, len(keypoints), -1, -1, -1, -1))


def diffpose_hypotheses(model: Any, keypoints: Tensor) -> Tensor:
    count = len(keypoints) * keypoints.shape[1]
    one = drawn(model.diffusion.steps + 1, 1, model.hypotheses, 48)
    draws = torch.rand(1, model.hypotheses, model.samples - 1, 16, generator=torch.Generator().manual_seed(2))
    return model(keypoints, one.expand(-1, count, -1, -1), draws.expand(count, -1, -1, -1))


def tiny(host: str, **options: Any) -> hot.HoT:
    model = hot.HoT(**{**hot.VARIANTS["tiny"], "host": host, **options})
    with torch.no_grad():
        for name, value in model.named_parameters():
            # Places start at zero, and telling joints apart would take most of thirty steps.
            if "places" in name or "token" in name:
                value.normal_(0, 0.3)
    return model


def adaptive() -> gla_gcn.GLAGCN:
    model = gla_gcn.GLAGCN(**gla_gcn.VARIANTS["tiny"])
    for module in model.modules():
        if isinstance(module, gla_gcn.AdaptiveGraph):  # starts at a millionth, and would let no gradient through
            nn.init.ones_(module.bn.weight)
    return model


def words(variant: str) -> finepose.FinePOSE:
    return finepose.FinePOSE(**finepose.VARIANTS[variant])


def diffused() -> diffpose.DiffPose:
    return diffpose.DiffPose(**diffpose.VARIANTS["tiny"])


LIFTING = (
    deterministic("lifting/gla_gcn", adaptive, exempt=GLA_GCN),
    deterministic("lifting/hopfir", lambda: hopfir.HopFIR(**hopfir.VARIANTS["tiny"])),
    deterministic("lifting/ktpformer", lambda: ktpformer.KTPFormer(**ktpformer.VARIANTS["tiny"])),
    deterministic("lifting/hot", lambda: tiny("mixste"), exempt=TOKENS, rate=5e-3),
    deterministic("lifting/hot", lambda: tiny("mixste", tokens=None), rate=5e-3),
    deterministic("lifting/hot", lambda: tiny("mhformer", recover=True), exempt=MHFORMER),
    deterministic("lifting/hot", lambda: tiny("motionbert", inputs=3, representation=32), exempt=TOKENS, rate=5e-3),
    deterministic("lifting/hot", lambda: tiny("motionagformer", inputs=3, representation=32), rate=5e-3),
    deterministic("lifting/lever", lambda: lever.Lever(**lever.VARIANTS["tiny"])),
    deterministic("lifting/lever", lambda: lever.Lever(frames=1, width=24, dropout=0.0)),
    probabilistic("lifting/finepose", lambda: words("tiny"), hypotheses, exempt=TEXT, rate=1e-2, left=0.7),
    probabilistic("lifting/finepose", lambda: words("d3dp-tiny"), hypotheses, rate=1e-2),
    probabilistic("lifting/diffpose", diffused, diffpose_hypotheses, exempt=UNUSED, rate=1e-2, left=0.9),
)
