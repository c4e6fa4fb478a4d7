"""Scenes: people who stand about on a ground, do not run into each other, and overlap in the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anypose.data.synthetic import people
from anypose.data.synthetic.backdrop import PLACES, Backdrop, fitted, painted, photographed
from anypose.data.synthetic.body import Body
from anypose.data.synthetic.camera import Camera
from anypose.data.synthetic.ground import meet
from anypose.data.synthetic.people import Person, Placed
from anypose.data.synthetic.render import Light
from anypose.data.synthetic.turns import Array
from anypose.pictures import open_picture

MOST_PEOPLE = 12
SMALLEST_SIDE = 64
PIXELS_EACH = 24 * 24
"""Of a picture's pixels, so many are needed for each person, or nobody could be told from anybody."""
TRIES = 40


class SceneError(ValueError):
    """What was asked for cannot be made; the message says why and what can."""


@dataclass(frozen=True)
class Scene:
    """People, ready to be rendered.

    Attributes:
        people: the N people. camera, backdrop, light: as their names say. place: name of the backdrop.
    """

    people: list[Placed]
    camera: Camera
    backdrop: Backdrop
    light: Light
    place: str


@dataclass(frozen=True)
class Wishes:
    """What scenes are to be like.

    Attributes:
        people: least and most people.
        size: height and width of the pictures, pixels.
        things: share of people with something in the hand.
        places: names of painted backgrounds to choose from, all when empty.
        pictures: files of pictures to use as backgrounds instead.
        mocap: file of CMU's motions from which half the poses are taken, or None.

    Raises:
        SceneError: when it cannot be done.
    """

    people: tuple[int, int] = (1, 6)
    size: tuple[int, int] = (480, 640)
    things: float = 0.35
    places: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()
    mocap: str | None = None

    def __post_init__(self) -> None:
        least, most = self.people
        height, width = self.size
        if not 1 <= least <= most:
            raise SceneError(f"{least} to {most} people: give 1 or more, the smaller number first")
        if most > MOST_PEOPLE:
            raise SceneError(f"{most} people in a picture are too many; at most {MOST_PEOPLE} find room on the ground")
        if min(height, width) < SMALLEST_SIDE:
            raise SceneError(
                f"a picture of {width}x{height} pixels is too small; {SMALLEST_SIDE} each way is the least"
            )
        if height * width < most * PIXELS_EACH:
            fit = height * width // PIXELS_EACH
            raise SceneError(
                f"{most} people do not fit {width}x{height} pixels: at most {fit} do; ask for fewer or for more pixels"
            )
        unknown = [place for place in self.places if place not in PLACES]
        if unknown:
            raise SceneError(f"there is no place {unknown[0]!r}; there are {', '.join(PLACES)}")


def random_scene(wishes: Wishes, body: Body, rng: np.random.Generator) -> Scene:
    """A scene drawn by `rng`."""
    count = int(rng.integers(wishes.people[0], wishes.people[1] + 1))
    place = wishes.places or PLACES
    name = place[int(rng.integers(len(place)))]
    picture = wishes.pictures[int(rng.integers(len(wishes.pictures)))] if wishes.pictures else None
    camera, distance = _camera(wishes.size, count, rng)
    crowd = people_in_view(count, camera, distance, body, wishes.things, rng, wishes.mocap)
    if picture is not None:
        backdrop = photographed(fitted(open_picture(picture), wishes.size, rng), camera)
        name = "photograph"
    else:
        # Behind a wall nobody stands, or they would seem to float before it.
        nearest_wall = max((camera.position[2] - placed.vertices[:, 2].min() + 0.5 for placed in crowd), default=0.0)
        backdrop = painted(camera, name, rng, float(nearest_wall))
    return Scene(crowd, camera, backdrop, Light.random(rng, backdrop.indoors), name)


def _camera(size: tuple[int, int], count: int, rng: np.random.Generator) -> tuple[Camera, float]:
    """A camera as people hold one, and how far away it expects people."""
    height, width = size
    view = float(rng.uniform(32, 62))
    raised = float(
        rng.uniform(1.1, 1.75)
        if rng.random() < 0.7
        else rng.uniform(0.5, 1.1)
        if rng.random() < 0.4
        else rng.uniform(1.75, 4.0)
    )
    focal = max(size) / 2 / np.tan(np.radians(view) / 2)
    tall = float(rng.uniform(0.42, 0.9)) * (1.0 if count < 5 else 0.72)
    # So far that 1.75 m are this share of the height, and that everybody finds room across.
    distance = max(1.75 * focal / (tall * height), 0.75 * count * focal / width, 2.2)
    looked_at = float(rng.uniform(0.75, 1.05))
    tilt = float(np.degrees(np.arctan2(raised - looked_at, distance)) + rng.normal(0, 1.2))
    return Camera.placed(size, view=view, height=raised, tilt=tilt, roll=float(rng.normal(0, 1.0))), float(distance)


def people_in_view(
    count: int,
    camera: Camera,
    distance: float,
    body: Body,
    things: float,
    rng: np.random.Generator,
    mocap: str | None = None,
) -> list[Placed]:
    """Up to `count` people on the ground about `distance` metres away, none in another, most of each in view."""
    crowd: list[Placed] = []
    filled: list[tuple[Array, Array]] = []
    width = camera.size[1]
    for number in range(count):
        person = Person.random(number + 1, body, rng)
        yaw = float(
            rng.choice([0, 0, 0, 180, 90, -90, 40, -40], p=[0.2, 0.15, 0.1, 0.15, 0.1, 0.1, 0.1, 0.1])
            + rng.normal(0, 22)
        )
        placed = people.draw(person, rng, (0.0, 0.0), yaw, things, mocap)
        for attempt in range(TRIES):
            at = _spot(crowd, camera, distance, width, attempt, rng)
            moved = placed.moved(at)
            own = moved.balls()
            if not _in_the_picture(moved, camera) or any(meet(own, other) > 0 for other in filled):
                continue
            if _too_hidden(moved, crowd, camera):
                continue
            crowd.append(moved)
            filled.append(own)
            break
    return crowd


def _spot(
    crowd: list[Placed], camera: Camera, distance: float, width: int, attempt: int, rng: np.random.Generator
) -> tuple[float, float]:
    """A place on the ground: beside or behind somebody in two of five tries, else anywhere in view."""
    if crowd and rng.random() < 0.4 and attempt < TRIES // 2:
        near = crowd[int(rng.integers(len(crowd)))]
        angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.1)
        return near.at[0] + reach * np.cos(angle), near.at[1] + reach * np.sin(angle)
    depth = distance * float(rng.uniform(0.85, 1.7 if attempt < TRIES // 2 else 2.4))
    half = depth * width / 2 / camera.focal
    return float(rng.uniform(-0.86, 0.86)) * half, -depth


def _outline(placed: Placed, camera: Camera) -> tuple[Array, float]:
    """Box x0 y0 x1 y1 of the joints in the picture, and the distance."""
    points = camera.project(placed.joints)
    return np.concatenate((points[:, :2].min(0), points[:, :2].max(0))), float(points[0, 2])


def _in_the_picture(placed: Placed, camera: Camera) -> bool:
    """Most of the body is in view, and in front of the camera by a metre."""
    points = camera.project(placed.joints[:22])
    height, width = camera.size
    inside = (points[:, :2] > 0).all(1) & (points[:, 0] < width) & (points[:, 1] < height)
    return bool(points[:, 2].min() > 1.2 and inside.mean() > 0.7)


def _too_hidden(placed: Placed, crowd: list[Placed], camera: Camera) -> bool:
    """Whether two thirds of somebody's upper body or more would be behind somebody else."""
    box, depth = _outline(placed, camera)
    for other in crowd:
        theirs, far = _outline(other, camera)
        front, back = (box, theirs) if depth < far else (theirs, box)
        low, high = np.maximum(front[:2], back[:2]), np.minimum(front[2:], back[2:])
        shared = np.prod(np.clip(high - low, 0, None))
        if shared > 0.62 * np.prod(np.maximum(back[2:] - back[:2], 1)):
            return True
    return False
