"""Somebody: a build, clothes, a pose, a thing in the hand, a place on the ground; and the surfaces that follow."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from anypose.data.synthetic import held, poses
from anypose.data.synthetic.body import Body
from anypose.data.synthetic.dress import on_the_head, skirt, thickness
from anypose.data.synthetic.ground import DEEPEST, balls, grounded, sinks
from anypose.data.synthetic.looks import Outfit
from anypose.data.synthetic.meshes import Mesh, box
from anypose.data.synthetic.mocap import read_clips
from anypose.data.synthetic.phenotype import Phenotype, random_shape
from anypose.data.synthetic.rig import JOINT, Rig
from anypose.data.synthetic.stances import Stance
from anypose.data.synthetic.surface import surface
from anypose.data.synthetic.turns import Array, about

# Usual statures in metres of boys and men, girls and women, by years of age (after the WHO's and the CDC's charts).
_YEARS = (0, 1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 50, 85)
_MEN = (0.50, 0.76, 0.87, 1.03, 1.16, 1.28, 1.39, 1.49, 1.63, 1.73, 1.77, 1.765, 1.70)
_WOMEN = (0.49, 0.74, 0.86, 1.02, 1.15, 1.27, 1.38, 1.51, 1.60, 1.63, 1.635, 1.63, 1.57)
_SPREAD = 0.042
TRIES = 12


@dataclass(frozen=True)
class Person:
    """Somebody who does not change from frame to frame.

    Attributes:
        identity: a number of their own in a sequence.
        build: age, gender and so on. shape: (K,) coefficients. rig: of that body.
        outfit: clothes and looks.
        stature: metres, upright.
    """

    identity: int
    build: Phenotype
    shape: Array
    rig: Rig
    outfit: Outfit
    stature: float

    @classmethod
    def random(cls, identity: int, body: Body, rng: np.random.Generator) -> Person:
        build = Phenotype.random(rng)
        if body.shape_grid is not None:
            build = replace(build, height=_height_for(body, build, rng))
        shape = random_shape(body, build, rng)
        rig = Rig(body, shape)
        stature = float(np.ptp(rig.vertices[:, 1]))
        return cls(identity, build, shape, rig, Outfit.random(build, rng), stature)


def usual_stature(build: Phenotype) -> float:
    """Metres that people of an age and gender are tall in the middle."""
    men, women = (float(np.interp(build.years, _YEARS, table)) for table in (_MEN, _WOMEN))
    return men + (women - men) * build.gender


def _height_for(body: Body, build: Phenotype, rng: np.random.Generator) -> float:
    """Where on the axis of height the body is as tall as people are: Anny's own middle is a giant."""
    wanted = usual_stature(build) * (1 + _SPREAD * float(np.clip(rng.normal(), -2.2, 2.2)))
    shapes = np.stack([random_shape(body, replace(build, height=height), rng) for height in (0.0, 1.0)])
    heights = body.template[:, 1].numpy() + shapes @ body.shape_directions[:, 1].numpy().T  # 2 V
    low, high = (float(v) for v in np.ptp(heights, axis=1))
    return float(np.clip((wanted - low) / max(high - low, 1e-3), 0, 1))


@dataclass(frozen=True)
class Placed:
    """Somebody in a pose at a place, in the world (y up, the ground at 0).

    Attributes:
        person: who. drawn: the pose. yaw: degrees, 0 faces +z. at: (x, z) metres of the pelvis.
        pose: (52, 3, 3) against attention, feet levelled. local: (52, 3, 3) as `Body` takes it.
        translation: (3,) as `Body` takes it.
        vertices: (V, 3) of the bare body. joints: (52, 3). turns: (52, 3, 3) of the bones from rest.
        thing: held, or None. seat: height of what is sat on, or None.
    """

    person: Person
    drawn: poses.Drawn
    yaw: float
    at: tuple[float, float]
    pose: Array
    local: Array
    translation: Array
    vertices: Array
    joints: Array
    turns: Array
    thing: held.Thing | None = None
    seat: float | None = None

    @property
    def facing(self) -> Array:
        """(3,) where the pelvis faces, on the ground."""
        ahead = self.turns[0] @ np.array([0.0, 0, 1.0])
        flat = np.array([ahead[0], 0, ahead[2]])
        size = np.linalg.norm(flat)
        if size < 0.2:
            return about(1, self.yaw) @ np.array([0.0, 0, 1.0])
        return flat / size

    def balls(self) -> tuple[Array, Array]:
        """Centres and radii of balls that fill the body."""
        centres, radii, _ = balls(self.joints, self.turns, self.person.stature)
        return centres, radii

    def moved(self, at: tuple[float, float]) -> Placed:
        """The same elsewhere on the ground."""
        shift = np.array([at[0] - self.at[0], 0.0, at[1] - self.at[1]])
        return replace(
            self,
            at=at,
            translation=self.translation + shift,
            vertices=self.vertices + shift,
            joints=self.joints + shift,
        )


def stand(
    person: Person, drawn: poses.Drawn, yaw: float, at: tuple[float, float], thing: held.Thing | None = None
) -> Placed:
    """Put somebody down in a pose: soles level, the lowest point on the ground (or as high as a jump lifts it)."""
    stance = drawn.stance
    pose = drawn.pose.copy()
    pose[0] = about(1, yaw) @ about(2, stance.pelvis[1]) @ about(0, stance.pelvis[0]) @ pose[0]
    pose = grounded(person.rig, pose, stance.flat)
    vertices, joints, turns = person.rig.skin(pose)
    shift = np.array([at[0], stance.lift - vertices[:, 1].min(), at[1]])
    vertices, joints = vertices + shift, joints + shift
    seat = None
    if stance.seat:
        weights = person.rig.body.weights.double().numpy()
        hips = weights[:, [0, JOINT["left_hip"], JOINT["right_hip"]]].sum(1) > 0.6
        seat = float(vertices[hips, 1].min())
    return Placed(
        person=person,
        drawn=drawn,
        yaw=yaw,
        at=at,
        pose=pose,
        local=person.rig.local(pose),
        translation=joints[0] - person.rig.joints[0],
        vertices=vertices,
        joints=joints,
        turns=turns,
        thing=thing,
        seat=seat,
    )


def draw(
    person: Person,
    rng: np.random.Generator,
    at: tuple[float, float],
    yaw: float,
    things: float = 0.35,
    mocap: str | None = None,
) -> Placed:
    """Somebody in a random pose of the library, or of a file of motions, that does not run through itself."""
    for _ in range(TRIES):
        drawn = _captured(mocap, rng) if mocap is not None and rng.random() < 0.5 else poses.draw(rng)
        thing = held.draw(drawn.name, drawn.stance.hands, rng, things) if things else None
        placed = stand(person, drawn, yaw, at, thing)
        if sinks(placed.joints, placed.turns, person.stature) <= DEEPEST * person.stature:
            return placed
    return stand(person, poses.draw(rng, ("standing",)), yaw, at)


def _captured(path: str, rng: np.random.Generator) -> poses.Drawn:
    """A moment of a recorded motion, facing as the one who draws it wishes."""
    clips = read_clips(path)
    clip = clips[sorted(clips)[int(rng.integers(len(clips)))]]
    pose = clip.pose(int(rng.integers(len(clip))))
    ahead = pose[0] @ np.array([0.0, 0, 1.0])
    pose[0] = about(1, -np.degrees(np.arctan2(ahead[0], ahead[2]))) @ pose[0]
    return poses.Drawn("mocap", pose, Stance((), flat=()))


def clothed(placed: Placed) -> tuple[Array, list[Mesh]]:
    """The body's vertices (V, 3) with cloth on them, and the surfaces that hang or sit on it."""
    person = placed.person
    at = surface(person.rig.body)
    normals = normals_of(placed.vertices, person.rig.body.faces.numpy())
    scale = max(0.55, person.stature / 1.75)
    vertices = placed.vertices + normals * (thickness(person.outfit, at) * scale)[:, None]
    # Soles are no thicker than the ground lets them be.
    if placed.drawn.stance.lift == 0:
        vertices[:, 1] = np.maximum(vertices[:, 1], 0.0)
    hanging = []
    if person.outfit.bottom == "skirt":
        hanging.append(skirt(person.rig, person.outfit, placed.joints, placed.turns, placed.vertices, at))
    head = on_the_head(person.rig, person.outfit, placed.joints, placed.turns, at)
    if head is not None:
        hanging.append(head)
    return vertices, hanging


def in_the_hand(placed: Placed) -> Mesh | None:
    """What is held, in the world."""
    if placed.thing is None:
        return None
    size = placed.person.stature / 1.75
    return held.mesh_of(placed.thing, placed.joints, placed.turns, placed.facing, size, 0.0)


def under(placed: Placed) -> Mesh | None:
    """The box that somebody sits on."""
    if placed.seat is None or placed.seat < 0.05:
        return None
    width = 0.26 * placed.person.stature
    tones = ((120, 92, 62), (96, 98, 104), (172, 164, 150), (74, 82, 66))
    mesh = box(np.array([width, placed.seat, width * 0.85]), tones[placed.person.outfit.seed % len(tones)])
    place = placed.joints[0] + [0, 0, 0] + 0.02 * placed.person.stature * placed.facing
    place[1] = placed.seat / 2
    return mesh.moved(about(1, placed.yaw), place)


def normals_of(vertices: Array, faces: np.ndarray) -> Array:
    """(V, 3) outwards, of length 1, the mean of the triangles around each vertex."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    face = np.cross(b - a, c - a)
    out = np.zeros_like(vertices)
    for axis in range(3):
        for corner in range(3):
            out[:, axis] += np.bincount(faces[:, corner], face[:, axis], len(vertices))
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)
