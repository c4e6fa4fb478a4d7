"""Lifting systems side by side on the default benchmark: each trained for equal time at small size.

Command: python experiments/lifting_table.py cmu_60hz.npz runs/table.jsonl [--seconds 60] [--seeds 3] [--subject 02]
Result: a table of MPJPE in mm (mean and spread over the seeds) on the unseen subject, through the cameras that were
learned from, unseen ones, and ones that look down from above; docs/lifting.md holds the last one that was run

Each system learns for `--seconds` of processor time on one thread, from clips of 9 frames of the other subjects as the
simulated detector sees them through the 8 seen cameras. "One frame" is the same system of the same size, trained and
tested on clips in which one frame stands still. The mean pose is that of the training bodies in the camera's frame.
The figures compare small systems after little training with each other; they say nothing about Human3.6M.

Every run is a line of runs/table.jsonl; those that are there are not run again, so that the command can be stopped
and goes on where it was. `--only NAME` runs some, `--print` none.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table

from anypose import zoo
from anypose.data import cmu
from anypose.data.simulated import Benchmark
from anypose.evaluation.lifting import aligned, at_root, distances
from anypose.gaps import at_parents
from anypose.ops.poses import Clips
from anypose.skeleton import H36M17
from anypose.track import Track

FRAMES = 9
BATCH = 32
EVERY = 48  # frames between those that are scored
TEST_CAMERAS = 4
WHICH = ("seen", "unseen", "above")
MLP = "mlp, one frame"

_PAIRS = {"frames": FRAMES, "width": 32, "depth": 2, "heads": 4, "drop_path": 0.0}
_HOST = {**_PAIRS, "hidden": 64}
_TOKENS = {"tokens": 3, "level": 1}
SYSTEMS: dict[str, tuple[str, dict[str, Any]]] = {
    MLP: ("lifting/lever", {"frames": 1, "width": 192}),
    "lever": ("lifting/lever", {"frames": FRAMES, "width": 96}),
    "gla_gcn": ("lifting/gla_gcn", {"widths": (3, 3), "channels": 24}),
    "hopfir, one frame": ("lifting/hopfir", {"width": 48, "depth": 2, "heads": 4}),
    "ktpformer": ("lifting/ktpformer", _PAIRS),
    "mixste": ("lifting/hot", {**_HOST, "host": "mixste", "tokens": None}),
    "hot-mixste": ("lifting/hot", {**_HOST, "host": "mixste", **_TOKENS}),
    "mhformer": ("lifting/hot", {**_HOST, "host": "mhformer", "tokens": None, "coordinate_heads": 3}),
    "motionbert": ("lifting/hot", {**_HOST, "host": "motionbert", "inputs": 3, "tokens": None, "representation": 32}),
    "motionagformer": (
        "lifting/hot",
        {**_HOST, "host": "motionagformer", "inputs": 3, "tokens": None, "representation": 32},
    ),
    "d3dp": ("lifting/finepose", {**_PAIRS, "text": False, "hypotheses": 3, "leaps": 2, "flip": False}),
}
RATES = {"lifting/lever": 2e-3, "lifting/gla_gcn": 3e-3}  # 1e-3 for the transformers


class Tracks:
    """Tracks of one split and one set of cameras as arrays, and clips cut from them."""

    def __init__(self, pairs: Iterator[tuple[Track, Track]]) -> None:
        self.screen, self.bodies = [], []
        for picture, body in pairs:
            ready, never = picture.filled_in()
            gone = np.isin(H36M17.keypoints, never)
            assert picture.camera is not None
            self.screen.append(picture.camera.to_screen(at_parents(ready.keypoints, gone, H36M17)).astype(np.float32))
            self.bodies.append(at_root(body.keypoints).astype(np.float32))
        self.lengths = np.array([len(body) for body in self.bodies])

    def clips(self, tracks: Any, middles: Any, still: bool) -> Clips:
        """Clips around frames of tracks, edges repeated; where `still`, of the middle frame alone."""
        around = np.zeros(FRAMES, int) if still else np.arange(FRAMES) - FRAMES // 2
        rows = [np.clip(m + around, 0, self.lengths[t] - 1) for t, m in zip(tracks, middles)]
        keypoints = np.stack([self.screen[t][row] for t, row in zip(tracks, rows)])
        joints = np.stack([self.bodies[t][row] for t, row in zip(tracks, rows)])
        return Clips(torch.from_numpy(keypoints), torch.from_numpy(joints))

    def drawn(self, random: np.random.Generator, still: bool) -> Clips:
        """A batch at random; longer tracks come oftener."""
        tracks = random.choice(len(self.lengths), BATCH, p=self.lengths / self.lengths.sum())
        return self.clips(tracks, (random.random(BATCH) * self.lengths[tracks]).astype(int), still)

    def test(self, still: bool) -> Iterator[Clips]:
        """Clips around every 48th frame, in batches."""
        places = [(t, m) for t, length in enumerate(self.lengths) for m in range(0, length, EVERY)]
        for start in range(0, len(places), 64):
            tracks, middles = zip(*places[start : start + 64])
            yield self.clips(tracks, middles, still)


def trained(name: str, options: dict[str, Any], data: Tracks, seconds: float, seed: int, still: bool) -> Any:
    """A system after so many seconds of processor time, with a rate that falls to nothing, and its steps."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    model = zoo.create(name, **options).train()
    peak = RATES.get(name, 1e-3)
    optimiser = torch.optim.AdamW(model.parameters(), lr=peak, weight_decay=0.01)
    start, steps = time.process_time(), 0
    while (part := (time.process_time() - start) / seconds) < 1:
        for group in optimiser.param_groups:
            group["lr"] = peak * min(1.0, (steps + 1) / 20) * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * part)))
        batch = data.drawn(random, still)
        if model.frames == 1:
            middle = FRAMES // 2
            batch = Clips(*(value[:, middle : middle + 1] for value in batch))
        loss = torch.stack(list(model.loss(batch).values())).sum()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        steps += 1
    return model.eval(), steps


@torch.no_grad()
def scored(answer: Callable[[torch.Tensor], torch.Tensor], data: Tracks, still: bool) -> tuple[float, float]:
    """MPJPE and P-MPJPE in mm of the middle frames."""
    errors, after = [], []
    torch.manual_seed(0)
    for batch in data.test(still):
        truth = batch.joints[:, FRAMES // 2].numpy()
        found = at_root(answer(batch.keypoints).numpy())
        errors.append(distances(found, truth))
        after.append(distances(aligned(found, truth), truth))
    return 1000 * float(np.concatenate(errors).mean()), 1000 * float(np.concatenate(after).mean())


def middle_of(model: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """A system's answer for the middle frame of clips, (B, J, 3): of hypotheses the mean."""

    def answer(keypoints: torch.Tensor) -> torch.Tensor:
        if model.frames == 1:
            keypoints = keypoints[:, FRAMES // 2, None]
        found = model(keypoints)
        found = found.mean(1) if found.dim() == 5 else found
        return found[:, found.shape[1] // 2]

    return answer


def run(arguments: argparse.Namespace) -> None:
    clips = cmu.read(arguments.motion)
    benchmark = Benchmark(clips, subject=arguments.subject)
    learned = Tracks(benchmark.pairs(benchmark.train()))
    tests = {which: Tracks(benchmark.pairs(benchmark.test(), which, TEST_CAMERAS)) for which in WHICH}
    mean = torch.from_numpy(np.concatenate(learned.bodies).mean(0))
    if not any(line["name"] == "mean pose" for line in lines(arguments)):
        note(arguments, "mean pose", 0, 0, lambda data: scored(partial(_always, mean), data, False), tests)
    for seed in range(arguments.seeds):
        for still in (False, True):
            for name, (system, options) in SYSTEMS.items():
                called = f"{name}, one frame" if still else name
                if (still and "one frame" in name) or (arguments.only and called not in arguments.only):
                    continue
                if (called, seed) in {(line["name"], line["seed"]) for line in lines(arguments)}:
                    continue
                model, steps = trained(system, options, learned, arguments.seconds, seed, still)
                answer = middle_of(model)
                note(arguments, called, seed, steps, lambda data, a=answer, s=still: scored(a, data, s), tests)


def _always(pose: torch.Tensor, keypoints: torch.Tensor) -> torch.Tensor:
    """The same pose (J, 3) for all clips, (B, J, 3)."""
    return pose.expand(len(keypoints), -1, -1)


def note(
    arguments: argparse.Namespace,
    name: str,
    seed: int,
    steps: int,
    score: Callable[[Tracks], tuple[float, float]],
    tests: dict[str, Tracks],
) -> None:
    """One line of results."""
    line: dict[str, Any] = {"name": name, "seed": seed, "steps": steps}
    line |= {"subject": arguments.subject, "seconds": arguments.seconds}
    line |= {which: [round(value, 2) for value in score(data)] for which, data in tests.items()}
    with arguments.results.open("a") as file:
        file.write(json.dumps(line) + "\n")
    print(json.dumps(line), flush=True)


def lines(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The results that are there, of this subject and this time."""
    if not arguments.results.exists():
        return []
    every = [json.loads(line) for line in arguments.results.read_text().splitlines()]
    wanted = (arguments.subject, arguments.seconds)
    return [line for line in every if (line["subject"], line["seconds"]) == wanted]


def table(arguments: argparse.Namespace) -> None:
    """Means over seeds, and from the least to the greatest."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in lines(arguments):
        found.setdefault(line["name"], []).append(line)
    title = f"subject {arguments.subject}, {arguments.seconds:g} s of processor time each: MPJPE (P-MPJPE), mm"
    shown = Table(title=title, box=box.MARKDOWN)
    for column in ("system", "seeds", "steps", *(f"{which} cameras" for which in WHICH)):
        shown.add_column(column)
    for name, runs in found.items():
        cells = []
        for which in WHICH:
            values, after = np.array([run[which] for run in runs]).T
            spread = f" [{values.min():.0f}-{values.max():.0f}]" if len(values) > 1 else ""
            cells.append(f"{values.mean():.0f}{spread} ({after.mean():.0f})")
        shown.add_row(name, str(len(runs)), f"{np.mean([run['steps'] for run in runs]):.0f}", *cells)
    Console(width=140).print(shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("motion", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--subject", default="02")
    parser.add_argument("--only", action="append")
    parser.add_argument("--print", action="store_true", dest="printed")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if not arguments.printed:
        run(arguments)
    table(arguments)


if __name__ == "__main__":
    main()
