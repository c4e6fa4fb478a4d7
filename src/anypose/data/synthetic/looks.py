"""What people wear: garments with named colours and patterns, hair, skin; drawn at random as one meets them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from anypose.data.synthetic.phenotype import Phenotype

# The names are those of the describer; the colours lie inside what it takes for sure.
COLOURS: dict[str, tuple[int, int, int]] = {
    "black": (30, 30, 32),
    "white": (232, 231, 227),
    "grey": (126, 128, 130),
    "red": (190, 36, 40),
    "dark red": (112, 22, 30),
    "orange": (226, 116, 30),
    "yellow": (232, 196, 56),
    "green": (56, 138, 72),
    "dark green": (26, 74, 44),
    "blue": (42, 88, 172),
    "dark blue": (26, 36, 80),
    "light blue": (142, 184, 224),
    "purple": (106, 56, 134),
    "pink": (228, 142, 168),
    "brown": (106, 74, 46),
}
# How often each is worn; bright orange trousers are not.
_TOPS = {
    "white": 16,
    "black": 16,
    "grey": 11,
    "blue": 11,
    "dark blue": 10,
    "red": 9,
    "light blue": 7,
    "green": 5,
    "dark green": 4,
    "pink": 4,
    "yellow": 4,
    "brown": 3,
    "dark red": 3,
    "orange": 2,
    "purple": 2,
}
_BOTTOMS = {
    "dark blue": 30,
    "black": 26,
    "grey": 14,
    "brown": 10,
    "blue": 9,
    "white": 5,
    "dark green": 3,
    "red": 2,
    "light blue": 2,
}
_SKIRTS = {
    "black": 20,
    "dark blue": 14,
    "red": 10,
    "blue": 8,
    "grey": 8,
    "pink": 6,
    "white": 6,
    "green": 4,
    "yellow": 4,
    "brown": 6,
    "purple": 3,
}
_SUITS = ("black", "dark blue", "grey")
_SHOES = {"black": 34, "white": 26, "brown": 18, "grey": 10, "dark blue": 5, "red": 4, "blue": 3}
_HATS = {
    "black": 22,
    "dark blue": 16,
    "white": 12,
    "red": 12,
    "grey": 10,
    "blue": 8,
    "green": 5,
    "brown": 5,
    "yellow": 3,
    "pink": 3,
}
HAIR: dict[str, tuple[int, int, int]] = {
    "black": (26, 23, 22),
    "brown": (72, 48, 32),
    "blond": (196, 160, 100),
    "grey": (150, 148, 146),
    "red": (140, 66, 34),
}
_HAIR = {"black": 34, "brown": 40, "blond": 18, "red": 5}
# From the palest to the darkest.
_SKIN = np.array(
    [(240, 206, 184), (226, 184, 156), (204, 158, 126), (176, 128, 94), (134, 92, 64), (92, 62, 46)], float
)
SLEEVES = {"tank top": 0.12, "t-shirt": 0.62, "shirt": 1.93, "jacket": 1.97, "dress": 0.5}
LEGS = {"trousers": 2.06, "shorts": 0.86, "skirt": 0.2}
PATTERNS = ("plain", "striped", "checked", "logo")


@dataclass(frozen=True)
class Outfit:
    """Everything that shows on a person. Colours are names in `COLOURS`, of hair in `HAIR`.

    Attributes:
        top: tank top, t-shirt, shirt (long sleeves), jacket or dress. bottom: trousers, shorts or skirt (a dress's is
            its own skirt).
        pattern: of the top, with `second` as its other colour.
        hat: None, cap, beanie or sun hat.
        hair_style: bald, short, long, ponytail or bun.
        skin: RGB.
        seed: of folds and stripes.
    """

    top: str
    top_colour: str
    bottom: str
    bottom_colour: str
    shoes_colour: str
    socks_colour: str = "white"
    pattern: str = "plain"
    second: str = "white"
    hat: str | None = None
    hat_colour: str = "black"
    hair_style: str = "short"
    hair_colour: str = "brown"
    skin: tuple[float, float, float] = (204.0, 158.0, 126.0)
    seed: int = 0

    @classmethod
    def random(cls, person: Phenotype, rng: np.random.Generator) -> Outfit:
        """What somebody of this age and gender might wear."""
        # Steeper than the body's own axis: in between it is drawn evenly, and few men wear a dress.
        feminine = rng.random() < np.clip((person.gender - 0.25) * 2, 0.01, 0.97)
        dress = feminine and rng.random() < 0.14
        bottom = _pick(rng, {"trousers": 62, "shorts": 26, "skirt": 16 if feminine else 0})
        top = "dress" if dress else _pick(rng, {"t-shirt": 44, "shirt": 28, "jacket": 18, "tank top": 8})
        top_colour = _pick(rng, _TOPS)
        pattern = _pick(rng, {"plain": 72, "striped": 12, "checked": 6 if top in ("shirt", "dress") else 1, "logo": 10})
        skirt = dress or bottom == "skirt"
        below = _SKIRTS if skirt else _BOTTOMS
        # From head to foot in one colour people go in black and grey, seldom in red or light blue.
        below = {name: often for name, often in below.items() if name != top_colour or name in _SUITS}
        bottom_colour = top_colour if dress else _pick(rng, below)
        age = person.years
        style = _pick(
            rng,
            {"long": 45, "ponytail": 20, "bun": 10, "short": 25}
            if feminine
            else {"short": 84, "bald": 12 if age > 30 else 2, "long": 4},
        )
        grey = age > 45 and rng.random() < (age - 40) / 40
        tone = rng.uniform(0, len(_SKIN) - 1.001)
        low = int(tone)
        skin = _SKIN[low] + (tone - low) * (_SKIN[low + 1] - _SKIN[low])
        hair = "grey" if grey else _pick(rng, _HAIR if tone < 2.6 else {"black": 9, "brown": 1})
        return cls(
            top=top,
            top_colour=top_colour,
            bottom="skirt" if dress else bottom,
            bottom_colour=bottom_colour,
            shoes_colour=_pick(rng, _SHOES),
            socks_colour=_pick(rng, {"white": 5, "black": 4, "grey": 2}),
            pattern=pattern,
            second=_pick(rng, _contrasting(top_colour)),
            hat=_pick(rng, {"": 76, "cap": 14, "beanie": 6, "sun hat": 4}) or None,
            hat_colour=_pick(rng, _HATS),
            hair_style=style,
            hair_colour=hair,
            skin=(float(skin[0]), float(skin[1]), float(skin[2])),
            seed=int(rng.integers(1 << 31)),
        )


def _contrasting(colour: str) -> dict[str, float]:
    """Second colours that one can tell from the first."""
    first = np.array(COLOURS[colour], float)
    pairs = {"white": 6.0, "black": 4.0, "red": 2.0, "dark blue": 2.0, "blue": 2.0, "grey": 1.0, "yellow": 1.0}
    return {name: weight for name, weight in pairs.items() if np.abs(np.array(COLOURS[name]) - first).max() > 90}


def _pick(rng: np.random.Generator, weights: dict[str, float] | dict[str, int]) -> str:
    names = list(weights)
    shares = np.array([weights[name] for name in names], float)
    return names[int(rng.choice(len(names), p=shares / shares.sum()))]


def linear(rgb: object) -> np.ndarray:
    """sRGB 0 to 255 -> light 0 to 1."""
    values = np.asarray(rgb)
    if values.dtype == np.uint8:
        return _bytes_of_light()[values]
    return (values.astype(np.float32) / 255) ** 2.2


@cache
def _bytes_of_light() -> np.ndarray:
    return (np.arange(256, dtype=np.float32) / 255) ** 2.2


# Columns of the attributes that are interpolated over a triangle: see `attributes`.
REST, ARM, LEG, TRUNK, HEAD, FOOT, HAND, FACE, SCALP = slice(0, 3), 3, 4, 5, 6, 7, 8, slice(9, 11), 11
COLUMNS = 12


def paint(outfit: Outfit, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colour of places on the body.

    Args:
        outfit: of the person.
        at: (P, COLUMNS) coordinates, as in `Surface`.

    Returns:
        (P, 3) linear colour and (P,) how much cloth (folds) there is, 0 to 1.
    """
    arm, leg, trunk, head = at[:, ARM], at[:, LEG], at[:, TRUNK], at[:, HEAD]
    colour = np.tile(linear(outfit.skin), (len(at), 1))
    cloth = np.zeros(len(at), np.float32)
    skirted = outfit.bottom == "skirt"
    hips = (trunk < (0.3 if skirted else 0.22)) & (arm < 0) & (head < 0.3)
    below = hips & (leg < LEGS[outfit.bottom])
    colour[below], cloth[below] = linear(COLOURS[outfit.bottom_colour]), 1
    shod = (at[:, FOOT] > 0.5) | (leg > 2.02)
    if outfit.bottom == "shorts":
        sock = (leg > 1.72) & ~shod
        colour[sock] = linear(COLOURS[outfit.socks_colour])
    colour[shod] = linear(COLOURS[outfit.shoes_colour])
    neck = 0.93 if outfit.top == "tank top" else 1.0
    sleeve = SLEEVES[outfit.top]
    hem = {"t-shirt": -0.02, "shirt": -0.06, "jacket": -0.1, "tank top": 0.02, "dress": -1.0}[outfit.top]
    # A dress ends on the thighs above the edge of its skirt, or it would show below as leggings.
    low = 0.7 if outfit.top == "dress" else 0.45
    trunk_part = (trunk > hem) & (trunk < neck) & (arm < 0) & (head < 0.55) & (leg < low)
    covered = trunk_part | ((arm >= 0) & (arm < sleeve) & (at[:, HAND] < 0.5))
    if outfit.top == "tank top":
        covered &= ~((arm < 0) & (trunk > 0.8) & (np.abs(at[:, 0]) > 0.125))
    colour[covered], cloth[covered] = _pattern(outfit, at[covered]), 1
    # The skirt of a dress is plain, and so is what shows of it on the legs of somebody who sits.
    colour[trunk_part & (trunk < 0.05)] = linear(COLOURS[outfit.top_colour])
    if outfit.top == "jacket":
        open_front = covered & (np.abs(at[:, 0]) < 0.008) & (at[:, 2] > 0)
        colour[open_front] *= 0.35
    _draw_face(outfit, at, colour)
    hair = at[:, SCALP] > (0.06 if outfit.hair_style == "short" else 0.0)
    if outfit.hair_style != "bald":
        strands = 1 + 0.18 * np.sin(at[:, 0] * 420 + 3 * np.sin(at[:, 1] * 60)) * np.sin(at[:, 2] * 310)
        colour[hair] = linear(HAIR[outfit.hair_colour]) * strands[hair, None]
    return colour.astype(np.float32), cloth


def _pattern(outfit: Outfit, at: np.ndarray) -> np.ndarray:
    first, second = linear(COLOURS[outfit.top_colour]), linear(COLOURS[outfit.second])
    along = np.where(at[:, ARM] >= 0, at[:, ARM] * 0.27, at[:, TRUNK] * 0.5)
    around = np.where(at[:, ARM] >= 0, at[:, 2], at[:, 0])
    if outfit.pattern == "striped":
        width = 0.028 + 0.03 * (outfit.seed % 5) / 4
        mark = (along / width) % 2 < 1
    elif outfit.pattern == "checked":
        mark = ((along / 0.045) % 2 < 1) ^ ((around / 0.045) % 2 < 1)
    elif outfit.pattern == "logo":
        x, y = at[:, 0] / 0.075, (at[:, TRUNK] - 0.66) / 0.13
        shape = outfit.seed % 3
        inside = (
            (x**2 + y**2 < 1)
            if shape == 0
            else (np.abs(x) + np.abs(y) < 1.1)
            if shape == 1
            else ((np.abs(y) < 0.45) & (np.abs(x) < 1.25))
        )
        mark = inside & (at[:, 2] > 0) & (at[:, ARM] < 0)
    else:
        mark = np.zeros(len(at), bool)
    return np.where(mark[:, None], second, first)


def _draw_face(outfit: Outfit, at: np.ndarray, colour: np.ndarray) -> None:
    """Eyes, brows, lips, and a little red on the cheeks, where they lie on a head."""
    x, y = at[:, 9], at[:, 10]
    side = np.abs(x) - 0.125
    skin = linear(outfit.skin)
    cheeks = ((side / 0.1) ** 2 + ((y + 0.14) / 0.07) ** 2 < 1) & (y < 0.0)
    colour[cheeks] = skin * np.array([1.08, 0.9, 0.9], np.float32)
    lips = (np.abs(x) < 0.1 - 0.9 * np.abs(y + 0.29)) & (np.abs(y + 0.29) < 0.035)
    colour[lips] = skin * np.array([0.8, 0.45, 0.45], np.float32)
    white = (side / 0.058) ** 2 + (y / 0.028) ** 2 < 1
    colour[white] = linear((225, 222, 218))
    iris = (side / 0.026) ** 2 + (y / 0.028) ** 2 < 1
    colour[iris] = linear((46, 34, 28))
    brow = (np.abs(side) < 0.075) & (np.abs(y - 0.075 + 0.8 * side**2 / 0.06) < 0.014)
    colour[brow] = linear(HAIR[outfit.hair_colour]) * 0.7
