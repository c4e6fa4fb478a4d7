"""The pose-centric hierarchical decoder and its heads (paper section 3.3)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from anypose.models.promptable.uniphd.encoder import FeedForward, Ground
from anypose.models.promptable.uniphd.queries import mlp, person_score
from anypose.nn.deformable import DeformableAttention
from anypose.ops.positions import logit, sine_places

Within = Literal["graph", "attention", "none"]


class Layer(NamedTuple):
    """What one layer's heads say of Q groups for each of P prompts.

    queries: (P, Q, 1 + K, D). references: (P, Q, 1 + K, 2), that the layer started from. scores: (P, Q, 2), logits;
    a person is index 1. boxes: (P, Q, 4), centre and size from 0 to 1. keypoints: (P, Q, K, 2) from 0 to 1.
    visibility: (P, Q, K), logits.
    """

    queries: Tensor
    references: Tensor
    scores: Tensor
    boxes: Tensor
    keypoints: Tensor
    visibility: Tensor


class DecoderLayer(nn.Module):
    """Args:
    nodes: queries of a group, of which the first is the person.
    within: how they attend to each other: "graph" with a learned bias for each pair of nodes and each head;
        "attention" without it, "none" not at all (table 7).
    position_leak: the authors add position codes in place, so that they stay in the queries; weights that were
        trained so need it.
    """

    def __init__(
        self,
        nodes: int,
        *,
        width: int,
        heads: int,
        levels: int,
        points: int,
        feedforward: int,
        within: Within,
        position_leak: bool,
    ) -> None:
        super().__init__()
        self.heads, self.position_leak = heads, position_leak
        self.across = nn.MultiheadAttention(width, heads, batch_first=True)
        self.across_norm = nn.LayerNorm(width)
        self.look = DeformableAttention(width, heads, levels, points)
        self.look_norm = nn.LayerNorm(width)
        self.feedforward = FeedForward(width, feedforward)
        self.norm = nn.LayerNorm(width)
        self.within: nn.MultiheadAttention | None = None
        self.edges: nn.Parameter | None = None
        if within != "none":
            self.within = nn.MultiheadAttention(width, heads, batch_first=True)
            self.within_norm = nn.LayerNorm(width)
            self.within_feedforward = FeedForward(width, feedforward)
            self.last_norm = nn.LayerNorm(width)
        if within == "graph":
            self.edges = nn.Parameter(torch.full((heads, nodes, nodes), 1e-8))

    def forward(self, queries: Tensor, codes: Tensor, references: Tensor, memory: Tensor, ground: Ground) -> Tensor:
        """Args:
        queries: (P, Q, 1 + K, D).
        codes: (P, Q, 1 + K, D), of the references; zero for the person.
        references: (P, Q, 1 + K, 2).
        memory: (P, S, D).
        """
        by_node = queries.transpose(1, 2).flatten(0, 1)  # P*N Q D
        heard, _ = self.across(by_node, by_node, by_node, need_weights=False)
        by_node = self.across_norm(by_node + heard)
        queries = by_node.unflatten(0, (-1, queries.shape[2])).transpose(1, 2)  # P Q N D

        placed = queries + codes
        reference = references.flatten(1, 2)[:, :, None] * ground.ratios[:, None]  # P Q*N levels 2
        looked = self.look(placed.flatten(1, 2), reference, memory, ground.shapes, ground.padding)
        queries = (placed if self.position_leak else queries) + looked.view_as(queries)
        queries = self.look_norm(queries)
        queries = self.norm(queries + self.feedforward(queries))
        return queries if self.within is None else self._within(queries, codes, self.within)

    def _within(self, queries: Tensor, codes: Tensor, attention: nn.MultiheadAttention) -> Tensor:
        placed = (queries + codes).flatten(0, 1)  # P*Q N D
        plain = placed if self.position_leak else queries.flatten(0, 1)
        bias = None if self.edges is None else self.edges.repeat(placed.shape[0], 1, 1)  # P*Q*heads N N
        heard, _ = attention(placed, placed, plain, attn_mask=bias, need_weights=False)
        group = self.within_norm(plain + heard)
        return self.last_norm(group + self.within_feedforward(group)).view_as(queries)


class Decoder(nn.Module):
    """Args:
    layers: number of layers, each with heads of its own.
    keypoints: of a person; with 0 a group is its person alone, whose place the boxes' centres refine.
    The rest as in `DecoderLayer`.
    """

    def __init__(
        self,
        layers: int,
        keypoints: int,
        *,
        width: int,
        heads: int,
        levels: int,
        points: int,
        feedforward: int,
        within: Within = "graph",
        position_leak: bool = True,
    ) -> None:
        super().__init__()
        self.keypoints, self.width = keypoints, width
        self.position = mlp(width, width, width) if keypoints else None
        self.layers = nn.ModuleList(
            DecoderLayer(
                keypoints + 1,
                width=width,
                heads=heads,
                levels=levels,
                points=points,
                feedforward=feedforward,
                within=within,
                position_leak=position_leak,
            )
            for _ in range(layers)
        )
        each = range(layers)
        self.score = nn.ModuleList(person_score(width) for _ in each)
        self.box = nn.ModuleList(mlp(width, width, width, 4, from_zero=True) for _ in each)
        self.pose = nn.ModuleList(mlp(width, width, width, 2, from_zero=True) for _ in each if keypoints)
        self.visibility = nn.ModuleList(nn.Linear(width, 1) for _ in each if keypoints)

    def forward(
        self, queries: Tensor, references: Tensor, memory: Tensor, ground: Ground
    ) -> tuple[list[Layer], Tensor]:
        """Args:
            queries: (P, Q, 1 + K, D).
            references: (P, Q, 1 + K, 2), detached.
            memory: (P, S, D).

        Returns: each layer's answer, and the references after the last.
        """
        found = []
        for i, layer in enumerate(self.layers):
            # What a layer answers moves what the layer before answered; what it looks at does not.
            still = references.detach()
            queries = layer(queries, self._codes(still, ground), still, memory, ground)
            moves = self.pose[i](queries[:, :, 1:]) if self.keypoints else self.box[i](queries)[..., :2]
            found.append(self._heads(i, queries, references, moves))
            references = (logit(still[:, :, -self._moved :]) + moves).sigmoid()
            if self.keypoints:
                references = torch.cat((references.mean(2, keepdim=True), references), 2)
        return found, references

    def _codes(self, references: Tensor, ground: Ground) -> Tensor:
        if self.position is None:
            return references.new_zeros(())
        places = references[:, :, 1:] * ground.ratios[:, None, None, 0]  # P Q K 2
        codes = self.position(sine_places(places, self.width))
        return torch.cat((torch.zeros_like(codes[:, :, :1]), codes), 2)

    @property
    def _moved(self) -> int:
        """How many references of a group a layer moves: its keypoints, or its centre where there are none."""
        return max(1, self.keypoints)

    def _heads(self, i: int, queries: Tensor, references: Tensor, moves: Tensor) -> Layer:
        person, points = queries[:, :, 0], queries[:, :, 1:]
        boxes = self.box[i](person)
        boxes = torch.cat((boxes[..., :2] + logit(references[:, :, 0]), boxes[..., 2:]), -1).sigmoid()
        keypoints, visibility = references[:, :, 1:], points[..., 0]  # without a pose both are empty
        if self.keypoints:
            keypoints = (logit(keypoints) + moves).sigmoid()
            visibility = self.visibility[i](points)[..., 0]
        return Layer(queries, references, self.score[i](person), boxes, keypoints, visibility)
