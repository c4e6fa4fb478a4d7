"""A sheet to look at: frames, and the same frames with their truth drawn over them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from anypose.data.synthetic.body import SMPLH_JOINTS, shipped
from anypose.data.synthetic.frame import OTHERS_HIDE, OUTSIDE, SELF_HIDDEN, VISIBLE, Frame

_DOTS = {VISIBLE: (60, 230, 90), SELF_HIDDEN: (250, 200, 40), OTHERS_HIDE: (240, 70, 60), OUTSIDE: (160, 160, 160)}
_TINTS = np.array([(230, 60, 60), (60, 130, 240), (60, 190, 90), (240, 170, 40), (170, 80, 220), (40, 200, 210)], float)
_ACROSS = 4


def overlay(frame: Frame) -> np.ndarray:
    """(H, W, 3) uint8: masks tinted, 52 joints joined by bones, COCO's keypoints by how they are seen (green
    visible, yellow hidden by the person's own body, red by others), things' points in white with their names."""
    image = frame.image.astype(float)
    for k in range(len(frame.people)):
        mask = frame.mask(k)
        image[mask] = 0.6 * image[mask] + 0.4 * _TINTS[k % len(_TINTS)]
    canvas = Image.fromarray(image.astype(np.uint8))
    draw = ImageDraw.Draw(canvas)
    parents = shipped("small").parents
    for person in frame.people:
        for joint, parent in enumerate(parents):
            if parent >= 0:
                ends = [tuple(float(v) for v in person.joints[j]) for j in (joint, parent)]
                draw.line(ends, fill=(255, 255, 255), width=1)
        assert len(person.joints) == len(SMPLH_JOINTS)
        for (x, y), state in zip(person.keypoints, person.keypoint_states):
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=_DOTS[int(state)])
        draw.rectangle([float(v) for v in person.box], outline=(255, 255, 255))
        for name, (x, y) in person.points_2d.items():
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=(255, 255, 255))
            draw.text((x + 3, y - 5), name, fill=(255, 255, 255))
    return np.asarray(canvas)


def drawn_sheet(frames: Sequence[Frame], width: int = 400) -> np.ndarray:
    """Frames in pairs, the picture above and its truth below, on one sheet (H, W, 3) uint8."""
    tiles = []
    for frame in frames:
        height = round(width * frame.camera.size[0] / frame.camera.size[1])
        pair = np.concatenate((frame.image, overlay(frame)))
        tiles.append(np.asarray(Image.fromarray(pair).resize((width, 2 * height), Image.Resampling.LANCZOS)))
    tall = max(len(tile) for tile in tiles)
    columns = min(_ACROSS, len(tiles))
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * (tall + 4), columns * (width + 4), 3), 255, np.uint8)
    for place, tile in enumerate(tiles):
        y, x = (place // columns) * (tall + 4), (place % columns) * (width + 4)
        sheet[y : y + len(tile), x : x + width] = tile
    return sheet
