"""Poses drawn from the library, in between two of its entries, along its gaits, or at random."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from anypose.data.synthetic.angles import Angles, jittered, pose_of, random_angles
from anypose.data.synthetic.stances import LIBRARY, OTHER_SIDE, Stance, mirrored
from anypose.data.synthetic.turns import Array, part_way


@dataclass(frozen=True)
class Drawn:
    """A pose for somebody.

    Attributes:
        name: of the library's entry, "random" or "mocap".
        pose: (52, 3, 3) against attention.
        stance: what is known of it.
    """

    name: str
    pose: Array
    stance: Stance


def draw(rng: np.random.Generator, names: tuple[str, ...] = ()) -> Drawn:
    """A pose of the library, one in between two of its kinds of standing, or, one in twenty, a random one."""
    known = names or tuple(LIBRARY)
    if not names and rng.random() < 0.05:
        return Drawn("random", pose_of(random_angles(rng, 0.45)), Stance((), flat=(), hands=("left", "right")))
    weights = np.array([LIBRARY[name].usual for name in known])
    name = known[int(rng.choice(len(known), p=weights / weights.sum()))]
    stance = LIBRARY[name]
    if len(stance.angles) > 1:
        return Drawn(name, moving(name, float(rng.random()), rng), stance)
    angles: Angles = stance.angles[0]
    if rng.random() < 0.5:
        angles = mirrored(angles)
        stance = _mirror_stance(stance)
    pose = pose_of(jittered(angles, rng))
    if stance.action is None and rng.random() < 0.25:
        other = LIBRARY["standing"]
        pose = part_way(pose, pose_of(jittered(other.angles[0], rng)), float(rng.uniform(0, 0.5)))
    return Drawn(name, pose, stance)


def _mirror_stance(stance: Stance) -> Stance:
    def swap(sides: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(OTHER_SIDE[side] for side in sides)

    return replace(stance, flat=swap(stance.flat), hands=swap(stance.hands))


def moving(name: str, phase: float, rng: np.random.Generator | None = None) -> Array:
    """The pose (52, 3, 3) of a cycle at a phase from 0 to 1, a little varied where `rng` is given."""
    cycle = LIBRARY[name].angles
    at = (phase % 1.0) * len(cycle)
    first = int(at) % len(cycle)
    sides = [cycle[first], cycle[(first + 1) % len(cycle)]]
    if rng is not None:
        sides = [jittered(each, rng, 3.0) for each in sides]
    start, end = (pose_of(each) for each in sides)
    share = at - int(at)
    return part_way(start, end, np.full(52, share))
