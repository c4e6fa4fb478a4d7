"""People who walk: across, past each other, out of the picture and back, seen by one camera or several."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import torch

from anypose.data.synthetic import backdrop as backdrops
from anypose.data.synthetic.angles import pose_of
from anypose.data.synthetic.body import Body
from anypose.data.synthetic.camera import Camera
from anypose.data.synthetic.frame import Frame, frame_of
from anypose.data.synthetic.people import Person, Placed, stand
from anypose.data.synthetic.poses import Drawn, moving
from anypose.data.synthetic.render import Light
from anypose.data.synthetic.rig import JOINT, Rig
from anypose.data.synthetic.scene import Scene, Wishes
from anypose.data.synthetic.stances import LIBRARY
from anypose.data.synthetic.turns import Array, about

RATE = 15.0
"""Frames a second."""
_STEPS = 48
_OUTDOORS = ("field", "pitch", "square", "beach", "snow", "court", "clay court", "street")
_LANE = 0.75
"""Metres between the lanes that people walk in, so that nobody walks through anybody."""


@dataclass(frozen=True)
class Walker:
    """Somebody on the way.

    Attributes:
        person: who. gait: walking or running, or a pose of the library for who stands. lane: z in metres.
        start: x in metres at time 0. speed: metres a second along x. turns: seconds at which they turn round.
        phase: of the gait at the start.
    """

    person: Person
    gait: str
    lane: float
    start: float
    speed: float
    turns: float
    phase: float

    def at(self, time: float) -> Placed:
        """The person at a time in seconds."""
        if not self.speed:
            return stand(self.person, _still(self.gait), 90.0 * self.phase, (self.start, self.lane))
        gone = abs(self.speed) * time
        heading = 1.0 if self.speed > 0 else -1.0
        x = self.start + self.speed * min(time, self.turns) - self.speed * max(0.0, time - self.turns)
        if time > self.turns:
            heading = -heading
        pose = moving(self.gait, phase_after(self.person.rig, self.gait, self.phase, gone))
        return stand(self.person, Drawn(self.gait, pose, LIBRARY[self.gait]), 90.0 * heading, (x, self.lane))


@cache
def _still(name: str) -> Drawn:
    return Drawn(name, pose_of(LIBRARY[name].angles[0]), LIBRARY[name])


@lru_cache(maxsize=64)
def progress_of(rig: Rig, gait: str) -> Array:
    """(STEPS + 1,) metres that the pelvis has gone at even phases of a gait, so that the foot on the ground stays
    there."""
    ahead = np.zeros(_STEPS + 1)
    feet = [_feet(rig, moving(gait, step / _STEPS), LIBRARY[gait].pelvis[0]) for step in range(_STEPS + 1)]
    for step in range(_STEPS):
        before, after = feet[step], feet[step + 1]
        standing = int(before[:, 1].argmin())
        # A foot on the ground goes back as seen from the pelvis, as far as the pelvis goes on.
        ahead[step + 1] = ahead[step] + max(0.0, before[standing, 2] - after[standing, 2])
    return ahead


def _feet(rig: Rig, pose: Array, bow: float) -> Array:
    """(2, 3) the lower of heel and ball of each foot, from the pelvis."""
    pose = pose.copy()
    pose[0] = about(0, bow) @ pose[0]
    places, _ = rig.places(pose)
    feet = []
    for side in ("left", "right"):
        ends = places[[JOINT[f"{side}_ankle"], JOINT[f"{side}_foot"]]] - [[0, 0.05, 0], [0, 0, 0]]
        feet.append(ends[ends[:, 1].argmin()])
    return np.array(feet)


def phase_after(rig: Rig, gait: str, phase: float, metres: float) -> float:
    """The phase of a gait after so many metres from a phase."""
    ahead = progress_of(rig, gait)
    start = float(np.interp(phase % 1, np.linspace(0, 1, _STEPS + 1), ahead))
    gone = (start + metres) % ahead[-1]
    return float(np.interp(gone, ahead, np.linspace(0, 1, _STEPS + 1)))


def usual_speed(rig: Rig, gait: str) -> float:
    """Metres a second of somebody of this size: two steps a second walking, three running."""
    return float(progress_of(rig, gait)[-1]) * (1.0 if gait == "walking" else 1.45)


def random_walkers(
    count: int, distance: float, reach: float, seconds: float, body: Body, rng: np.random.Generator
) -> list[Walker]:
    """People in lanes of their own: crossings, one who leaves and comes back, one who stands."""
    walkers = []
    lanes = -distance - _LANE * np.arange(count)
    for number, lane in enumerate(rng.permutation(lanes)):
        person = Person.random(number + 1, body, rng)
        far = reach * -lane / distance
        dice = rng.random()
        if dice < 0.15 and number:
            walkers.append(
                Walker(
                    person,
                    "standing",
                    float(lane),
                    float(rng.uniform(-0.6, 0.6) * far),
                    0.0,
                    np.inf,
                    float(rng.integers(-1, 3)),
                )
            )
            continue
        gait = "running" if rng.random() < 0.2 else "walking"
        speed = usual_speed(person.rig, gait) * float(rng.uniform(0.9, 1.1))
        side = -1.0 if number % 2 else 1.0
        if dice < 0.45:
            # Out of the picture, and back into it.
            start = side * far * float(rng.uniform(0.1, 0.6))
            turns = min(seconds * 0.5, (far * 1.25 - abs(start)) / speed)
            walkers.append(Walker(person, gait, float(lane), start, side * speed, float(turns), float(rng.random())))
        else:
            start = -side * far * float(rng.uniform(0.5, 1.1))
            walkers.append(Walker(person, gait, float(lane), start, side * speed, np.inf, float(rng.random())))
    return walkers


def sequence(
    wishes: Wishes,
    body: Body,
    number: int,
    frames: int,
    cameras: int,
    rng: np.random.Generator,
    device: torch.device | str = "cpu",
) -> Iterator[Frame]:
    """The frames of one sequence, camera by camera; names are SEQUENCE_CAMERA_FRAME."""
    count = int(rng.integers(wishes.people[0], wishes.people[1] + 1))
    view, raised = float(rng.uniform(40, 60)), float(rng.uniform(1.3, 2.2))
    height, width = wishes.size
    focal = max(wishes.size) / 2 / np.tan(np.radians(view) / 2)
    distance = max(1.75 * focal / (float(rng.uniform(0.45, 0.75)) * height), 3.0)
    middle = distance + _LANE * (count - 1) / 2
    walkers = random_walkers(count, distance, distance * width / 2 / focal, frames / RATE, body, rng)
    place = (wishes.places or _OUTDOORS)[int(rng.integers(len(wishes.places or _OUTDOORS)))]
    light, painter = Light.random(rng, False), int(rng.integers(1 << 31))
    moments = [[walker.at(frame / RATE) for walker in walkers] for frame in range(frames)]
    for camera_number in range(cameras):
        turn = 0.0 if not camera_number else float(rng.uniform(25, 70)) * (-1 if camera_number % 2 else 1)
        across, back = middle * np.sin(np.radians(turn)), middle * (np.cos(np.radians(turn)) - 1)
        tilt = float(np.degrees(np.arctan2(raised - 0.9, middle)))
        camera = Camera.placed(
            wishes.size, view=view, height=raised, tilt=tilt, turn=turn, at=(float(across), float(back))
        )
        # One painter for all frames and cameras: the ground and the horizon are the same world.
        behind = backdrops.painted(camera, place, np.random.default_rng(painter))
        for frame, people in enumerate(moments):
            scene = Scene(people, camera, behind, light, place)
            yield frame_of(scene, f"{number:04d}_{camera_number}_{frame:04d}", painter + frame, device)
