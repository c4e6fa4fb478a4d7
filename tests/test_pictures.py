import http.server
import io
import os
import re
import struct
import subprocess
import sys
import threading
import time
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from anypose import pictures, sources
from anypose.pictures import (
    PictureError,
    apply,
    apply_to_boxes,
    compose,
    crop,
    encode_picture,
    invert,
    letterbox,
    list_pictures,
    open_picture,
)

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def four_corners(height: int = 24, width: int = 32) -> Any:
    """Red, green, blue and white quarters, so that every turn and flip is told apart."""
    image = np.zeros((height, width, 3), np.uint8)
    rows, columns = height // 2, width // 2
    image[:rows, :columns], image[:rows, columns:] = RED, GREEN
    image[rows:, :columns], image[rows:, columns:] = BLUE, WHITE
    return image


def corners_of(image: Any) -> list[tuple[int, ...]]:
    places = ((2, 2), (2, -3), (-3, 2), (-3, -3))
    return [tuple(int(value > 127) * 255 for value in image[place]) for place in places]


def saved(path: Path, **options: Any) -> Path:
    Image.fromarray(four_corners()).save(path, **options)
    return path


def fault(source: Any, **options: Any) -> str:
    """The message of the error that `source` raises: one line."""
    with pytest.raises(PictureError) as caught:
        open_picture(source, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "tif", "gif", "ppm"])
def test_every_kind_of_file(tmp_path: Path, suffix: str) -> None:
    image = open_picture(saved(tmp_path / f"a.{suffix}"))
    assert image.shape == (24, 32, 3)
    assert image.dtype == np.uint8
    assert corners_of(image) == [RED, GREEN, BLUE, WHITE]


def test_every_kind_of_source(tmp_path: Path) -> None:
    path, expected = saved(tmp_path / "a.png"), four_corners()
    with path.open("rb") as file:
        for source in (str(path), path, path.read_bytes(), bytearray(path.read_bytes()), file, expected):
            np.testing.assert_array_equal(open_picture(source), expected)
    np.testing.assert_array_equal(open_picture(Image.open(path)), expected)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(tmp_path: Path, orientation: int, suffix: str) -> None:
    # How the stored picture must lie so that the displayed one has red, green, blue and white corners.
    undo: Any = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(undo[orientation](four_corners())))
    stored.save(tmp_path / f"a.{suffix}", exif=exif)
    image = open_picture(tmp_path / f"a.{suffix}")
    assert image.shape == (24, 32, 3)
    assert corners_of(image) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    content, pipe = saved(tmp_path / "a.png").read_bytes(), tmp_path / "pipe"
    os.mkfifo(pipe)
    threading.Thread(target=pipe.write_bytes, args=(content,), daemon=True).start()
    np.testing.assert_array_equal(open_picture(pipe), four_corners())


def test_a_pil_image_is_turned_but_not_changed(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.open(saved(tmp_path / "a.jpg", exif=exif))
    assert open_picture(image).shape == (32, 24, 3)
    assert image.size == (32, 24)


def test_damaged_exif_does_not_cost_the_picture(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert open_picture(path).shape == (24, 32, 3)


def test_premultiplied_transparency() -> None:
    for mode in ("La", "RGBa"):
        assert open_picture(Image.new(mode, (3, 2))).min() == 255


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "I;16", "I"])
def test_every_mode_of_pixels(mode: str) -> None:
    grey = np.zeros((10, 12), np.uint8)
    grey[:, 6:] = 255
    image = Image.fromarray(grey)
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    elif mode == "I":
        image = Image.fromarray(grey.astype(np.int32))
    elif mode in ("RGBA", "LA", "P", "CMYK", "YCbCr"):
        image = image.convert("RGB").convert(mode if mode != "LA" else "L").convert(mode)
    else:
        image = image.convert(mode)
    assert image.mode == mode
    opened = open_picture(image)
    np.testing.assert_array_equal(opened, np.repeat(grey[..., None], 3, axis=2))


def test_cmyk_jpeg_and_sixteen_bit_png_and_tiff(tmp_path: Path) -> None:
    Image.fromarray(four_corners()).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert corners_of(open_picture(tmp_path / "a.jpg")) == [RED, GREEN, BLUE, WHITE]
    deep = np.linspace(0, 65535, 12 * 256).astype(np.uint16).reshape(12, 256)
    for suffix in ("png", "tif"):
        Image.fromarray(deep).save(tmp_path / f"a.{suffix}")
        opened = open_picture(tmp_path / f"a.{suffix}")
        assert np.abs(opened[..., 0] - deep / 257).max() <= 0.5
    assert np.abs(open_picture(deep)[..., 1] - deep / 257).max() <= 0.5


@pytest.mark.parametrize("suffix", ["png", "webp", "gif", "tif"])
def test_transparency_is_laid_over_white(tmp_path: Path, suffix: str) -> None:
    image = np.zeros((8, 8, 4), np.uint8)
    image[:, :4] = (*RED, 255)
    Image.fromarray(image).save(tmp_path / f"a.{suffix}", lossless=True)
    opened = open_picture(tmp_path / f"a.{suffix}")
    assert opened[4, 1].tolist() == [255, 0, 0]
    assert opened[4, 6].tolist() == [255, 255, 255]


def test_half_transparency_and_transparent_palettes(tmp_path: Path) -> None:
    half = np.zeros((2, 2, 4), np.uint8)
    half[..., 3] = 128
    assert open_picture(half)[0, 0].tolist() == [127] * 3
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.save(tmp_path / "a.png", transparency=1)
    assert open_picture(tmp_path / "a.png")[0, 0].tolist() == [255] * 3


def test_of_several_frames_the_first_is_taken(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (6, 5), colour) for colour in ("red", "blue")]
    for suffix in ("gif", "tif", "webp"):
        frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
        opened = open_picture(tmp_path / f"a.{suffix}")[2, 2].astype(int)
        assert opened[0] > 200
        assert opened[2] < 60


def test_heic_with_its_plug_in(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.fromarray(four_corners(64, 96))).save(tmp_path / "a.heic", quality=95)
    assert corners_of(open_picture(tmp_path / "a.heic")) == [RED, GREEN, BLUE, WHITE]


def test_heic_without_its_plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    assert "a.heic: is a HEIC picture; pip install pillow-heif" in fault(tmp_path / "a.heic")


def test_what_is_not_a_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "words.jpg").write_text("not a picture at all, but long enough to look at")
    (tmp_path / "folder").mkdir()
    assert "nowhere.jpg: there is no such file; check the path" in fault(tmp_path / "nowhere.jpg")
    assert "empty.jpg: is empty" in fault(tmp_path / "empty.jpg")
    assert "words.jpg: is not a picture that can be read" in fault(tmp_path / "words.jpg")
    assert "folder: holds no pictures" in fault(tmp_path / "folder")
    assert "*.xyz: matches no file; check the pattern" in fault(str(tmp_path / "*.xyz"))
    assert "the bytes: is empty" in fault(b"")
    assert "open it in binary mode" in fault(io.StringIO("words"))
    assert "NoneType is not a picture; give a path" in fault(None)
    assert "check the path" in fault("a\0b")
    assert "check the path" in fault("a" * 5000)
    with pytest.raises(ValueError, match="nowhere"):
        open_picture("nowhere.jpg")


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png")
    path.chmod(0)
    assert "may not be read; check its permissions" in fault(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "tif", "gif"])
def test_a_file_cut_short_is_named(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(rng.integers(0, 255, (80, 90, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert re.search(f"a.{suffix}: is (truncated or damaged|damaged or not a picture)", fault(path))


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "tif", "gif"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_files_give_a_picture_or_one_line(suffix: str) -> None:
    rng = np.random.default_rng(3)
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(rng.integers(0, 255, (24, 24, 3), np.uint8)).save(
        file, format={"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper()), exif=exif
    )
    whole = file.getvalue()
    for _ in range(60):
        damaged = bytearray(whole[: rng.integers(1, len(whole) + 1)])
        for place in rng.integers(0, min(len(damaged), 200), 4):
            damaged[place] = rng.integers(256)
        try:
            message = str(open_picture(bytes(damaged)).dtype)
        except PictureError as error:
            message = str(error)
        assert "\n" not in message


def test_far_too_many_pixels_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    whole = encode_picture(four_corners(), "png")
    for side in (12_000, 30_000):
        # Only the header says so; decoding would find the rest missing.
        head = b"IHDR" + struct.pack(">II", side, side) + whole[24:29]
        (tmp_path / "bomb.png").write_bytes(whole[:12] + head + struct.pack(">I", zlib.crc32(head)) + whole[33:])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            message = fault(tmp_path / "bomb.png")
        assert "bomb.png" in message
        assert "the limit" in message
        assert "make it smaller" in message


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 20, 30), np.uint8), "channels first; use array.transpose(1, 2, 0)"),
        (np.zeros((20, 30, 2), np.uint8), "an array (20, 30, 2) is not a picture"),
        (np.zeros((0, 30, 3), np.uint8), "an array (0, 30, 3) is not a picture"),
        (np.zeros(4, np.uint8), "an array (4,) is not a picture"),
        (np.zeros((20, 30, 3)), "float64 may mean 0..1 or 0..255; expected uint8: (array * 255)"),
        (np.zeros((20, 30, 3), np.int64), "an array of int64 is not a picture; expected uint8"),
        (np.zeros((20, 30, 3), object), "an array of object"),
    ],
)
def test_arrays_that_are_no_pictures(array: Any, message: str) -> None:
    assert message in fault(array)


def test_arrays_that_are_pictures() -> None:
    grey = np.arange(20, dtype=np.uint8).reshape(4, 5)
    expected = np.repeat(grey[..., None], 3, axis=2)
    for array in (grey, grey[..., None], expected, expected[:, ::-1][:, ::-1]):
        opened = open_picture(array)
        np.testing.assert_array_equal(opened, expected)
        assert opened.flags.c_contiguous
    assert open_picture(grey > 3).max() == 255
    assert "float32" in fault(Image.fromarray(np.zeros((4, 4), np.float32)))


def test_a_jpeg_may_come_smaller_when_asked(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (800, 400)).save(tmp_path / "a.jpg", exif=exif)
    assert open_picture(tmp_path / "a.jpg").shape == (800, 400, 3)
    assert open_picture(tmp_path / "a.jpg", at_least=(300, 100)).shape == (400, 200, 3)
    assert open_picture(tmp_path / "a.jpg", at_least=(500, 100)).shape == (800, 400, 3)


def test_standard_input(tmp_path: Path) -> None:
    program = "import anypose.pictures as p; print(p.open_picture('-').shape)"
    for content, expected in ((saved(tmp_path / "a.png").read_bytes(), "(24, 32, 3)"), (b"", "PictureError")):
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, input=content, capture_output=True, check=False)
        assert expected in (done.stdout + done.stderr).decode()
    assert "standard input: is empty" in done.stderr.decode()


class Handler(http.server.BaseHTTPRequestHandler):
    """A picture and what can go wrong on the way to it."""

    def do_GET(self) -> None:
        content = encode_picture(four_corners(), "png")
        if self.path == "/missing":
            self.send_error(404, "Not Found")
            return
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/a.png")
            self.end_headers()
            return
        self.send_response(200)
        if self.path == "/broken":
            self.send_header("Content-Length", str(len(content) * 2))
        self.end_headers()
        if self.path == "/slow":
            for byte in content[:200]:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(0.05)
            return
        self.wfile.write(b"x" * 5000 if self.path == "/long" else content)

    def log_message(self, *arguments: Any) -> None:
        """Nothing: tests are quiet."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_addresses(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.png", "moved"):
        np.testing.assert_array_equal(open_picture(f"{server}/{name}"), four_corners())
    assert "/missing: the server answers 404 Not Found; check the address" in fault(f"{server}/missing")
    assert "broke off" in fault(f"{server}/broken")
    start = time.monotonic()
    assert "took longer than 0.3 seconds" in fault(f"{server}/slow", timeout=0.3)
    assert time.monotonic() - start < 3
    assert "cannot be downloaded" in fault("http://127.0.0.1:9/a.png")
    assert "cannot be downloaded" in fault("http://[::1/a.png")
    monkeypatch.setattr(sources, "BYTE_LIMIT", 1000)
    assert "is longer than 1,000 bytes" in fault(f"{server}/long")


def test_what_to_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a.jpg", "c.TIFF", ".hidden.png", "notes.txt", "odd[1].png", "deep/d.webp"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    Path("none").mkdir()
    Path("folder.png").mkdir()

    def listed(*arguments: str | Path) -> list[str]:
        return [str(source) for source in list_pictures(arguments)]

    assert listed(".") == ["a.jpg", "b.png", "c.TIFF", "odd[1].png"]
    assert listed("b.png", ".", "-") == ["b.png", "a.jpg", "c.TIFF", "odd[1].png", "-"]
    assert listed("*.png") == ["b.png", "odd[1].png"]
    assert listed("**/*.webp") == ["deep/d.webp"]
    assert listed("odd[1].png", Path("a.jpg")) == ["odd[1].png", "a.jpg"]
    # What matches nothing keeps its turn, and is named by open_picture.
    unmatched = ["nothing*.png", "none", "gone.jpg", "a" * 5000]
    assert listed(*unmatched, "b.png") == [*unmatched, "b.png"]
    assert listed("https://example.org/a[1].png") == ["https://example.org/a[1].png"]
    assert listed() == []


@pytest.mark.parametrize(("height", "width"), [(300, 500), (500, 300), (64, 64), (33, 1000), (1, 1)])
def test_letterbox(height: int, width: int) -> None:
    image = np.full((height, width, 3), 200, np.uint8)
    padded, affine = letterbox(image, 416)
    assert padded.shape[0] % 32 == padded.shape[1] % 32 == 0
    assert max(padded.shape) == 416
    inner = apply(affine, [(width, height)])[0]
    np.testing.assert_allclose(inner, inner.round(), atol=1e-9)
    across, down = inner.round().astype(int)
    assert (padded[:down, :across] == 200).all()
    assert (padded[down:] == 114).all()
    assert (padded[:, across:] == 114).all()
    assert max(inner) == 416


def dot(height: int, width: int, centre: tuple[float, float], radius: float) -> Any:
    """A white round dot, soft so that its place is known to a part of a pixel, on black."""
    y, x = np.mgrid[:height, :width] + 0.5
    bright = 255 * np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * radius**2))
    return np.repeat(bright.round().astype(np.uint8)[..., None], 3, axis=2)


def centre_of(image: Any) -> Any:
    bright = image[..., 0].astype(float)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    return np.array([(x * bright).sum(), (y * bright).sum()]) / bright.sum()


places = st.tuples(st.floats(60, 260), st.floats(60, 180))


@settings(max_examples=40, deadline=None)
@given(places, st.integers(100, 700))
def test_letterbox_maps_to_a_part_of_a_pixel(place: Any, long_side: int) -> None:
    padded, affine = letterbox(dot(240, 320, place, 6), long_side, fill=0)
    np.testing.assert_allclose(centre_of(padded), apply(affine, place), atol=0.06)


@settings(max_examples=50, deadline=None)
@given(
    places,
    st.tuples(st.floats(20, 900), st.floats(20, 900), st.floats(20, 900), st.floats(20, 900)),
    st.sampled_from([(256, 192), (64, 48), (100, 333)]),
)
def test_crop_maps_to_a_part_of_a_pixel(place: Any, reach: Any, size: tuple[int, int]) -> None:
    # The box reaches from 20 to 900 pixels beyond the dot, so it often leaves the picture.
    box = (place[0] - reach[0], place[1] - reach[1], place[0] + reach[2], place[1] + reach[3])
    part, affine = crop(dot(240, 320, place, 5), box, size, fill=0)
    assert part.shape == (*size, 3)
    np.testing.assert_allclose(apply(affine, np.reshape(box, (2, 2))), [(0, 0), size[::-1]], atol=1e-6)
    weight = part[..., 0].astype(float).sum()
    if weight > 400:  # A dot that has shrunk to a pixel or two is rounded to whole grey values.
        np.testing.assert_allclose(centre_of(part), apply(affine, place), atol=0.08)


def test_a_crop_at_the_pictures_own_scale_is_the_picture() -> None:
    image = np.random.default_rng(0).integers(0, 255, (50, 70, 3), np.uint8)
    part, _ = crop(image, (10, 5, 40, 45), (40, 30))
    np.testing.assert_array_equal(part, image[5:45, 10:40])
    part, affine = crop(image, (-10, -5, 20, 35), (40, 30), fill=7)
    np.testing.assert_array_equal(part[5:, 10:], image[:35, :20])
    assert (part[:5] == 7).all()
    assert (part[:, :10] == 7).all()
    assert affine.tolist() == [[1, 0, 10], [0, 1, 5]]


def test_crops_that_miss_the_picture_or_dwarf_it() -> None:
    image = np.full((50, 70, 3), 200, np.uint8)
    part, _ = crop(image, (100, 100, 140, 160), (64, 48))
    assert (part == 114).all()
    part, affine = crop(image, (-2000, -2000, 2000, 2000), (400, 400), fill=0)
    np.testing.assert_allclose(centre_of(part), apply(affine, (35, 25)), atol=0.1)


def test_a_crop_is_the_same_part_of_a_larger_crop() -> None:
    # At its edges, too, where an antialiasing filter looks at pixels beyond the box.
    image = np.random.default_rng(0).integers(0, 255, (240, 240, 3), np.uint8)
    whole, _ = crop(image, (0, 0, 240, 240), (40, 40))
    part, _ = crop(image, (60, 30, 180, 210), (30, 20))
    assert np.abs(part.astype(int) - whole[5:35, 10:30]).max() <= 1


def test_a_shrinking_crop_is_antialiased() -> None:
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 255
    part, _ = crop(stripes, (3.3, 3.3, 396.1, 396.1), (40, 40))
    assert np.abs(part[2:-2, 2:-2].astype(int) - 127).max() < 12


@pytest.mark.parametrize(
    "box", [(5, 5, 5, 9), (9, 5, 5, 9), (0, 0, float("nan"), 1), (0, 0, float("inf"), 1), (0, 0, 1e6, 1)]
)
def test_boxes_that_cannot_be_cropped(box: Any) -> None:
    with pytest.raises(ValueError, match="cannot crop the box"):
        crop(np.zeros((50, 70, 3), np.uint8), box, (10, 10))


def test_only_rgb_is_cropped() -> None:
    for image in (np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3))):
        with pytest.raises(ValueError, match="expected \\(H, W, 3\\) RGB uint8"):
            crop(image, (0, 0, 5, 5), (10, 10))  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="expected \\(H, W, 3\\) RGB uint8"):
            letterbox(image, 64)  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=6, max_size=6), st.lists(st.floats(-5, 5), min_size=6, max_size=6))
def test_affines_compose_and_invert(first: list[float], second: list[float]) -> None:
    one, two = (np.array(values).reshape(2, 3) for values in (first, second))
    points = np.array([(0.0, 0.0), (3.0, 1.0), (-2.0, 5.0)])
    np.testing.assert_allclose(apply(compose(one, two), points), apply(two, apply(one, points)), atol=1e-9)
    if abs(np.linalg.det(one[:, :2])) > 0.1:
        np.testing.assert_allclose(apply(invert(one), apply(one, points)), points, atol=1e-6)


def test_affines_that_are_none() -> None:
    with pytest.raises(ValueError, match="flattens the plane"):
        invert([[1, 1, 0], [1, 1, 0]])
    with pytest.raises(ValueError, match="shape \\(2, 3\\)"):
        apply(np.eye(3), (1, 2))
    with pytest.raises(ValueError, match="finite"):
        apply(np.array([[1, 0, np.nan], [0, 1, 0]]), (1, 2))
    with pytest.raises(ValueError, match="points have the shape"):
        apply([[1, 0, 0], [0, 1, 0]], (1, 2, 3))
    with pytest.raises(ValueError, match="boxes have the shape"):
        apply_to_boxes([[1, 0, 0], [0, 1, 0]], (1, 2, 3))
    assert apply_to_boxes([[-1, 0, 10], [0, 1, 0]], np.array([(1, 2, 3, 4)])).tolist() == [[7, 2, 9, 4]]


@pytest.mark.parametrize("target", ["png", "jpg", "webp", "bmp", Path("a/b.JPEG"), "x.tiff"])
def test_what_is_written_can_be_read(target: Any) -> None:
    again = open_picture(encode_picture(four_corners(), target))
    assert corners_of(again) == [RED, GREEN, BLUE, WHITE]


def test_writing_masks_and_transparency() -> None:
    mask = np.eye(9, dtype=bool)
    for target in ("png", "jpg"):
        again = open_picture(encode_picture(mask, target))
        np.testing.assert_array_equal(again[..., 0] > 127, mask)
    clear = np.zeros((4, 4, 4), np.uint8)
    assert open_picture(encode_picture(clear, "png")).min() == 255
    assert encode_picture(clear, "jpg")
    with pytest.raises(PictureError, match="xyz: cannot write this kind of picture; use jpg"):
        encode_picture(four_corners(), "a.xyz")
    with pytest.raises(ValueError, match="cannot write an array"):
        encode_picture(np.zeros((3, 3, 3)), "png")


def test_the_limit_is_what_the_message_says() -> None:
    assert f"{pictures.PIXEL_LIMIT:,}" == "100,000,000"
