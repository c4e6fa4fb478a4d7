"""A UniPHD of a few thousand weights, none of them zero, for the tests of its files, questions and options."""

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anypose.models.promptable.uniphd import UniPHD, authors
from cases.promptable import tiny_uniphd

NAME = "promptable/uniphd"


def perturbed() -> UniPHD:
    model = tiny_uniphd().eval()
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.randn_like(value) * 0.02)
        for layer in model.decoder.layers:
            layer.edges.normal_()  # type: ignore[operator]
    return model


def save(model: UniPHD, path: Path) -> Path:
    """As the authors save it: a Namespace beside the weights, and a buffer of older transformers among them."""
    torch.save({"model": authors_state(model), "epoch": 19, "args": argparse.Namespace(lr=1e-4, names=["a"])}, path)
    return path


def authors_state(model: UniPHD) -> dict[str, Tensor]:
    return authors(model.state_dict()) | {"text_encoder.text_backbone.embeddings.position_ids": torch.arange(40)[None]}


class Letters:
    """A tokenizer that needs no vocabulary: a piece a word, between a first and a last."""

    class Encoding:
        def __init__(self, text: str) -> None:
            self.ids = [0, *(3 + sum(map(ord, word)) % 100 for word in text.split()), 2]

    def encode(self, text: str) -> Any:
        return self.Encoding(text)
