"""Clothes as surfaces: the body a little thicker where it is covered, and what hangs or sits on it."""

from __future__ import annotations

import numpy as np

from anypose.data.synthetic.looks import COLOURS, HAIR, LEGS, SLEEVES, Outfit
from anypose.data.synthetic.meshes import Mesh, dome, grid_faces, joined, rings
from anypose.data.synthetic.rig import JOINT, Rig
from anypose.data.synthetic.surface import Surface
from anypose.data.synthetic.turns import Array, unit

_THICK = {"tank top": 0.006, "t-shirt": 0.014, "shirt": 0.014, "jacket": 0.030, "dress": 0.008}


def thickness(outfit: Outfit, at: Surface) -> Array:
    """(V,) metres of cloth and hair on each vertex."""
    out = np.zeros(len(at.rest))
    trunk = (at.arm < 0) & (at.head < 0.4)
    legs = trunk & (at.trunk < 0.25) & (at.leg < LEGS[outfit.bottom] + 0.05) & (at.foot < 0.5)
    out[legs] = np.where(at.leg[legs] > 0.3, 0.016, 0.008) if outfit.bottom != "skirt" else 0.002
    top = trunk & (at.trunk > -0.05) & (at.trunk < 1.0)
    out[top] = np.maximum(out[top], _THICK[outfit.top] * np.where(at.trunk[top] > 0.85, 0.5, 1.0))
    sleeve = (at.arm >= 0) & (at.arm < SLEEVES[outfit.top]) & (at.hand < 0.4)
    out[sleeve] = 0.8 * _THICK[outfit.top]
    out[at.foot > 0.5] = 0.010
    if outfit.hair_style != "bald":
        full = {"short": 0.018, "long": 0.026, "ponytail": 0.014, "bun": 0.014}[outfit.hair_style]
        full = full if outfit.hat is None else 0.008  # pressed flat
        out += full * np.clip(at.scalp / 0.08, 0, 1) * (at.scalp > 0)
    return out


def skirt(rig: Rig, outfit: Outfit, joints: Array, turns: Array, vertices: Array, at: Surface) -> Mesh:
    """A skirt around both thighs, from the waist to about the knee: rings that hold both legs."""
    pelvis = turns[JOINT["pelvis"]]
    side, ahead = pelvis @ np.array([1.0, 0, 0]), pelvis @ np.array([0.0, 0, 1.0])
    hips = joints[[JOINT["left_hip"], JOINT["right_hip"]]]
    knees = joints[[JOINT["left_knee"], JOINT["right_knee"]]]
    waist = joints[JOINT["pelvis"]] + pelvis @ np.array([0, 0.05, 0.0])
    band = (at.trunk > 0.0) & (at.trunk < 0.25) & (at.arm < 0) & (at.leg < 0.2)
    flat = (vertices[band] - waist) @ np.stack((side, ahead), 1)
    wide = np.abs(flat[:, 0]).max() if band.any() else 0.17
    deep = np.abs(flat[:, 1]).max() if band.any() else 0.12
    length = 0.75 + 0.3 * (outfit.seed % 4) / 3
    turn = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    outwards = np.cos(turn)[:, None] * side + np.sin(turn)[:, None] * ahead
    rows = [waist + np.cos(turn)[:, None] * side * wide * 1.0 + np.sin(turn)[:, None] * ahead * deep * 1.0]
    for share in np.linspace(0.05, length, 7):
        legs = hips + share * (knees - hips)
        radius = 0.085 * (1 - 0.15 * share) + 0.03 + 0.05 * share
        folds = 1 + 0.10 * share * np.sin(9 * turn + outfit.seed % 7)
        reach = (outwards @ legs.T).argmax(1)
        rows.append(legs[reach] + outwards * (radius * folds)[:, None])
    points = np.concatenate(rows)
    colour = np.tile(np.array(COLOURS[outfit.bottom_colour], float), (len(points), 1))
    return Mesh(points, grid_faces(len(rows), 28, True)[:, ::-1], colour, two_sided=True)


def on_the_head(rig: Rig, outfit: Outfit, joints: Array, turns: Array, at: Surface) -> Mesh | None:
    """Hat and hanging hair, fixed to the head; None where there are neither."""
    skull = (at.scalp > 0.02) & (at.head > 0.6)
    if not skull.any():
        return None
    middle = rig.joints[JOINT["head"]]
    own = rig.vertices[skull] - middle
    low, high = own.min(0), own.max(0)
    centre = np.array([0, low[1] + 0.45 * (high[1] - low[1]), (low[2] + high[2]) / 2])
    radii = np.array([(high[0] - low[0]) / 2, high[1] - centre[1], (high[2] - low[2]) / 2])
    head = rig.vertices[at.head > 0.6] - middle
    parts = [part for part in (_hat(outfit, centre, radii, head), _hair(outfit, centre, radii)) if part is not None]
    if not parts:
        return None
    return joined(parts).moved(turns[JOINT["head"]], joints[JOINT["head"]])


def _hat(outfit: Outfit, centre: Array, radii: Array, head: Array) -> Mesh | None:
    """`head` (V, 3) are the vertices that have to be under it."""
    if outfit.hat is None:
        return None
    colour = COLOURS[outfit.hat_colour]
    room = radii + np.array([0.024, 0.032, 0.024])
    centre, rim_at = centre + np.array([0, 0.012, 0]), 0.05 if outfit.hat == "beanie" else 0.24
    # A head is no ellipsoid: the hat is as wide as the forehead and the hair under it need.
    under = (head - centre)[head[:, 1] > centre[1] + rim_at * room[1]]
    room *= max(1.0, 1.08 * float(np.linalg.norm(under / room, axis=1).max(initial=0)))
    crown = dome(centre, room, colour, low=rim_at)
    if outfit.hat == "beanie":
        return crown
    turn = np.linspace(-1.15, 1.15, 13) if outfit.hat == "cap" else np.linspace(-np.pi, np.pi, 25)
    reach = 0.075 if outfit.hat == "cap" else 0.085
    base = centre + np.array([0, (rim_at + 0.02) * room[1], 0])
    rim = np.stack((np.sin(turn) * room[0] * 0.99, np.zeros(len(turn)), np.cos(turn) * room[2] * 0.99), 1)
    out = unit(rim) * reach * (np.cos(turn * 1.2)[:, None] ** 0.5 if outfit.hat == "cap" else 1.0)
    brim = np.concatenate((base + rim, base + rim + np.nan_to_num(out) + [0, -0.02, 0]))
    colours = np.tile(np.array(colour, float) * 0.9, (len(brim), 1))
    return joined([crown, Mesh(brim, grid_faces(2, len(turn), False), colours, True)])


def _hair(outfit: Outfit, centre: Array, radii: Array) -> Mesh | None:
    colour = np.array(HAIR[outfit.hair_colour], float)
    back = centre - [0, 0, radii[2]]
    if outfit.hair_style == "bun":
        return dome(back + np.array([0, 0.35 * radii[1], -0.02]), np.full(3, 0.038), colour, low=-0.98, sides=10)
    if outfit.hair_style == "ponytail":
        knot = back + np.array([0, 0.2 * radii[1], -0.012])
        share = np.linspace(0, 1, 6)
        path = knot + np.stack((0 * share, -0.22 * share**1.2, -0.045 * np.sin(share * 2.2)), 1)
        thick = np.array([0.012, 0.026, 0.028, 0.024, 0.018, 0.006])
        zero = np.zeros(6)
        return rings(path, np.stack((thick, zero, zero), 1), np.stack((zero, zero, thick), 1), 8, colour)
    if outfit.hair_style != "long":
        return None
    # A sheet around the back of the head, from above the ears down over the neck.
    turn = np.linspace(-1.95, 1.95, 19)
    rows = []
    for share in np.linspace(0, 1, 7):
        wide = 1.06 + 0.10 * np.sin(share * 2.6) - 0.10 * share
        drop = 0.25 * radii[1] - share * (radii[1] * 2.2 + 0.05 * (outfit.seed % 3))
        closing = 1 - 0.16 * share
        angle = turn * closing
        rows.append(
            centre
            + np.stack((np.sin(angle) * radii[0] * wide, np.full(19, drop), -np.cos(angle) * radii[2] * wide), 1)
            - [0, 0, 0.012 * share]
        )
    points = np.concatenate(rows)
    streaks = 1 + 0.12 * np.sin(np.tile(turn, 7) * 31)
    return Mesh(points, grid_faces(7, 19, False), colour * streaks[:, None], two_sided=True)
