"""FinePOSE: poses by diffusion, told in words what is done; and D3DP, which is the same without words.

J. Xu et al., FinePOSE: Fine-Grained Prompt-Driven 3D Human Pose Estimation via Diffusion Models, CVPR 2024 (arXiv
2405.05216). W. Shan et al., Diffusion-Based 3D Human Pose Estimation with Multi-Hypothesis Aggregation, ICCV 2023.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from anypose.models.lifting.finepose.text import LEARNED, PLACES, SLOTS, PartPrompts, TextAttention
from anypose.nn.checkpoints import read, renamed
from anypose.nn.diffusion import Diffusion, TimeCode
from anypose.nn.space_time import EIGHT_BITS, PAIR_NAMES, Pairs, drop_path_rates, head
from anypose.ops.poses import Clips, distance, mirrored
from anypose.skeleton import SKELETONS

__all__ = ["VARIANTS", "Denoiser", "FinePOSE", "Words", "published", "rename"]

_TINY: dict[str, Any] = {"frames": 9, "width": 32, "depth": 2, "drop_path": 0.0, "hypotheses": 2, "leaps": 2}
VARIANTS: dict[str, dict[str, Any]] = {
    "h36m": {},
    "3dhp": {"skeleton": "mpi_inf_3dhp17", "learned": LEARNED["3dhp"]},
    "d3dp": {"text": False},
    "d3dp-tiny": {**_TINY, "text": False},
    "tiny": {**_TINY, "vocabulary": 64, "clip_layers": 1, "clip_heads": 4, "text_hidden": 64},
}
LIMIT = 1.1  # metres from the root, by which poses are clamped before and after each denoising


class Words(NamedTuple):
    """CLIP's tokens: action (B, 77) for the name of the action, parts (B, 6, 77) for "A person", and "speed", "head",
    "body", "arm" and "leg"."""

    action: Tensor
    parts: Tensor

    def to(self, device: torch.device) -> Words:
        return Words(self.action.to(device), self.parts.to(device))


class Denoiser(nn.Module):
    """Noisy poses to clean ones: MixSTE whose input has both keypoints and poses, with time, and words if there are.

    Args are those of `FinePOSE`.
    """

    def __init__(
        self,
        *,
        frames: int,
        joints: int,
        width: int,
        heads: int,
        hidden: int,
        depth: int,
        drop_path: float,
        text: PartPrompts | None,
        tiled_text: bool,
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(5, width)
        self.joint_places = nn.Parameter(torch.zeros(1, joints, width))
        self.frame_places = nn.Parameter(torch.zeros(1, frames, width))
        self.time = nn.Sequential(TimeCode(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.pairs = Pairs(width, heads, hidden, drop_path_rates(depth, drop_path))
        self.head = head(width)
        self.text, self.tiled_text = text, tiled_text
        self.ask = None if text is None else TextAttention(width, heads)

    def read(self, words: Words | None) -> tuple[Tensor, Tensor] | None:
        """What the words say, (B, 77, D), and their summary (B, D). It does not depend on poses: once is enough."""
        if self.text is None:
            return None
        if words is None:
            raise ValueError("FinePOSE needs the words of the action and the parts; without words there is D3DP")
        return self.text(words.action, words.parts)

    def forward(
        self, keypoints: Tensor, poses: Tensor, times: Tensor, told: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """Clean poses.

        Args:
            keypoints: (B, T, J, 2). poses: (B, M, T, J, 3) metres. times: (B,). told: what `read` gave.

        Returns: (B, M, T, J, 3).
        """
        batch, count, _frames, _joints, _ = poses.shape
        both = torch.cat((keypoints[:, None].expand(-1, count, -1, -1, -1), poses), -1)
        style = self.time(times)  # B D
        if told is not None:
            style = style + told[1]
        x = self.embed(both) + self.joint_places + style[:, None, None, None]
        x = self.pairs.joints(x.flatten(0, 1), 0)  # (B M) T J D
        if told is not None:
            x = self.with_words(x, told[0], style, count)
        x = self.pairs.frames(x + self.frame_places[:, :, None], 0)
        return self.head(self.pairs(x, 1)).unflatten(0, (batch, count))

    def with_words(self, x: Tensor, words: Tensor, style: Tensor, count: int) -> Tensor:
        """Frames of each joint of (B M, T, J, D) after they have asked the words (B, 77, D)."""
        assert self.ask is not None
        joints = x.shape[2]
        rows = x.transpose(1, 2).flatten(0, 1)  # (B M J) T D
        own = torch.arange(len(style), device=x.device).repeat_interleave(count * joints)
        read = torch.arange(len(rows), device=x.device) % len(words) if self.tiled_text else own
        rows = self.ask(rows, words[read], style[own])
        return rows.unflatten(0, (-1, joints)).transpose(1, 2)


class FinePOSE(nn.Module):
    """Keypoints of a clip, and words, to hypotheses of its poses.

    Args:
        frames: of a clip.
        skeleton: name of the keypoints' skeleton.
        width, heads, hidden, depth, drop_path: of the denoiser; hidden None is twice the width.
        text: False is D3DP.
        vocabulary, clip_layers, clip_heads, text_hidden, learned: of what reads the words.
        steps: T of the diffusion.
        hypotheses: M, poses that are drawn side by side.
        leaps: K, steps of DDIM.
        flip: each denoising is averaged with that of the mirrored clip, as the authors test.
        tiled_text: True reads the words as the authors' code does: where the texts of a batch differ, row r of frames
            takes text r mod B, which is another's. With one text for all it makes no difference.
        train_context: False keeps the vectors before the words from learning, as the authors' code does.

    Attributes:
        answers: "all" frames of a clip.
    """

    EIGHT_BITS = tuple(f"denoiser.pairs.{part}" for part in EIGHT_BITS)
    mirror: Tensor

    def __init__(
        self,
        *,
        frames: int = 243,
        skeleton: str = "h36m17",
        width: int = 512,
        heads: int = 8,
        hidden: int | None = None,
        depth: int = 8,
        drop_path: float = 0.1,
        text: bool = True,
        vocabulary: int = 49408,
        clip_layers: int = 12,
        clip_heads: int = 8,
        text_hidden: int = 2048,
        learned: Sequence[int] = LEARNED["h36m"],
        steps: int = 1000,
        hypotheses: int = 20,
        leaps: int = 10,
        flip: bool = True,
        tiled_text: bool = False,
        train_context: bool = True,
    ) -> None:
        super().__init__()
        self.skeleton = SKELETONS[skeleton]
        self.frames, self.hypotheses, self.leaps, self.flip = frames, hypotheses, leaps, flip
        self.answers: Literal["all"] = "all"
        words = None
        if text:
            words = PartPrompts(
                width,
                heads,
                text_hidden,
                vocabulary=vocabulary,
                clip_layers=clip_layers,
                clip_heads=clip_heads,
                learned=learned,
                train_context=train_context,
            )
        self.denoiser = Denoiser(
            frames=frames,
            joints=len(self.skeleton),
            width=width,
            heads=heads,
            hidden=hidden or 2 * width,
            depth=depth,
            drop_path=drop_path,
            text=words,
            tiled_text=tiled_text,
        )
        self.diffusion = Diffusion(steps, torch.float64)
        self.register_buffer("mirror", torch.tensor(self.skeleton.mirror.tolist()), persistent=False)

    def silence(self, batch: int) -> Words:
        """Words that say nothing: a text's beginning and end."""
        assert self.denoiser.text is not None
        vocabulary = self.denoiser.text.clip_text.token_embedding.num_embeddings
        action = torch.zeros(batch, PLACES, dtype=torch.int64, device=self.mirror.device)
        action[:, 0], action[:, 1] = vocabulary - 2, vocabulary - 1
        return Words(action, action[:, None].expand(-1, len(SLOTS) - 1, -1))

    def noise(self, keypoints: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """What `forward` draws: (K, B, M, T, J, 3), the start and what each further step adds."""
        shape = (self.leaps, len(keypoints), self.hypotheses, *keypoints.shape[1:3], 3)
        return torch.randn(shape, generator=generator, device=keypoints.device, dtype=keypoints.dtype)

    def course(self, keypoints: Tensor, words: Words | None = None, noise: Tensor | None = None) -> Tensor:
        """The poses after every step of DDIM, (B, K, M, T, J, 3); see `forward`."""
        told = self._told(words, len(keypoints))
        noise = self.noise(keypoints) if noise is None else noise
        poses, answers = noise[0], []
        for step, (time, after) in enumerate(self.diffusion.leaps(len(noise))):
            times = torch.full((len(keypoints),), time, device=keypoints.device)
            clean = self._denoised(keypoints, poses, times, told)
            answers.append(clean)
            if after >= 0:
                added = self.diffusion.noise_of(poses.double(), times, clean.double()).to(clean)
                poses = self.diffusion.leap(clean, added, time, after, noise[step + 1])
        return torch.stack(answers, 1)

    def _told(self, words: Words | None, batch: int) -> tuple[Tensor, Tensor] | None:
        if self.denoiser.text is None:
            return None
        return self.denoiser.read(self.silence(batch) if words is None else words)

    def _denoised(self, keypoints: Tensor, poses: Tensor, times: Tensor, told: tuple[Tensor, Tensor] | None) -> Tensor:
        poses = poses.clamp(-LIMIT, LIMIT)
        if not self.flip:
            return self.denoiser(keypoints, poses, times, told).clamp(-LIMIT, LIMIT)
        # Both sides of the mirror in one batch.
        mirror = self.mirror
        assert isinstance(mirror, Tensor)
        twice = None if told is None else (told[0].repeat(2, 1, 1), told[1].repeat(2, 1))
        found = self.denoiser(
            torch.cat((keypoints, mirrored(keypoints, mirror))),
            torch.cat((poses, mirrored(poses, mirror))),
            times.repeat(2),
            twice,
        )
        one, other = found.chunk(2)
        return ((one + mirrored(other, mirror)) / 2).clamp(-LIMIT, LIMIT)

    def forward(self, keypoints: Tensor, words: Words | None = None, noise: Tensor | None = None) -> Tensor:
        """Hypotheses after the last step.

        Args:
            keypoints: (B, T, J, 2) in screen-normalised coordinates.
            words: of the action and the parts; None says nothing.
            noise: (K, B, M, T, J, 3) standard normal; None draws it. Its K and M go before the constructor's.

        Returns: (B, M, T, J, 3) metres in the camera's frame, relative to the root.
        """
        return self.course(keypoints, words, noise)[:, -1]

    def loss(self, batch: Clips, words: Words | None = None, noise: Tensor | None = None) -> dict[str, Tensor]:
        """The distance of poses denoised from random times.

        The authors minimise half its square; here it is the distance itself.
        """
        count = len(batch.keypoints)
        times = torch.randint(0, self.diffusion.steps, (count,), device=batch.joints.device)
        noise = torch.randn_like(batch.joints) if noise is None else noise
        poses = self.diffusion.noisy(batch.joints, times, noise).clamp(-LIMIT, LIMIT)
        found = self.denoiser(batch.keypoints, poses[:, None], times, self._told(words, count))
        return {"joints": distance(found[:, 0], batch.joints)}


_BUFFERS = (
    *("betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod"),
    *("log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod", "sqrt_recipm1_alphas_cumprod"),
    *("posterior_variance", "posterior_log_variance_clipped", "posterior_mean_coef1", "posterior_mean_coef2"),
)
_CLIP = r"clip_text\.transformer\.resblocks\.(\d+)\."
_OURS = r"text.clip_text.transformer.layers.\1."
NAMES = (
    # Tables follow from the number of steps; CLIP's pictures and its comparison with texts are not used.
    *((rf"{name}$", "") for name in _BUFFERS),
    (r"clip_text\.(visual\..*|text_projection|logit_scale)$", ""),
    (_CLIP + r"attn\.", _OURS + "self_attn."),
    (_CLIP + r"ln_(\d)\.", _OURS + r"norm\2."),
    (_CLIP + r"mlp\.c_fc\.", _OURS + "linear1."),
    (_CLIP + r"mlp\.c_proj\.", _OURS + "linear2."),
    (r"temporal_cross_attn\.proj_out\.emb_layers\.1\.", "ask.style."),
    (r"temporal_cross_attn\.proj_out\.norm\.", "ask.style_norm."),
    (r"temporal_cross_attn\.proj_out\.out_layers\.2\.", "ask.out."),
    (r"temporal_cross_attn\.", "ask."),
    (r"text_proj\.0\.", "text.text_proj."),
    (r"(clip_text|ctx_|textTransEncoder|text_ln)", r"text.\1"),
    (r"Spatial_patch_to_embedding\.", "embed."),
    (r"Spatial_pos_embed$", "joint_places"),
    (r"Temporal_pos_embed$", "frame_places"),
    (r"time_mlp\.", "time."),
    *PAIR_NAMES,
)


def rename(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' entries under our names, those of FinePOSE and D3DP, with their diffusion's or the denoiser alone.

    Raises:
        ValueError: an entry is none of theirs.
    """
    plain = {key.removeprefix("module.").removeprefix("pose_estimator."): value for key, value in state.items()}
    return {f"denoiser.{key}": value for key, value in renamed(plain, NAMES, "FinePOSE").items()}


def published(path: Path, variant: str | None = None) -> tuple[str, dict[str, Tensor]]:
    """The variant and our entries of the authors' checkpoint; ValueError where it is none.

    None takes "h36m" where the file reads words, and "d3dp" where it does not.
    """
    state = rename(read(path, ("model_pos",), "FinePOSE"))
    return variant or ("h36m" if "denoiser.ask.query.weight" in state else "d3dp"), state
