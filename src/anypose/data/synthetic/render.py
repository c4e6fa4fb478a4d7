"""A scene becomes a picture and, with it, the truth of every pixel."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np
import torch
from PIL import Image, ImageFilter

from anypose.data.synthetic import looks
from anypose.data.synthetic.backdrop import Backdrop
from anypose.data.synthetic.camera import Camera
from anypose.data.synthetic.meshes import Mesh
from anypose.data.synthetic.people import Placed, clothed, in_the_hand, normals_of, under
from anypose.data.synthetic.raster import Fragments, rasterize
from anypose.data.synthetic.surface import surface
from anypose.data.synthetic.turns import Array, unit

NOBODY, THING, SEAT = 0, -1, -2
"""In `Layers.ids`, where there is no person; people are 1, 2, ..."""
_SHADOW_SIDE = 256


@dataclass(frozen=True)
class Light:
    """The sun (or a lamp) and the sky.

    Attributes:
        sun: (3,) direction towards it. strength, sky: of both, linear. warmth: of the sun, 1 is white.
        haze: 1/metres. blur: pixels of an out-of-focus or moving camera. drift: (x, y) pixels of motion blur.
        noise: standard deviation, 0 to 255. exposure: of the whole.
    """

    sun: Array
    strength: float
    sky: float
    warmth: float = 1.0
    haze: float = 0.0
    blur: float = 0.6
    drift: tuple[float, float] = (0.0, 0.0)
    noise: float = 2.0
    exposure: float = 1.0

    @classmethod
    def random(cls, rng: np.random.Generator, indoors: bool) -> Light:
        """Noon, evening, an overcast sky or a room with a lamp."""
        rise, round_ = np.radians(rng.uniform(28, 72)), rng.uniform(-np.pi, np.pi)
        sun = np.array([np.cos(rise) * np.sin(round_), np.sin(rise), np.cos(rise) * np.cos(round_)])
        overcast = indoors or rng.random() < 0.35
        strength = float(rng.uniform(0.15, 0.4) if overcast else rng.uniform(0.55, 0.95))
        moving = rng.random() < 0.08
        angle, length = rng.uniform(0, np.pi), rng.uniform(2, 5)
        return cls(
            sun=sun,
            strength=strength,
            sky=float(rng.uniform(0.62, 0.8) if overcast else rng.uniform(0.32, 0.48)),
            warmth=float(rng.uniform(0.98, 1.10)),
            haze=float(rng.uniform(0.004, 0.02)) if rng.random() < 0.15 and not indoors else 0.0,
            blur=float(rng.uniform(0.45, 0.8)),
            drift=(length * np.cos(angle), length * np.sin(angle)) if moving else (0.0, 0.0),
            noise=float(rng.gamma(2.0, 1.3)),
            exposure=float(rng.uniform(0.85, 1.12)),
        )


@dataclass(frozen=True)
class Layers:
    """What each pixel of an (H, W) picture shows.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        ids: (H, W) int16, 0 nobody, k the k-th person, THING or SEAT.
        owners: (H, W) int16, k of whose thing or seat it is, or who is seen; 0 nobody.
        whole: (N, H, W) bool, each person as if nothing stood before it.
        parts: (H, W) uint8, 1 + index into `surface.PARTS`, 0 where there is no body.
        vertices: (H, W) int32, the nearest vertex of the body, -1 where there is none (hats, hair and skirts too).
        depth: (H, W) float32 metres, inf in the sky.
        normals: (H, W, 3) float16 in the camera's axes, 0 where nothing was drawn.
        things: for each person, the named points (3,) of what they hold, in the world.
    """

    image: np.ndarray
    ids: np.ndarray
    owners: np.ndarray
    whole: np.ndarray
    parts: np.ndarray
    vertices: np.ndarray
    depth: np.ndarray
    normals: np.ndarray
    things: list[dict[str, Array]] = field(default_factory=list)


@dataclass
class _Gathered:
    """All surfaces of a scene as one list of triangles."""

    vertices: list[Array] = field(default_factory=list)
    normals: list[Array] = field(default_factory=list)
    faces: list[np.ndarray] = field(default_factory=list)
    attributes: list[np.ndarray] = field(default_factory=list)
    entity: list[np.ndarray] = field(default_factory=list)
    owner: list[np.ndarray] = field(default_factory=list)
    painted: list[np.ndarray] = field(default_factory=list)
    two_sided: list[np.ndarray] = field(default_factory=list)
    body_vertex: list[np.ndarray] = field(default_factory=list)
    count: int = 0

    def add(
        self,
        vertices: Array,
        faces: np.ndarray,
        attributes: np.ndarray,
        entity: int,
        owner: int,
        *,
        painted: bool,
        two_sided: bool = False,
    ) -> None:
        self.vertices.append(vertices)
        self.normals.append(normals_of(vertices, faces))
        self.faces.append(faces + self.count)
        self.attributes.append(attributes)
        for column, value in (
            (self.entity, entity),
            (self.owner, owner),
            (self.painted, painted),
            (self.two_sided, two_sided),
        ):
            column.append(np.full(len(faces), value))
        self.body_vertex.append(np.arange(len(vertices)) if not painted else np.full(len(vertices), -1))
        self.count += len(vertices)

    def add_mesh(self, mesh: Mesh, entity: int, owner: int) -> None:
        attributes = np.zeros((len(mesh.vertices), looks.COLUMNS), np.float32)
        attributes[:, :3] = looks.linear(mesh.colours)
        self.add(mesh.vertices, mesh.faces, attributes, entity, owner, painted=True, two_sided=mesh.two_sided)


def render(
    people: list[Placed],
    camera: Camera,
    backdrop: Backdrop,
    light: Light,
    rng: np.random.Generator,
    device: torch.device | str = "cpu",
) -> Layers:
    """Draw people in front of a backdrop; `device` does the z-buffers."""
    scene, things = _gather(people)
    height, width = camera.size
    pixels = height * width
    if not scene.faces:
        blank = np.zeros((height, width), np.int16)
        image = _developed(backdrop.light * _sunlit_ground(light), light, rng)
        return Layers(
            image,
            blank,
            blank,
            np.zeros((0, height, width), bool),
            blank.astype(np.uint8),
            np.full((height, width), -1, np.int32),
            backdrop.distance,
            np.zeros((height, width, 3), np.float16),
            things,
        )
    vertices, faces = np.concatenate(scene.vertices), np.concatenate(scene.faces)
    entity, owner = np.concatenate(scene.entity), np.concatenate(scene.owner)
    two_sided = np.concatenate(scene.two_sided)
    seen = rasterize(camera.project(vertices), faces, camera.size, two_sided, device)
    whole = np.zeros((len(people), pixels), bool)
    whose = entity[seen.face]
    for k in range(len(people)):
        whole[k, seen.pixel[whose == k + 1]] = True
    front = seen.front()
    corners = faces[front.face]
    columns = np.concatenate((vertices, np.concatenate(scene.normals), np.concatenate(scene.attributes)), 1)
    mixed = _mixed(columns, corners, front.weights)
    places, normal, attributes = mixed[:, :3], _straight(mixed[:, 3:6]), mixed[:, 6:]
    behind = np.flatnonzero(two_sided[front.face])
    away = _dot(normal[behind], places[behind] - camera.position.astype(np.float32)) > 0
    normal[behind[away]] *= -1
    colour, cloth = _colours(people, scene, front, owner, attributes)
    shadow = _Shadow.of(vertices, faces, light.sun, device)
    lit = _lit(colour, cloth, normal, places, attributes, camera, light, shadow)
    ids, owners, parts = np.zeros(pixels, np.int16), np.zeros(pixels, np.int16), np.zeros(pixels, np.uint8)
    nearest = np.full(pixels, -1, np.int32)
    ids[front.pixel], owners[front.pixel] = entity[front.face], owner[front.face]
    closest = corners[np.arange(len(corners)), front.weights.argmax(1)]
    nearest[front.pixel] = np.concatenate(scene.body_vertex)[closest]
    if people:
        part = surface(people[0].person.rig.body).part
        on_body = nearest >= 0
        parts[on_body] = 1 + part[nearest[on_body]]
    depth = backdrop.distance.ravel().copy()
    depth[front.pixel] = front.depth
    normals = np.zeros((pixels, 3), np.float16)
    normals[front.pixel] = normal @ camera.rotation.T.astype(np.float32)
    shade = _ground_shade(backdrop, camera, light, shadow, vertices)
    light_map = (backdrop.light * shade).reshape(3, pixels)
    light_map[:, front.pixel] = lit.T
    if light.haze:
        veil = 1 - np.exp(-light.haze * depth.clip(0, 60))
        light_map += (backdrop.air[:, None] - light_map) * veil
    image = _developed(light_map.reshape(3, height, width), light, rng)
    if backdrop.picture is not None:
        image = _pasted(image, backdrop.picture, shade / _sunlit_ground(light), owners.reshape(height, width))

    def flat(values: np.ndarray) -> np.ndarray:
        return values.reshape(height, width, *values.shape[1:])

    return Layers(
        image,
        flat(ids),
        flat(owners),
        whole.reshape(-1, height, width),
        flat(parts),
        flat(nearest),
        flat(depth),
        flat(normals),
        things,
    )


def _gather(people: list[Placed]) -> tuple[_Gathered, list[dict[str, Array]]]:
    scene, things = _Gathered(), []
    for k, placed in enumerate(people):
        body = placed.person.rig.body
        at = surface(body)
        vertices, hanging = clothed(placed)
        columns = np.column_stack(
            (at.rest, at.arm, at.leg, at.trunk, at.head, at.foot, at.hand, at.face, at.scalp)
        ).astype(np.float32)
        scene.add(vertices, body.faces.numpy(), columns, k + 1, k + 1, painted=False)
        for mesh in hanging:
            scene.add_mesh(mesh, k + 1, k + 1)
        thing = in_the_hand(placed)
        things.append({} if thing is None else thing.points)
        if thing is not None:
            scene.add_mesh(thing, THING, k + 1)
        seat = under(placed)
        if seat is not None:
            scene.add_mesh(seat, SEAT, k + 1)
    return scene, things


def _mixed(values: np.ndarray, corners: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(V, C) at the corners (P, 3) mixed by weights (P, 3) -> (P, C)."""
    values = values.astype(np.float32)
    out = values[corners[:, 0]] * weights[:, :1]
    out += values[corners[:, 1]] * weights[:, 1:2]
    out += values[corners[:, 2]] * weights[:, 2:]
    return out


def _dot(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.einsum("pc,pc->p", one, other)


def _straight(vectors: np.ndarray) -> np.ndarray:
    """(P, 3) of length 1, in the precision that they come in."""
    return vectors / np.maximum(np.sqrt(_dot(vectors, vectors)), 1e-12)[:, None]


def _colours(
    people: list[Placed], scene: _Gathered, front: Fragments, owner: np.ndarray, attributes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Linear colour (P, 3) and share of cloth (P,) of what is seen."""
    painted = np.concatenate(scene.painted)[front.face].astype(bool)
    colour, cloth = attributes[:, :3].copy(), np.where(painted, 0.4, 0.0).astype(np.float32)
    whose = owner[front.face]
    for k, placed in enumerate(people):
        own = (whose == k + 1) & ~painted
        colour[own], cloth[own] = looks.paint(placed.person.outfit, attributes[own])
    return colour, cloth


def _lit(
    colour: np.ndarray,
    cloth: np.ndarray,
    normal: np.ndarray,
    places: np.ndarray,
    attributes: np.ndarray,
    camera: Camera,
    light: Light,
    shadow: _Shadow,
) -> np.ndarray:
    """Light from surfaces: diffuse sun and sky, a little shine on skin."""
    rest = attributes[:, :3]
    folds = np.cos(rest @ _WAVES.T + _PHASES) @ (_WAVES / np.linalg.norm(_WAVES, axis=1, keepdims=True))
    normal = _straight(normal + (0.13 * cloth)[:, None] * folds)
    sunlit = np.clip(normal @ light.sun.astype(np.float32), 0, None) * shadow.free(places + 0.012 * normal)
    # The sky above is brighter than the ground below; feet and what faces down get less of it.
    sky = light.sky * (0.62 + 0.38 * normal[:, 1]) * np.clip(0.75 + 0.25 * places[:, 1], 0.7, 1.0)
    sun = np.array([light.warmth, 1.0, 2 - light.warmth], np.float32) * light.strength
    half = _straight(_straight(camera.position.astype(np.float32) - places) + light.sun.astype(np.float32))
    shine = np.clip(_dot(normal, half), 0, 1) ** 24 * (1 - cloth) * 0.10
    return colour * (sunlit[:, None] * sun + sky[:, None]) + (shine * sunlit)[:, None] * sun


_WAVES = np.array([(38, 24, 11), (-21, 43, 17), (9, -31, 47), (61, 13, -29), (-17, 70, 31)], np.float32)
_PHASES = 1.7 * np.arange(len(_WAVES), dtype=np.float32)


@dataclass(frozen=True)
class _Shadow:
    """Depth towards the sun of what is nearest to it, on a square of the plane across its rays."""

    frame: Array
    low: Array
    scale: float
    nearest: np.ndarray

    @classmethod
    def of(cls, vertices: Array, faces: np.ndarray, sun: Array, device: torch.device | str) -> _Shadow:
        right = unit(np.cross([0.0, 1, 0], sun))
        frame = np.stack((right, np.cross(sun, right), sun))
        seen = vertices @ frame.T
        low, high = seen.min(0), seen.max(0)
        scale = (_SHADOW_SIDE - 4) / max(high[0] - low[0], high[1] - low[1], 0.5)
        points = np.column_stack((2 + (seen[:, :2] - low[:2]) * scale, 1 + high[2] - seen[:, 2]))
        # Seen from the sun y points up, so that outsides run the other way round than in a picture.
        found = rasterize(points, faces[:, ::-1], (_SHADOW_SIDE, _SHADOW_SIDE), None, device)
        nearest = found.buffer.reshape(_SHADOW_SIDE, _SHADOW_SIDE)
        return cls(frame, np.array([low[0], low[1], high[2]]), float(scale), nearest)

    def free(self, places: np.ndarray) -> np.ndarray:
        """(P,) share of the sun that reaches places (P, 3): 1 in the light."""
        seen = places @ self.frame.T.astype(np.float32)
        x = (2 - float(self.low[0]) * self.scale) + seen[:, 0] * np.float32(self.scale)
        y = (2 - float(self.low[1]) * self.scale) + seen[:, 1] * np.float32(self.scale)
        # A little nearer to the sun, or surfaces would lie in their own shadow.
        depth = (1 + float(self.low[2]) - 0.03) - seen[:, 2]
        out = np.zeros(len(places), np.float32)
        side = _SHADOW_SIDE
        for dx, dy in ((-0.6, -0.6), (0.6, -0.6), (-0.6, 0.6), (0.6, 0.6)):
            # Outside of the square there is nothing in the sun's way, and nothing at its edges either.
            column, row = ((value + by).clip(0, side - 1).astype(np.int32) for value, by in ((x, dx), (y, dy)))
            out += depth < self.nearest.ravel().take(row * side + column)
        return out / 4


def _sunlit_ground(light: Light) -> float:
    return float(np.clip(light.strength * light.sun[1] + light.sky, 0.75, 1.15))


def _ground_shade(backdrop: Backdrop, camera: Camera, light: Light, shadow: _Shadow, vertices: Array) -> np.ndarray:
    """(H, W) what the backdrop's light is multiplied by: shadows on the ground, darker under the feet."""
    shade = np.full(backdrop.ground.shape, _sunlit_ground(light), np.float32)
    reach = np.concatenate(
        (vertices[:, [0, 2]], (vertices - vertices[:, 1:2] * light.sun / max(light.sun[1], 0.2))[:, [0, 2]])
    )
    low, high = reach.min(0) - 0.4, reach.max(0) + 0.4
    rows, columns = _window(camera, low, high)
    height, width = backdrop.ground.shape
    x_ray = ((np.arange(width)[columns] + 0.5 - width / 2) / camera.focal).astype(np.float32)
    y_ray = ((np.arange(height)[rows] + 0.5 - height / 2) / camera.focal).astype(np.float32)[:, None]
    right, down, ahead = camera.rotation.astype(np.float32)
    distance = np.where(backdrop.ground[rows, columns], backdrop.distance[rows, columns], 0)
    # First who is near enough for a shadow, axis by axis, then the points themselves.
    x = float(camera.position[0]) + (x_ray * right[0] + (y_ray * down[0] + ahead[0])) * distance
    z = float(camera.position[2]) + (x_ray * right[2] + (y_ray * down[2] + ahead[2])) * distance
    near = (x > low[0]) & (x < high[0]) & (z > low[1]) & (z < high[1]) & (distance > 0)
    points = np.stack((x[near], np.zeros(int(near.sum()), np.float32), z[near]), 1)
    sun, sky = light.strength * light.sun[1], light.sky
    free = shadow.free(points)
    shade[rows, columns][near] *= (sun * free + sky * _open(points, vertices, low, high)) / (sun + sky)
    return shade


def _window(camera: Camera, low: Array, high: Array) -> tuple[slice, slice]:
    """Rows and columns of the picture outside of which no ground between two corners (x, z) is seen."""
    height, width = camera.size
    corners = np.array([(x, 0.0, z) for x in (low[0], high[0]) for z in (low[1], high[1])])
    seen = camera.project(corners)
    if seen[:, 2].min() < 0.1:
        return slice(0, height), slice(0, width)
    left, top = np.clip(np.floor(seen[:, :2].min(0)).astype(int), 0, (width, height))
    right, bottom = np.clip(np.ceil(seen[:, :2].max(0)).astype(int) + 1, 0, (width, height))
    return slice(int(top), int(bottom)), slice(int(left), int(right))


def _open(points: np.ndarray, vertices: Array, low: Array, high: Array) -> np.ndarray:
    """(P,) share of the sky that ground points see past the feet and whatever else is just above them."""
    step = max(0.04, float((high - low).max()) / 160)
    rows, columns = (np.ceil((high - low) / step).astype(int) + 1)[[1, 0]]
    grid = np.zeros((rows, columns), np.float32)
    close = vertices[vertices[:, 1] < 0.3]
    cell = ((close[:, [0, 2]] - low) / step).astype(int)
    grid[cell[:, 1].clip(0, rows - 1), cell[:, 0].clip(0, columns - 1)] = 255
    soft = np.asarray(Image.fromarray(grid.astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.10 / step)), np.float32)
    at = ((points[:, [0, 2]] - low) / step).astype(int)
    return 1 - 0.75 * np.clip(soft[at[:, 1].clip(0, rows - 1), at[:, 0].clip(0, columns - 1)] / 140, 0, 1)


_STEPS_OF_LIGHT = 4096


@cache
def _film() -> np.ndarray:
    """0 to 255 for light from 0 to 2, in even steps; a soft shoulder, so that white in the sun keeps its folds."""
    exposed = np.arange(2 * _STEPS_OF_LIGHT) / _STEPS_OF_LIGHT
    exposed = np.where(exposed > 0.7, 0.7 + 0.3 * np.tanh((exposed - 0.7) / 0.3), exposed)
    return (255 * exposed ** (1 / 2.2)).astype(np.float32)


def _developed(light_map: np.ndarray, light: Light, rng: np.random.Generator) -> np.ndarray:
    """Linear light (3, H, W) as a camera would save it, (H, W, 3): blurred, with noise, 8 bits."""
    steps = light_map * np.float32(light.exposure * _STEPS_OF_LIGHT)
    np.clip(steps, 0, 2 * _STEPS_OF_LIGHT - 1, out=steps)
    image = _smoothed(_film().take(steps.astype(np.int32)), light)
    if light.noise > 0.2:
        image += rng.standard_normal(image.shape[1:], np.float32) * np.float32(light.noise)
    np.clip(image, 0, 255, out=image)
    return np.ascontiguousarray(image.astype(np.uint8).transpose(1, 2, 0))


def _pasted(image: np.ndarray, picture: np.ndarray, shade: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """People (where `owners` is not 0) and their shadows on a photograph that is otherwise as it was."""
    edge = Image.fromarray((owners > 0).astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(0.6))
    alpha = np.asarray(edge, np.float32)[..., None] / 255
    base = picture * np.clip(shade, 0, 1)[..., None] ** (1 / 2.2)
    return np.round(base + alpha * (image - base)).astype(np.uint8)


def _smoothed(image: np.ndarray, light: Light) -> np.ndarray:
    """(3, H, W) with a lens's small blur, and the drift of a camera that moved."""
    side = light.blur / 2.2
    for flat in (image.swapaxes(1, 2), image):
        around = np.empty_like(flat)
        np.add(flat[..., :-2], flat[..., 2:], out=around[..., 1:-1])
        # At the edge the picture's last line stands for the one beyond.
        np.add(flat[..., 0], flat[..., 1], out=around[..., 0])
        np.add(flat[..., -1], flat[..., -2], out=around[..., -1])
        around *= 0.5 * side
        flat += around
        flat /= 1 + side
    length = float(np.hypot(*light.drift))
    if length < 1:
        return image
    steps = np.linspace(-0.5, 0.5, int(length) + 2)
    total = np.zeros_like(image)
    for step in steps:
        shift = (round(step * light.drift[1]), round(step * light.drift[0]))
        total += np.roll(image, shift, (1, 2))
    return total / len(steps)
