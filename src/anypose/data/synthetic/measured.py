"""What is measured of the people of a frame, anew, to look up who is meant by words: see `checking.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from anypose.data.synthetic.body import SMPLH_JOINTS
from anypose.data.synthetic.frame import Frame, PersonTruth

Test = Callable[[int], bool]


class NotKnownError(Exception):
    """A text says something of somebody of whom only the place is known."""


@dataclass(frozen=True)
class World:
    """What is measured of the people of a frame, anew: of N everything, of those after them their place alone."""

    people: list[PersonTruth]
    width: int
    x: np.ndarray
    left: np.ndarray
    right: np.ndarray
    top: np.ndarray
    bottom: np.ndarray
    y: np.ndarray
    height: int

    @classmethod
    def of(cls, frame: Frame, others: Sequence[np.ndarray]) -> World:
        masks = [*(frame.layers.ids == k + 1 for k in range(len(frame.people))), *others]
        edges = np.zeros((len(masks), 4))
        for k, own in enumerate(masks):
            rows, columns = (np.flatnonzero(own.any(axis)) for axis in (1, 0))
            edges[k] = columns[0], columns[-1] + 1, rows[0], rows[-1] + 1
        left, right, top, bottom = edges.T
        tall, wide = frame.layers.ids.shape
        return cls(frame.people, wide, (left + right) / 2, left, right, top, bottom, (top + bottom) / 2, tall)

    def __len__(self) -> int:
        return len(self.x)

    def person(self, k: int) -> PersonTruth:
        if k >= len(self.people):
            raise NotKnownError
        return self.people[k]

    def joint(self, k: int, name: str) -> np.ndarray:
        return self.person(k).placed.joints[SMPLH_JOINTS.index(name)]

    def distance(self, k: int) -> float:
        return float(self.person(k).joints_3d[:, 2].mean())

    def stature(self, k: int) -> float:
        return self.person(k).placed.person.stature


_SAME = {
    "gray": "grey",
    "violet": "purple",
    "navy": "dark blue",
    "navy blue": "dark blue",
    "deep blue": "dark blue",
    "pale blue": "light blue",
    "sky blue": "light blue",
    "maroon": "dark red",
    "crimson": "dark red",
    "burgundy": "dark red",
    "deep green": "dark green",
    "dark coloured": "dark",
    "light coloured": "light",
    "pale": "light",
}
# What somebody may wear of whom a colour is said.
_WORN = {
    "blue": {"blue", "dark blue", "light blue"},
    "red": {"red", "dark red"},
    "green": {"green", "dark green"},
    "dark": {"black", "dark blue", "dark red", "dark green"},
    "light": {"white"},
}


def relates(how: str, anchor: int, world: World) -> Test:
    if "left" in how:
        return lambda k: k != anchor and world.x[k] < world.x[anchor]
    if how.strip().endswith("right of") or "right side of" in how:
        return lambda k: k != anchor and world.x[k] > world.x[anchor]

    def gap(k: int) -> float:
        across = max(0.0, world.left[k] - world.right[anchor], world.left[anchor] - world.right[k])
        along = max(0.0, world.top[k] - world.bottom[anchor], world.top[anchor] - world.bottom[k])
        return float(np.hypot(across, along))

    return lambda k: k != anchor and all(gap(k) < gap(j) for j in range(len(world)) if j not in (k, anchor))


def is_rank(side: str, rank: int, world: World) -> Test:
    order = np.argsort(world.x if side == "left" else -world.x)
    return lambda k: rank <= len(order) and int(order[rank - 1]) == k


def on_side(side: str, world: World) -> Test:
    share = world.x / world.width if side == "left" else 1 - world.x / world.width
    if len(world) > 3:
        return lambda k: bool(share[k] < 0.45)
    # Of few people the outermost is meant, or two who are about as far out as each other.
    near = 0.22 * (world.right - world.left) / world.width
    return lambda k: bool(
        share[k] == share.min() or (share[k] < 0.45 and share[k] - share.min() < max(near.min(), 0.025))
    )


def in_middle(world: World) -> Test:
    if len(world) == 3:
        return is_rank("left", 2, world)
    return lambda k: bool(abs(world.x[k] / world.width - 0.5) < 0.15)


def least(value: Callable[[int], float], world: World) -> Test:
    values = [value(k) for k in range(len(world))]
    return lambda k: values[k] == min(values) and values.count(values[k]) == 1


def colours(said: str) -> set[str]:
    name = _SAME.get(said, said)
    return _WORN.get(name, {name})


def wears_top(said: str, world: World) -> Test:
    def test(k: int) -> bool:
        outfit = world.person(k).placed.person.outfit
        return outfit.pattern in ("plain", "logo") and outfit.top_colour in colours(said)

    return test


def wears_legs(said: str | None, noun: str, world: World) -> Test:
    def test(k: int) -> bool:
        outfit = world.person(k).placed.person.outfit
        kinds = {"trousers": ("trousers",), "pants": ("trousers",), "shorts": ("shorts",)}.get(
            noun, ("trousers", "shorts", "skirt")
        )
        return outfit.bottom in kinds and (said is None or outfit.bottom_colour in colours(said))

    return test


def wears_hat(said: str | None, kind: str, world: World) -> Test:
    def test(k: int) -> bool:
        outfit = world.person(k).placed.person.outfit
        return outfit.hat == kind and (said is None or outfit.hat_colour in colours(said))

    return test


def wears(world: World, **values: object) -> Test:
    return lambda k: all(getattr(world.person(k).placed.person.outfit, name) == value for name, value in values.items())


def has_hair(said: str, world: World) -> Test:
    def test(k: int) -> bool:
        outfit = world.person(k).placed.person.outfit
        return outfit.hair_style != "bald" and outfit.hair_colour == _SAME.get(said, said)

    return test


def is_noun(noun: str, world: World) -> Test:
    def test(k: int) -> bool:
        build = world.person(k).placed.person.build
        if noun in ("child", "kid", "boy", "girl"):
            return build.years < 13
        return build.years >= 13 and (build.gender < 0.5 if noun in ("man", "guy", "male") else build.gender > 0.5)

    return test


def _raised(k: int, side: str, world: World) -> bool:
    return bool(world.joint(k, f"{side}_wrist")[1] > world.joint(k, f"{side}_shoulder")[1])


def arms(which: str, world: World) -> Test:
    def test(k: int) -> bool:
        up = {side: _raised(k, side, world) for side in ("left", "right")}
        if which in up:
            return up[which] and not all(up.values())
        return sum(up.values()) == (2 if which == "both" else 1) if which != "any" else any(up.values())

    return test


def spread(world: World) -> Test:
    def test(k: int) -> bool:
        apart = world.joint(k, "left_wrist") - world.joint(k, "right_wrist")
        rise = max(abs(world.joint(k, f"{s}_wrist")[1] - world.joint(k, f"{s}_shoulder")[1]) for s in ("left", "right"))
        return bool(np.linalg.norm(apart) > 0.58 * world.stature(k) and rise < 0.17 * world.stature(k))

    return test


def does(names: tuple[str, ...], world: World) -> Test:
    return lambda k: world.person(k).placed.drawn.stance.action in names


def stands(world: World) -> Test:
    def test(k: int) -> bool:
        stature = world.stature(k)
        hips, neck = world.joint(k, "pelvis")[1], world.joint(k, "neck")[1]
        still = world.person(k).placed.drawn.stance.action in (None, "waving", "pointing", "reaching out")
        lowest = min(world.joint(k, f"{side}_ankle")[1] for side in ("left", "right"))
        level = abs(world.joint(k, "left_ankle")[1] - world.joint(k, "right_ankle")[1]) < 0.08 * stature
        return bool(still and level and hips - lowest > 0.4 * stature and neck - lowest > 0.7 * stature)

    return test


def faces(where: str, world: World) -> Test:
    def test(k: int) -> bool:
        # Where the shoulders face: across the line between them, in the camera's axes, seen from above.
        index = SMPLH_JOINTS.index
        points = world.person(k).joints_3d
        across = points[index("left_shoulder")] - points[index("right_shoulder")]
        ahead = np.array([across[2], -across[0]])  # x right, z away
        ahead = ahead / max(float(np.linalg.norm(ahead)), 1e-6)
        camera = -points[0, [0, 2]] / np.linalg.norm(points[0, [0, 2]])
        toward = float(ahead @ camera)
        sideways = float(camera[0] * ahead[1] - camera[1] * ahead[0])
        limits = {"camera": toward > 0.55, "away": toward < -0.55, "right": sideways > 0.45, "left": sideways < -0.45}
        return limits[where]

    return test


def has(thing: str, world: World) -> Test:
    def test(k: int) -> bool:
        held = world.person(k).placed.thing
        return held is not None and held.name == thing

    return test


def little(world: World) -> Test:
    return lambda k: all(world.stature(k) < 0.9 * world.stature(j) for j in range(len(world)) if j != k)


def tall(world: World) -> Test:
    return least(lambda k: -world.stature(k), world)
