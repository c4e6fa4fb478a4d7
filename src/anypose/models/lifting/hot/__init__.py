"""HoT: the Hourglass Tokenizer in four lifters of clips, and these lifters without it.

W. Li et al., Hourglass Tokenizer for Efficient Transformer-Based 3D Human Pose Estimation, CVPR 2024 (arXiv
2311.12028).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from anypose.models.lifting.hot import mhformer, mixste, motionagformer, motionbert
from anypose.nn.checkpoints import read, renamed
from anypose.nn.frame_tokens import FrameTokens
from anypose.nn.space_time import EIGHT_BITS
from anypose.ops.frames import take_frames
from anypose.ops.poses import Clips, distance, joint_weights, scaled_distance, sequence_losses, velocity_distance
from anypose.skeleton import SKELETONS

__all__ = ["VARIANTS", "HoT", "published", "rename"]

Host = Literal["mixste", "mhformer", "motionbert", "motionagformer"]
HOSTS: dict[str, Any] = {
    "mixste": mixste.MixSTE,
    "mhformer": mhformer.MHFormer,
    "motionbert": motionbert.MotionBERT,
    "motionagformer": motionagformer.MotionAGFormer,
}
NAMES = {
    "mixste": mixste.NAMES,
    "mhformer": mhformer.NAMES,
    "motionbert": motionbert.NAMES,
    "motionagformer": motionagformer.NAMES,
}
TOKEN_NAMES = tuple((part, f"tokens.{part}") for part in ("pos_embed_token", "x_token", "cross_attention"))

_MHFORMER = {"host": "mhformer", "frames": 351, "depth": 3, "level": 1, "recover": False}
_MOTIONBERT = {"host": "motionbert", "inputs": 3, "width": 256, "depth": 5, "level": 1, "representation": 512}
_MOTIONAGFORMER = {
    **{"host": "motionagformer", "inputs": 3, "width": 128, "hidden": 512, "depth": 16, "heads": 4, "level": 7},
    "representation": 512,
    "drop_path": 0.0,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "hot-mixste": {},
    "mixste": {"tokens": None},
    "tpc-mixste": {"tokens": 61, "level": 7, "recover": False},
    "mhformer": {**_MHFORMER, "tokens": None},
    "tpc-mhformer": {**_MHFORMER, "tokens": 117},
    "hot-motionbert": _MOTIONBERT,
    "motionbert": {**_MOTIONBERT, "tokens": None},
    "hot-motionagformer": _MOTIONAGFORMER,
    "motionagformer": {**_MOTIONAGFORMER, "tokens": None},
    "tiny": {"frames": 9, "width": 32, "hidden": 64, "depth": 3, "tokens": 5, "level": 2, "drop_path": 0.0},
}


class HoT(nn.Module):
    """Keypoints of a clip to its poses.

    Args:
        host: the lifter. MixSTE and MotionBERT are J. Zhang et al., CVPR 2022, and W. Zhu et al., ICCV 2023; MHFormer
            W. Li et al., CVPR 2022; MotionAGFormer S. Mehraban et al., WACV 2024.
        frames: of a clip.
        skeleton: name of the keypoints' skeleton.
        inputs: numbers a keypoint has: 2, or 3 with a confidence, which is taken as 1 where it is not given.
        width, hidden, depth, heads: of the host.
        tokens: frames that are kept; None is the host by itself.
        level: the pair, level or layer before which the other frames are left out.
        recover: False answers for the kept frames alone (the authors' TPC).
        drop_path: rate of the last block.
        representation: features before the last layer of MotionBERT and MotionAGFormer.
        coordinate_heads: of MHFormer's transformers over coordinates, a divisor of `frames`.

    Attributes:
        answers: "all" frames of a clip, or the "kept" ones.
    """

    EIGHT_BITS = EIGHT_BITS

    def __init__(
        self,
        *,
        host: Host = "mixste",
        frames: int = 243,
        skeleton: str = "h36m17",
        inputs: int = 2,
        width: int = 512,
        hidden: int = 1024,
        depth: int = 8,
        heads: int = 8,
        tokens: int | None = 81,
        level: int = 3,
        recover: bool = True,
        drop_path: float = 0.1,
        representation: int = 512,
        coordinate_heads: int = 9,
    ) -> None:
        super().__init__()
        if host not in HOSTS:
            raise ValueError(f"there is no host {host!r}: there are {', '.join(HOSTS)}")
        if tokens is not None and not 0 < level < depth:
            raise ValueError(f"frames are left out before a level from 1 to {depth - 1}, not before {level}")
        self.skeleton = SKELETONS[skeleton]
        self.frames, self.inputs, self.name = frames, inputs, host
        self.answers: Literal["all", "kept"] = "all" if tokens is None or recover else "kept"
        options: dict[str, Any] = {
            **{"frames": frames, "joints": len(self.skeleton), "inputs": inputs, "width": width, "hidden": hidden},
            **{"depth": depth, "heads": heads, "level": level, "drop_path": drop_path},
        }
        if host == "mhformer":
            options["coordinate_heads"] = coordinate_heads
        elif host != "mixste":
            options["representation"] = representation
        token_width = 3 * width if host == "mhformer" else width
        bias = host != "motionagformer"
        kept = (
            None
            if tokens is None
            else FrameTokens(frames, tokens, token_width, heads=heads, recover=recover, bias=bias)
        )
        self.host = HOSTS[host](**options, tokens=kept)

    def answer(self, keypoints: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Poses of the frames that are answered, (B, T or kept, J, 3), and which were kept, (B, kept).

        Args:
            keypoints: (B, T, J, 2) in screen-normalised coordinates, or (B, T, J, 3) with confidences.
            noise: (B, T) from 0 to 1, which settles ties among frames; without it they are drawn in training, and
                the later frame wins otherwise.
        """
        if keypoints.shape[-1] < self.inputs:
            keypoints = with_confidence(keypoints)
        return self.host(keypoints[..., : self.inputs], noise)

    def forward(self, keypoints: Tensor, noise: Tensor | None = None) -> Tensor:
        """(B, T, J, 2) in screen-normalised coordinates to metres in the camera's frame, relative to the root.

        Returns: (B, T, J, 3), or (B, kept, J, 3) where `answers` is "kept"; see `answer`.
        """
        return self.answer(keypoints, noise)[0]

    def loss(self, batch: Clips) -> dict[str, Tensor]:
        """The losses that each host's authors train with, of the frames that are answered."""
        found, kept = self.answer(batch.keypoints)
        expected = batch.joints if self.answers == "all" or kept is None else take_frames(batch.joints, kept)
        if self.name == "mhformer":
            return {"joints": distance(found, expected)}
        if self.name == "mixste":
            weights = joint_weights(self.skeleton.name, len(self.skeleton)).to(found)
            return sequence_losses(found, expected, weights)
        return {
            "joints": distance(found, expected),
            "scaled": 0.5 * scaled_distance(found, expected),
            "velocity": 20 * velocity_distance(found, expected),
        }


def with_confidence(keypoints: Tensor) -> Tensor:
    """Keypoints (..., 2) with the confidence 1."""
    return nn.functional.pad(keypoints, (0, 1), value=1.0)


def rename(state: Mapping[str, Tensor], host: Host = "mixste") -> dict[str, Tensor]:
    """The authors' entries under our names.

    Raises:
        ValueError: an entry is none of the host's.
    """
    names = (*TOKEN_NAMES, *NAMES[host])
    return {f"host.{key}": value for key, value in renamed(state, names, f"HoT {host}").items()}


def published(path: Path, variant: str | None = None) -> tuple[str, dict[str, Tensor]]:
    """The variant and our entries of the authors' checkpoint.

    Raises:
        ValueError: it is no checkpoint, or no entry of the variant's host.
    """
    variant = variant or "hot-mixste"
    host = {"host": "mixste", **VARIANTS[variant]}["host"]
    return variant, rename(read(path, ("model_pos", "model"), f"HoT {host}"), host)
