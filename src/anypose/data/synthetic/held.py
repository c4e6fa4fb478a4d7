"""Things that people hold, as meshes with named points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from anypose.data.synthetic.looks import COLOURS
from anypose.data.synthetic.meshes import Mesh, box, joined, rings, tube
from anypose.data.synthetic.rig import JOINT
from anypose.data.synthetic.turns import Array, between, unit

DARK, WOOD, STEEL = (34, 34, 36), (186, 146, 96), (150, 152, 156)


@dataclass(frozen=True)
class Thing:
    """Something in somebody's hand.

    Attributes:
        name: as the describer calls it. hand: left or right. colour: a name in `COLOURS`.
    """

    name: str
    hand: str
    colour: str


def _racket(colour: Array, length: float) -> Mesh:
    """Along +y from the grip at 0."""
    size = length / 0.68
    turn = np.linspace(0, 2 * np.pi, 21)
    centre = np.array([0, 0.5, 0]) * size
    path = centre + np.stack((0.115 * np.cos(turn), 0.155 * np.sin(turn), 0 * turn), 1) * size
    normal = unit(path - centre)
    frame = rings(path, 0.010 * normal, np.tile([0, 0, 0.010], (21, 1)), 5, colour, closed=False)
    shaft = tube(
        np.array([0, -0.08, 0]) * size, np.array([0, 0.345, 0]) * size, np.array([0.017, 0.017, 0.011, 0.010]), DARK
    )
    steps = np.linspace(-0.85, 0.85, 9)
    strings = []
    for step in steps:
        half = np.sqrt(1 - step**2)
        ends = centre + np.array([[step * 0.115, -half * 0.155, 0], [step * 0.115, half * 0.155, 0]]) * size
        strings.append(tube(ends[0], ends[1], np.full(2, 0.0022), (226, 226, 220), 3))
        ends = centre + np.array([[-half * 0.115, step * 0.155, 0], [half * 0.115, step * 0.155, 0]]) * size
        strings.append(tube(ends[0], ends[1], np.full(2, 0.0022), (226, 226, 220), 3))
    mesh = joined([frame, shaft, *strings])
    mesh.points = {"butt end": np.array([0, -0.08, 0]) * size, "tip": np.array([0, 0.655, 0]) * size}
    return mesh


def _bat(colour: Array, length: float) -> Mesh:
    radii = np.array([0.022, 0.014, 0.014, 0.017, 0.026, 0.033, 0.034, 0.026])
    low, high = np.array([0, -0.08, 0]), np.array([0, length - 0.08, 0])
    mesh = tube(low, high, radii, colour, 10)
    mesh.points = {"butt end": low, "tip": high}
    return mesh


def _hockey_stick(colour: Array, length: float) -> Mesh:
    """The shaft along +y from the butt end at the hand, the blade across its far end."""
    shaft = box(np.array([0.026, length, 0.022]), colour).moved(np.eye(3), np.array([0, length / 2 - 0.12, 0]))
    heel = np.array([0, length - 0.12, 0])
    along = unit(np.array([0.86, 0.5, 0]))
    blade = box(np.array([0.30, 0.07, 0.014]), DARK).moved(between(np.array([1.0, 0, 0]), along), heel + 0.14 * along)
    mesh = joined([shaft, blade])
    mesh.points = {"butt end": np.array([0, -0.12, 0]), "heel": heel, "toe": heel + 0.29 * along}
    return mesh


def _bag(colour: Array, length: float) -> Mesh:
    """Hangs down (-y) from its handle at 0."""
    body = box(np.array([0.30, 0.24, 0.11]), colour).moved(np.eye(3), np.array([0, -0.30, 0]))
    turn = np.linspace(0, np.pi, 9)
    path = np.stack((0.10 * np.cos(turn), -0.18 + 0.18 * np.sin(turn), 0 * turn), 1)
    handle = rings(
        path, 0.008 * unit(path - [0, -0.18, 0]), np.tile([0, 0, 0.008], (9, 1)), 5, np.asarray(colour) * 0.7, False
    )
    mesh = joined([body, handle])
    mesh.points = {"handle": np.zeros(3), "bottom": np.array([0, -0.42, 0])}
    return mesh


def _phone(colour: Array, length: float) -> Mesh:
    mesh = box(np.array([0.074, 0.152, 0.010]), DARK).moved(np.eye(3), np.array([0, 0.03, 0]))
    mesh.points = {"top": np.array([0, 0.106, 0]), "bottom": np.array([0, -0.046, 0])}
    return mesh


def _umbrella(colour: Array, length: float) -> Mesh:
    shaft = tube(np.array([0, -0.1, 0]), np.array([0, 0.75, 0]), np.full(2, 0.008), DARK, 6)
    height = np.linspace(0, 1, 5)
    wide = 0.48 * np.sin(np.pi / 2 * (1 - height) + 0.02)
    centres = np.stack((0 * height, 0.52 + 0.22 * np.sin(np.pi / 2 * height), 0 * height), 1)
    zero = np.zeros(5)
    canopy = rings(centres, np.stack((wide, zero, zero), 1), np.stack((zero, zero, -wide), 1), 8, colour, closed=False)
    mesh = joined([shaft, canopy])
    mesh.points = {"handle": np.array([0, -0.1, 0]), "tip": np.array([0, 0.75, 0])}
    return mesh


# Name -> how it is made, its length in metres for a grown-up, how often it is drawn, and how it is held: along the
# fist, hanging, upright, on the ground, or in the palm.
THINGS: dict[str, tuple[Callable[[Array, float], Mesh], float, float, str]] = {
    "tennis racket": (_racket, 0.68, 3, "fist"),
    "baseball bat": (_bat, 0.82, 2, "fist"),
    "hockey stick": (_hockey_stick, 1.45, 2, "ground"),
    "handbag": (_bag, 0.4, 3, "hanging"),
    "cell phone": (_phone, 0.15, 3, "palm"),
    "umbrella": (_umbrella, 0.85, 1, "upright"),
}
# Poses in which a thing makes sense; the others hold anything.
SUITED = {
    "at the ear": ("cell phone",),
    "reading": ("cell phone",),
    "swinging": ("tennis racket", "baseball bat"),
    "holding before the body": ("hockey stick", "baseball bat"),
    "throwing": (),
    "running": ("tennis racket", "hockey stick"),
    "kicking": (),
    "jumping": ("tennis racket",),
    "ready, knees bent": ("tennis racket", "hockey stick"),
}
_NEVER = ("crouching", "kneeling", "bending", "random", "mocap", "cheering", "arms raised", "balancing", "lunging")


def draw(pose: str, hands: tuple[str, ...], rng: np.random.Generator, often: float = 0.35) -> Thing | None:
    """Something to hold in a pose of the library, or None."""
    fitting = SUITED.get(
        pose,
        ()
        if pose in _NEVER
        else ("tennis racket", "handbag", "cell phone", "baseball bat", "umbrella", "hockey stick"),
    )
    often = 0.85 if pose in ("at the ear", "reading", "swinging", "holding before the body") else often
    if not fitting or not hands or rng.random() > often:
        return None
    weights = np.array([THINGS[name][2] for name in fitting], float)
    name = fitting[int(rng.choice(len(fitting), p=weights / weights.sum()))]
    colours = {"baseball bat": ("brown", "black", "red", "blue"), "cell phone": ("black",)}.get(
        name, ("black", "red", "blue", "yellow", "white", "green", "brown")
    )
    return Thing(name, hands[int(rng.integers(len(hands)))], colours[int(rng.integers(len(colours)))])


def mesh_of(thing: Thing, joints: Array, turns: Array, facing: Array, size: float, floor: float) -> Mesh:
    """The thing in its holder's hand.

    Args:
        thing: what and in which hand.
        joints, turns: (52, 3) and (52, 3, 3) of the posed body, in the world.
        facing: (3,) where the person faces, on the ground.
        size: of the person beside a grown-up.
        floor: height of the ground, metres.
    """
    _, length, _, grip = THINGS[thing.name]
    size = max(0.6, size)
    mesh = _made(thing.name, thing.colour).scaled(size)
    side = thing.hand
    wrist, index, pinky, middle = (joints[JOINT[f"{side}_{name}"]] for name in ("wrist", "index1", "pinky1", "middle1"))
    palm_out = unit(np.cross(index - wrist, pinky - wrist)) * (1.0 if side == "left" else -1.0)
    place = wrist + 0.9 * (middle - wrist) + 0.022 * palm_out
    fist = unit(index - pinky)
    if grip == "hanging":
        return mesh.moved(_frame(np.array([0.0, 1, 0]), facing), place)
    if grip == "upright":
        return mesh.moved(_frame(np.array([0.0, 1, 0]), facing), place)
    if grip == "palm":
        return mesh.moved(_frame(unit(middle - wrist), palm_out), place)
    if grip == "ground":
        drop = place[1] - floor
        reach = size * (length - 0.12)
        away = np.sqrt(max(reach**2 - drop**2, 0.0)) if drop < reach else 0.15
        return mesh.moved(_frame(unit(facing * away - [0, drop, 0]), np.cross(facing, [0, 1.0, 0])), place)
    return mesh.moved(_frame(unit(fist + 0.35 * unit(middle - wrist)), palm_out), place)


@cache
def _made(name: str, colour: str) -> Mesh:
    """The thing for a grown-up, at the origin."""
    make, length, _, _ = THINGS[name]
    return make(np.array(COLOURS[colour], float), length)


def _frame(up: Array, ahead: Array) -> Array:
    """The rotation that takes y to `up` and z as near to `ahead` as it can."""
    z = unit(ahead - (ahead @ up) * up)
    return np.stack((np.cross(up, z), up, z), 1)
