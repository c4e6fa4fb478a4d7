"""What `anypose lift` costs from a cold start, as whole processes.

    python benchmarks/lift.py [--frames 300] [--runs 5] [--json FILE]

Each run of the command is followed by a bare script that opens the same file and the same network and runs it, so that
a busy machine slows both: trust the ratio there, processor time before the clock, and the target on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import anypose
from anypose.skeleton import COCO17, H36M17
from anypose.track import Track

TARGET = 1.0  # seconds
WEIGHTS = Path(anypose.__file__).parent / "weights" / "lever" / "lift.onnx"

BARE = """
import json
import sys

import numpy as np
import onnxruntime

with open(sys.argv[1]) as file:
    track = json.load(file)
keypoints = np.array(track["keypoints"], np.float32)[None] / 320 - 1
session = onnxruntime.InferenceSession(sys.argv[2], providers=["CPUExecutionProvider"])
joints = session.run(None, {"keypoints": keypoints})[0]
with open(sys.argv[3], "w") as file:
    json.dump(joints.tolist(), file)
"""


def a_track(frames: int) -> Track:
    """Keypoints of COCO's skeleton that sway."""
    random = np.random.default_rng(0)
    start, phase = random.normal(300, 60, (17, 2)), random.uniform(0, 6, (17, 1))
    keypoints = start + 20 * np.sin(np.arange(frames)[:, None, None] / 15 + phase)
    return Track(np.arange(frames) / 30, keypoints, skeleton=COCO17, size=(480, 640))


def cost(command: list[str]) -> tuple[float, float]:
    """Seconds by the clock and of processor time of one process."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measured(frames: int, runs: int) -> dict[str, float]:
    """Middle values over the runs, the first of which only warms the disk."""
    walls, works, bare_walls, bare_works = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        track = a_track(frames)
        track.save(place / "track.json")
        bare = place / "bare.json"
        bare.write_text(json.dumps({"keypoints": track.to_skeleton(H36M17)[0].keypoints.tolist()}))
        ours = [sys.executable, "-m", "anypose", "lift", str(place / "track.json"), "--out", str(place / "3d.json")]
        theirs = [sys.executable, "-c", BARE, str(bare), str(WEIGHTS), str(place / "out.json")]
        for run in range(runs + 1):
            costs = cost(ours), cost(theirs)
            if run:
                walls.append(costs[0][0])
                works.append(costs[0][1])
                bare_walls.append(costs[1][0])
                bare_works.append(costs[1][1])
    middle = statistics.median
    return {
        "frames": frames,
        "wall seconds": middle(walls),
        "wall seconds, target": TARGET,
        "processor seconds": middle(works),
        "bare script, wall seconds": middle(bare_walls),
        "bare script, processor seconds": middle(bare_works),
        "wall / bare script": middle(walls) / middle(bare_walls),
        "processor / bare script": middle(works) / middle(bare_works),
        "load": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    figures = measured(arguments.frames, arguments.runs)
    for name, value in figures.items():
        print(f"{name}: {value:.3g}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
