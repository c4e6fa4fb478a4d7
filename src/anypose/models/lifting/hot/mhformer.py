"""MHFormer as a host of the Hourglass Tokenizer (W. Li et al., CVPR 2022): three hypotheses that correct each other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from anypose.nn.frame_tokens import FrameTokens
from anypose.nn.space_time import Attention, Block, CrossAttention, DropPath, FeedForward, drop_path_rates

NAMES = (
    (r"norm_(\d)\.", r"norms.\1."),
    (r"Transformer_encoder_(\d)\.", r"encoders.\1."),
    (r"embedding_(\d)\.", r"embeddings.\1."),
    (r"Transformer_hypothesis\.pos_embed_(\d)$", r"places.\1"),
    (r"Transformer_hypothesis\.SHR_blocks\.", "refine."),
    (r"Transformer_hypothesis\.CHI_blocks\.", "interact."),
    (r"Transformer_hypothesis\.norm\.", "norm."),
    (r"regression\.", "regression."),
)
THREE = ("1", "2", "3")  # the hypotheses, numbered as in the authors' files
SHORT = 27  # frames up to which the authors' embeddings are normalised


class Coordinates(nn.Module):
    """A transformer over the 2 J coordinates of a clip, (B, 2 J, T): a coordinate's course in time is its features."""

    def __init__(self, frames: int, coordinates: int, depth: int, heads: int) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, coordinates, frames))
        rates = drop_path_rates(depth, 0.2)
        self.blocks = nn.ModuleList(Block(frames, heads, 2 * frames, drop_path=rate) for rate in rates)
        self.norm = nn.LayerNorm(frames, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Refinement(nn.Module):
    """Each hypothesis (B, T, D) attends to itself; one network then mixes the features of all three."""

    def __init__(self, width: int, hidden: int, heads: int, drop_path: float) -> None:
        super().__init__()
        for name in THREE:
            self.add_module(f"norm1_{name}", nn.LayerNorm(width, eps=1e-6))
            self.add_module(f"attn_{name}", Attention(width, heads))
        self.norm2 = nn.LayerNorm(3 * width, eps=1e-6)
        self.mlp = FeedForward(3 * width, hidden)
        self.drop_path = DropPath(drop_path)

    def forward(self, hypotheses: list[Tensor]) -> list[Tensor]:
        seen = []
        for name, x in zip(THREE, hypotheses):
            attention, norm = getattr(self, f"attn_{name}"), getattr(self, f"norm1_{name}")
            seen.append(x + self.drop_path(attention(norm(x))))
        together = torch.cat(seen, -1)
        return list((together + self.drop_path(self.mlp(self.norm2(together)))).chunk(3, -1))


class Interaction(nn.Module):
    """Each hypothesis (B, T, D) is asked by how the two others agree; one network then mixes all three."""

    def __init__(self, width: int, hidden: int, heads: int, drop_path: float) -> None:
        super().__init__()
        for name in THREE:
            for part in THREE:
                self.add_module(f"norm3_{name}{part}", nn.LayerNorm(width, eps=1e-6))
            self.add_module(f"attn_{name}", CrossAttention(width, heads))
        self.norm2 = nn.LayerNorm(3 * width, eps=1e-6)
        self.mlp = FeedForward(3 * width, hidden)
        self.drop_path = DropPath(drop_path)

    def forward(self, hypotheses: list[Tensor]) -> list[Tensor]:
        answers = list(hypotheses)
        for i, name in enumerate(THREE):
            first, second = (answers[j] for j in range(3) if j != i)
            norms = (getattr(self, f"norm3_{name}{part}") for part in THREE)
            asked = (norm(x) for norm, x in zip(norms, (first, second, answers[i])))
            answers[i] = answers[i] + self.drop_path(getattr(self, f"attn_{name}")(*asked))
        together = torch.cat(answers, -1)
        return list((together + self.drop_path(self.mlp(self.norm2(together)))).chunk(3, -1))


class MHFormer(nn.Module):
    """See `HoT` for the arguments; `tokens` are chosen before layer number `level` of the three that mix hypotheses.

    All frames are answered; the authors score the middle one alone.
    """

    def __init__(
        self,
        *,
        frames: int,
        joints: int,
        inputs: int,
        width: int,
        hidden: int,
        depth: int,
        heads: int,
        level: int,
        tokens: FrameTokens | None,
        drop_path: float,
        coordinate_heads: int,
    ) -> None:
        super().__init__()
        coordinates = inputs * joints
        self.norms = nn.ModuleDict({name: nn.LayerNorm(frames) for name in THREE})
        self.encoders = nn.ModuleDict({name: Coordinates(frames, coordinates, 4, coordinate_heads) for name in THREE})

        def embedding() -> nn.Module:
            conv = nn.Conv1d(coordinates, width, 1)
            if frames > SHORT:
                return conv
            return nn.Sequential(conv, nn.BatchNorm1d(width, momentum=0.1), nn.ReLU(), nn.Dropout(0.1))

        self.embeddings = nn.ModuleDict({name: embedding() for name in THREE})
        self.places = nn.ParameterDict({name: nn.Parameter(torch.zeros(1, frames, width)) for name in THREE})
        rates = drop_path_rates(depth, drop_path)
        self.refine = nn.ModuleList(Refinement(width, hidden, heads, rate) for rate in rates[:-1])
        self.interact = nn.ModuleList([Interaction(width, hidden, heads, rates[-1])])
        self.norm = nn.LayerNorm(3 * width, eps=1e-6)
        self.regression = nn.Sequential(nn.BatchNorm1d(3 * width), nn.Conv1d(3 * width, 3 * joints, 1))
        self.level, self.tokens = level, tokens

    def hypotheses(self, keypoints: Tensor) -> list[Tensor]:
        """Three readings of the clip, each (B, T, D)."""
        x = keypoints.flatten(2).transpose(1, 2)  # B 2J T
        found = []
        for name in THREE:
            x = x + self.encoders[name](self.norms[name](x))
            found.append(self.embeddings[name](x).transpose(1, 2) + self.places[name])
        return found

    def forward(self, keypoints: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor | None]:
        hypotheses, kept = self.hypotheses(keypoints), None
        for level, layer in enumerate((*self.refine, *self.interact)):
            if self.tokens is not None and level == self.level:
                chosen, kept = self.tokens(torch.cat(hypotheses, -1)[:, :, None], noise)
                hypotheses = list(chosen[:, :, 0].chunk(3, -1))
            hypotheses = layer(hypotheses)
        x = torch.cat(hypotheses, -1)
        if self.tokens is not None and self.tokens.recovers:
            x = self.tokens.recover(x[:, :, None])[:, :, 0]
        poses = self.regression(self.norm(x).transpose(1, 2))  # B 3J T
        return poses.transpose(1, 2).unflatten(-1, (-1, 3)), kept
