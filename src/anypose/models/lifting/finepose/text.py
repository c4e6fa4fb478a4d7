"""What FinePOSE says about an action and the parts of the body, in words that are partly learned."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PLACES = 77  # of CLIP's text
WORDS = 4  # tokens that are taken of each text
SLOTS = ("subject", "verb", "speed", "head", "body", "arm", "leg")
LEARNED = {"h36m": (3, 8, 6, 6, 6, 10, 10), "3dhp": (5, 0, 8, 8, 8, 12, 12)}


def quick_gelu(x: Tensor) -> Tensor:
    """CLIP's GELU."""
    return x * torch.sigmoid(1.702 * x)


class ClipText(nn.Module):
    """CLIP's text transformer from embedded tokens (B, 77, D) on (A. Radford et al., ICML 2021); it stays frozen."""

    causal: Tensor

    def __init__(self, vocabulary: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.positional_embedding = nn.Parameter(torch.empty(PLACES, width).normal_(0, 0.01))
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, quick_gelu, batch_first=True, norm_first=True)
        self.transformer = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.ln_final = nn.LayerNorm(width)
        later = torch.full((PLACES, PLACES), float("-inf")).triu(1)
        self.register_buffer("causal", later, persistent=False)
        self.requires_grad_(False)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.ln_final(self.transformer(tokens + self.positional_embedding, mask=self.causal))


class PartPrompts(nn.Module):
    """Tokens of an action (B, 77) and of the parts (B, 6, 77) to features (B, 77, D) and their summary (B, D).

    Args:
        learned: how many learned vectors stand before the words of each of the seven slots; a slot that has none is
            left out.
        train_context: lets the learned vectors learn. The authors run all of CLIP without gradients and so never
            train them, which their weights do not depend on.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        *,
        vocabulary: int,
        clip_layers: int,
        clip_heads: int,
        learned: Sequence[int],
        train_context: bool,
    ) -> None:
        super().__init__()
        self.learned, self.train_context = tuple(learned), train_context
        self.slots = [(name, count) for name, count in zip(SLOTS, learned) if count]
        needed = sum(count + WORDS for _, count in self.slots)
        if needed != PLACES:
            raise ValueError(f"the slots {self.learned} take {needed} tokens, CLIP's text has {PLACES}")
        for name, count in self.slots:
            self.register_parameter(f"ctx_{name}", nn.Parameter(torch.empty(count, width).normal_(0, 0.02)))
        self.clip_text = ClipText(vocabulary, width, clip_layers, clip_heads)
        layer = nn.TransformerEncoderLayer(width, heads, hidden, 0.0, "gelu", batch_first=True)
        self.textTransEncoder = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.text_ln = nn.LayerNorm(width)
        self.text_proj = nn.Linear(width, width)

    def prompt(self, action: Tensor, parts: Tensor) -> Tensor:
        """The 77 embedded tokens: of each slot its learned vectors and the first four of its text."""
        texts = {"verb": action, **dict(zip((name for name in SLOTS if name != "verb"), parts.unbind(1)))}
        pieces = []
        for name, _ in self.slots:
            pieces.append(getattr(self, f"ctx_{name}").expand(len(action), -1, -1))
            pieces.append(self.clip_text.token_embedding(texts[name][:, :WORDS]))
        return torch.cat(pieces, 1)  # B 77 D

    def forward(self, action: Tensor, parts: Tensor) -> tuple[Tensor, Tensor]:
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.train_context):
            read = self.clip_text(self.prompt(action, parts))
        features = self.text_ln(self.textTransEncoder(read))
        last = action.argmax(-1)  # the end of a text has CLIP's highest number
        return features, self.text_proj(features[torch.arange(len(features), device=features.device), last])


class TextAttention(nn.Module):
    """Frames of one joint (R, T, D) ask the words (R, L, D); the answer is styled by time and text (R, D).

    M. Zhang et al., MotionDiffuse, 2022, has this attention and the stylisation.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.text_norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.style = nn.Linear(width, 2 * width)
        self.style_norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, rows: Tensor, words: Tensor, style: Tensor) -> Tensor:
        def split(x: Tensor) -> Tensor:
            return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # R heads N D/heads

        words = self.text_norm(words)
        q, k, v = split(self.query(self.norm(rows))), split(self.key(words)), split(self.value(words))
        answer = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        scale, shift = self.style(F.silu(style))[:, None].chunk(2, -1)
        return rows + self.out(F.silu(self.style_norm(answer) * (1 + scale) + shift))
