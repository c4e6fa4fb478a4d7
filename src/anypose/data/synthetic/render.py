"""A scene becomes a picture and, with it, the truth of every pixel."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np
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


def render(people: list[Placed], camera: Camera, backdrop: Backdrop, light: Light, rng: np.random.Generator) -> Layers:
    """Draw people in front of a backdrop."""
    scene, things = _gather(people)
    height, width = camera.size
    pixels = height * width
    if not scene.faces:
        blank = np.zeros((height, width), np.int16)
        image = _developed(backdrop.light * _sunlit_ground(backdrop, light)[..., None], light, rng)
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
    seen = rasterize(camera.project(vertices), faces, camera.size, two_sided)
    whole = np.zeros((len(people), pixels), bool)
    whose = entity[seen.face]
    for k in range(len(people)):
        whole[k, seen.pixel[whose == k + 1]] = True
    front = Fragments(*(getattr(seen, name)[seen.nearest] for name in ("pixel", "face", "weights", "depth", "nearest")))
    corners = faces[front.face]
    normal = unit(_mixed(np.concatenate(scene.normals), corners, front.weights))
    places = _mixed(vertices, corners, front.weights)
    away = (normal * (places - camera.position)).sum(1) > 0
    normal[away & two_sided[front.face]] *= -1
    attributes = _mixed(np.concatenate(scene.attributes), corners, front.weights)
    colour, cloth = _colours(people, scene, front, owner, attributes)
    shadow = _Shadow.of(vertices, faces, light.sun)
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
    normals[front.pixel] = normal @ camera.rotation.T
    shade = _ground_shade(backdrop, camera, light, shadow, vertices)
    ground = backdrop.light.reshape(-1, 3) * shade.reshape(-1, 1)
    ground[front.pixel] = lit
    if light.haze:
        veil = (1 - np.exp(-light.haze * depth.clip(0, 60)))[:, None]
        ground = ground * (1 - veil) + backdrop.air * veil
    image = _developed(ground.reshape(height, width, 3), light, rng)
    if backdrop.picture is not None:
        image = _pasted(image, backdrop.picture, shade / _sunlit_ground(backdrop, light), owners.reshape(height, width))

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
    folds = np.zeros_like(normal)
    for wave, phase in zip(_WAVES, range(len(_WAVES))):
        folds += np.cos(rest @ wave + phase * 1.7)[:, None] * (wave / np.linalg.norm(wave)).astype(np.float32)
    normal = unit(normal + (0.13 * cloth)[:, None] * folds).astype(np.float32)
    sunlit = np.clip(normal @ light.sun.astype(np.float32), 0, None) * shadow.free(places + 0.012 * normal)
    # The sky above is brighter than the ground below; feet and what faces down get less of it.
    sky = light.sky * (0.62 + 0.38 * normal[:, 1]) * np.clip(0.75 + 0.25 * places[:, 1], 0.7, 1.0)
    sun = np.array([light.warmth, 1.0, 2 - light.warmth], np.float32) * light.strength
    toward = unit(camera.position - places)
    half = unit(toward + light.sun).astype(np.float32)
    shine = np.clip((normal * half).sum(1), 0, 1) ** 24 * (1 - cloth) * 0.10
    return colour * (sunlit[:, None] * sun + sky[:, None]) + (shine * sunlit)[:, None] * sun


_WAVES = np.array([(38, 24, 11), (-21, 43, 17), (9, -31, 47), (61, 13, -29), (-17, 70, 31)], np.float32)


@dataclass(frozen=True)
class _Shadow:
    """Depth towards the sun of what is nearest to it, on a square of the plane across its rays."""

    frame: Array
    low: Array
    scale: float
    nearest: np.ndarray

    @classmethod
    def of(cls, vertices: Array, faces: np.ndarray, sun: Array) -> _Shadow:
        right = unit(np.cross([0.0, 1, 0], sun))
        frame = np.stack((right, np.cross(sun, right), sun))
        seen = vertices @ frame.T
        low, high = seen.min(0), seen.max(0)
        scale = (_SHADOW_SIDE - 4) / max(high[0] - low[0], high[1] - low[1], 0.5)
        points = np.column_stack((2 + (seen[:, :2] - low[:2]) * scale, 1 + high[2] - seen[:, 2]))
        # Seen from the sun y points up, so that outsides run the other way round than in a picture.
        found = rasterize(points, faces[:, ::-1], (_SHADOW_SIDE, _SHADOW_SIDE), None)
        nearest = np.full(_SHADOW_SIDE * _SHADOW_SIDE, np.inf, np.float32)
        np.minimum.at(nearest, found.pixel, found.depth)
        return cls(
            frame, np.array([low[0], low[1], high[2]]), float(scale), nearest.reshape(_SHADOW_SIDE, _SHADOW_SIDE)
        )

    def free(self, places: np.ndarray) -> np.ndarray:
        """(P,) share of the sun that reaches places (P, 3): 1 in the light."""
        seen = places @ self.frame.T.astype(np.float32)
        x, y = 2 + (seen[:, 0] - self.low[0]) * self.scale, 2 + (seen[:, 1] - self.low[1]) * self.scale
        depth = 1 + self.low[2] - seen[:, 2]
        out = np.zeros(len(places), np.float32)
        for dx, dy in ((-0.6, -0.6), (0.6, -0.6), (-0.6, 0.6), (0.6, 0.6)):
            column, row = (x + dx).astype(np.int32), (y + dy).astype(np.int32)
            outside = (column < 0) | (row < 0) | (column >= _SHADOW_SIDE) | (row >= _SHADOW_SIDE)
            nearest = self.nearest[row.clip(0, _SHADOW_SIDE - 1), column.clip(0, _SHADOW_SIDE - 1)]
            out += outside | (depth < nearest + 0.03)
        return out / 4


def _sunlit_ground(backdrop: Backdrop, light: Light) -> np.ndarray:
    full = light.strength * light.sun[1] + light.sky
    return np.full(backdrop.ground.shape, np.clip(full, 0.75, 1.15), np.float32)


def _ground_shade(backdrop: Backdrop, camera: Camera, light: Light, shadow: _Shadow, vertices: Array) -> np.ndarray:
    """(H, W) what the backdrop's light is multiplied by: shadows on the ground, darker under the feet."""
    shade = _sunlit_ground(backdrop, light)
    places_of = np.flatnonzero(backdrop.ground)
    height, width = backdrop.ground.shape
    reach = np.concatenate(
        (vertices[:, [0, 2]], (vertices - vertices[:, 1:2] * light.sun / max(light.sun[1], 0.2))[:, [0, 2]])
    )
    low, high = reach.min(0) - 0.4, reach.max(0) + 0.4
    row, column = np.divmod(places_of, width)
    x_ray = ((column + 0.5 - width / 2) / camera.focal).astype(np.float32)
    y_ray = ((row + 0.5 - height / 2) / camera.focal).astype(np.float32)
    right, down, ahead = camera.rotation.astype(np.float32)
    distance = backdrop.distance.ravel()[places_of]
    # First who is near enough for a shadow, axis by axis, then the points themselves.
    x = float(camera.position[0]) + (x_ray * right[0] + y_ray * down[0] + ahead[0]) * distance
    z = float(camera.position[2]) + (x_ray * right[2] + y_ray * down[2] + ahead[2]) * distance
    near = np.flatnonzero((x > low[0]) & (x < high[0]) & (z > low[1]) & (z < high[1]))
    points = np.stack((x[near], np.zeros(len(near), np.float32), z[near]), 1)
    places_of = places_of[near]
    sun, sky = light.strength * light.sun[1], light.sky
    free = shadow.free(points)
    flat = shade.ravel()
    flat[places_of] *= (sun * free + sky * _open(points, vertices, low, high)) / (sun + sky)
    return flat.reshape(height, width)


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
    """Linear light (H, W, 3) as a camera would save it: blurred, with noise, 8 bits."""
    steps = np.clip(light_map * (light.exposure * _STEPS_OF_LIGHT), 0, 2 * _STEPS_OF_LIGHT - 1)
    image = _film()[steps.astype(np.int32)]
    image = _smoothed(image, light)
    if light.noise > 0.2:
        image += rng.standard_normal(image.shape[:2], np.float32)[..., None] * light.noise
    return np.clip(image, 0, 255).astype(np.uint8)


def _pasted(image: np.ndarray, picture: np.ndarray, shade: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """People (where `owners` is not 0) and their shadows on a photograph that is otherwise as it was."""
    edge = Image.fromarray((owners > 0).astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(0.6))
    alpha = np.asarray(edge, np.float32)[..., None] / 255
    base = picture * np.clip(shade, 0, 1)[..., None] ** (1 / 2.2)
    return np.round(base + alpha * (image - base)).astype(np.uint8)


def _smoothed(image: np.ndarray, light: Light) -> np.ndarray:
    """A lens's small blur, and the drift of a camera that moved."""
    side = light.blur / 2.2
    for axis in (0, 1):
        before, after = np.roll(image, 1, axis), np.roll(image, -1, axis)
        edge = [slice(None)] * 3
        edge[axis] = slice(0, 1)
        before[tuple(edge)] = image[tuple(edge)]
        edge[axis] = slice(-1, None)
        after[tuple(edge)] = image[tuple(edge)]
        image = (image + 0.5 * side * (before + after)) / (1 + side)
    length = float(np.hypot(*light.drift))
    if length < 1:
        return image
    steps = np.linspace(-0.5, 0.5, int(length) + 2)
    total = np.zeros_like(image)
    for step in steps:
        shift = (round(step * light.drift[1]), round(step * light.drift[0]))
        total += np.roll(image, shift, (0, 1))
    return total / len(steps)
