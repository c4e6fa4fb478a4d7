"""A walker who is computed, not filmed: writes walker.json, a 2D track to try `anypose lift` on.

    python -m anypose.examples.walker OUT.json

Legs and arms swing as pendulums with knees and elbows bent; a camera four metres away and a little to the side sees the
17 keypoints of COCO's skeleton, thirty times a second.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..skeleton import COCO17
from ..track import Track

RATE, FRAMES, SIZE = 30.0, 60, (720, 1280)
FOCAL, DISTANCE, TURN = 1400.0, 4.2, np.deg2rad(35)  # pixels, metres, of the walker to the camera


def body() -> NDArray[np.float64]:
    """(T, 17, 3) metres: x to the walker's left, y up, z forwards, the pelvis in the middle."""
    stride = 2 * np.pi * 0.9 * np.arange(FRAMES) / RATE
    points = np.zeros((FRAMES, len(COCO17), 3))
    head = {"nose": (0, 0.6, 0.1), "left_eye": (0.03, 0.64, 0.08), "left_ear": (0.07, 0.62, 0.0)}
    for name, place in (head | {"left_shoulder": (0.18, 0.42, 0.0), "left_hip": (0.1, -0.09, 0.0)}).items():
        points[:, COCO17.index(name)] = place
        if name != "nose":
            points[:, COCO17.index(name.replace("left", "right"))] = np.array(place) * (-1, 1, 1)
    for side, phase in (("left", 0.0), ("right", np.pi)):
        swing = np.sin(stride + phase)
        bent = 0.15 + 0.5 * np.maximum(0, np.sin(stride + phase + 1.2))  # the knee of the leg that comes forwards
        limbs = (
            ("hip", "knee", 0.43, 0.45 * swing),
            ("knee", "ankle", 0.41, 0.45 * swing - bent),
            ("shoulder", "elbow", 0.29, -0.4 * swing),
            ("elbow", "wrist", 0.25, -0.4 * swing + 0.5),
        )
        for inner, outer, long, angle in limbs:
            start = points[:, COCO17.index(f"{side}_{inner}")]
            limb = long * np.stack([0 * angle, -np.cos(angle), np.sin(angle)], 1)
            points[:, COCO17.index(f"{side}_{outer}")] = start + limb
    return points


def walker() -> Track:
    """The track, in pixels."""
    points = body()
    cos, sin = np.cos(TURN), np.sin(TURN)
    x, y, z = np.moveaxis(points, -1, 0)
    # The walker faces the camera, turned aside: their left is the picture's right.
    across, depth = cos * x + sin * z, DISTANCE + sin * x - cos * z
    pixels = np.stack([SIZE[1] / 2 + FOCAL * across / depth, SIZE[0] / 2 - FOCAL * y / depth], -1)
    return Track(np.arange(FRAMES) / RATE, pixels.round(1), size=SIZE, name="walker", note="computed, not filmed")


if __name__ == "__main__":
    walker().save(Path(sys.argv[1]))
