"""MotionAGFormer as a host of the Hourglass Tokenizer (S. Mehraban et al., WACV 2024)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from anypose.nn.frame_tokens import FrameTokens
from anypose.nn.space_time import Attention, DropPath, FeedForward, from_frames, from_joints, over_frames, over_joints

NAMES = (
    (r"joints_embed\.", "embed."),
    (r"pos_embed$", "joint_places"),
    (r"layers\.", "layers."),
    (r"norm\.", "norm."),
    (r"rep_logit\.fc\.", "representation."),
    (r"head\.", "head."),
)
# Neighbours as the authors list them: pelvis and thorax miss one limb each, which published weights depend on.
NEIGHBOURS = {
    **{0: (1, 7), 1: (2, 0), 2: (3, 1), 3: (2,), 4: (5, 0), 5: (6, 4), 6: (5,), 7: (0, 8), 8: (7, 9)},
    **{9: (8, 10), 10: (9,), 11: (12, 8), 12: (13, 11), 13: (12,), 14: (15, 8), 15: (16, 14), 16: (15,)},
}
SIMILAR = 4  # frames that a frame is joined to


class Graph(nn.Module):
    """A graph convolution of rows (R, N, D): along the skeleton, or to the most similar rows where none is given."""

    adjacency: Tensor | None

    def __init__(self, width: int, nodes: int, adjacency: Tensor | None) -> None:
        super().__init__()
        self.U = nn.Linear(width, width)
        self.V = nn.Linear(width, width)
        self.batch_norm = nn.BatchNorm1d(nodes)
        self.register_buffer("adjacency", adjacency, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        adjacency = self.adjacency
        if adjacency is None:
            likeness = x @ x.transpose(1, 2)
            least = likeness.topk(min(SIMILAR, x.shape[1]), -1).values[..., -1:]
            adjacency = (likeness >= least).to(x.dtype)
        scale = adjacency.sum(-1).rsqrt()
        gathered = (scale[..., :, None] * adjacency * scale[..., None, :]) @ self.V(x)
        return (x + self.batch_norm(gathered + self.U(x))).relu()


class Layer(nn.Module):
    """A mixer and a feed-forward network of rows (R, N, D), each branch scaled channel by channel."""

    def __init__(self, width: int, hidden: int, mixer: nn.Module, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.mixer = mixer
        self.norm2 = nn.LayerNorm(width)
        self.mlp = FeedForward(width, hidden)
        self.layer_scale_1 = nn.Parameter(torch.full((width,), 1e-5))
        self.layer_scale_2 = nn.Parameter(torch.full((width,), 1e-5))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.layer_scale_1 * self.mixer(self.norm1(x)))
        return x + self.drop_path(self.layer_scale_2 * self.mlp(self.norm2(x)))


class Streams(nn.Module):
    """A stream of attention and one of graphs, each across joints and then frames, mixed by learned weights."""

    def __init__(self, width: int, heads: int, hidden: int, frames: int, skeleton: Tensor, drop_path: float) -> None:
        super().__init__()

        def layer(mixer: nn.Module) -> Layer:
            return Layer(width, hidden, mixer, drop_path)

        self.att_spatial = layer(Attention(width, heads, bias=False))
        self.att_temporal = layer(Attention(width, heads, bias=False))
        self.graph_spatial = layer(Graph(width, len(skeleton), skeleton))
        self.graph_temporal = layer(Graph(width, frames, None))
        self.fusion = nn.Linear(2 * width, 2)
        nn.init.zeros_(self.fusion.weight)
        nn.init.constant_(self.fusion.bias, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        def stream(across_joints: nn.Module, across_frames: nn.Module) -> Tensor:
            rows = from_joints(across_joints(over_joints(x)), x.shape[0])
            return from_frames(across_frames(over_frames(rows)), x.shape[0])

        one = stream(self.att_spatial, self.att_temporal)
        other = stream(self.graph_spatial, self.graph_temporal)
        weights = self.fusion(torch.cat((one, other), -1)).softmax(-1)
        return one * weights[..., :1] + other * weights[..., 1:]


class MotionAGFormer(nn.Module):
    """See `HoT` for the arguments; `tokens` are chosen before layer number `level`."""

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
        representation: int,
    ) -> None:
        super().__init__()
        if joints != len(NEIGHBOURS):
            raise ValueError(f"MotionAGFormer knows the neighbours of {len(NEIGHBOURS)} joints, not of {joints}")
        skeleton = torch.zeros(joints, joints)
        for joint, neighbours in NEIGHBOURS.items():
            skeleton[joint, list(neighbours)] = 1
        self.embed = nn.Linear(inputs, width)
        self.joint_places = nn.Parameter(torch.zeros(1, joints, width))
        kept = frames if tokens is None else tokens.kept
        self.layers = nn.ModuleList(
            Streams(width, heads, hidden, frames if layer < level else kept, skeleton, drop_path)
            for layer in range(depth)
        )
        self.level, self.tokens = level, tokens
        self.norm = nn.LayerNorm(width)
        self.representation = nn.Linear(width, representation)
        self.head = nn.Linear(representation, 3)

    def forward(self, keypoints: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor | None]:
        x = self.embed(keypoints) + self.joint_places  # B T J D
        kept = None
        for level, layer in enumerate(self.layers):
            if self.tokens is not None and level == self.level:
                x, kept = self.tokens(x, noise)
            x = layer(x)
        x = self.norm(x)
        if self.tokens is not None and self.tokens.recovers:
            x = self.tokens.recover(x)
        return self.head(self.representation(x).tanh()), kept
