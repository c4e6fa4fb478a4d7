"""Clips for lifters: CMU's motion, other bodies made of it, simulated cameras, and a detector's mistakes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from anypose.data.simulated import USUAL, Detector, Rig, draw_cameras
from anypose.gaps import at_parents, between, outwards
from anypose.ops.poses import Clips
from anypose.skeleton import H36M17
from anypose.track import Track

Array = NDArray[np.float64]

# Limbs of which a detector may see nothing in a whole clip.
_HIDDEN: tuple[tuple[str, ...], ...] = (
    *(("left_knee", "left_ankle"), ("right_knee", "right_ankle"), ("left_ankle",), ("right_ankle",)),
    *(("left_elbow", "left_wrist"), ("right_elbow", "right_wrist"), ("left_wrist",), ("right_wrist",)),
    *(("left_ankle", "right_ankle"), ("left_knee", "left_ankle", "right_knee", "right_ankle"), ("head",)),
)

USUAL_DETECTOR = Detector()


@dataclass(frozen=True)
class People:
    """How bodies and detections are varied; each is the probability of a clip, except where said.

    scale: the most by which a body is larger or smaller. lengths: the most by which a kind of limb is longer or
    shorter. arms, legs: those of another clip. tilt: the body is turned about a level axis. coco: trunk and head are
    made of other keypoints as they are of COCO's. hidden: a limb is not seen at all. ends: the detections begin or
    end within the clip.
    """

    scale: float = 0.1
    lengths: float = 0.1
    arms: float = 0.3
    legs: float = 0.1
    tilt: float = 0.15
    coco: float = 0.5
    hidden: float = 0.1
    ends: float = 0.1


PLAIN = People(scale=0, lengths=0, arms=0, legs=0, tilt=0, coco=0, hidden=0, ends=0)


class LiftingData:
    """Batches of clips of `H36M17`, each fixed by the seed and its number.

    Args:
        motions: in the world.
        batch, frames: clips of a batch, frames of a clip.
        strides: a clip takes every so manieth frame, at random: slower and faster cameras.
        rig: where cameras stand.
        aim: metres, how far from the person the cameras look, as standard deviation.
        detector: None for true keypoints.
        people: how bodies are varied.
    """

    def __init__(
        self,
        motions: Sequence[Track],
        *,
        batch: int = 128,
        frames: int = 27,
        strides: Sequence[int] = (1, 2, 3),
        rig: Rig = USUAL,
        aim: float = 0.5,
        detector: Detector | None = USUAL_DETECTOR,
        people: People = People(),
        seed: int = 0,
    ) -> None:
        bodies = [track.to_skeleton(H36M17)[0].keypoints for track in motions]
        # A clip may not reach into the next motion.
        self._bodies = np.concatenate(bodies).astype(np.float64)
        self._ends = np.cumsum([len(body) for body in bodies])
        self._first = np.concatenate([np.full(len(body), end - len(body)) for body, end in zip(bodies, self._ends)])
        self._batch, self._frames, self._strides = batch, frames, tuple(strides)
        self._rig, self._aim, self._detector, self._people, self._seed = rig, aim, detector, people, seed

    def batches(self, start: int = 0, stride: int = 1) -> Iterator[Clips]:
        """Batches number `start`, `start + stride`, ..."""
        return map(self.batch, itertools.count(start, stride))

    def batch(self, number: int) -> Clips:
        """One batch: keypoints (B, T, 17, 2) in screen units, joints (B, T, 17, 3) metres from the root."""
        random = np.random.default_rng((self._seed, number))
        bodies = varied(random, self._windows(random), self._people)
        root = bodies[:, :, H36M17.root]
        targets = root[:, self._frames // 2] + random.normal(0, self._aim, (self._batch, 3))
        cameras = draw_cameras(random, targets, self._rig, ground=bodies[..., 1].min((1, 2)).clip(max=0.0))
        seen = cameras.see(bodies)
        # Who would stand too near, or behind, is moved away along the camera's sight.
        near = seen[..., 2].min((1, 2))
        seen[..., 2] += np.clip(1.0 - near, 0, None)[:, None, None]
        screen = detected(random, cameras.screen(seen), self._detector, self._people)
        joints = seen - seen[:, :, H36M17.root, None]
        return Clips(torch.from_numpy(screen.astype(np.float32)), torch.from_numpy(joints.astype(np.float32)))

    def _windows(self, random: Generator) -> Array:
        """(B, T, 17, 3) frames of the motions, at random."""
        last = random.integers(0, len(self._bodies), self._batch)
        steps = random.choice(self._strides, self._batch)[:, None] * np.arange(self._frames)[::-1]
        return self._bodies[np.maximum(last[:, None] - steps, self._first[last][:, None])]


def varied(random: Generator, bodies: Array, people: People) -> Array:
    """Bodies (B, T, 17, 3) of other people: other limbs, other lengths, mirrored, turned."""
    number = len(bodies)
    bodies = bodies.copy()
    for part, chance in (("arms", people.arms), ("legs", people.legs)):
        rows = np.flatnonzero(random.random(number) < chance)
        bodies[rows] = with_limbs_of(bodies[rows], bodies[random.integers(number, size=len(rows))], part)
    factors = 1 + random.uniform(-people.scale, people.scale, (number, 1))
    kinds = 1 + random.uniform(-people.lengths, people.lengths, (number, len(_KINDS)))
    if people.lengths or people.scale:
        bodies = stretched(bodies, factors * kinds[:, _KIND])
    rows = np.flatnonzero(random.random(number) < people.tilt)
    bodies[rows] = _tilted(random, bodies[rows])
    rows = np.flatnonzero(random.random(number) < 0.5)
    bodies[rows] = bodies[rows][:, :, H36M17.mirror] * (-1, 1, 1)
    return bodies


# Both sides of the body are one kind.
_KINDS = sorted({name.split("_")[-1] for name in H36M17.keypoints})
_KIND = [_KINDS.index(name.split("_")[-1]) for name in H36M17.keypoints]


def stretched(bodies: Array, factors: Array) -> Array:
    """Bodies (B, T, 17, 3) with each bone that ends in a keypoint made longer by its factor (B, 17)."""
    assert H36M17.parents is not None
    out = bodies.copy()
    for joint in outwards(H36M17)[1:]:
        parent = H36M17.parents[joint]
        bone = bodies[:, :, joint] - bodies[:, :, parent]
        out[:, :, joint] = out[:, :, parent] + bone * factors[:, None, joint, None]
    return out


def with_limbs_of(bodies: Array, others: Array, part: str) -> Array:
    """Bodies (B, T, 17, 3) with the arms or legs of others, which stand to the trunk as they do there."""
    inner, outer = ("shoulder", ("elbow", "wrist")) if part == "arms" else ("hip", ("knee", "ankle"))
    turn = _trunk(bodies, inner) @ np.swapaxes(_trunk(others, inner), -1, -2)  # B T 3 3
    out = bodies.copy()
    for side in ("left", "right"):
        start = H36M17.index(f"{side}_{inner}")
        for name in outer:
            joint = H36M17.index(f"{side}_{name}")
            limb = others[:, :, joint] - others[:, :, start]
            out[:, :, joint] = bodies[:, :, start] + np.einsum("btij,btj->bti", turn, limb)
    return out


def _trunk(bodies: Array, pair: str) -> Array:
    """(B, T, 3, 3) axes of the trunk as columns: from right to left, up, and forwards."""
    across = bodies[:, :, H36M17.index(f"left_{pair}")] - bodies[:, :, H36M17.index(f"right_{pair}")]
    up = bodies[:, :, H36M17.index("thorax")] - bodies[:, :, H36M17.root]
    ahead = np.cross(across, up)
    axes = [across, np.cross(ahead, across), ahead]
    return np.stack([axis / np.linalg.norm(axis, axis=-1, keepdims=True) for axis in axes], -1)


def _tilted(random: Generator, bodies: Array) -> Array:
    """Bodies turned about a level axis through the root of the middle frame, by up to a right angle."""
    number = len(bodies)
    angle, heading = random.uniform(-np.pi / 2, np.pi / 2, number), random.uniform(0, 2 * np.pi, number)
    axis = np.stack([np.cos(heading), np.zeros(number), np.sin(heading)], 1)[:, None, None]
    centre = bodies[:, bodies.shape[1] // 2, None, H36M17.root, None]
    body = bodies - centre
    cos, sin = np.cos(angle)[:, None, None, None], np.sin(angle)[:, None, None, None]
    along = (body * axis).sum(-1, keepdims=True) * axis
    return centre + along + cos * (body - along) + sin * np.cross(np.broadcast_to(axis, body.shape), body)


def detected(random: Generator, screen: Array, detector: Detector | None, people: People) -> Array:
    """Keypoints (B, T, 17, 2) as `anypose lift` gives them to a system: found, and gaps filled."""
    number, frames, joints = screen.shape[:3]
    screen = screen.copy()
    rows = np.flatnonzero(random.random(number) < people.coco)
    screen[rows] = as_of_coco(random, screen[rows])
    never = np.zeros((number, joints), dtype=bool)
    for row in np.flatnonzero(random.random(number) < people.hidden):
        never[row, [H36M17.index(name) for name in _HIDDEN[random.integers(len(_HIDDEN))]]] = True
    if detector is not None:
        found, sure = detector.detect(random, screen)
        known = sure > 0
        lost = ~known[:, :, H36M17.root].any(1)  # a clip without its root is refused, so it keeps it here
        found[lost, :, H36M17.root], known[lost, :, H36M17.root] = screen[lost, :, H36M17.root], True
        never |= ~known.any(1)
        screen = between(found, known, np.arange(frames))
    rows = np.flatnonzero(random.random(number) < people.ends)
    for row in rows:  # the clip begins or ends within: edges are repeated
        first, last = np.sort(random.integers(frames, size=2))
        screen[row] = screen[row, np.clip(np.arange(frames), first, last)]
    return at_parents(screen, never, H36M17)


def as_of_coco(random: Generator, screen: Array) -> Array:
    """Keypoints (B, T, 17, 2) with trunk and head made of the others, as `anypose.skeleton.derive` makes them.

    CMU's bodies have no ears; where its head ends lies about between them.
    """
    index = H36M17.index
    hips = (screen[:, :, index("left_hip")] + screen[:, :, index("right_hip")]) / 2
    shoulders = (screen[:, :, index("left_shoulder")] + screen[:, :, index("right_shoulder")]) / 2
    tall = np.linalg.norm(hips - shoulders, axis=-1, keepdims=True).mean(1, keepdims=True)
    ears = screen[:, :, index("head")] + random.normal(0, 0.05, (len(screen), 1, 2)) * tall
    out = screen.copy()
    out[:, :, H36M17.root], out[:, :, index("thorax")], out[:, :, index("head")] = hips, shoulders, ears
    out[:, :, index("spine")] = (hips + shoulders) / 2
    out[:, :, index("upper_neck")] = 0.4 * shoulders + 0.6 * ears
    return out
