"""Words are cut as the package tokenizers cuts them."""

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import anypose
from anypose.wordpiece import WordPiece, read

FILE = Path(anypose.__file__).parent / "weights" / "pointer" / "tokenizer.json"
tokenizers = pytest.importorskip("tokenizers")
THEIRS = tokenizers.Tokenizer.from_file(str(FILE))
OURS = read(FILE)

# What the two editions of Unicode agree on.
LETTERS = st.characters(codec="utf-8", max_codepoint=0x2FFF, exclude_categories=("Cn", "Cs", "Co")).filter(
    lambda c: unicodedata.ucd_3_2_0.category(c) == unicodedata.category(c)
)
PLAIN = st.text("abcdefghijklmnopqrstuvwxyzABCDEFXYZ0123456789 .,'\"-!?()\t\n$^`~+=<>|", max_size=60)


@pytest.mark.parametrize(
    "text",
    [
        "the goalie",
        "The woman in the orange suit, third from the left!",
        "l'homme à gauche; ÉLÈVE naïve Ångström İstanbul ΣΟΦΟΣ",
        "左边的人 the man在右边",
        "emoji 🏒 and 👩🏽‍🚀, zero​width, tab\tnew\nline\r\x00 �",
        "x" * 101,
        "supercalifragilisticexpialidocious unbelievably-long_word a_b",
        "",
        "   ",
        "№5 €20 ½ … “quoted” – dash ·",
    ],
)
def test_sentences(text: str) -> None:
    assert isinstance(OURS, WordPiece)
    assert OURS.encode(text).ids == THEIRS.encode(text).ids


@settings(max_examples=300, deadline=None)
@given(st.one_of(PLAIN, st.text(LETTERS, max_size=20)))
def test_any_text(text: str) -> None:
    assert OURS.encode(text).ids == THEIRS.encode(text).ids


def test_another_kind_is_left_to_the_package(tmp_path: Path) -> None:
    other = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    other.save(str(tmp_path / "tokenizer.json"))
    assert read(tmp_path / "tokenizer.json").encode("a").ids == [0]
    cased = json.loads(FILE.read_text())
    cased["normalizer"]["lowercase"] = False
    with pytest.raises(ValueError, match="no uncased WordPiece"):
        WordPiece(cased)
