"""Which places of the memory become query groups, and what the queries of a group start as (paper section 3.3)."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from anypose.models.promptable.uniphd.encoder import Ground

EDGE = 0.01  # of the picture's width and height: no group starts nearer to it


class Choice(NamedTuple):
    """Q groups for each of P prompts, out of S cells.

    memory: (P, S, D), normed. scores: (P, S, 2), logits. deltas: (P, S, 2K) from a cell's centre to keypoints, before
    the sigmoid, where there are gradients. top: (P, Q), the chosen cells. top_scores: (P, Q, 2).
    references: (P, Q, 1 + K, 2), centre and keypoints from 0 to 1, with gradients. chosen: (P, Q, D), memory of the
    chosen cells.
    """

    memory: Tensor
    scores: Tensor
    deltas: Tensor
    top: Tensor
    top_scores: Tensor
    references: Tensor
    chosen: Tensor


def mlp(*widths: int, from_zero: bool = False) -> nn.Sequential:
    """Linear layers with ReLU between; `from_zero` starts the last one at 0, so that it moves nothing yet."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        last = nn.Linear(inputs, outputs)
        layers += [last, nn.ReLU()]
    if from_zero:
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    return nn.Sequential(*layers[:-1])


def person_score(width: int) -> nn.Linear:
    """Logits of the two classes; they start at a hundredth, as one person is among many cells."""
    score = nn.Linear(width, 2)
    nn.init.constant_(score.bias, -4.595)
    return score


class TwoStage(nn.Module):
    """Args:
    width: of the memory.
    groups: chosen for each prompt.
    keypoints: of a person; 0 leaves the pose out, and a group has its centre alone.
    padding_too: whether cells of padding and at the edge, whose memory is zeroed, can be chosen where fewer than
        `groups` others score better. The authors' code lets them; published weights were trained with it.
    """

    def __init__(self, width: int, groups: int, keypoints: int, *, padding_too: bool = True) -> None:
        super().__init__()
        self.groups, self.keypoints, self.padding_too = groups, keypoints, padding_too
        self.project = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.score = person_score(width)
        hidden = 2 * width
        self.pose = mlp(width, hidden, hidden, hidden, 2 * keypoints, from_zero=True) if keypoints else None

    def forward(self, memory: Tensor, ground: Ground) -> Choice:
        """memory (P, S, D)."""
        centres = ground.centres
        shut = ground.padding | (centres <= EDGE).any(-1) | (centres >= 1 - EDGE).any(-1)
        memory = self.norm(self.project(memory.masked_fill(shut[..., None], 0)))
        scores = self.score(memory)  # P S 2
        rank = scores.amax(-1)
        if not self.padding_too:
            # As low as the lowest and no infinity: where too few cells are open, shut ones still fill the rest.
            rank = rank.masked_fill(shut, -1e4)
        top = rank.topk(self.groups, dim=1).indices  # P Q
        start = (centres / (1 - centres)).log().masked_fill(shut[..., None], float("inf"))  # P S 2
        begin = _rows(start, top)[:, :, None]  # P Q 1 2
        deltas = memory.new_zeros(0)
        references = begin.sigmoid()
        if self.pose is not None:
            if torch.is_grad_enabled():
                deltas = self.pose(memory)  # P S 2K
                moved = _rows(deltas, top)
            else:
                moved = self.pose(_rows(memory, top))  # nobody asks what the other cells would have said
            keypoints = (begin + moved.unflatten(-1, (-1, 2))).sigmoid()  # P Q K 2
            references = torch.cat((keypoints.mean(2, keepdim=True), keypoints), 2)
        return Choice(memory, scores, deltas, top, _rows(scores, top), references, _rows(memory, top))


def _rows(values: Tensor, index: Tensor) -> Tensor:
    """Rows (P, Q, C) of (P, S, C) by (P, Q)."""
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))


class Queries(nn.Module):
    """What a group's queries start as: the prompt, and the place seen in the light of each keypoint.

    Args:
        width: of the queries.
        keypoints: queries after the first of a group.
        from_prompt: False starts every group from learned vectors alone (table 8, "no query initialisation").
    """

    def __init__(self, width: int, keypoints: int, *, from_prompt: bool = True) -> None:
        super().__init__()
        self.keypoints = nn.Parameter(torch.randn(keypoints, width)) if keypoints else None
        self.person = None if from_prompt else nn.Parameter(torch.randn(width))

    def forward(self, chosen: Tensor, summary: Tensor) -> Tensor:
        """Chosen cells (P, Q, D) and prompts (P, D) to queries (P, Q, 1 + K, D)."""
        prompts, groups, width = chosen.shape
        if self.person is not None:
            person = self.person.expand(prompts, groups, 1, width)
        else:
            # The same in all groups and without a position code, which the paper says is added.
            person = summary[:, None, None].expand(-1, groups, 1, -1)
        if self.keypoints is None:
            return person
        seen = self.keypoints.expand(prompts, groups, -1, -1)
        if self.person is None:
            seen = seen + chosen.detach()[:, :, None]
        return torch.cat((person, seen), 2)
