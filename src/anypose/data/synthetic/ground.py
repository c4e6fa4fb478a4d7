"""Feet on the ground, and bodies that do not run through themselves or each other."""

from __future__ import annotations

from functools import cache

import numpy as np

from anypose.data.synthetic.rig import JOINT, Rig
from anypose.data.synthetic.turns import Array, about, between

# Limbs as rows of balls along a bone: start, end, radius in parts of the body's height.
_LIMBS: tuple[tuple[str, str, float], ...] = (
    ("pelvis", "spine2", 0.070),
    ("spine2", "neck", 0.068),
    *(
        (f"{side}_{start}", f"{side}_{end}", radius)
        for side in ("left", "right")
        for start, end, radius in (
            ("shoulder", "elbow", 0.024),
            ("elbow", "wrist", 0.019),
            ("wrist", "middle1", 0.020),
            ("hip", "knee", 0.038),
            ("knee", "ankle", 0.026),
            ("ankle", "foot", 0.022),
        )
    ),
)
_BALLS = 5
_HEAD_RADIUS = 0.060
DEEPEST = 0.02
"""How far parts of one body may sink into each other, in parts of its height: flesh gives way, and balls are not
limbs."""


def balls(joints: Array, turns: Array, height: float) -> tuple[Array, Array, Array]:
    """Balls that fill a body: centres (S, 3), radii (S,) and which limb each is of (S,).

    Args:
        joints: (52, 3) metres. turns: (52, 3, 3) of the bones from rest. height: metres, of the person upright.
    """
    starts = joints[[JOINT[start] for start, _, _ in _LIMBS]]
    ends = joints[[JOINT[end] for _, end, _ in _LIMBS]]
    share = np.linspace(0, 1, _BALLS)[:, None]
    centres = starts[:, None] + share * (ends - starts)[:, None]  # L 5 3
    head = joints[JOINT["head"]] + turns[JOINT["head"]] @ np.array([0, 0.045 * height, 0.015 * height])
    radii = np.repeat([radius for _, _, radius in _LIMBS], _BALLS) * height
    limb = np.repeat(np.arange(len(_LIMBS)), _BALLS)
    return (
        np.concatenate((centres.reshape(-1, 3), head[None])),
        np.append(radii, _HEAD_RADIUS * height),
        np.append(limb, len(_LIMBS)),
    )


@cache
def _apart() -> Array:
    """(S, S) bool, balls of limbs that do not belong together: neighbours along the body are left out."""
    names = [*((start, end) for start, end, _ in _LIMBS), ("head", "head")]
    limb = np.repeat(np.arange(len(_LIMBS)), _BALLS)
    limb = np.append(limb, len(_LIMBS))
    together = np.eye(len(names), dtype=bool)
    for i, (start, end) in enumerate(names):
        for j, (other, far) in enumerate(names):
            trunk = {i, j} & {0, 1}
            thigh_or_arm = any(name.endswith(("hip", "shoulder")) for name in (start, other))
            together[i, j] |= bool({start, end} & {other, far}) or (bool(trunk) and thigh_or_arm)
            together[i, j] |= {i, j} <= {0, 1, len(_LIMBS)}
            # Thighs, and a thigh and its own foot, are side by side in many poses.
            together[i, j] |= start.endswith("hip") and other.endswith("hip")
    return together[limb[:, None], limb] == 0


def sinks(joints: Array, turns: Array, height: float) -> float:
    """The deepest that two limbs of one body run into each other, metres; 0 where none do."""
    centres, radii, _ = balls(joints, turns, height)
    depth = radii[:, None] + radii - np.linalg.norm(centres[:, None] - centres, axis=-1)
    return float(max(0.0, depth[_apart()].max()))


def meet(one: tuple[Array, Array], other: tuple[Array, Array]) -> float:
    """The deepest that two bodies, as the centres and radii of their balls, run into each other, metres."""
    depth = one[1][:, None] + other[1] - np.linalg.norm(one[0][:, None] - other[0], axis=-1)
    return float(max(0.0, depth.max()))


def grounded(rig: Rig, pose: Array, flat: tuple[str, ...]) -> Array:
    """The pose with the soles of the named feet level, and both at one height where both are named: the longer leg
    bends."""
    pose = pose.copy()
    if len(flat) == 2:
        places, _ = rig.places(pose)
        heights = {side: places[JOINT[f"{side}_ankle"], 1] for side in flat}
        low = min(heights, key=lambda side: heights[side])
        if max(heights.values()) - heights[low] > 0.004:
            _shorten(rig, pose, low, max(heights.values()) - heights[low])
    world = rig.world(pose)
    for side in flat:
        ahead = world[JOINT[f"{side}_knee"]] @ np.array([0.0, 0.0, 1.0])
        if np.hypot(ahead[0], ahead[2]) < 0.3:
            ahead = world[0] @ np.array([0.0, 0.0, 1.0])
        level = about(1, np.degrees(np.arctan2(ahead[0], ahead[2])))
        pose[JOINT[f"{side}_ankle"]] = world[JOINT[f"{side}_knee"]].T @ level
    return pose


def _shorten(rig: Rig, pose: Array, side: str, rise: float) -> None:
    """Lift an ankle straight up by bending the knee forwards."""
    hip, knee, ankle = (JOINT[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))
    places, _ = rig.places(pose)
    thigh, shin = (float(np.linalg.norm(places[end] - places[start])) for start, end in ((hip, knee), (knee, ankle)))
    target = places[ankle] + [0, rise, 0] - places[hip]
    reach = np.clip(np.linalg.norm(target), abs(thigh - shin) + 1e-3, thigh + shin - 1e-3)
    bend = np.degrees(np.pi - np.arccos(np.clip((thigh**2 + shin**2 - reach**2) / (2 * thigh * shin), -1, 1)))
    pose[knee] = about(0, bend)
    places, _ = rig.places(pose)
    world = rig.world(pose)
    aim = between(places[ankle] - places[hip], target)
    parent = world[rig.parents[hip]]
    pose[hip] = parent.T @ aim @ world[hip]
