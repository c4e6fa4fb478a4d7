"""Our lifting systems against their authors', intermediate by intermediate, from the same weights.

Every size is read from the files; see test_parity.py for ANYPOSE_VECTORS. Each test prints how many tensors it
compared.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from anypose.models.lifting import diffpose, finepose, gla_gcn, hot, ktpformer
from anypose.models.lifting.finepose import Words
from anypose.nn.diffusion import Diffusion
from anypose.ops.alignment import aligned_globally
from anypose.ops.frames import choose_frames, frame_scores
from anypose.ops.poses import mirrored
from conftest import SHARED, vectors

NEAR, SMALL = 1e-4, 1e-5
SURE = 25  # frames up to which torch.cdist is symmetric to the last bit, so that no rounding chooses a frame


@dataclass
class Reference:
    """The authors' small model: its configuration, weights, inputs and what they saw on the way."""

    name: str
    info: dict[str, Any]
    state: dict[str, Tensor]
    tensors: dict[str, Tensor]
    compared: int = 0
    worst: float = 0.0
    taps: dict[str, Tensor] = field(default_factory=dict)

    def close(self, found: Tensor, expected: str | Tensor, tolerance: float = NEAR) -> None:
        wanted = self.tensors[expected] if isinstance(expected, str) else expected
        assert found.shape == wanted.shape, expected
        apart = float((found.detach().double() - wanted.double()).abs().max())
        assert apart <= tolerance, f"{self.name}: {expected} is {apart:g} apart"
        self.compared += 1
        self.worst = max(self.worst, apart)

    def same(self, found: Tensor, expected: str) -> None:
        assert torch.equal(found.long(), self.tensors[expected].long()), f"{self.name}: {expected}"
        self.compared += 1

    def tap(self, name: str, module: nn.Module) -> None:
        module.register_forward_hook(lambda module, given, out: self.taps.__setitem__(name, out))


def found(system: str, pattern: str = "*") -> list[Path]:
    """The configurations of a folder, or one that says that they are not there."""
    root = os.environ.get("ANYPOSE_VECTORS")
    folder = (Path(root) if root else SHARED / "vectors") / system
    return sorted(path for path in folder.glob(f"{pattern}.json") if path.with_suffix(".io.safetensors").exists())


def each(system: str, pattern: str = "*") -> Callable[..., Any]:
    paths = found(system, pattern) or [Path(system)]
    return pytest.mark.parametrize("path", paths, ids=lambda path: path.stem)


@pytest.fixture
def reference(path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Reference]:
    vectors(path.name if path.suffix != ".json" else path.parent.name)
    weights = path.with_suffix(".weights.safetensors")
    state = load_file(weights) if weights.exists() else {}
    it = Reference(path.stem, json.loads(path.read_text()), state, load_file(path.with_suffix(".io.safetensors")))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        yield it
    torch.set_num_threads(threads)
    assert it.compared
    with capsys.disabled():
        print(f"\n{path.parent.name}/{it.name}: {it.compared} tensors compared, at most {it.worst:.1e} apart")


def parameters(model: nn.Module) -> int:
    return sum(value.numel() for value in model.parameters())


@each("gla_gcn")
def test_gla_gcn(reference: Reference) -> None:
    info = reference.info
    skeleton = {"h36m": "h36m17"}.get(info["dataset"], info["dataset"])
    model = gla_gcn.GLAGCN(widths=info["filter_widths"], channels=info["channels"], skeleton=skeleton).eval()
    model.load_state_dict(gla_gcn.rename(reference.state))
    assert parameters(model) == info["n_params"]
    assert model.frames == info["frames"]
    reference.tap("out_expand_gcn", model.expand)
    reference.tap("out_expand_gcn_gcn1", model.expand.gcn1)
    reference.tap("out_layer1", model.units[1])
    reference.close(model.expand.gcn1.edges, "graph_A", 1e-7)
    poses = model(reference.tensors["in_2d"])
    ours = {"out_3d": poses, **as_theirs(reference.taps)}
    reference.taps.clear()
    exact = {"out_3d": model.double()(reference.tensors["in_2d"].double())}
    exact |= as_theirs(reference.taps)
    for name in ours.keys() & reference.tensors.keys():
        reference.close(ours[name], name, rounded(reference.tensors[name], exact[name]))


def as_theirs(features: dict[str, Tensor]) -> dict[str, Tensor]:
    """(B, T, J, C) as GLA-GCN's authors lay it out, (B, C, T, J)."""
    return {name: values.permute(0, 3, 1, 2) for name, values in features.items()}


def rounded(theirs: Tensor, exact: Tensor) -> float:
    """How far apart two float32 computations may be: 1e-5, or up to 1e-4 where the authors' own rounding is more.

    HumanEva's random weights make coordinates of up to 38 metres, and the authors' float32 is 4.3e-5 away from what
    the same weights give in float64, which no order of our operations could undo.
    """
    own = float((theirs.double() - exact).abs().max())
    assert own <= 1e-5 * float(exact.abs().max()), f"more than rounding: {own:g}"
    return min(NEAR, max(SMALL, 3 * own))


@each("ktpformer")
def test_ktpformer(reference: Reference) -> None:
    info = reference.info
    model = ktpformer.KTPFormer(
        frames=info["frames"],
        width=info["embed"],
        depth=info["depth"],
        heads=info["heads"],
        hidden=info["embed"] * info["mlp_ratio"],
    ).eval()
    model.load_state_dict(ktpformer.rename(reference.state))
    assert parameters(model) == info["n_params"]
    reference.tap("out_kpattention", model.joints)
    reference.tap("out_tpattention", model.trajectories)
    reference.close(model.joints.priors[0].gconv.adjacency, "adj", 1e-7)  # type: ignore[union-attr, arg-type]
    reference.close(model.trajectories.priors[0].gconv.adjacency, "adj_temporal", 1e-7)  # type: ignore[union-attr, arg-type]
    reference.close(model(reference.tensors["in_2d"]), "out_3d", SMALL)
    for name, value in reference.taps.items():
        reference.close(value, name, SMALL)


def hot_options(reference: Reference) -> dict[str, Any]:
    """The sizes of a host, from its configuration and the shapes of its weights."""
    name, info, state = reference.name, reference.info, reference.state
    host = next(host for host in ("mixste", "mhformer", "motionbert", "motionagformer") if host in name)

    def count(prefix: str) -> int:
        return 1 + max(int(key.removeprefix(prefix).split(".")[0]) for key in state if key.startswith(prefix))

    fc1, blocks = {
        "mixste": ("STEblocks.0.mlp.fc1.weight", "STEblocks."),
        "mhformer": ("Transformer_hypothesis.SHR_blocks.0.mlp.fc1.weight", "Transformer_hypothesis.SHR_blocks."),
        "motionbert": ("blocks_st.0.mlp_s.fc1.weight", "blocks_st."),
        "motionagformer": ("layers.0.att_spatial.mlp.fc1.weight", "layers."),
    }[host]
    return {
        "host": host,
        "frames": info["frames"],
        "inputs": reference.tensors["in_2d"].shape[-1],
        "width": info.get("channel") or info["dim_feat"],
        "hidden": state[fc1].shape[0],
        "depth": count(blocks) + (host == "mhformer"),
        "heads": info.get("heads", 4 if host == "motionagformer" else 8),
        "tokens": info.get("token_num"),
        "level": info.get("layer_index", 1),
        "recover": not name.startswith("tpc"),
        "representation": state["head.weight"].shape[1] if "head.weight" in state else 512,
        "coordinate_heads": info.get("mhg_heads", 9),
    }


@each("hot")
def test_hot(reference: Reference) -> None:
    options = hot_options(reference)
    model = hot.HoT(**options).eval()
    model.load_state_dict(hot.rename(reference.state, options["host"]))
    assert parameters(model) == reference.info["n_params"]
    keypoints, tokens = reference.tensors["in_2d"], model.host.tokens
    if tokens is None:
        reference.close(model(keypoints), "out_3d", SMALL)
        return
    noise, index = reference.tensors["in_noise"], reference.tensors["tap_index_unsorted"].long()
    kept = reference.tensors.get("tap_index_kept", index.sort(-1).values).long()
    features = reference.tensors["tap_cluster_in"]
    # On the authors' features: which frames, in which order, and which kept frame each one belongs to.
    scores = frame_scores(features, noise)
    if not options["recover"]:
        scores[:, (features.shape[1] - 1) // 2] = float("-inf")
    reference.same(scores.topk(index.shape[1]).indices, "tap_index_unsorted")
    assert torch.equal(choose_frames(features, options["tokens"], noise, centre=not options["recover"]), kept)
    distances = torch.cdist(features, features).gather(1, index[..., None].expand(-1, -1, features.shape[1]))
    nearest = distances.argmin(1).scatter(1, index, torch.arange(index.shape[1]).expand_as(index))
    reference.same(nearest, "tap_idx_cluster")
    if features.shape[1] <= SURE:
        poses, frames = model.answer(keypoints, noise)
        assert frames is not None
        assert torch.equal(frames, kept)
        reference.close(poses, "out_3d", SMALL)
    # With the authors' choice, which rounding makes among more frames; the features that it is made from are ours.
    seen: dict[str, Tensor] = {}
    tokens.choose = lambda given, noise: seen.setdefault("features", given)[:, :0].long().sum((1, 2))[:, None] + kept
    reference.close(model(keypoints, noise), "out_3d", SMALL)
    reference.close(seen["features"], "tap_cluster_in", SMALL)


@each("finepose", "diffusion_buffers*")
def test_diffusion_tables(reference: Reference) -> None:
    tables = Diffusion(reference.info["timesteps"], torch.float64)
    for name, expected in reference.tensors.items():
        double = name.startswith("f64_")
        table = getattr(tables, name.removeprefix("f64_"))
        torch.testing.assert_close(table if double else table.float(), expected, rtol=1e-10 if double else 1e-6, atol=0)
        reference.compared += 1


def leaps(reference: Reference, model: finepose.FinePOSE, words: Words | None) -> None:
    """The whole course of DDIM with both sides of the mirror, step by step."""
    keypoints, noise = reference.tensors["in_2d"], reference.tensors["noise"]
    assert isinstance(model.mirror, Tensor)
    reference.close(mirrored(keypoints, model.mirror), "in_2d_flip", 0)
    times = reference.info["ddim_times"]
    assert model.diffusion.leaps(len(noise)) == list(itertools.pairwise(times))
    course = model.course(keypoints, words, noise)
    for step in range(len(noise)):
        reference.close(course[:, step], reference.tensors["out_ddim_flip"][:, step], SMALL)
    last = model(keypoints, words, noise)
    reference.close(last, reference.tensors["out_ddim_flip"][:, -1], SMALL)


@each("d3dp", "f*")
def test_d3dp(reference: Reference) -> None:
    info, tensors = reference.info, reference.tensors
    model = finepose.FinePOSE(frames=info["frames"], width=info["embed"], depth=info["depth"], text=False).eval()
    model.load_state_dict(finepose.rename(reference.state))
    assert parameters(model) == info["n_params"]
    reference.close(model.denoiser(tensors["in_2d"], tensors["in_xt"], tensors["in_t"]), "out_pred", SMALL)
    leaps(reference, model, None)


@each("finepose", "pose_estimator*")
def test_finepose(reference: Reference) -> None:
    info, tensors, state = reference.info, reference.tensors, reference.state
    model = finepose.FinePOSE(
        frames=info["frames"],
        width=info["embed"],
        depth=info["depth"],
        vocabulary=info["clip"]["vocab"],
        clip_layers=info["clip"]["layers"],
        clip_heads=info["clip"]["heads"],
        text_hidden=state["textTransEncoder.layers.0.linear1.weight"].shape[0],
        learned=[len(state[f"ctx_{name}"]) if f"ctx_{name}" in state else 0 for name in finepose.SLOTS],
        tiled_text=True,
    ).eval()
    model.load_state_dict(finepose.rename(state))
    words = Words(tensors["in_text"], tensors["in_pre_text"])
    told = model.denoiser.read(words)
    assert told is not None
    reference.close(told[0], "out_xf_out", SMALL)
    reference.close(told[1], "out_xf_proj", SMALL)
    poses, times = tensors["in_xt"], tensors["in_t"]
    reference.close(model.denoiser(tensors["in_2d"], poses, times, told), "out_pred_test", SMALL)
    reference.close(model.denoiser(tensors["in_2d"], poses[:, :1], times, told)[:, 0], "out_pred_train", SMALL)
    leaps(reference, model, words)
    whole = {f"module.pose_estimator.{key}": value for key, value in state.items()} | {"module.betas": torch.ones(3)}
    assert finepose.rename(whole).keys() == finepose.rename(state).keys()
    with pytest.raises(ValueError, match="no entry of a FinePOSE checkpoint"):
        finepose.rename({**state, "something": torch.ones(1)})


@each("diffpose")
def test_diffpose(reference: Reference) -> None:
    info, tensors = reference.info, reference.tensors
    model = diffpose.DiffPose(
        places=info["emb_dim"],
        samples=info["num_samples"],
        condition=info["cond_dim"],
        width=info["hidden"],
        steps=info["T"],
        hypotheses=info["n_hypo"],
    ).eval()
    model.load_state_dict(diffpose.rename(reference.state))
    assert parameters(model) == info["n_params"]
    for name, expected in reference.state.items():
        if hasattr(model.diffusion, name):
            reference.close(getattr(model.diffusion, name), expected, 1e-6)
    reference.close(model.conditioner.pos_encoder(tensors["in_posenc"]), "out_posenc", SMALL)
    heatmaps, count = tensors["in_heatmaps"], tensors["tap_samples"].shape[1]
    ours = model.sampler(heatmaps, torch.rand(len(heatmaps), count - 1, 16))
    reference.close(ours.at[:, :1].flatten(2), "argmax_xy", 0)
    reference.close(ours.weight[:, :1], "argmax_prob", 0)
    samples = diffpose.Samples(tensors["tap_samples"].unflatten(-1, (-1, 2)), tensors["tap_probs"])
    cells = ((samples.at + 1) * (diffpose.SIDE / 2)).round().long()
    values = heatmaps.clamp(min=0).flatten(2).repeat_interleave(info["n_hypo"], 0)
    weight = values.gather(2, (cells[..., 1] * diffpose.SIDE + cells[..., 0]).transpose(1, 2)).transpose(1, 2)
    reference.close(weight, "tap_probs", 0)
    condition = model.conditioner(samples)
    reference.close(condition.unflatten(0, (len(heatmaps), -1)), "out_cond", SMALL)
    share = model.denoiser.conditioned(condition)
    reference.close(model.denoiser(tensors["in_x"], tensors["in_t"], share), "out_eps", SMALL)
    scale = diffpose.SCALE
    reference.close(model.chain(share, tensors["noise"]) / scale, "out_sample")
    reference.close(model.chain(share, tensors["noise"], mean_only=True) / scale, "out_sample_mean_only")
    noise = tensors["noise"][0]
    noisy = model.diffusion.noisy(tensors["in_x0"] * scale, tensors["in_t"], noise)
    loss = (model.denoiser(noisy, tensors["in_t"], share) - noise).square().mean()
    reference.close(loss[None], "out_loss", SMALL)


@each("poseda")
def test_global_position_alignment(reference: Reference) -> None:
    tensors = reference.tensors
    moved = aligned_globally(
        tensors["in_source_3d"], tensors["in_target_2d"][tensors["perm"]], tensors["in_camera_fx_fy_cx_cy"]
    )
    reference.close(moved, "out_3d", SMALL)


@pytest.mark.parametrize(
    ("build", "millions"),
    [
        (gla_gcn.GLAGCN, 1.348856),
        (ktpformer.KTPFormer, 35.21),
        (diffpose.DiffPose, 11.41),
        (lambda: finepose.FinePOSE(text=False), 34.8),
        *(
            (lambda name=name: hot.HoT(**hot.VARIANTS[name]), millions)
            for name, millions in {
                **{"mixste": 33.78, "hot-mixste": 35.00, "tpc-mixste": 33.78, "mhformer": 31.52, "tpc-mhformer": 31.52},
                **{"motionbert": 16.00, "hot-motionbert": 16.3, "hot-motionagformer": 11.83},
            }.items()
        ),
    ],
)
def test_published_sizes(build: Callable[[], nn.Module], millions: float) -> None:
    with torch.device("meta"):
        model = build()
    digits = len(str(millions).split(".")[1])
    assert round(parameters(model) / 1e6, digits) == pytest.approx(millions, abs=0.6 * 10**-digits)


def test_published_size_of_finepose() -> None:
    """49.3 million that learn and CLIP's text transformer, which has 63.4 with two entries that nothing uses."""
    with torch.device("meta"):
        model = finepose.FinePOSE(train_context=False)
    assert model.denoiser.text is not None
    frozen = parameters(model.denoiser.text.clip_text)
    assert round((parameters(model) - frozen) / 1e6, 1) == 49.3
    assert round((frozen + 512 * 512 + 1) / 1e6, 1) == 63.4
