"""What RefHuman's reader and builder cost, as ratios in one run.

    python benchmarks/refhuman.py [--entries 50000] [--runs 3] [--people PEOPLE.json --images DIR] [--json FILE]

The reader opens a made-up file of so many entries in processes of their own, in turn with Python's own `json.load` of
the same file, and the best run of each counts: on a busy machine trust the ratio. With --people the builder is timed
over that file, in seconds of processor time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import anypose

# The peak that getrusage tells is not below that of the process that started this one; Linux's VmHWM is its own.
PEAK = """
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
"""
OPEN = """
import sys, time
from anypose.data.refhuman import read
start, busy = time.perf_counter(), time.process_time()
data = read(sys.argv[1], sys.argv[2])
wall, cpu = time.perf_counter() - start, time.process_time() - busy
print(wall, cpu, peak(), len(data))
"""
LOAD = """
import json, sys, time
start, busy = time.perf_counter(), time.process_time()
data = json.load(open(sys.argv[1]))
wall, cpu = time.perf_counter() - start, time.process_time() - busy
print(wall, cpu, peak(), len(data["images"]))
"""


def make(folder: Path, entries: int) -> Path:
    """A file of so many entries of ten pictures, with polygons of 40 corners, and the pictures."""
    random = np.random.default_rng(0)
    turns = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    ring = np.round(np.stack((320 + 90 * np.cos(turns), 240 + 180 * np.sin(turns)), 1), 2)
    for number in range(10):
        Image.new("RGB", (640, 480)).save(folder / f"{number}.jpg")
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for ident in range(1, entries + 1):
        keypoints = np.column_stack([random.integers(240, 400, (17, 2)), np.full(17, 2)])
        name = f"{ident % 10}.jpg"
        images.append({"id": ident, "file_name": name, "height": 480, "width": 640, "caption": f"person {ident}"})
        annotations.append(
            {
                "id": ident,
                "image_id": ident,
                "category_id": 1,
                "iscrowd": 0,
                "bbox": [230.0, 60.0, 180.0, 360.0],
                "area": 50893.8,
                "num_keypoints": 17,
                "keypoints": keypoints.ravel().tolist(),
                "segmentation": [ring.ravel().tolist()],
                "scribble": random.integers(260, 330, 120).tolist(),
            }
        )
    path = folder / "entries.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": []}))
    return path


def measured(program: str, path: Path) -> tuple[float, float, float]:
    """(seconds, seconds of processor time, peak MB) of a program in a fresh process."""
    environment = {**os.environ, "PYTHONPATH": str(Path(anypose.__file__).parents[1])}
    command = [sys.executable, "-c", PEAK + program, str(path), str(path.parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    wall, cpu, memory, _ = map(float, done.stdout.split())
    return wall, cpu, memory


def reader(entries: int, runs: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = make(Path(folder), entries)
        ours, theirs = [], []
        for _ in range(runs):
            ours.append(measured(OPEN, path))
            theirs.append(measured(LOAD, path))
        megabytes = path.stat().st_size / 1e6
    best, plain = (tuple(min(column) for column in zip(*rows)) for rows in (ours, theirs))
    return {
        "entries": entries,
        "file MB": megabytes,
        "open: seconds": best[0],
        "open: processor seconds": best[1],
        "open: peak MB": best[2],
        "json.load: processor seconds": plain[1],
        "json.load: peak MB": plain[2],
        "open / json.load, processor time": best[1] / plain[1],
    }


def builder(people: Path, images: Path) -> dict[str, float]:
    from anypose.data.building import RULES, build
    from anypose.data.coco import read

    samples = read(people, images, strict=False)
    start, busy = time.perf_counter(), time.process_time()
    built = build(samples, RULES["wide"])
    wall, cpu = time.perf_counter() - start, time.process_time() - busy
    eligible = built.counts["eligible"]
    return {
        "people who may be asked for": eligible,
        "entries, share": built.counts["entries"] / eligible,
        "captions that only name a spot, share": built.counts["spots"] / eligible,
        "captions without position, share": built.counts["unplaced"] / built.counts["entries"],
        "people a second": eligible / wall,
        "people a second of one processor": eligible / cpu,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=50_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--people", type=Path)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    figures = reader(given.entries, given.runs)
    if given.people is not None:
        figures |= builder(given.people, given.images or given.people.parent / "images")
    for name, value in figures.items():
        print(f"{name:45} {value:,.3f}")
    if given.json is not None:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
