"""BVH: a hierarchy of joints with offsets, and rotations over time, as animation programs read it.

A BVH holds bones of one length. A lifted body's bones differ a little from frame to frame; here each gets its middle
length and keeps its direction. Where bones branch, each one begins with a joint of its own at the same place, named
"thorax_to_left_shoulder", so that shoulders and hips move as they were found and not as one stiff piece.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..gaps import outwards
from ..skeleton import Skeleton
from ..track import Track
from . import on_floor, upright

Array = NDArray[np.float64]
UNIT = 100.0  # centimetres a metre: what most programs expect

# How a body stands at rest, y up, its left at x: directions of the bones that end in these places.
_REST = {
    **{"hip": (1, 0, 0), "knee": (0, -1, 0), "ankle": (0, -1, 0), "foot": (0, -0.3, 1), "toes": (0, 0, 1)},
    **{"shoulder": (1, 0, 0), "elbow": (1, 0, 0), "wrist": (1, 0, 0), "palm": (1, 0, 0), "hand": (1, 0, 0)},
    **{"fingers": (1, 0, 0), "thumb": (0.7, 0, 0.7)},
}


@dataclass
class Joint:
    """One joint of the file: its offset from its parent at rest, and its rotation in its parent's frame over time."""

    name: str
    offset: Array
    turns: Array  # T 3 3
    children: list[Joint] = field(default_factory=list)


def rigid(points: Array, skeleton: Skeleton) -> Array:
    """Bodies (T, J, 3) with bones of their middle lengths in the directions in which they were found."""
    assert skeleton.parents is not None
    out = points.copy()
    for joint in outwards(skeleton)[1:]:
        parent = skeleton.parents[joint]
        bone = points[:, joint] - points[:, parent]
        long = np.linalg.norm(bone, axis=1, keepdims=True)
        out[:, joint] = out[:, parent] + bone / np.maximum(long, 1e-9) * np.median(long)
    return out


def bvh(track: Track) -> str:
    """The text of a BVH file. Centimetres, y up; the lowest joint of the whole track touches the floor.

    Raises ValueError for a track in a picture, or of a skeleton that is no tree.
    """
    skeleton = track.skeleton
    if skeleton.parents is None:
        raise ValueError(f"{skeleton.name} is no tree: a BVH holds trees of joints, such as h36m17")
    points = on_floor(rigid(upright(track), skeleton)) * UNIT
    root = _joints(points, skeleton)
    lines = ["HIERARCHY", *_hierarchy(root, 0, True), "MOTION", f"Frames: {len(track)}"]
    step = 1 / track.rate if track.rate else 1 / 30
    lines.append(f"Frame Time: {step:.7f}")
    columns = np.concatenate([points[:, skeleton.root], *(euler(turns) for turns in _turns(root))], 1)
    lines += [" ".join(f"{value:.5f}" for value in row) for row in columns]
    return "\n".join(lines) + "\n"


def _joints(points: Array, skeleton: Skeleton) -> Joint:
    """The tree of joints, with the rotations that put them where the points (T, J, 3) are."""
    assert skeleton.parents is not None
    children = [[c for c, parent in enumerate(skeleton.parents) if parent == j] for j in range(len(skeleton))]
    rest = np.array([_direction(name) for name in skeleton.keypoints])
    lengths = np.zeros(len(skeleton))
    for joint, parent in enumerate(skeleton.parents):
        if parent >= 0:
            lengths[joint] = np.linalg.norm(points[0, joint] - points[0, parent])

    def made(joint: int, name: str, offset: Array, above: Array) -> Joint:
        """A joint under one whose rotation in the world is `above` (T, 3, 3)."""
        below = children[joint]
        bones = [points[:, child] - points[:, joint] for child in below]
        if skeleton.parents is not None and skeleton.parents[joint] < 0:
            world = _best_turn(rest[below], bones)
        elif len(below) == 1:
            world = _least_turn(above, rest[below[0]], bones[0])
        else:
            world = above
        node = Joint(name, offset, _local(above, world))
        for child, bone in zip(below, bones):
            reach = rest[child] * lengths[child]
            if len(below) == 1:
                node.children.append(made(child, skeleton.keypoints[child], reach, world))
                continue
            own = _least_turn(world, rest[child], bone)
            branch = Joint(
                f"{skeleton.keypoints[joint]}_to_{skeleton.keypoints[child]}", np.zeros(3), _local(world, own)
            )
            branch.children.append(made(child, skeleton.keypoints[child], reach, own))
            node.children.append(branch)
        return node

    still = np.broadcast_to(np.eye(3), (len(points), 3, 3))
    return made(skeleton.root, skeleton.keypoints[skeleton.root], np.zeros(3), still)


def _direction(name: str) -> Array:
    """Where a bone that ends in a place points at rest, of unit length."""
    side, _, part = name.rpartition("_")
    x, y, z = _REST.get(part, (0, 1, 0)) if side in ("left", "right") else (0, 1, 0)
    direction = np.array([-x if side == "right" else x, y, z], np.float64)
    return direction / np.linalg.norm(direction)


def _local(above: Array, world: Array) -> Array:
    return np.swapaxes(above, -1, -2) @ world


def _least_turn(above: Array, rest: Array, bone: Array) -> Array:
    """World rotations (T, 3, 3) that point `rest` along bones (T, 3), turned least from those of the joint above."""
    start = above @ rest  # T 3
    goal = bone / np.maximum(np.linalg.norm(bone, axis=1, keepdims=True), 1e-9)
    axis, cosine = np.cross(start, goal), np.clip((start * goal).sum(1), -1, 1)
    sine = np.linalg.norm(axis, axis=1)
    # Opposite directions leave the axis open: any at a right angle will do.
    other = np.cross(start, np.where(np.abs(start[:, :1]) < 0.9, [[1.0, 0, 0]], [[0, 1.0, 0]]))
    axis = np.where(sine[:, None] > 1e-9, axis, other)
    axis = axis / np.linalg.norm(axis, axis=1, keepdims=True)
    x, y, z = axis.T
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(-1, 3, 3)
    sine, cosine = sine[:, None, None], cosine[:, None, None]
    return (np.eye(3) + sine * cross + (1 - cosine) * cross @ cross) @ above


def _best_turn(rest: Array, bones: list[Array]) -> Array:
    """World rotations (T, 3, 3) that put several rest directions (N, 3) best along bones (Kabsch, 1976)."""
    unit = [bone / np.maximum(np.linalg.norm(bone, axis=1, keepdims=True), 1e-9) for bone in bones]
    left, _, right = np.linalg.svd(np.stack(unit, -1) @ rest)  # T 3 3
    left[..., -1] *= np.sign(np.linalg.det(left @ right))[:, None]
    return left @ right


def euler(turns: Array) -> Array:
    """Degrees (T, 3) about z, x and y of rotations (T, 3, 3) that are z after x after y, without jumps of a turn."""
    x = np.arcsin(np.clip(turns[:, 2, 1], -1, 1))
    upright = np.abs(turns[:, 2, 1]) < 1 - 1e-9
    z = np.where(upright, np.arctan2(-turns[:, 0, 1], turns[:, 1, 1]), np.arctan2(turns[:, 1, 0], turns[:, 0, 0]))
    y = np.where(upright, np.arctan2(-turns[:, 2, 0], turns[:, 2, 2]), 0.0)
    return np.rad2deg(np.unwrap(np.stack([z, x, y], 1), axis=0))


def _hierarchy(joint: Joint, depth: int, root: bool = False) -> list[str]:
    pad = "\t" * depth
    offset = " ".join(f"{value:.5f}" for value in joint.offset)
    turns = "Zrotation Xrotation Yrotation"
    channels = f"CHANNELS 6 Xposition Yposition Zposition {turns}" if root else f"CHANNELS 3 {turns}"
    lines = [
        f"{pad}{'ROOT' if root else 'JOINT'} {joint.name}",
        f"{pad}{{",
        f"{pad}\tOFFSET {offset}",
        f"{pad}\t{channels}",
    ]
    for child in joint.children:
        lines += _hierarchy(child, depth + 1)
    if not joint.children:
        tip = joint.offset / max(float(np.linalg.norm(joint.offset)), 1e-9) * 5
        end = " ".join(f"{value:.5f}" for value in tip)
        lines += [f"{pad}\tEnd Site", f"{pad}\t{{", f"{pad}\t\tOFFSET {end}", f"{pad}\t}}"]
    return [*lines, f"{pad}}}"]


def _turns(joint: Joint) -> list[Array]:
    """Rotations of all joints in the order of the file."""
    return [joint.turns, *(turns for child in joint.children for turns in _turns(child))]
