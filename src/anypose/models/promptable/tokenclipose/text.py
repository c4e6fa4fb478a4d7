"""Names of keypoints as vectors: CLIP's text tower, or word vectors that come with this package."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from anypose import wordpiece

Prompts = Literal["ensemble", "single", "random"]
PROMPTS: tuple[Prompts, ...] = ("ensemble", "single", "random")
ENCODERS = ("clip", "words")

# The paper does not give its wording; this is ours. A plain list: add to it, or hand over another.
SINGLE = "a photo of the {} of a person"
TEMPLATES = (
    SINGLE,
    "a close-up photo of the {}",
    "the {} of an athlete",
    "a picture in which the {} can be seen",
    "the {} of someone in motion",
    "a blurred photo of the {}",
    "the {}, partly hidden",
    "the {}, seen from far away",
)
CLIP = "openai/clip-vit-base-patch32"
# Words that stand in every phrase and tell nothing apart.
_EMPTY = frozenset(
    ("a", "an", "the", "of", "in", "on", "at", "to", "which", "can", "be", "is", "with", "and", "by", "from", ",", ".")
)


class Encoder(Protocol):
    """Texts to unit vectors.

    Attributes:
        width: of a vector.
    """

    width: int

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """(N, width), each of length 1.

        Raises:
            ValueError: a text is empty, or longer than can be read.
        """
        ...


class ClipText:
    """CLIP's text tower (A. Radford et al., ICML 2021).

    Args:
        tower: what has transformers' interface of `CLIPTextModelWithProjection`.
        pieces: a text to the numbers of its pieces, with those of its beginning and end.
    """

    def __init__(self, tower: Any, pieces: Callable[[str], list[int]]) -> None:
        self._tower, self._pieces = tower.eval().requires_grad_(False), pieces
        self._longest = int(tower.config.max_position_embeddings)
        self.width = int(tower.config.projection_dim)

    @classmethod
    def published(cls, name: str = CLIP) -> ClipText:
        """The tower `name` of huggingface.co, fetched on first use and kept.

        Raises:
            ValueError: it is not kept here and cannot be fetched.
        """
        from transformers import CLIPTextModelWithProjection, CLIPTokenizer

        parts = (CLIPTextModelWithProjection, CLIPTokenizer)
        try:
            tower, tokenizer = (part.from_pretrained(name, local_files_only=True) for part in parts)
        except OSError:
            try:
                _reach_hub()
                tower, tokenizer = (part.from_pretrained(name) for part in parts)
            except OSError as error:
                raise ValueError(
                    f"CLIP's text tower huggingface.co/{name} is not kept here and could not be fetched: connect once, "
                    'or take the word vectors that come along (text="words")'
                ) from error
        return cls(tower, lambda text: tokenizer(text).input_ids)

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> Tensor:
        vectors = []
        for text in map(checked, texts):
            ids = self._pieces(text)
            if len(ids) > self._longest:
                raise ValueError(
                    f'"{_short(text)}" has {len(ids)} pieces with beginning and end; CLIP\'s text tower reads at most '
                    f"{self._longest}: shorten it"
                )
            vectors.append(self._tower(input_ids=torch.tensor([ids])).text_embeds[0])
        return F.normalize(torch.stack(vectors), dim=-1)


def _reach_hub() -> None:
    """OSError where there is no way to the hub, which otherwise is tried again for most of a minute."""
    from huggingface_hub.constants import ENDPOINT

    address = urlsplit(ENDPOINT)
    if address.hostname and not getproxies():  # what a proxy reaches cannot be told from here
        socket.create_connection((address.hostname, address.port or 443), timeout=5).close()


class WordVectors:
    """The default model's word vectors: a text is the mean of its words, mapped to `width` numbers by a fixed matrix.

    Nothing is fetched. Order is not read, and phrases are told apart by their words alone.

    Args:
        width: of a vector.
        longest: pieces that are read of a text.
    """

    def __init__(self, width: int = 512, longest: int = 64) -> None:
        home = Path(__file__).parents[3] / "weights" / "pointer"
        self._words = wordpiece.WordPiece(json.loads((home / "tokenizer.json").read_text(encoding="utf-8")))
        self._table = _table(home / "model.safetensors")  # V 64
        self._longest, self.width = longest, width
        # The same numbers in every version of torch.
        matrix = np.random.default_rng(0).standard_normal((self._table.shape[1], width))
        self._map = torch.from_numpy(matrix / np.sqrt(width)).float()

    def __call__(self, texts: Sequence[str]) -> Tensor:
        return F.normalize(torch.stack([self._vector(checked(text)) for text in texts]) @ self._map, dim=-1)

    def _vector(self, text: str) -> Tensor:
        words = wordpiece.words(text)
        told = [word for word in words if word not in _EMPTY] or words
        ids = self._words.encode(" ".join(told)).ids
        if len(ids) > self._longest:
            raise ValueError(
                f'"{_short(text)}" has {len(ids)} word pieces; at most {self._longest} are read: shorten it'
            )
        return F.normalize(self._table[ids], dim=-1).mean(0)


def _table(file: Path) -> Tensor:
    from safetensors import safe_open

    with safe_open(str(file), "pt") as weights:
        return weights.get_tensor("first.words.table").float()


def encoder_of(kind: str, width: int) -> Encoder:
    """The encoder that a model was made for, "clip" or "words".

    Raises:
        ValueError: there is no such encoder, its vectors are not `width` wide, or it cannot be fetched.
    """
    if kind == "words":
        return WordVectors(width)
    if kind != "clip":
        raise ValueError(f"there is no text encoder {kind!r}: it is {' or '.join(map(repr, ENCODERS))}")
    clip = ClipText.published()
    if clip.width != width:
        raise ValueError(f"CLIP's vectors have {clip.width} numbers, the model's tokens {width}: take text=\"words\"")
    return clip


def tokens(encoder: Encoder, names: Sequence[str], templates: Sequence[str] = TEMPLATES) -> Tensor:
    """What keypoint tokens start from: the mean over templates of each name's vectors, (K, width), each of length 1.

    Args:
        names: what the keypoints are called, such as "left wrist".
        templates: in each of which {} is the name; one makes a single prompt, several an ensemble.

    Raises:
        ValueError: a name is empty or too long, or there is no template.
    """
    if not templates:
        raise ValueError("there is no prompt template: give one or more, such as 'a photo of the {}'")
    said = [template.format(checked(name)) for name in names for template in templates]
    return F.normalize(encoder(said).unflatten(0, (len(names), -1)).mean(1), dim=-1)


def in_words(keypoint: str) -> str:
    """A skeleton's "left_wrist" as people write it."""
    return keypoint.replace("_", " ")


def checked(text: str) -> str:
    """The text without spaces around it. Raises ValueError when it holds no word."""
    if not isinstance(text, str) or not any(map(str.isalnum, text)):
        raise ValueError(f"{text!r} holds no word: say what the keypoint is called, such as 'left wrist'")
    return text.strip()


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
