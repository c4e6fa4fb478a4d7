"""RefHuman (Miao et al., NeurIPS 2024): a COCO-like file with one person, one caption and five scribbles an entry."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anypose.data.sample import DataError, Sample
from anypose.masks import Masks
from anypose.people import People

SCRIBBLES = 5
STROKE = 12


@dataclass(frozen=True)
class Referred:
    """One person of a picture, and how it is meant.

    sample: the picture and its people. row: which of them. text: words that mean it, or None. scribbles: (S, 12, 2)
    pixels, or None where the data set has none.
    """

    sample: Sample
    row: int
    text: str | None
    scribbles: NDArray[np.float32] | None


def read(json_path: str | Path, images_dir: str | Path) -> list[Referred]:
    """All entries that have keypoints and are no crowd, in the order of the file; pictures are not opened.

    Raises:
        DataError: the file is not RefHuman's, or an entry lacks what it needs; the entry is named.
    """
    path = Path(json_path)
    try:
        content = json.loads(path.read_text())
        images = {image["id"]: image for image in content["images"]}
        records = content["annotations"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no RefHuman file, which holds images and annotations ({error})") from error
    found = []
    for record in records:
        if record.get("iscrowd") or not record.get("num_keypoints", 1):
            continue
        try:
            found.append(_referred(record, images[record["image_id"]], Path(images_dir)))
        except (KeyError, ValueError, TypeError) as error:
            raise DataError(f"{path}: annotation {record.get('id')} cannot be used ({error!r})") from error
    return found


def _referred(record: dict[str, Any], image: dict[str, Any], folder: Path) -> Referred:
    size = (int(image["height"]), int(image["width"]))
    keypoints = np.array(record["keypoints"], np.float32).reshape(1, 17, 3)
    x, y, width, height = record["bbox"]
    labelled = keypoints[..., 2] > 0
    people = People(
        size=size,
        boxes=np.array([[x, y, x + width, y + height]], np.float32),
        scores=np.ones(1),
        keypoints=keypoints[..., :2],
        confidence=labelled,
        state=np.stack((keypoints[..., 2] == 2, keypoints[..., 2] == 1, np.zeros_like(labelled)), -1),
        masks=Masks.from_coco([record["segmentation"]], size),
        stated_areas=np.array([record["area"]]),
    )
    scribbles = record.get("scribble")
    strokes = None if scribbles is None else np.array(scribbles, np.float32).reshape(SCRIBBLES, STROKE, 2)
    name = image["file_name"]
    return Referred(Sample(name, folder / name, people), 0, image.get("caption") or None, strokes)
