"""WordPiece: words as pieces of a vocabulary, as BERT's uncased models read them.

It reads the tokenizer.json of the package tokenizers and gives what that gives. It is here because that package brings
40 MB of others with it, which nothing else on the ground floor needs.
"""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any, NamedTuple

_CJK = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
_FORM = {
    "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                   "strip_accents": None, "lowercase": True},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": None,
}  # fmt: skip


class Pieces(NamedTuple):
    """A text in pieces.

    Attributes:
        ids: their rows in the vocabulary.
    """

    ids: list[int]


class WordPiece:
    """Args:
    settings: what a tokenizer.json holds.

    Raises:
        ValueError: it is no uncased WordPiece.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        model = settings.get("model", {})
        if model.get("type") != "WordPiece" or any(settings.get(name) != form for name, form in _FORM.items()):
            raise ValueError("it describes no uncased WordPiece")
        self._vocabulary: dict[str, int] = model["vocab"]
        self._unknown = self._vocabulary[model["unk_token"]]
        self._prefix: str = model["continuing_subword_prefix"]
        self._longest: int = model["max_input_chars_per_word"]

    def encode(self, text: str) -> Pieces:
        """The pieces of a text, without marks of beginning and end."""
        return Pieces([piece for word in words(text) for piece in self._pieces(word)])

    def _pieces(self, word: str) -> list[int]:
        """The longest piece that fits, then the longest of the rest; one unknown where there is none."""
        if len(word) > self._longest:
            return [self._unknown]
        found, start = [], 0
        while start < len(word):
            prefix = self._prefix if start else ""
            for end in range(len(word), start, -1):
                piece = self._vocabulary.get(prefix + word[start:end])
                if piece is not None:
                    break
            else:
                return [self._unknown]
            found.append(piece)
            start = end
        return found


def words(text: str) -> list[str]:
    """Lower case without accents, cut at spaces and around each sign and each Chinese character."""
    spaced = "".join(_cleaned(character) for character in text)
    plain = "".join(c.lower() for c in unicodedata.normalize("NFD", spaced) if unicodedata.category(c) != "Mn")
    return "".join(f" {c} " if _is_sign(c) else c for c in plain).split()


def _cleaned(character: str) -> str:
    category = unicodedata.category(character)
    if character in "\t\n\r" or category.startswith("Z"):
        return " "
    if character == "\ufffd" or category.startswith("C"):
        return ""
    place = ord(character)
    return f" {character} " if any(low <= place <= high for low, high in _CJK) else character


def _is_sign(character: str) -> bool:
    if character.isascii():
        return character.isprintable() and not character.isalnum() and character != " "
    return unicodedata.category(character).startswith("P")


def read(file: Path) -> Any:
    """The tokenizer that a tokenizer.json describes: this one, or that of the package tokenizers.

    Returns: what has `encode(text).ids`.

    Raises:
        ImportError: it needs the package tokenizers, which is not installed.
        OSError: the file cannot be read.
    """
    text = file.read_text(encoding="utf-8")
    try:
        return WordPiece(json.loads(text))
    except ValueError:
        try:
            from tokenizers import Tokenizer
        except ModuleNotFoundError as error:
            raise ImportError(f"the words of {file} need the package tokenizers: pip install tokenizers") from error
        return Tokenizer.from_str(text)
