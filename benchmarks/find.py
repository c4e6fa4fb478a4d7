"""What finding a person costs, as whole processes and as ratios in one run.

    python benchmarks/find.py [--weights DIR] [--runs 5] [--json FILE]

DIR holds yolox_nano_416.onnx and tinypose_256x192.onnx as published; without them the rows of the baseline are
left out. Each thing is measured in turn with what it is compared with, so that a busy machine slows both:
trust the ratios there, and the targets on a machine that is idle.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image, ImageOps
from rich.console import Console
from rich.table import Table

import anypose
from anypose.pictures import list_pictures, open_picture
from anypose.predictor import Predictor
from anypose.prompt import Prompt

EXAMPLES = Path(anypose.__file__).parent / "examples"
PICTURE = EXAMPLES / "group.jpg"
PUBLISHED = ("yolox_nano_416.onnx", "tinypose_256x192.onnx")
SIDE = 480  # pixels of the long side of the folder's pictures
THREADS = 2

BARE_SCRIPT = """
import sys
import numpy as np
import onnxruntime
from PIL import Image

picture = Image.open(sys.argv[1]).convert("RGB")
for path in sys.argv[2:4]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    _, channels, height, width = (side if isinstance(side, int) else 1 for side in entry.shape)
    pixels = np.asarray(picture.resize((width, height)), np.float32).transpose(2, 0, 1)[None]
    session.run(None, {entry.name: pixels})
picture.save(sys.argv[4])
"""

FOLDER_SCRIPT = """
import sys
import time

import anypose
from anypose.pictures import open_picture
from anypose.prompt import Prompt

paths = sys.argv[1:]
predictor = anypose.load()
resident = []
for path in paths[:1] + paths:
    picture = open_picture(path)
    height, width = picture.shape[:2]
    predictor.encode(picture).find([Prompt(points=[(width / 2, height / 2)])])
    if not resident:
        start = time.perf_counter()
    with open("/proc/self/statm") as file:
        resident.append(int(file.read().split()[1]))
quarter = resident[max(1, len(paths) // 4)]
print(time.perf_counter() - start, quarter, resident[-1])
"""


@dataclass(frozen=True)
class Row:
    """One figure. `than` names the row that it is compared with; `target` is the most (for rates the least)."""

    name: str
    value: float | None
    unit: str
    than: str | None = None
    ratio: float | None = None
    target: float | None = None
    note: str = ""


def main() -> None:
    """Print the table, and write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--weights", type=Path, metavar="DIR", help="the two published networks")
    parser.add_argument("--runs", type=int, default=5, help="of each process; calls are repeated 6 times as often")
    parser.add_argument("--pictures", type=int, default=200, help="in the folder")
    parser.add_argument("--images", type=Path, metavar="DIR", help="pictures of the folder (the examples if not given)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    options = parser.parse_args()
    missing = [name for name in PUBLISHED if options.weights and not (options.weights / name).is_file()]
    if min(options.runs, options.pictures) < 1 or missing:
        parser.error(f"{options.weights} holds no {missing[0]}" if missing else "--runs and --pictures start at 1")
    published = [options.weights / name for name in PUBLISHED] if options.weights else []
    with tempfile.TemporaryDirectory() as scratch:
        rows = [*cold_start(published, options.runs, Path(scratch))]
        rows += calls(published, options.runs * 6)
        rows += folder(options.images or EXAMPLES, options.pictures, Path(scratch))
    Console().print(table(rows))
    if options.json:
        options.json.write_text(json.dumps({row.name: asdict(row) for row in rows}, indent=1) + "\n")


def cold_start(published: list[Path], runs: int, scratch: Path) -> Iterator[Row]:
    """`anypose find` and the bare script as whole processes, in turn."""
    find = [sys.executable, "-m", "anypose", "find", str(PICTURE), "--text", "the person on the left"]
    commands = {"find": [*find, "--out", str(scratch / "found.png")]}
    if published:
        script = [sys.executable, "-c", BARE_SCRIPT]
        commands["bare"] = [*script, str(PICTURE), *map(str, published), str(scratch / "bare.png")]
    taken: dict[str, list[tuple[float, float, float]]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            taken[name].append(process(command))
    middle = {name: [statistics.median(column) for column in zip(*values)] for name, values in taken.items()}
    figures = (("wall", "s", 0.9), ("processor", "s", None), ("peak memory", "MB", 250.0))
    for place, (what, unit, target) in enumerate(figures):
        bare = middle["bare"][place] if "bare" in middle else None
        yield from against(f"cold start: {what}", middle["find"][place], unit, target, "bare script", bare)


def process(command: list[str]) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and peak MB of a command. SystemExit with its words when it fails."""
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=output, stderr=output)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            output.seek(0)
            raise SystemExit(f"{command[:4]} failed: {output.read().decode(errors='replace')}")
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 2**20


def calls(published: list[Path], runs: int) -> Iterator[Row]:
    """Encoding a picture and asking once more, against the published networks and against eager torch."""
    image = open_picture(PICTURE)
    steps: dict[str, Callable[[], Any]] = {}
    steps |= _asked(anypose.load(threads=THREADS), "onnx", image)
    quick = _asked(anypose.load(quick=True, threads=THREADS), "quick", image)
    steps["quick prompt"] = quick["quick prompt"]
    no_torch = ""
    try:
        steps |= _asked(anypose.load(engine="torch", threads=THREADS), "torch", image)
    except (ValueError, FileNotFoundError) as error:  # torch is not there, or its weights are of another version
        no_torch = f"left out: {error}"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    # Its threads wait in a loop between runs: they are not to do so while another is measured.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    for name, path in zip(("detector", "pose"), published):
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        entry = session.get_inputs()[0]
        shape = [side if isinstance(side, int) else 1 for side in entry.shape]
        feed = {entry.name: np.zeros(shape, np.float32)}
        steps[name] = partial(session.run, None, feed)
    middle = in_turn(steps, runs)
    for what, name, other, target in (("encode", "encode", "detector", 20.0), ("a prompt", "prompt", "pose", 25.0)):
        value = middle[f"onnx {name}"]
        yield from against(what, value, "ms", target, f"published {other}", middle.get(other))
        yield other_row(what, value, "ms", "eager torch", middle.get(f"torch {name}"), no_torch)
    yield from against("a prompt, quick", middle["quick prompt"], "ms", None, "published pose", middle.get("pose"))


def _asked(predictor: Predictor, engine: str, image: Any) -> dict[str, Callable[[], Any]]:
    height, width = image.shape[:2]
    scene = predictor.encode(image)
    prompts = [Prompt(points=[(width / 4, height / 2)])]
    return {
        f"{engine} encode": lambda: predictor.encode(image),
        f"{engine} prompt": lambda: scene.find(prompts, threshold=0.0),
    }


def in_turn(steps: dict[str, Callable[[], Any]], runs: int) -> dict[str, float]:
    """Median milliseconds of each step, all of them once a round, after one round to warm up."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(runs + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if turn:
                taken[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in taken.items()}


def folder(images: Path, count: int, scratch: Path) -> Iterator[Row]:
    """One process, `count` pictures, one prompt each: how fast, and whether its memory grows."""
    paths = pictures(images, count, scratch)
    done = subprocess.run([sys.executable, "-c", FOLDER_SCRIPT, *paths], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"the folder failed: {done.stderr}")
    seconds, quarter, end = (float(value) for value in done.stdout.split())
    early = max(1, count // 4)
    page = os.sysconf("SC_PAGE_SIZE") / 2**20
    yield Row("folder: pictures a second", count / seconds, "/s", target=12.0, note=f"{count} pictures")
    yield Row(f"folder: memory after {early}", quarter * page, "MB")
    note = "growth is the ratio"
    than = f"folder: memory after {early}"
    yield Row(f"folder: memory after all {count}", end * page, "MB", than, end / quarter, note=note)


def pictures(images: Path, count: int, scratch: Path) -> list[str]:
    """`count` JPEG files of varied shape made from those of a folder: shrunk, mirrored, cut, dimmed."""
    sources = [open_picture(path) for path in list_pictures([images])]
    paths = []
    for number in range(count):
        picture = Image.fromarray(sources[number % len(sources)])
        cut = (number // len(sources)) % 5 / 40
        width, height = picture.size
        picture = picture.crop((int(cut * width), 0, width, height - int(cut * height / 2)))
        picture.thumbnail((SIDE, SIDE))
        picture = ImageOps.mirror(picture) if number % 2 else picture
        path = scratch / f"{number:04}.jpg"
        picture.point(lambda value, dim=1 - number % 7 / 20: int(value * dim)).save(path, quality=90)
        paths.append(str(path))
    return paths


def against(
    name: str, value: float, unit: str, target: float | None, other: str, others: float | None
) -> Iterator[Row]:
    """A figure, then what it is compared with; a note where that was not measured."""
    yield Row(name, value, unit, target=target)
    yield other_row(name, value, unit, other, others, "left out: give --weights")


def other_row(name: str, value: float, unit: str, other: str, others: float | None, missing: str) -> Row:
    """The figure of what `name` is compared with, and how many times it `name` takes."""
    if others is None:
        return Row(f"{name}: {other}", None, unit, note=missing)
    return Row(f"{name}: {other}", others, unit, than=name, ratio=value / others)


def table(rows: list[Row]) -> Table:
    """The rows for a terminal."""
    shown = Table(title=f"finding a person, on {os.cpu_count()} processors")
    for heading in ("what", "figure", "ours / this", "target", "note"):
        shown.add_column(heading, justify="left" if heading in ("what", "note") else "right")
    for row in rows:
        figure = "-" if row.value is None else f"{row.value:.3g} {row.unit}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        target = "" if row.target is None else f"{row.target:g} {row.unit}"
        shown.add_row(row.name, figure, ratio, target, row.note)
    return shown


if __name__ == "__main__":
    main()
