"""What is behind people and under their feet: painted ground, sky, walls, hills; or a picture that is given."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from anypose.data.synthetic.camera import Camera
from anypose.data.synthetic.looks import linear

# Name -> ground's two colours, size of its grain in metres, lines on it, walls instead of a sky, things on the horizon.
_PLACES: dict[str, tuple[tuple[int, int, int], tuple[int, int, int], float, str, bool]] = {
    "field": ((92, 128, 62), (70, 104, 50), 0.4, "", False),
    "pitch": ((78, 132, 60), (66, 116, 52), 0.3, "pitch", False),
    "street": ((112, 112, 112), (92, 92, 94), 0.5, "street", False),
    "square": ((168, 160, 148), (146, 138, 128), 1.2, "tiles", False),
    "beach": ((212, 190, 150), (192, 168, 128), 0.8, "", False),
    "snow": ((228, 232, 238), (208, 214, 224), 1.5, "", False),
    "court": ((60, 110, 150), (54, 102, 142), 0.6, "court", False),
    "clay court": ((178, 96, 62), (166, 88, 58), 0.4, "court", False),
    "hall": ((176, 140, 98), (160, 126, 88), 0.3, "planks", True),
    "room": ((150, 128, 108), (138, 118, 98), 0.5, "tiles", True),
    "studio": ((186, 186, 186), (178, 178, 178), 3.0, "", True),
}  # fmt: skip
PLACES = tuple(_PLACES)


@dataclass(frozen=True)
class Backdrop:
    """A background.

    Attributes:
        light: (H, W, 3) linear colour, 0 to about 1, as lit without shadow.
        ground: (H, W) bool, where shadows fall on level ground.
        distance: (H, W) metres along the viewing direction to the ground, inf elsewhere.
        air: (3,) linear colour of the haze.
        indoors: under a roof.
        picture: (H, W, 3) uint8, the photograph that the background is, or None where it is painted.
    """

    light: np.ndarray
    ground: np.ndarray
    distance: np.ndarray
    air: np.ndarray
    indoors: bool = False
    picture: np.ndarray | None = None


@cache
def _noise(seed: int = 7, side: int = 256) -> np.ndarray:
    """(side, side) smooth noise with mean 0 that repeats, of several sizes of grain."""
    rng = np.random.default_rng(seed)
    out = np.zeros((side, side), np.float32)
    for octave, weight in ((8, 1.0), (16, 0.7), (32, 0.5), (64, 0.4), (256, 0.3)):
        coarse = rng.normal(0, 1, (octave, octave)).astype(np.float32)
        tiled = np.tile(coarse, (3, 3))
        image = Image.fromarray(tiled).resize((3 * side, 3 * side), Image.Resampling.BICUBIC)
        out += weight * np.asarray(image)[side : 2 * side, side : 2 * side]
    return out / out.std()


def _sampled(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    noise = _noise()
    side = len(noise)
    return noise[np.floor(v * 32).astype(np.int32) % side, np.floor(u * 32).astype(np.int32) % side]


def _smooth(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """As `_sampled`, without steps where the grain is large."""
    u, v = u - 1 / 64, v - 1 / 64
    x, y = (u * 32) % 1, (v * 32) % 1
    step = 1 / 32
    above = _sampled(u, v) * (1 - x) + _sampled(u + step, v) * x
    below = _sampled(u, v + step) * (1 - x) + _sampled(u + step, v + step) * x
    return above * (1 - y) + below * y


def distance_to_ground(camera: Camera, far: float = 400.0) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) depth to the ground, inf above the horizon, and (H, W, 3) rays."""
    rays = camera.rays().astype(np.float32)
    fall = -rays[..., 1]
    with np.errstate(divide="ignore"):
        depth = np.where(fall > 1e-4, float(camera.position[1]) / np.maximum(fall, 1e-4), np.inf).astype(np.float32)
    return np.where(depth < far, depth, np.inf).astype(np.float32), rays


def painted(camera: Camera, place: str, rng: np.random.Generator) -> Backdrop:
    """A background of our own."""
    first, second, grain, lines, indoors = _PLACES[place]
    depth, rays = distance_to_ground(camera)
    wall = float(rng.uniform(7, 14)) if indoors else np.inf
    ground = np.isfinite(depth)
    # Plain floats: numpy's own would turn every map into double precision.
    from_x, _, from_z = (float(v) for v in camera.position)
    reached = np.where(ground, depth, np.float32(0))
    x, z = from_x + rays[..., 0] * reached, from_z + rays[..., 2] * reached
    if indoors:
        ground &= z > from_z - wall
    shade = 1 + 0.10 * _sampled(x / grain, z / grain) / (1 + depth.clip(0, 60) * 0.08) + 0.07 * _sampled(x / 9, z / 9)
    mix = np.clip(0.5 + 0.35 * _sampled(x / (4 * grain) + 3.1, z / (4 * grain)), 0, 1)[..., None]
    light = (linear(first) * mix + linear(second) * (1 - mix)) * shade[..., None]
    _lines(light, lines, x, z, depth, rng)
    # Rows below the last that shows no ground need no sky.
    rows = int(np.flatnonzero(~ground.all(1)).max(initial=-1)) + 1
    above = _room(rays[:rows], wall, camera, rng) if indoors else _sky(rays[:rows], place, rng)
    light[:rows] = np.where(ground[:rows, :, None], light[:rows], above)
    air = linear((200, 210, 222)) if not indoors else linear((150, 145, 140))
    if not indoors:
        veil = (1 - np.exp(-reached / float(rng.uniform(90, 400))))[..., None]
        light += (air - light) * veil
    return Backdrop(light.astype(np.float32), ground, np.where(ground, depth, np.inf), air, indoors)


def _lines(
    light: np.ndarray, lines: str, x: np.ndarray, z: np.ndarray, depth: np.ndarray, rng: np.random.Generator
) -> None:
    white = linear((232, 232, 228))
    soft = np.clip(0.5 * depth / 400, 0.004, 0.1)
    if lines in ("pitch", "court"):
        turn = rng.uniform(-0.5, 0.5)
        u, v = x * np.cos(turn) + z * np.sin(turn), z * np.cos(turn) - x * np.sin(turn)
        if lines == "pitch":
            light *= (1 + 0.06 * np.sign(np.sin(v * np.pi / 4)))[..., None]
        at = rng.uniform(0, 4, 2)
        step = 8.2 if lines == "court" else 15.0
        on = (np.abs((u + at[0]) % step - step / 2) < 0.05 + soft) | (
            np.abs((v + at[1]) % (step * 1.4) - 3) < 0.05 + soft
        )
        light[on] = light[on] * 0.25 + white * 0.75
    elif lines == "street":
        on = (np.abs(x - rng.uniform(-3, 3)) < 0.08 + soft) & (z % 4 < 2.2)
        light[on] = white * 0.9
        pavement = x > rng.uniform(3, 6)
        light[pavement] = light[pavement] * 1.35
    elif lines == "tiles":
        size = rng.uniform(0.4, 1.0)
        seam = ((x % size) < 0.015 + soft) | ((z % size) < 0.015 + soft)
        light *= (1 + 0.05 * np.sin(np.floor(x / size) * 12.9 + np.floor(z / size) * 78.2))[..., None]
        light[seam] *= 0.75
    elif lines == "planks":
        light *= (1 + 0.09 * np.sin(np.floor(x / 0.12) * 12.9898))[..., None]
        light[(x % 0.12) < 0.006 + soft] *= 0.8


def _sky(rays: np.ndarray, place: str, rng: np.random.Generator) -> np.ndarray:
    """Sky, and what stands on the horizon: hills, trees, houses, the sea."""
    flat = np.hypot(rays[..., 0], rays[..., 2])
    rise = rays[..., 1] / np.maximum(flat, 1e-6)
    round_ = np.arctan2(rays[..., 0], -rays[..., 2])
    overcast = rng.random() < 0.35
    low, high = ((205, 210, 214), (176, 182, 188)) if overcast else ((206, 222, 236), (96, 146, 208))
    share = np.clip(rise * 1.6, 0, 1)[..., None]
    sky = linear(low) * (1 - share) + linear(high) * share
    clouds = np.clip(_smooth(round_ * 1.2 + rng.uniform(0, 9), rise * 2.5) * 0.5, 0, 1)[..., None] * (
        0.25 if overcast else 0.5
    )
    sky = sky * (1 - clouds) + linear((238, 240, 242)) * clouds
    kind = "sea" if place == "beach" else ("trees", "hills", "houses")[int(rng.integers(3))]
    start = rng.uniform(0, 9)
    if kind == "sea":
        sea = rise < 0.0
        sky[sea] = linear((62, 108, 140)) * (1 + 0.1 * _sampled(round_ * 3, rise * 60))[sea][:, None]
        return sky
    if kind == "houses":
        block = np.floor((round_ + start) / 0.09)
        roof = 0.06 + 0.16 * np.abs(np.sin(block * 12.9898) * 43758.5453 % 1)
        solid = rise < roof
        tint = 0.55 + 0.5 * np.abs(np.sin(block * 4.123) * 963.27 % 1)
        walls = linear((176, 150, 128)) * tint[..., None]
        window = (
            ((((round_ + start) / 0.018) % 1) > 0.45)
            & (((rise / 0.03) % 1) > 0.45)
            & (rise < roof - 0.02)
            & (rise > 0.01)
        )
        walls[window] *= 0.4
        sky[solid] = walls[solid]
        return sky
    crest = 0.045 + 0.02 * np.sin(3.1 * round_ + start) + 0.012 * np.sin(8.7 * round_ + 2 * start)
    if kind == "trees":
        crest = crest + 0.012 * np.abs(np.sin(31 * round_ + start)) + 0.008 * np.abs(np.sin(74 * round_ + 3 * start))
    solid = rise < np.maximum(crest, 0.01)
    tone = linear((66, 92, 54)) if kind == "trees" else linear((104, 122, 118))
    grain = 1 + (0.25 if kind == "trees" else 0.08) * _sampled(round_ * 9, rise * 9)
    sky[solid] = (tone * np.clip(grain, 0.3, 2)[..., None])[solid]
    return sky


def _room(rays: np.ndarray, wall: float, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """A wall across the view, with a skirting board, and a few framed or lit panels."""
    ahead = np.maximum(-rays[..., 2], 1e-3)
    x, y = rays[..., 0] / ahead * wall, camera.position[1] + rays[..., 1] / ahead * wall
    tones = ((206, 200, 190), (188, 196, 200), (212, 206, 214), (172, 178, 166), (150, 152, 158))
    light = (
        np.tile(linear(tones[int(rng.integers(len(tones)))]), (*x.shape, 1)) * (1 + 0.03 * _sampled(x, y))[..., None]
    )
    light[y < 0.12] *= 0.6
    for _ in range(int(rng.integers(0, 5))):
        left, low, wide, tall = rng.uniform(-6, 6), rng.uniform(0.9, 1.6), rng.uniform(0.5, 1.8), rng.uniform(0.5, 1.4)
        inside = (x > left) & (x < left + wide) & (y > low) & (y < low + tall)
        frame = inside & ((x < left + 0.05) | (x > left + wide - 0.05) | (y < low + 0.05) | (y > low + tall - 0.05))
        light[inside] = linear(rng.integers(60, 220, 3)) * (1 + 0.25 * _sampled(x * 3, y * 3))[inside][:, None].clip(
            0.2
        )
        light[frame] = linear((60, 50, 42))
    return light


def photographed(picture: np.ndarray, camera: Camera) -> Backdrop:
    """A given picture (H, W, 3) uint8, the ground where the camera would see it."""
    depth, _ = distance_to_ground(camera)
    return Backdrop(linear(picture), np.isfinite(depth), depth, linear((200, 205, 210)), picture=picture)


def fitted(picture: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A window of a picture, of the size (height, width), scaled as little as it takes."""
    height, width = size
    scale = max(height / picture.shape[0], width / picture.shape[1])
    tall, wide = max(height, round(picture.shape[0] * scale)), max(width, round(picture.shape[1] * scale))
    image = np.asarray(Image.fromarray(picture).resize((wide, tall), Image.Resampling.BILINEAR))
    y, x = int(rng.integers(tall - height + 1)), int(rng.integers(wide - width + 1))
    return image[y : y + height, x : x + width]
