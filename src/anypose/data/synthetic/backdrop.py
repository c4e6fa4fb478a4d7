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
        light: (3, H, W) linear colour, 0 to about 1, as lit without shadow.
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


_FINE = 128
"""Cells of the noise in one of its units; `_noise` repeats after 8 of these."""


@cache
def _noise(seed: int = 7, side: int = 8 * _FINE) -> np.ndarray:
    """(side, side) smooth noise with mean 0 that repeats, of several sizes of grain."""
    rng = np.random.default_rng(seed)
    out = np.zeros((side, side), np.float32)
    for octave, weight in ((8, 1.0), (16, 0.7), (32, 0.5), (64, 0.4), (256, 0.3)):
        coarse = rng.normal(0, 1, (octave, octave)).astype(np.float32)
        # What lies beyond an edge is what lies at the other one.
        image = Image.fromarray(np.pad(coarse, 2, mode="wrap"))
        box = (2, 2, 2 + octave, 2 + octave)
        out += weight * np.asarray(image.resize((side, side), Image.Resampling.BICUBIC, box=box))
    return out / out.std()


def _sampled(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    noise = _noise()
    side = len(noise)  # a power of two, so that the remainder is in the last bits
    across, down = (np.floor(value * _FINE).astype(np.int32) & (side - 1) for value in (u, v))
    return noise.ravel().take(down * side + across)


def distance_to_ground(camera: Camera, far: float = 400.0) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) depth to the ground, inf above the horizon, and (3, H, W) rays."""
    rays = camera.rays()
    fall = -rays[1]
    depth = np.where(fall > 1e-4, float(camera.position[1]) / np.maximum(fall, 1e-4), np.inf).astype(np.float32)
    return np.where(depth < far, depth, np.float32(np.inf)), rays


def _tinted(colour: np.ndarray, shade: np.ndarray) -> np.ndarray:
    """A colour (3,) in shades (H, W) -> (3, H, W)."""
    return colour[:, None, None] * shade


def painted(camera: Camera, place: str, rng: np.random.Generator, reach: float = 0.0) -> Backdrop:
    """A background of our own; of a room the wall is at least `reach` metres before the camera, behind everybody."""
    first, second, grain, lines, indoors = _PLACES[place]
    depth, rays = distance_to_ground(camera)
    wall = max(float(rng.uniform(7, 14)), reach) if indoors else np.inf
    ground = np.isfinite(depth)
    # Rows above the first that shows ground need none, those below the last that shows none need no sky.
    top = int(ground.any(1).argmax()) if ground.any() else len(ground)
    # Plain floats: numpy's own would turn every map into double precision.
    from_x, _, from_z = (float(v) for v in camera.position)
    reached = np.where(ground[top:], depth[top:], np.float32(0))
    x, z = from_x + rays[0, top:] * reached, from_z + rays[2, top:] * reached
    if indoors:
        ground[top:] &= z > from_z - wall
    shade = 1 + 0.10 * _sampled(x / grain, z / grain) / (1 + reached.clip(0, 60) * 0.08) + 0.07 * _sampled(x / 9, z / 9)
    mix = np.clip(0.5 + 0.35 * _sampled(x / (4 * grain) + 3.1, z / (4 * grain)), 0, 1)
    light = np.empty((3, *depth.shape), np.float32)
    light[:, top:] = (_tinted(linear(first), mix) + _tinted(linear(second), 1 - mix)) * shade
    _lines(light[:, top:], lines, x, z, depth[top:], rng)
    rows = int(np.flatnonzero(~ground.all(1)).max(initial=-1)) + 1
    above = _room(rays[:, :rows], wall, camera, rng) if indoors else _sky(rays[:, :rows], place, rng)
    np.copyto(light[:, :rows], above, where=~ground[:rows])
    air = linear((200, 210, 222)) if not indoors else linear((150, 145, 140))
    if not indoors:
        veil = 1 - np.exp(-reached / float(rng.uniform(90, 400)))
        light[:, top:] += (air[:, None, None] - light[:, top:]) * veil
    return Backdrop(light, ground, np.where(ground, depth, np.float32(np.inf)), air, indoors)


def _blend(light: np.ndarray, on: np.ndarray, share: float, colour: np.ndarray) -> None:
    """Where `on` (H, W), a share of a colour (3,) over the light (3, H, W)."""
    for channel, value in zip(light, colour):
        channel[on] = channel[on] * (1 - share) + value * share


def _lines(
    light: np.ndarray, lines: str, x: np.ndarray, z: np.ndarray, depth: np.ndarray, rng: np.random.Generator
) -> None:
    white = linear((232, 232, 228))
    soft = np.clip(0.5 * depth / 400, 0.004, 0.1)
    if lines in ("pitch", "court"):
        turn = rng.uniform(-0.5, 0.5)
        cos, sin = float(np.cos(turn)), float(np.sin(turn))
        u, v = x * cos + z * sin, z * cos - x * sin
        if lines == "pitch":
            light *= 1 + 0.06 * np.sign(np.sin(v * np.float32(np.pi / 4)))
        at = rng.uniform(0, 4, 2)
        step = 8.2 if lines == "court" else 15.0
        on = (np.abs((u + float(at[0])) % step - step / 2) < 0.05 + soft) | (
            np.abs((v + float(at[1])) % (step * 1.4) - 3) < 0.05 + soft
        )
        _blend(light, on, 0.75, white)
    elif lines == "street":
        on = (np.abs(x - float(rng.uniform(-3, 3))) < 0.08 + soft) & (z % 4 < 2.2)
        _blend(light, on, 1.0, white * 0.9)
        light *= np.where(x > float(rng.uniform(3, 6)), np.float32(1.35), np.float32(1))
    elif lines == "tiles":
        size = float(rng.uniform(0.4, 1.0))
        seam = ((x % size) < 0.015 + soft) | ((z % size) < 0.015 + soft)
        shade = 1 + 0.05 * np.sin(np.floor(x / size) * 12.9 + np.floor(z / size) * 78.2)
        light *= np.where(seam, 0.75 * shade, shade)
    elif lines == "planks":
        shade = 1 + 0.09 * np.sin(np.floor(x / 0.12) * 12.9898)
        light *= np.where((x % 0.12) < 0.006 + soft, 0.8 * shade, shade)


def _sky(rays: np.ndarray, place: str, rng: np.random.Generator) -> np.ndarray:
    """(3, H, W) sky, and what stands on the horizon: hills, trees, houses, the sea."""
    flat = np.hypot(rays[0], rays[2])
    rise = rays[1] / np.maximum(flat, 1e-6)
    round_ = np.arctan2(rays[0], -rays[2])
    overcast = rng.random() < 0.35
    low, high = ((205, 210, 214), (176, 182, 188)) if overcast else ((206, 222, 236), (96, 146, 208))
    share = np.clip(rise * 1.6, 0, 1)
    sky = _tinted(linear(low), 1 - share) + _tinted(linear(high), share)
    clouds = np.clip(_sampled(round_ * 1.2 + float(rng.uniform(0, 9)), rise * 2.5) * 0.5, 0, 1) * (
        0.25 if overcast else 0.5
    )
    sky += (linear((238, 240, 242))[:, None, None] - sky) * clouds
    kind = "sea" if place == "beach" else ("trees", "hills", "houses")[int(rng.integers(3))]
    start = float(rng.uniform(0, 9))
    if kind == "sea":
        solid = rise < 0.0
        horizon = _tinted(linear((62, 108, 140)), 1 + 0.1 * _sampled(round_ * 3, rise * 60))
    elif kind == "houses":
        solid, horizon = _houses(round_ + start, rise)
    else:
        crest = 0.045 + 0.02 * np.sin(3.1 * round_ + start) + 0.012 * np.sin(8.7 * round_ + 2 * start)
        if kind == "trees":
            crest += 0.012 * np.abs(np.sin(31 * round_ + start)) + 0.008 * np.abs(np.sin(74 * round_ + 3 * start))
        solid = rise < np.maximum(crest, 0.01)
        tone = linear((66, 92, 54)) if kind == "trees" else linear((104, 122, 118))
        grain = 1 + (0.25 if kind == "trees" else 0.08) * _sampled(round_ * 9, rise * 9)
        horizon = _tinted(tone, np.clip(grain, 0.3, 2))
    np.copyto(sky, horizon, where=solid)
    return sky


def _houses(round_: np.ndarray, rise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) bool where houses stand, and (3, H, W) their walls and windows."""
    block = np.floor(round_ / 0.09)
    roof = 0.06 + 0.16 * np.abs(np.sin(block * 12.9898) * 43758.5453 % 1)
    tint = 0.55 + 0.5 * np.abs(np.sin(block * 4.123) * 963.27 % 1)
    window = (((round_ / 0.018) % 1) > 0.45) & (((rise / 0.03) % 1) > 0.45) & (rise < roof - 0.02) & (rise > 0.01)
    return rise < roof, _tinted(linear((176, 150, 128)), np.where(window, 0.4 * tint, tint))


def _room(rays: np.ndarray, wall: float, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """(3, H, W) a wall across the view, with a skirting board, and a few framed or lit panels."""
    ahead = np.maximum(-rays[2], 1e-3)
    x, y = rays[0] / ahead * wall, float(camera.position[1]) + rays[1] / ahead * wall
    tones = ((206, 200, 190), (188, 196, 200), (212, 206, 214), (172, 178, 166), (150, 152, 158))
    shade = (1 + 0.03 * _sampled(x, y)) * np.where(y < 0.12, np.float32(0.6), np.float32(1))
    light = _tinted(linear(tones[int(rng.integers(len(tones)))]), shade)
    for _ in range(int(rng.integers(0, 5))):
        left, low, wide, tall = (
            float(v) for v in (rng.uniform(-6, 6), rng.uniform(0.9, 1.6), rng.uniform(0.5, 1.8), rng.uniform(0.5, 1.4))
        )
        paint = rng.integers(60, 220, 3)
        # Pictures on walls are not as gaudy as colours drawn at random.
        colour = linear(paint.mean() + 0.45 * (paint - paint.mean()))
        inside = (x > left) & (x < left + wide) & (y > low) & (y < low + tall)
        if not inside.any():
            continue
        frame = inside & ((x < left + 0.05) | (x > left + wide - 0.05) | (y < low + 0.05) | (y > low + tall - 0.05))
        speckled = (1 + 0.25 * _sampled(x[inside] * 3, y[inside] * 3)).clip(0.2)
        for channel, value, dark in zip(light, colour, linear((60, 50, 42))):
            channel[inside] = value * speckled
            channel[frame] = dark
    return light


def photographed(picture: np.ndarray, camera: Camera) -> Backdrop:
    """A given picture (H, W, 3) uint8, the ground where the camera would see it."""
    depth, _ = distance_to_ground(camera)
    light = np.ascontiguousarray(linear(picture).transpose(2, 0, 1))
    return Backdrop(light, np.isfinite(depth), depth, linear((200, 205, 210)), picture=picture)


def fitted(picture: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A window of a picture, of the size (height, width), scaled as little as it takes."""
    height, width = size
    scale = max(height / picture.shape[0], width / picture.shape[1])
    tall, wide = max(height, round(picture.shape[0] * scale)), max(width, round(picture.shape[1] * scale))
    image = np.asarray(Image.fromarray(picture).resize((wide, tall), Image.Resampling.BILINEAR))
    y, x = int(rng.integers(tall - height + 1)), int(rng.integers(wide - width + 1))
    return image[y : y + height, x : x + width]
