"""Compose `group.jpg`, three people in one picture, from the three photographs beside this file.

The two women are cut out along hand-traced outlines and stand on the photographer's field, which is widened
by its own mirror image and tinted by hand (the photograph is grey). Run it with `python make.py`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

HERE = Path(__file__).parent
WIDTH, HEIGHT = 1040, 512
Points = list[tuple[int, int]]
Floats = NDArray[np.float32]

# Outlines in pixels of the photographs, clockwise from the bottom left.
# fmt: off
COLLINS: Points = [
    (34, 512), (28, 480), (23, 450), (20, 405), (25, 350), (31, 325), (39, 300), (43, 280), (55, 260),
    (72, 241), (90, 226), (106, 213), (113, 206), (113, 190), (122, 178), (126, 165), (136, 155),
    (150, 149), (170, 148), (184, 147), (181, 132), (172, 121), (160, 107), (155, 93), (152, 77),
    (154, 64), (161, 52), (174, 44), (187, 38), (195, 29), (211, 19), (230, 15), (250, 17), (270, 24),
    (286, 36), (295, 54), (300, 75), (301, 92), (297, 108), (289, 121), (280, 129), (276, 135),
    (268, 138), (262, 152), (257, 172), (270, 179), (286, 195), (299, 213), (304, 236), (314, 239),
    (331, 250), (344, 265), (351, 281), (357, 300), (360, 320), (363, 346), (385, 343), (405, 342),
    (427, 347), (451, 360), (471, 380), (486, 405), (495, 430), (498, 450), (504, 456), (509, 480),
    (511, 512),
]
HOPPER: Points = [
    (10, 600), (14, 550), (20, 500), (26, 455), (32, 420), (38, 398), (46, 386), (56, 378), (72, 371),
    (102, 362), (127, 355), (152, 347), (168, 340), (182, 332), (192, 324), (202, 313), (197, 303),
    (183, 292), (169, 278), (160, 262), (160, 245), (156, 223), (152, 203), (153, 190), (148, 183),
    (146, 160), (149, 120), (154, 97), (163, 88), (175, 83), (177, 70), (190, 57), (205, 45), (220, 38),
    (232, 28), (250, 24), (270, 23), (290, 30), (302, 40), (322, 46), (340, 60), (350, 74), (354, 86),
    (362, 87), (368, 95), (371, 115), (372, 140), (372, 165), (371, 180), (376, 193), (374, 215),
    (367, 240), (363, 268), (361, 285), (351, 304), (336, 308), (333, 313), (350, 329), (375, 342),
    (400, 354), (432, 367), (460, 376), (480, 384), (493, 392), (500, 407), (508, 432), (512, 448),
    (512, 600),
]
PHOTOGRAPHER: Points = [
    (0, 512), (0, 258), (20, 225), (40, 195), (55, 175), (70, 150), (90, 135), (125, 124), (140, 112),
    (158, 105), (165, 90), (180, 75), (200, 64), (225, 66), (245, 78), (262, 95), (270, 115),
    (268, 130), (262, 140), (280, 141), (322, 139), (324, 152), (320, 168), (331, 172), (331, 195),
    (322, 212), (305, 225), (304, 272), (275, 288), (248, 312), (225, 305), (206, 294), (185, 325),
    (150, 365), (141, 380), (148, 410), (150, 440), (151, 512),
]
FACE: Points = [
    (180, 132), (190, 127), (200, 140), (208, 134), (230, 127), (248, 130), (257, 140), (250, 150),
    (255, 165), (248, 174), (243, 182), (240, 195), (228, 198), (212, 190), (200, 182), (190, 156),
    (182, 150),
]
TRIPOD: list[tuple[Points, int]] = [
    ([(293, 210), (293, 484)], 10), ([(286, 325), (234, 512)], 15), ([(309, 328), (403, 512)], 9),
    ([(296, 318), (336, 303)], 9), ([(256, 470), (296, 483), (240, 492)], 6), ([(296, 484), (386, 480)], 4),
    ([(276, 318), (314, 326), (296, 342), (280, 330)], 14), ([(303, 180), (303, 246)], 7),
]
# fmt: on


def inside(outline: Points, size: tuple[int, int], lines: list[tuple[Points, int]] | None = None) -> Floats:
    """A polygon, and lines of given widths, as a soft bitmap (H, W), 0 to 1; size is (W, H)."""
    bitmap = Image.new("L", size)
    pen = ImageDraw.Draw(bitmap)
    pen.polygon(outline, fill=255)
    for line, width in lines or []:
        pen.line(line, fill=255, width=width)
    soft: Floats = np.asarray(bitmap.filter(ImageFilter.GaussianBlur(0.8)), np.float32) / np.float32(255)
    return soft


def blur(array: Floats, radius: float) -> Floats:
    """Gaussian blur of (H, W), through Pillow's 32-bit channel by three box blurs."""
    sums = array
    for _ in range(3):
        for axis in (0, 1):
            reach = round(radius)
            padded = np.pad(sums, [(reach + 1, reach) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
            total = np.cumsum(padded, axis=axis, dtype=np.float64)
            low, high = [slice(None)] * 2, [slice(None)] * 2
            low[axis], high[axis] = slice(0, -(2 * reach + 1)), slice(2 * reach + 1, None)
            sums = ((total[tuple(high)] - total[tuple(low)]) / (2 * reach + 1)).astype(np.float32)
    return sums


def cut_out(photograph: Image.Image, outline: Points) -> Image.Image:
    """A person without background (RGBA): near the outline each pixel is weighed between what lies clearly
    inside and clearly outside of it, and takes the inner colour where it is mixed."""
    pixels = np.asarray(photograph.convert("RGB"), np.float32)
    rough = inside(outline, photograph.size)
    reach = blur(rough, 3)
    sure_in, sure_out = (reach > 0.9).astype(np.float32), (reach < 0.08).astype(np.float32)

    def surroundings(sure: Floats) -> Floats:
        weight = blur(sure, 6) + 1e-4
        return np.stack([blur(pixels[..., c] * sure, 6) / weight for c in range(3)], axis=-1)

    inner, outer = surroundings(sure_in), surroundings(sure_out)
    apart = inner - outer
    contrast = (apart**2).sum(axis=-1)
    matte = np.clip(((pixels - outer) * apart).sum(axis=-1) / (contrast + 1), 0, 1)
    # Where both sides look alike (red stripes beside an orange sleeve), the traced line decides.
    trust = np.clip((contrast - 4000) / 12000, 0, 0.75)
    opacity = trust * matte + (1 - trust) * rough
    opacity = np.clip((opacity - 0.12) / 0.76, 0, 1) * (reach > 0.1)
    opacity = np.where(sure_in > 0, 1, np.where(sure_out > 0, 0, opacity))
    mixed = (opacity < 0.95)[..., None]
    colour = np.where(mixed, 0.6 * inner + 0.4 * pixels, pixels)
    return Image.fromarray(np.dstack([colour, opacity * 255]).clip(0, 255).astype(np.uint8), "RGBA")


def field() -> Image.Image:
    """The photographer on a field as wide as the group, tinted: sky, grass, skin."""
    grey = Image.open(HERE / "photographer.png").convert("L")
    wide = np.zeros((HEIGHT, WIDTH), np.float32)
    wide[:, :512] = np.asarray(grey, np.float32)
    strip = wide[:, 412:512]
    for i, left in enumerate(range(512, WIDTH, 100)):
        piece = strip[:, ::-1] if i % 2 == 0 else strip
        wide[:, left : left + 100] = piece[:, : WIDTH - left]
    person = inside(PHOTOGRAPHER, (WIDTH, HEIGHT), TRIPOD)
    face = inside(FACE, (WIDTH, HEIGHT))
    rows = np.arange(HEIGHT, dtype=np.float32)[:, None] * np.ones((1, WIDTH), np.float32)
    grass = np.clip((rows - 232) / 10, 0, 1) * (1 - person)
    sky = np.clip((240 - rows) / 6, 0, 1) * np.clip((wide - 150) / 40, 0, 1) * (1 - person)
    colour = np.repeat(wide[..., None], 3, axis=2)
    for weight, tint in ((sky, (0.80, 0.95, 1.12)), (grass, (0.88, 1.0, 0.62)), (face, (1.35, 1.0, 0.80))):
        colour *= 1 + weight[..., None] * (np.array(tint, np.float32) - 1)
    return Image.fromarray(colour.clip(0, 255).astype(np.uint8))


def group() -> Image.Image:
    """Three people: the photographer at the left, Collins in the middle, Hopper at the right."""
    scene = field()
    for name, outline, scale, left in (
        ("astronaut.jpg", COLLINS, 0.80, 392),
        ("hopper.jpg", HOPPER, 0.60, 738),
    ):
        person = cut_out(Image.open(HERE / name), outline)
        size = (round(person.width * scale), round(person.height * scale))
        person = person.resize(size, Image.Resampling.LANCZOS)
        scene.paste(person, (left, HEIGHT - size[1]), person)
    return scene


if __name__ == "__main__":
    group().save(HERE / "group.jpg", quality=90, optimize=True)
