"""What synthetic people cost, and what of them.

    python benchmarks/synthetic.py [--pictures 40] [--people 3] [--size 512] [--processes 2] [--device cpu]
                                   [--json FILE]

Pictures with all truth (maps of every pixel, 3D, masks, sentences read back by the second routine) are written as
`anypose data synthesize --arrays` writes them, by a process for each core; the time to start the processes counts too,
and is told apart. Before that one process says where its time goes, as shares of processor time, and how many times
numpy could have heap-sorted a million numbers in the time of a picture: a figure to compare machines by. On a busy
machine trust the shares and that ratio, not the pictures a second.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from anypose.data.synthetic import Settings, Source, Wishes
from anypose.data.synthetic.checking import Reader
from anypose.data.synthetic.frame import frame_of
from anypose.data.synthetic.scene import random_scene
from anypose.data.synthetic.words import expressions
from anypose.data.synthetic.writing import Plan, packed, write


def written(settings: Settings, pictures: int, processes: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        write(Plan(settings, processes, shard=1), Path(folder) / "start", processes)
        begun = time.perf_counter() - start
        shard = -(-pictures // (2 * processes))
        start = time.perf_counter()
        counts = write(Plan(settings, pictures, shard, arrays=True), Path(folder) / "all", processes)
        whole = time.perf_counter() - start
    return {
        "pictures": counts["pictures"],
        "people": counts["people"],
        "pictures a second, with the start of processes": pictures / whole,
        "pictures a second, without it": (pictures - processes) / max(whole - begun, 1e-6),
    }


def shares(settings: Settings, pictures: int) -> dict[str, float]:
    torch.set_num_threads(1)
    source = Source(settings)
    source.frame(0)
    spent = dict.fromkeys(
        ("people, poses and places", "rendering and truth", "sentences and their check", "arrays"), 0.0
    )
    said = wrong = 0
    for number in range(pictures):
        rng = np.random.default_rng([settings.seed, number])
        marks = [time.process_time()]
        scene = random_scene(settings.wishes, source.body, rng)
        marks.append(time.process_time())
        frame = frame_of(scene, f"{number:08d}", number, source.device)
        marks.append(time.process_time())
        reader = Reader(frame)
        for k, sentences in enumerate(expressions(frame, rng, settings.sentences)):
            said += len(sentences)
            wrong += sum(reader.meant(sentence.text) != [k] for sentence in sentences)
        marks.append(time.process_time())
        packed(frame)
        marks.append(time.process_time())
        for name, seconds in zip(spent, np.diff(marks)):
            spent[name] += float(seconds)
    total = sum(spent.values())
    out = {f"share of {name}": seconds / total for name, seconds in spent.items()}
    out["processor seconds a picture"] = total / pictures
    out["in heap sorts of a million numbers"] = total / pictures / _sorting()
    out["pictures a second of one processor"] = pictures / total
    return out | {"sentences": said, "sentences not read back as one person": wrong}


def _sorting() -> float:
    """Processor seconds in which numpy sorts a million random float64, the middle of nine times."""
    numbers = np.random.default_rng(0).random(1_000_000)
    spent = []
    for _ in range(9):
        start = time.process_time()
        np.sort(numbers, kind="heapsort")
        spent.append(time.process_time() - start)
    return float(np.median(spent))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--people", type=int, default=3)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    settings = Settings(Wishes((given.people, given.people), (given.size, given.size)), device=given.device)
    figures = shares(settings, given.pictures) | written(settings, given.pictures, given.processes)
    for name, value in figures.items():
        print(f"{name:50} {value:,.3f}")
    if given.json is not None:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
