"""The picture that a human checks a caption by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from anypose.pictures import crop

_HEIGHT = 480
_MARGIN = 0.15
_FRAME = (255, 0, 0)


def check_sheet(image: NDArray[np.uint8], box: Sequence[float]) -> NDArray[np.uint8]:
    """The person in `box` (x, y, width, height pixels) beside the whole picture with the person framed; 480 high."""
    x, y, width, height = (float(value) for value in box)
    width, height = max(width, 2.0), max(height, 2.0)
    around = (x - _MARGIN * width, y - _MARGIN * height, x + (1 + _MARGIN) * width, y + (1 + _MARGIN) * height)
    wide = min(2 * _HEIGHT, max(2, round(_HEIGHT * width / height)))
    person = crop(image, around, (_HEIGHT, wide))[0]
    whole = Image.fromarray(image)
    scale = _HEIGHT / whole.height
    whole = whole.resize((max(1, round(whole.width * scale)), _HEIGHT))
    corners = [value * scale for value in (x, y, x + width, y + height)]
    ImageDraw.Draw(whole).rectangle(corners, outline=_FRAME, width=3)
    return np.concatenate((person, np.asarray(whole)), 1)
