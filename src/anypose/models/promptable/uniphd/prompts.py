"""What a prompt says: word tokens from RoBERTa, place tokens from the backbone's own map, and their fusion.

Facts: paper section 3.2 and the authors' release.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import RobertaConfig, RobertaModel

from anypose.ops.positions import sine

WORD_PADDING = 1  # RoBERTa's token of nothing
STROKE = 12  # places of a scribble


class Prompts(NamedTuple):
    """P prompts: first those in words, then those by places; either part may be empty.

    words: (N, L) int64 tokens, padded with `WORD_PADDING`. word_pictures: (N,) int64, which picture each asks about.
    places: (M, S, 2) float32 pixels of the resized picture. unused: (M, S) bool, True where there is no place.
    place_pictures: (M,) int64.
    """

    words: Tensor
    word_pictures: Tensor
    places: Tensor
    unused: Tensor
    place_pictures: Tensor

    @classmethod
    def from_words(cls, words: Tensor, pictures: Tensor | None = None) -> Prompts:
        """Only words; the prompts are about the pictures in turn unless told otherwise."""
        none = words.new_zeros(0)
        places = torch.zeros(0, 1, 2, device=words.device)
        return cls(words, _in_turn(words, pictures), places, places[..., 0].bool(), none)

    @classmethod
    def from_places(cls, places: Tensor, unused: Tensor | None = None, pictures: Tensor | None = None) -> Prompts:
        """Only places; all of them are used unless told otherwise."""
        none = torch.zeros(0, dtype=torch.int64, device=places.device)
        unused = torch.zeros_like(places[..., 0], dtype=torch.bool) if unused is None else unused
        return cls(none[:, None].expand(0, 1), none, places, unused, _in_turn(places, pictures))

    @property
    def pictures(self) -> Tensor:
        """(P,), which picture each prompt asks about."""
        return torch.cat((self.word_pictures, self.place_pictures))

    def about(self, pictures: Tensor) -> tuple[Prompts, Tensor]:
        """The prompts about some pictures (n,), which they number anew, and their rows among all (p,)."""
        place = {int(picture): i for i, picture in enumerate(pictures)}
        parts = []
        for of in (self.word_pictures, self.place_pictures):
            rows = [i for i, picture in enumerate(of.tolist()) if picture in place]
            parts.append((rows, torch.tensor([place[int(of[i])] for i in rows], dtype=torch.int64, device=of.device)))
        (word_rows, word_of), (place_rows, place_of) = parts
        kept = Prompts(self.words[word_rows], word_of, self.places[place_rows], self.unused[place_rows], place_of)
        rows = [*word_rows, *(len(self.words) + row for row in place_rows)]
        return kept, torch.tensor(rows, dtype=torch.int64, device=self.words.device)


def _in_turn(rows: Tensor, pictures: Tensor | None) -> Tensor:
    return torch.arange(len(rows), device=rows.device) if pictures is None else pictures


class Told(NamedTuple):
    """Prompts as tokens.

    tokens: (P, L, D). positions: (P, L, D), added to keys only. padding: (P, L) bool. summary: (P, D), one token
    for the whole prompt.
    """

    tokens: Tensor
    positions: Tensor
    padding: Tensor
    summary: Tensor


class Projector(nn.Module):
    """Linear, norm, dropout: features of some width to tokens of the model's width."""

    def __init__(self, inputs: int, width: int, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor) -> Tensor:
        """(..., inputs) to (..., width)."""
        return self.dropout(self.norm(self.linear(features)))


class WordReader(nn.Module):
    """Words to tokens by RoBERTa (Liu et al., 2019), which is trained on."""

    def __init__(
        self,
        width: int,
        *,
        vocabulary: int,
        positions: int,
        roberta_width: int,
        layers: int,
        heads: int,
        feedforward: int,
        dropout: float,
    ) -> None:
        super().__init__()
        config = RobertaConfig(
            vocab_size=vocabulary,
            hidden_size=roberta_width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=feedforward,
            max_position_embeddings=positions,
            type_vocab_size=1,
            layer_norm_eps=1e-5,
            pad_token_id=WORD_PADDING,
            bos_token_id=0,
            eos_token_id=2,
        )
        config._attn_implementation = "eager"
        self.roberta = RobertaModel(config)
        self.tokens = Projector(roberta_width, width, dropout)
        self.summary = Projector(roberta_width, width, dropout)

    def forward(self, words: Tensor) -> Told:
        """(P, L) int64."""
        padding = words == WORD_PADDING
        # Four sides: the layers take it as it is, and what would be made of two sides cannot be exported.
        lowest = torch.finfo(torch.float32).min
        mask = torch.zeros_like(words, dtype=torch.float32).masked_fill(padding, lowest)[:, None, None, :]
        hidden = self.roberta(words, attention_mask=mask)
        count = (~padding).float().cumsum(1)
        places = count / (count[:, -1:] + 1e-6)
        tokens = self.tokens(hidden.last_hidden_state)  # P L D
        # The paper pools the words' features; the release takes RoBERTa's own pooler.
        summary = self.summary(hidden.pooler_output)  # P D
        return Told(tokens, sine(places, tokens.shape[-1]), padding, summary)


class PlaceReader(nn.Module):
    """Places to tokens: what the backbone's stride-16 map holds there.

    Args:
        channels: of that map.
        width: of the tokens.
        dropout: of the projections.
        sampling: "corners" takes the corners of the picture for the middles of the map's corner cells, as the
            authors do: half a cell of shift at the edges that their weights have learned. "centres" is right.
    """

    def __init__(self, channels: int, width: int, dropout: float, sampling: Literal["corners", "centres"]) -> None:
        super().__init__()
        self.sampling = sampling
        self.tokens = Projector(channels, width, dropout)
        self.summary = Projector(width, width, dropout)

    def forward(self, seen: Tensor, codes: Tensor, places: Tensor, unused: Tensor, canvas: tuple[int, int]) -> Told:
        """Args:
        seen: (P, C, h, w), the map under each prompt.
        codes: (P, D, h, w), its position codes.
        places: (P, S, 2) pixels.
        unused: (P, S) bool.
        canvas: height and width in pixels of what the map covers.
        """
        scale = places.new_tensor([canvas[1], canvas[0]])
        grid = (2 * (places / scale).clamp(0, 1) - 1)[:, :, None]  # P S 1 2

        def read(image: Tensor) -> Tensor:
            at = F.grid_sample(image, grid, "bilinear", "zeros", self.sampling == "corners")
            return at[..., 0].transpose(1, 2)  # P S C

        tokens = self.tokens(read(seen))
        used = (~unused)[..., None].to(tokens.dtype)
        mean = (tokens * used).sum(1) / used.sum(1).clamp(min=1)
        return Told(tokens, read(codes), unused, self.summary(mean))


class Fusion(nn.Module):
    """Every cell of the pyramid listens to the prompt (section 3.2); no norm and no gate, as released."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.words = nn.MultiheadAttention(width, heads, batch_first=True)
        self.places = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, pyramid: Tensor, told: Told, kind: Literal["words", "places"]) -> Tensor:
        """(P, S, D) to (P, S, D)."""
        attention = self.words if kind == "words" else self.places
        heard, _ = attention(
            pyramid, told.tokens + told.positions, told.tokens, key_padding_mask=told.padding, need_weights=False
        )
        return pyramid + heard
