"""Pictures in and out: whatever a user has becomes (H, W, 3) RGB uint8 as displayed, or one clear line."""

import glob
import io
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from .affine import Affine, apply, apply_to_boxes, compose, invert
from .sources import PictureError, download, is_file, is_folder, is_url, read_file, read_standard_input

__all__ = [
    "PictureError",
    "apply",
    "apply_to_boxes",
    "compose",
    "crop",
    "encode_picture",
    "invert",
    "letterbox",
    "list_pictures",
    "open_picture",
]

Picture = NDArray[np.uint8]

# 300 million bytes of RGB; Pillow itself warns from 89 million pixels on.
PIXEL_LIMIT = 100_000_000

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".heif", ".avif")

# Not EPS, WMF and the like, which start other programs or describe drawings.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "PPM", "AVIF", "HEIF")

_ENCODINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "jpg": ("JPEG", {"quality": 92}),
    "jpeg": ("JPEG", {"quality": 92}),
    "png": ("PNG", {"compress_level": 3}),
    "webp": ("WEBP", {"quality": 90}),
    "bmp": ("BMP", {}),
    "tif": ("TIFF", {}),
    "tiff": ("TIFF", {}),
}

# warnings.catch_warnings changes the whole process, and pictures are opened from several threads.
_quietly = threading.Lock()


def open_picture(source: Any, at_least: tuple[int, int] | None = None, timeout: float = 20.0) -> Picture:
    """The picture at `source` as (H, W, 3) RGB uint8 in the displayed orientation.

    source: a path, an http(s) URL, "-" for standard input, bytes, a binary file, a PIL image, or an array:
    (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of uint8, uint16 (scaled to 8 bits) or bool. EXIF orientation is
    applied, transparency is laid over white, 16 bits become 8, and of several frames the first is taken.

    at_least: (height, width) in pixels; a JPEG may then come smaller than it is by 2, 4 or 8, but not smaller
    than this on either side, which is faster. Its pixels are then those of the smaller picture.
    timeout: seconds that a URL may take in all.

    Raises PictureError, one line that names the source and says what to do.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        return _rgb(source, "the PIL image")
    name, file = _binary(source, timeout)
    with file:
        return _decoded(file, name, at_least)


def list_pictures(arguments: Sequence[str | Path]) -> list[str | Path]:
    """What to open for `arguments`: files, folders (the pictures in them, by name), globs, URLs and "-".

    Nothing is opened and nothing comes twice. An argument that matches nothing stays in the list as it is, so
    that `open_picture` says what is wrong with it when its turn comes and the others are not held up.
    """
    found: dict[str, str | Path] = {}
    for argument in arguments:
        text = str(argument)
        matches: list[str | Path] = [argument]
        if text != "-" and not is_url(text) and not is_file(Path(text)):
            if is_folder(Path(text)):
                matches = list(_pictures_in(Path(text))) or matches
            elif glob.has_magic(text):
                paths = sorted(Path(match) for match in glob.glob(text, recursive=True))  # noqa: PTH207
                matches = [path for path in paths if path.is_file()] or matches
        found.update({str(match): match for match in matches})
    return list(found.values())


def letterbox(image: Picture, long_side: int, multiple: int = 32, fill: int = 114) -> tuple[Picture, Affine]:
    """`image` (H, W, 3) resized to a long side of `long_side` pixels, at the top left of a padded picture.

    Returns the padded picture (h, w, 3), whose sides are the next multiples of `multiple`, filled with the
    grey `fill`, and the (2, 3) affine from pixels of `image` to its pixels. Sides are rounded to whole
    pixels, so the scales of x and y differ by as much.
    """
    _check_rgb(image)
    height, width = image.shape[:2]
    scale = long_side / max(height, width)
    inner = max(1, round(height * scale)), max(1, round(width * scale))
    padded = np.full((*(-(-side // multiple) * multiple for side in inner), 3), fill, dtype=np.uint8)
    padded[: inner[0], : inner[1]] = _resized(image, inner, (0, 0, width, height))
    affine = np.array([[inner[1] / width, 0.0, 0.0], [0.0, inner[0] / height, 0.0]])
    return padded, affine


def crop(image: Picture, box: ArrayLike, size: tuple[int, int], fill: int = 114) -> tuple[Picture, Affine]:
    """The part of `image` (H, W, 3) in `box` (x0 y0 x1 y1 pixels), resized to `size` (h, w).

    The box may have fractions and may leave the picture; what lies outside is the grey `fill`. Returns the
    crop (h, w, 3), antialiased when it shrinks, and the (2, 3) affine from pixels of `image` to its pixels,
    which maps the box's corners to the crop's. Raises ValueError when the box is empty, not finite, or more
    than 64 times as large as the picture.
    """
    _check_rgb(image)
    x0, y0, x1, y1 = (float(value) for value in np.asarray(box, dtype=np.float64).reshape(4))
    height, width = image.shape[:2]
    if not np.isfinite([x0, y0, x1, y1]).all() or x1 <= x0 or y1 <= y0:
        raise ValueError(f"cannot crop the box {(x0, y0, x1, y1)}: it must be x0 < x1 and y0 < y1, finite")
    if max(x1 - x0, y1 - y0) > 64 * max(height, width):
        raise ValueError(
            f"cannot crop the box {(x0, y0, x1, y1)}: it is over 64 times the picture's {width} x {height}"
        )
    scale_x, scale_y = size[1] / (x1 - x0), size[0] / (y1 - y0)
    out = np.full((*size, 3), fill, dtype=np.uint8)
    # Only output pixels that meet the picture are computed, so that a far too large box costs nothing.
    left, right = _span(x0, scale_x, width, size[1])
    top, bottom = _span(y0, scale_y, height, size[0])
    if left < right and top < bottom:
        part = (x0 + left / scale_x, y0 + top / scale_y, x0 + right / scale_x, y0 + bottom / scale_y)
        margins = int(2 / scale_x) + 3, int(2 / scale_y) + 3
        pixels, origin = _cut_out(image, part, margins, fill)
        local = (part[0] - origin[0], part[1] - origin[1], part[2] - origin[0], part[3] - origin[1])
        out[top:bottom, left:right] = _resized(pixels, (bottom - top, right - left), local)
    return out, np.array([[scale_x, 0.0, -x0 * scale_x], [0.0, scale_y, -y0 * scale_y]])


def encode_picture(image: NDArray[Any], target: str | Path) -> bytes:
    """The bytes of a picture file. `target` is a format ("png", "jpg", "webp", ...) or a path that ends so.

    image: (H, W, 3) RGB or (H, W, 4) RGBA or (H, W) grey, uint8, or (H, W) bool. Raises PictureError when the
    format is not known, and ValueError when the array is none of these.
    """
    suffix = (Path(target).suffix or str(target)).lower().removeprefix(".")
    if suffix not in _ENCODINGS:
        raise PictureError(f"{target}: cannot write this kind of picture; use {', '.join(_ENCODINGS)}")
    shaped = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))
    if not shaped or image.dtype not in (np.uint8, bool) or (image.dtype == bool and image.ndim != 2):
        raise ValueError(f"cannot write an array {image.shape} of {image.dtype}; expected uint8 (H, W, 3)")
    picture = Image.fromarray(image)
    if suffix in ("jpg", "jpeg") and picture.mode not in ("RGB", "L"):
        picture = picture.convert("L" if picture.mode == "1" else "RGB")
    file = io.BytesIO()
    name, options = _ENCODINGS[suffix]
    picture.save(file, format=name, **options)
    return file.getvalue()


def _binary(source: Any, timeout: float) -> tuple[str, IO[bytes]]:
    """What to call `source` in a message, and its bytes as a file that can be searched."""
    if isinstance(source, bytes | bytearray | memoryview):
        return "the bytes", io.BytesIO(source)
    if hasattr(source, "read"):
        name = str(getattr(source, "name", "the file object"))
        content = source.read()
        if not isinstance(content, bytes):
            raise PictureError(f"{name}: was opened as text; open it in binary mode (open(path, 'rb'))")
        return name, io.BytesIO(content)
    if not isinstance(source, str | Path):
        raise PictureError(
            f"{type(source).__name__} is not a picture; give a path, URL, bytes, file, array or PIL image"
        )
    name = str(source)
    if name == "-":
        return "standard input", io.BytesIO(read_standard_input())
    if is_url(name):
        return name, io.BytesIO(download(name, timeout))
    if is_folder(Path(name)):
        holds = "holds no pictures" if not _pictures_in(Path(name)) else "is a folder, not a picture"
        raise PictureError(f"{name}: {holds}; give a picture or a folder of pictures ({', '.join(SUFFIXES)})")
    if glob.has_magic(name) and not is_file(Path(name)):
        raise PictureError(f"{name}: matches no file; check the pattern")
    return name, read_file(Path(name))


def _pictures_in(folder: Path) -> list[Path]:
    """The pictures directly in `folder`, sorted by name; hidden files are not pictures."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def _decoded(file: IO[bytes], name: str, at_least: tuple[int, int] | None) -> Picture:
    start = file.read(32)
    file.seek(0)
    if not start:
        raise PictureError(f"{name}: is empty; there is no picture in it")
    _prepare_heif(start, name)
    try:
        with _quietly, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PIXEL_LIMIT and the errors below say it in one line.
            image = _identified(file)
    except UnidentifiedImageError:
        raise PictureError(f"{name}: is not a picture that can be read (JPEG, PNG, WebP, BMP, TIFF, GIF)") from None
    except Image.DecompressionBombError:
        raise PictureError(f"{name}: has too many pixels (the limit is {PIXEL_LIMIT:,}); make it smaller") from None
    except Exception as error:  # Each decoder of Pillow has its own errors for damaged files.
        raise PictureError(f"{name}: is damaged or not a picture ({_line(error)}); save it anew") from error
    with image:
        if at_least is not None and image.format in ("JPEG", "MPO"):
            image.draft(None, at_least if _orientation(image) >= 5 else at_least[::-1])
        width, height = image.size
        if width * height > PIXEL_LIMIT:
            limit = f"over the limit of {PIXEL_LIMIT:,} in all"
            raise PictureError(f"{name}: is {width} x {height} pixels, {limit}; make it smaller")
        try:
            image.load()
        except Exception as error:
            raise PictureError(f"{name}: is truncated or damaged ({_line(error)}); copy or save it anew") from error
        return _rgb(image, name)


def _identified(file: IO[bytes]) -> Image.Image:
    """The PIL image of `file`, not decoded yet. Pillow's rarer formats are loaded when one turns up."""
    Image.preinit()
    for again in (False, True):
        try:
            return Image.open(file, formats=[kind for kind in _FORMATS if kind in Image.OPEN])
        except UnidentifiedImageError:
            if again:
                raise
            Image.init()
            file.seek(0)
    raise AssertionError("unreachable")


def _prepare_heif(start: bytes, name: str) -> None:
    """Let Pillow read HEIC when the file is one and the plug-in is installed."""
    if start[4:8] != b"ftyp" or start[8:12] not in (
        b"heic",
        b"heix",
        b"hevc",
        b"mif1",
        b"msf1",
        b"heim",
        b"heis",
    ):
        return
    try:
        import pillow_heif
    except ImportError:
        raise PictureError(f"{name}: is a HEIC picture; pip install pillow-heif, or save it as JPEG") from None
    pillow_heif.register_heif_opener()


def _rgb(image: Image.Image, name: str) -> Picture:
    """A loaded PIL image as (H, W, 3) RGB uint8, turned as its EXIF says, over white."""
    try:
        if _orientation(image) != 1:
            image = ImageOps.exif_transpose(image)
        if image.mode in ("I", "F") or image.mode.startswith("I;16"):
            return _from_deep(np.asarray(image), image.format, name)
        if image.mode == "La":  # Pillow undoes the premultiplied alpha of grey only so.
            image = image.convert("LA")
        if image.mode == "RGBa" or image.has_transparency_data:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, (255, 255, 255, 255))
            image = Image.alpha_composite(white, image)
        return np.array(image if image.mode == "RGB" else image.convert("RGB"))
    except PictureError:
        raise
    except Exception as error:  # Also a PIL image whose file was closed or is cut short.
        raise PictureError(f"{name}: cannot be turned into RGB ({_line(error)}); save it anew") from error


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 when there is none or the EXIF is damaged, as viewers do."""
    try:
        with _quietly, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = image.getexif().get(0x0112, 1)
    except Exception:  # A picture is not worse for a damaged note about it.
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _from_deep(values: NDArray[Any], kind: str | None, name: str) -> Picture:
    """Grey values of more than 8 bits as RGB; 16 bits are scaled to 8."""
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > 65535:
        raise PictureError(f"{name}: holds {values.dtype} values, not 8 or 16 bits; convert it to 8 bits first")
    # 32-bit files hold 8-bit values as often as not; Pillow before 11 opens 16-bit PNG so, too.
    if values.dtype.itemsize > 2 and kind != "PNG" and values.max() <= 255:
        grey = values.astype(np.uint8)
    else:
        grey = _eight_bits(values.astype(np.uint16))
    return np.repeat(grey[..., None], 3, axis=2)


def _eight_bits(values: NDArray[np.uint16]) -> Picture:
    """0..65535 as 0..255, rounded."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _from_array(values: NDArray[Any]) -> Picture:
    shape = values.shape
    if values.ndim == 3 and shape[0] in (1, 3, 4) and shape[2] not in (1, 3, 4):
        raise PictureError(f"an array {shape} has its channels first; use array.transpose(1, 2, 0)")
    if not (values.ndim == 2 or (values.ndim == 3 and shape[2] in (1, 3, 4))) or 0 in shape:
        raise PictureError(f"an array {shape} is not a picture; expected (H, W, 3), (H, W, 4) or (H, W)")
    if values.dtype.kind == "f":
        raise PictureError(
            f"an array of {values.dtype} may mean 0..1 or 0..255; expected uint8: "
            "(array * 255).round().astype(np.uint8) if it is 0..1"
        )
    if values.dtype == bool:
        values = values.astype(np.uint8) * 255
    elif values.dtype == np.uint16:
        values = _eight_bits(values)
    elif values.dtype != np.uint8:
        raise PictureError(f"an array of {values.dtype} is not a picture; expected uint8: array.astype(np.uint8)")
    if values.ndim == 2 or shape[2] == 1:
        return np.repeat(values.reshape(*shape[:2], 1), 3, axis=2)
    if shape[2] == 4:
        return _rgb(Image.fromarray(values), "the array")
    return np.ascontiguousarray(values)


def _check_rgb(image: NDArray[Any]) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"expected (H, W, 3) RGB uint8, got {image.shape} {image.dtype}; open_picture gives that")


def _span(start: float, scale: float, side: int, length: int) -> tuple[int, int]:
    """The output pixels [first, last) of a crop that meet the picture's side."""
    first, last = (0 - start) * scale, (side - start) * scale
    return max(0, int(np.floor(first))), min(length, int(np.ceil(last)))


def _cut_out(
    image: Picture, part: tuple[float, ...], margins: tuple[int, int], fill: int
) -> tuple[Picture, tuple[int, int]]:
    """Whole pixels around `part`, with `fill` outside the picture; returns them and where they start (x, y).

    The margins (x, y) are what an antialiasing filter sees beyond the edges.
    """
    height, width = image.shape[:2]
    x0, y0 = int(np.floor(part[0])) - margins[0], int(np.floor(part[1])) - margins[1]
    x1, y1 = int(np.ceil(part[2])) + margins[0], int(np.ceil(part[3])) + margins[1]
    if x0 >= 0 and y0 >= 0 and x1 <= width and y1 <= height:
        return image[y0:y1, x0:x1], (x0, y0)
    pixels = np.full((y1 - y0, x1 - x0, 3), fill, dtype=np.uint8)
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    pixels[top - y0 : bottom - y0, left - x0 : right - x0] = image[top:bottom, left:right]
    return pixels, (x0, y0)


def _resized(image: Picture, size: tuple[int, int], box: tuple[float, float, float, float]) -> Picture:
    """`box` of `image` at `size` (h, w); Pillow's edge convention, antialiased when shrinking."""
    picture = Image.fromarray(np.ascontiguousarray(image))
    picture = picture.resize(size[::-1], Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)
    return np.asarray(picture)


def _line(error: Exception) -> str:
    """An error's words on one line."""
    return " ".join(str(error).split()) or type(error).__name__
