"""Pictures of coloured rectangles with the labels of people."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from anypose.models.promptable.pointer import VARIANTS, Pointer

TINY: dict[str, Any] = VARIANTS["tiny"]
COLOURS = ((220, 30, 30), (30, 60, 220), (30, 170, 60))
# Of the 17 keypoints, as parts of the person's box: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles.
BODY: tuple[tuple[float, float], ...] = (
    (5, 0.8),
    (5.5, 0.6),
    (4.5, 0.6),
    (6, 0.8),
    (4, 0.8),
    (8, 2.4),
    (2, 2.4),
    (9, 4),
    (1, 4),
    (9, 5.4),
    (1, 5.4),
)
BODY += ((7, 5.6), (3, 5.6), (7, 7.5), (3, 7.5), (7, 9.5), (3, 9.5))


def person(number: int, image: int, box: tuple[int, int, int, int]) -> dict[str, Any]:
    x, y, width, height = box
    points = [v for dx, dy in BODY for v in (x + dx / 10 * width, y + dy / 10 * height, 2)]
    outline = [x, y, x + width, y, x + width, y + height, x, y + height]
    return {
        "id": number, "image_id": image, "category_id": 1, "iscrowd": 0, "bbox": list(box), "area": width * height,
        "keypoints": points, "num_keypoints": 17, "segmentation": [outline],
    }  # fmt: skip


def write(folder: Path) -> None:
    """labels.json, tokenizer.json, and pictures of grey with one, two or three rectangles of a colour; one is upright,
    one keeps a crowd."""
    crowds = [(number, 0, (number * 90, 20, 60 + 4 * number, 150)) for number in range(3)]
    places = [*crowds, (3, 1, (30, 20, 80, 140)), (4, 2, (20, 30, 70, 120)), (5, 2, (150, 10, 80, 180))]
    places += [(6, 3, (40, 60, 60, 170)), (7, 4, (60, 40, 80, 140))]
    sizes = [(300, 200), (200, 180), (280, 210), (180, 260), (220, 190)]
    images, annotations = [], []
    for number, (width, height) in enumerate(sizes):
        canvas = np.full((height, width, 3), 120, np.uint8)
        mine = [(key, box) for key, image, box in places if image == number]
        for i, (key, (x, y, w, h)) in enumerate(mine):
            canvas[y : y + h, x : x + w] = COLOURS[i]
            annotations.append(person(key + 1, number + 1, (x, y, w, h)))
        Image.fromarray(canvas).save(folder / f"{number}.png")
        record = {"id": number + 1, "file_name": f"{number}.png", "width": width, "height": height}
        images.append(record | ({"captions": ["A red person on the left."]} if len(mine) == 1 else {}))
    (folder / "labels.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    words = ["[PAD]", "[UNK]", *sorted({"person", "man", "one", "on", "left", "right", "in", "red", "blue", "green"})]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))


def write_with_pointer(folder: Path) -> Path:
    """`write`, and tiny.safetensors, a small pointer that has learned nothing; gives the folder."""
    write(folder)
    torch.manual_seed(5)
    save_file(Pointer(**TINY).state_dict(), folder / "tiny.safetensors")
    return folder
