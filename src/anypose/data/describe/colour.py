"""Clothing colour: the names of the colours in a person's torso and legs, and how sure they are.

Each pixel has a colour's name *surely* (inside the colour's core) or *possibly* (inside its wider
bounds). A person wears a colour where most pixels are surely of it, does not where next to none is
even possibly of it, and in between nothing is said.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from anypose.people import People

Truths = dict[str, np.ndarray]
"""Fact -> (N,) int8: 1 true, 0 false, -1 not known."""

SURE_SHARE = 0.5
POSSIBLE_SHARE = 0.2
ABSENT_SHARE = 0.08
SMALLEST_REGION = 30
GREYSCALE_SPREAD = 14


@dataclass(frozen=True)
class Bounds:
    """A region of CIE LCh: lightness 0-100, chroma, hue in degrees (may wrap past 0)."""

    lightness: tuple[float, float]
    chroma: tuple[float, float]
    hue: tuple[float, float] = (0.0, 360.0)

    def holds(self, lch: np.ndarray) -> np.ndarray:
        """(P, 3) colours -> (P,) bool."""
        lightness, chroma, hue = lch.T
        low, high = self.hue
        in_hue = (hue >= low) & (hue <= high) if low <= high else (hue >= low) | (hue <= high)
        in_lightness = (lightness >= self.lightness[0]) & (lightness <= self.lightness[1])
        return in_hue & in_lightness & (chroma >= self.chroma[0]) & (chroma <= self.chroma[1])


# Name -> (core, wider bounds). Set by eye on photographs: shade and a warm or blue cast move clothes
# by about 10 in chroma and 20 in lightness, which is what lies between a core and its bounds.
COLOURS: dict[str, tuple[Bounds, Bounds]] = {
    "black": (Bounds((0, 24), (0, 9)), Bounds((0, 40), (0, 20))),
    "white": (Bounds((70, 101), (0, 12)), Bounds((54, 101), (0, 20))),
    "grey": (Bounds((30, 66), (0, 8)), Bounds((20, 82), (0, 15))),
    "red": (Bounds((22, 62), (36, 140), (22, 37)), Bounds((8, 75), (20, 140), (345, 56))),
    "orange": (Bounds((48, 80), (48, 140), (47, 73)), Bounds((38, 88), (28, 140), (38, 82))),
    "yellow": (Bounds((58, 101), (34, 140), (81, 109)), Bounds((45, 101), (18, 140), (73, 120))),
    "green": (Bounds((18, 85), (14, 140), (108, 180)), Bounds((6, 95), (7, 140), (98, 205))),
    "blue": (Bounds((9, 50), (12, 140), (246, 304)), Bounds((3, 92), (5, 140), (208, 316))),
    "purple": (Bounds((14, 65), (16, 140), (306, 334)), Bounds((6, 80), (8, 140), (292, 350))),
    "pink": (Bounds((45, 86), (22, 140), (338, 18)), Bounds((36, 95), (9, 140), (322, 40))),
    "brown": (Bounds((16, 44), (14, 38), (42, 78)), Bounds((6, 66), (7, 56), (24, 92))),
}
# White in the shade of a blue sky has the hue of pale lilac, so a lighter blue must be a purer one.
PALE_BLUE = Bounds((50, 78), (17, 140), (240, 281))
# Bare skin takes these names, which then say nothing about clothes.
SKIN = Bounds((38, 88), (12, 44), (28, 78))
SKIN_NAMES = ("brown", "orange", "pink", "red", "yellow")
# Tones of one colour: (colour, tone) -> median lightness that makes it true, and that makes it false.
TONES: dict[tuple[str, str], tuple[tuple[float, float], tuple[float, float]]] = {
    ("blue", "dark"): ((0, 30), (40, 101)),
    ("blue", "light"): ((62, 101), (0, 52)),
    ("green", "dark"): ((0, 33), (43, 101)),
    ("red", "dark"): ((0, 31), (41, 101)),
}
DARK = (30.0, 46.0)
LIGHT = (70.0, 54.0)

_EDGES = np.array(
    [
        [*bounds.lightness, *bounds.hue, *bounds.chroma]
        for bounds in (*(each for pair in COLOURS.values() for each in pair), PALE_BLUE)
    ],
    np.float32,
)
_SRGB = np.arange(256, dtype=np.float32) / 255
_LINEAR = np.where(_SRGB > 0.04045, ((_SRGB + 0.055) / 1.055) ** 2.4, _SRGB / 12.92).astype(np.float32)
_TO_XYZ = np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]], np.float32)
_TO_XYZ /= np.array([0.9505, 1.0, 1.089], np.float32)  # columns over the white point


def lch(pixels: np.ndarray) -> np.ndarray:
    """(P, 3) uint8 sRGB -> (P, 3) CIE LCh (D65): lightness, chroma, hue in degrees."""
    linear = _LINEAR[pixels]
    xyz = linear @ _TO_XYZ
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    a, b = 500 * (root[:, 0] - root[:, 1]), 200 * (root[:, 1] - root[:, 2])
    hue = np.degrees(np.arctan2(b, a)) % 360
    return np.stack([116 * root[:, 1] - 16, np.hypot(a, b), hue], 1)


def clothing(image: np.ndarray, people: People) -> Truths:
    """What the N people wear, from an (H, W, 3) uint8 picture.

    Facts: `torso=<colour>`, `torso=<tone> <colour>`, `torso=dark`, `torso=light`, the same with
    `legs=`, and `trousers` / `shorts` (whether the shins have the colour of the thighs).
    """
    names = [f"{part}={colour}" for part in ("torso", "legs") for colour in _all_names()]
    truths = {name: np.full(len(people), -1, np.int8) for name in [*names, "trousers", "shorts"]}
    if len(people) == 0 or _is_greyscale(image):
        return truths
    for person in range(len(people)):
        regions = _Regions(image, people, person)
        torso, thighs, shins = regions.torso(), regions.thighs(), regions.shins()
        for part, pixels in (("torso", torso), ("legs", thighs)):
            found = _colour_truths(pixels) if pixels is not None else _absent(regions.whole())
            for colour, truth in found.items():
                truths[f"{part}={colour}"][person] = truth
        for part, unseen in (("torso", regions.torso_unseen()), ("legs", regions.legs_unseen())):
            for colour in _all_names() if unseen else ():
                truths[f"{part}={colour}"][person] = 0
        _garment(truths, person, thighs, shins)
    return truths


def _all_names() -> list[str]:
    return [*COLOURS, *(f"{tone} {colour}" for colour, tone in TONES), "dark", "light"]


def _is_greyscale(image: np.ndarray) -> bool:
    sampled = image[::7, ::7].reshape(-1, 3).astype(np.int16)
    spread = sampled.max(1) - sampled.min(1)
    return bool(np.percentile(spread, 97) < GREYSCALE_SPREAD)


def _absent(pixels: np.ndarray | None) -> dict[str, int]:
    """Colours that are nowhere on a person, whose torso or legs need not be found to rule them out."""
    if pixels is None:
        return {}
    colours = lch(pixels)
    shares = _shares(colours)
    absent = {name: 0 for row, name in enumerate(COLOURS) if shares[2 * row + 1] < ABSENT_SHARE}
    absent |= {f"{tone} {name}": 0 for name, tone in TONES if name in absent}
    for name, none in (("dark", colours[:, 0] < DARK[1]), ("light", colours[:, 0] > LIGHT[1])):
        if none.mean() < ABSENT_SHARE:
            absent[name] = 0
    return absent


def _colour_truths(pixels: np.ndarray) -> dict[str, int]:
    colours = lch(pixels)
    skin = SKIN.holds(colours).mean()
    shares = _shares(colours)
    sure = {name: shares[2 * row] for row, name in enumerate(COLOURS)}
    possible = {name: shares[2 * row + 1] for row, name in enumerate(COLOURS)}
    sure["blue"] += shares[-1]
    truths = {name: _truth(name, sure, possible) for name in COLOURS}
    for name in SKIN_NAMES:
        if truths[name] == 1 and skin > 0.5:
            truths[name] = -1
    lightness = float(np.median(colours[:, 0]))
    for (name, tone), (true, false) in TONES.items():
        fits = true[0] <= lightness <= true[1]
        misfits = false[0] <= lightness <= false[1]
        whole = truths[name]
        truths[f"{tone} {name}"] = 0 if whole == 0 or misfits else 1 if whole == 1 and fits else -1
    dark, light = (colours[:, 0] < DARK[0]).mean(), (colours[:, 0] > LIGHT[0]).mean()
    truths["dark"] = 1 if dark > 0.75 else 0 if (colours[:, 0] < DARK[1]).mean() < 0.2 else -1
    truths["light"] = 1 if light > 0.7 and skin < 0.4 else 0 if (colours[:, 0] > LIGHT[1]).mean() < 0.2 else -1
    return truths


def _truth(name: str, sure: dict[str, float], possible: dict[str, float]) -> int:
    if sure[name] >= SURE_SHARE:
        return 1
    # Whoever surely wears one colour is not taken for wearing another, unless black may be navy.
    worn = max(sure, key=lambda other: sure[other])
    tinted = worn in ("black", "white", "grey") and name not in ("black", "white", "grey")
    if sure[worn] >= SURE_SHARE and sure[name] < 0.1 and (possible[name] < 0.5 or not tinted):
        return 0
    faint = sure[name] < 0.03 and possible[name] <= 0.35
    return 0 if possible[name] <= POSSIBLE_SHARE or faint else -1


def _shares(colours: np.ndarray) -> np.ndarray:
    """Share of (P, 3) pixels in each of the bounds: core and wider bounds of each colour, pale blue."""
    lightness, chroma, hue = colours.T[:, None]
    low, high = _EDGES[:, 2:3], _EDGES[:, 3:4]
    after, before = hue >= low, hue <= high
    in_hue = np.where(low <= high, after & before, after | before)
    inside = in_hue & (lightness >= _EDGES[:, 0:1]) & (lightness < _EDGES[:, 1:2])
    inside &= (chroma >= _EDGES[:, 4:5]) & (chroma <= _EDGES[:, 5:6])
    return inside.mean(1)


def possible_shares(colours: np.ndarray) -> np.ndarray:
    """(len(COLOURS),) share of (P, 3) LCh pixels that may be of each colour."""
    return _shares(colours)[1 : 2 * len(COLOURS) : 2]


def _garment(truths: Truths, person: int, thighs: np.ndarray | None, shins: np.ndarray | None) -> None:
    if thighs is None or shins is None:
        return
    upper, lower = lch(thighs), lch(shins)
    alike = np.abs(np.median(upper[:, :2], 0) - np.median(lower[:, :2], 0)).max() < 14
    bare = SKIN.holds(lower).mean()
    covered = SKIN.holds(upper).mean()
    if bare > 0.55 and covered < 0.2:
        truths["shorts"][person], truths["trousers"][person] = 1, 0
    elif bare < 0.15 and covered < 0.15 and alike:
        truths["shorts"][person], truths["trousers"][person] = 0, 1


class _Regions:
    """The pixels of one person's torso and legs: those of the mask where known, (P, 3) uint8 or None."""

    def __init__(self, image: np.ndarray, people: People, person: int) -> None:
        self.image = image
        self.index = people.skeleton.index
        self.points = people.keypoints[person]
        names = people.skeleton.keypoints
        self.face = [k for k, name in enumerate(names) if name.endswith(("nose", "_eye", "_ear"))]
        self.box = people.boxes[person].astype(np.float64)
        self.labelled = people.confidence[person] > 0.5
        self.seen = self.labelled & (people.state[person, :, 1] <= 0.5)
        masks = people.masks
        self.mask = masks.bitmap(person) if masks is not None and masks.known[person] else None
        self.in_front = _boxes_in_front(people, person) if self.mask is None else np.zeros((0, 4))

    def torso(self) -> np.ndarray | None:
        corners = self._known(("left_shoulder", "right_shoulder", "right_hip", "left_hip"), seen=3)
        if corners is not None:
            pixels = self._pixels([_drawn_in(corners)])
            if pixels is not None:
                return pixels
        for side in ("left", "right"):
            flank = self._known((f"{side}_shoulder", f"{side}_hip"), seen=2)
            if flank is not None:
                return self._pixels([_strip(flank[0], flank[1], 0.15, 0.85, 0.14)])
        shoulders = self._known(("left_shoulder", "right_shoulder"), seen=2)
        if shoulders is not None:
            return self._pixels([self._chest(shoulders)])
        return self._middle_of_mask()

    def _chest(self, shoulders: np.ndarray) -> np.ndarray:
        """Below the shoulders as far as they are wide, for people seen above the hips only."""
        across = shoulders[1] - shoulders[0]
        down = np.array([0.0, np.hypot(*across)])
        top, low = shoulders + 0.25 * down, shoulders + 0.9 * down
        inwards = np.stack([0.15 * across, -0.15 * across])
        return np.concatenate([top + inwards, (low + inwards)[::-1]])

    def _middle_of_mask(self) -> np.ndarray | None:
        """The chest of somebody upright without keypoints; colours mostly of use to rule them out."""
        x0, y0, x1, y1 = self.box
        if self.mask is None or not 1.5 < (y1 - y0) / max(x1 - x0, 1) < 4.5:
            return None
        rows = (y0 + 0.24 * (y1 - y0), y0 + 0.44 * (y1 - y0))
        return self._pixels([np.array([(x, y) for y in rows for x in (x0, x1)])[[0, 1, 3, 2]]], drawn_share=0.3)

    def whole(self) -> np.ndarray | None:
        """All pixels of the mask or, where there is none, of the box."""
        height, width = self.image.shape[:2]
        x0, y0, x1, y1 = np.clip(np.round(self.box), 0, [width, height, width, height]).astype(int)
        pixels = self.image[y0:y1, x0:x1]
        inside = pixels[self.mask[y0:y1, x0:x1]] if self.mask is not None else pixels.reshape(-1, 3)
        return inside[:: max(1, len(inside) // 400)] if len(inside) >= 12 else None

    def torso_unseen(self) -> bool:
        """Nothing below the face labelled of somebody whose face is."""
        body = [k for k in range(len(self.labelled)) if k not in self.face]
        return bool(self.labelled[self.face].any() and not self.labelled[body].any())

    def legs_unseen(self) -> bool:
        """No knee and no ankle labelled of somebody whose upper body is: cut off or hidden."""
        upper = [self.index(name) for name in ("left_shoulder", "right_shoulder", "left_elbow", "right_elbow")]
        lower = [self.index(f"{side}_{joint}") for side in ("left", "right") for joint in ("knee", "ankle")]
        return bool(self.labelled[upper].sum() >= 2 and not self.labelled[lower].any())

    def thighs(self) -> np.ndarray | None:
        return self._strips("hip", "knee", 0.25, 0.8)

    def shins(self) -> np.ndarray | None:
        return self._strips("knee", "ankle", 0.2, 0.8)

    def _strips(self, start: str, end: str, near: float, far: float) -> np.ndarray | None:
        strips = []
        for side in ("left", "right"):
            bone = self._known((f"{side}_{start}", f"{side}_{end}"), seen=2)
            if bone is not None:
                strips.append(_strip(bone[0], bone[1], near, far, 0.1))
        return self._pixels(strips) if strips else None

    def _known(self, names: tuple[str, ...], seen: int) -> np.ndarray | None:
        """(len(names), 2) points where all are labelled and at least `seen` of them are not hidden."""
        try:
            rows = [self.index(name) for name in names]
        except (KeyError, ValueError):
            return None
        if not self.labelled[rows].all() or self.seen[rows].sum() < seen:
            return None
        return self.points[rows].astype(np.float64)

    def _pixels(self, polygons: list[np.ndarray], drawn_share: float = 0.4) -> np.ndarray | None:
        height, width = self.image.shape[:2]
        corners = np.concatenate(polygons)
        low = np.clip(np.floor(corners.min(0)), 0, [width, height]).astype(int)
        high = np.clip(np.ceil(corners.max(0)), 0, [width, height]).astype(int)
        if (high - low).min() < 3:
            return None
        canvas = Image.new("1", (int(high[0] - low[0]), int(high[1] - low[1])))
        for polygon in polygons:
            ImageDraw.Draw(canvas).polygon([(float(x), float(y)) for x, y in polygon - low - 0.5], fill=1)
        inside = np.array(canvas)
        drawn = int(inside.sum())
        rows, columns = slice(low[1], high[1]), slice(low[0], high[0])
        if self.mask is not None:
            inside &= self.mask[rows, columns]
        for x0, y0, x1, y1 in (self.in_front - np.tile(low, 2)).astype(int):
            inside[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = False
        count = int(inside.sum())
        if count < SMALLEST_REGION or count < drawn_share * drawn:
            return None
        pixels = self.image[rows, columns][inside]
        return pixels[:: max(1, count // 300)]


def _drawn_in(corners: np.ndarray) -> np.ndarray:
    """The torso without the neck, the waist and the arms, which lie on the quadrilateral's edge."""
    left, right, right_hip, left_hip = corners
    top = [left + (left_hip - left) * 0.12, right + (right_hip - right) * 0.12]
    low = [left + (left_hip - left) * 0.85, right + (right_hip - right) * 0.85]
    across = [0.12 * (row[1] - row[0]) for row in (top, low)]
    return np.stack([top[0] + across[0], top[1] - across[0], low[1] - across[1], low[0] + across[1]])


def _strip(start: np.ndarray, end: np.ndarray, near: float, far: float, half_width: float) -> np.ndarray:
    """(4, 2) rectangle along a bone, its ends and width in lengths of the bone."""
    along = end - start
    across = np.array([-along[1], along[0]]) * half_width
    first, last = start + along * near, start + along * far
    return np.stack([first - across, first + across, last + across, last - across])


def _boxes_in_front(people: People, person: int) -> np.ndarray:
    """(M, 4) boxes of others that may hide this person: those that reach as low."""
    boxes = people.boxes.astype(np.float64)
    reach = boxes[:, 3] >= boxes[person, 3]
    reach[person] = False
    # A body does not fill its box to the sides.
    inset = 0.12 * (boxes[:, 2] - boxes[:, 0])
    return (boxes + np.stack([inset, 0 * inset, -inset, 0 * inset], 1))[reach]
