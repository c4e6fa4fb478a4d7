"""Lifting systems side by side on the default benchmark: each trained for equal time at small size.

Command: python experiments/lifting_table.py cmu_60hz.npz runs/table.jsonl [--seconds 60] [--seeds 3] [--subject 02]
Result: a table of MPJPE in mm (mean and range of the seeds) on the unseen subject, through the cameras that were
learned from, unseen ones, and ones that look down from above; docs/lifting.md holds the last one that was run

Each system learns for `--seconds` of processor time on one thread, from 65536 clips of the other subjects that are made
once: 3 frames, of bodies with limbs of other lengths, mirrored, with the arms and legs of other clips, faster, slower
and backwards, and turned about the vertical, as the simulated detector sees them at the heights and distances and
through the lenses of the 8 seen cameras; it is tested at 7.5 frames a second. Keypoints are given as a camera that
looks straight at the person would see them, in sizes of the body; answers are the mean of those for a clip and its
mirror. All learn by the distance of the joints, but for the two that learn to take noise away, and by the same
optimisers. "One frame" is the same system of the same size, trained and tested on clips in which the middle frame
stands still. The mean pose is that of the bodies that are learned from. "int8" is the float32 system with its products
in eight bits. The figures compare small systems after little training with each other; they say nothing about
Human3.6M.

Every run is a line of runs/table.jsonl; those that are there are not run again, so that the command can be stopped
and goes on where it was. `--only NAME` runs some, `--print` none.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from anypose import zoo
from anypose.data import cmu
from anypose.data.simulated import Benchmark, Detector, Rig, draw_cameras
from anypose.evaluation.lifting import aligned, at_root, distances
from anypose.gaps import at_parents
from anypose.models.lifting.hot.mhformer import Coordinates
from anypose.nn.eight_bits import in_eight_bits
from anypose.nn.space_time import DropPath
from anypose.ops.poses import Clips, distance, mirrored
from anypose.recipes.lifting_data import People, detected, varied
from anypose.skeleton import H36M17
from anypose.track import Track

Array = NDArray[np.float64]
Answer = Callable[[Tensor], Tensor]

FRAMES, STRIDE = 3, 8  # frames of a clip, and from one to the next at 60 a second
STRIDES = (-12, -10, -8, -6, -4, 4, 6, 8, 10, 12)  # in clips that are learned from: other speeds, and backwards
AROUND = np.arange(FRAMES) - FRAMES // 2
POOL, PART = 65536, 256  # clips that are learned from, and made at once
EVERY = 24  # frames between those that are scored
TEST_CAMERAS = 4
WHICH = ("seen", "unseen", "above")
# No other scales: what is given does not show them, so that they were noise in what is to be found.
PEOPLE = People(scale=0, lengths=0.1, arms=0.5, legs=0.3, tilt=0.1, coco=0, hidden=0, ends=0)
AIM = (0.6, 0.2, 0.6)  # metres, how far from the person the cameras look, as standard deviation
SIZE = 0.4  # of a body in what systems are given: that on the screen of a usual camera
RATE, MUON_RATE = 1e-2, 3e-2  # at most
THIN = 6  # rows or columns; matrices of fewer are not made orthogonal
PLACES = 0.1  # standard deviation of what is added to joints and frames to tell them apart, at first


class Row(NamedTuple):
    """A small system, and clips of a batch. `own`: it learns by its own loss, as those must that find noise or take
    it away, and not by the distance of the joints.
    """

    system: str
    options: dict[str, Any]
    batch: int = 32
    own: bool = False


_PAIRS = {"frames": FRAMES, "width": 32, "depth": 2, "heads": 2, "drop_path": 0.0}
_HOST = {**_PAIRS, "hidden": 64, "tokens": None}
_STREAMS = {**_HOST, "inputs": 3, "representation": 32}
SYSTEMS = {
    "mlp, one frame": Row("lifting/lever", {"frames": 1, "width": 192}, 256),
    "lever": Row("lifting/lever", {"frames": FRAMES, "width": 128}, 128, own=True),
    "gla_gcn": Row("lifting/gla_gcn", {"widths": (FRAMES,), "channels": 32, "dropout": 0.0}, 64),
    "hopfir, one frame": Row("lifting/hopfir", {"width": 48, "depth": 2, "heads": 2}, 64),
    "ktpformer": Row("lifting/ktpformer", {**_PAIRS, "depth": 1}),
    "mixste": Row("lifting/hot", {**_HOST, "host": "mixste"}),
    "hot-mixste": Row("lifting/hot", {**_HOST, "host": "mixste", "tokens": 2, "level": 1}),
    "mhformer": Row(
        "lifting/hot",
        {**_HOST, "host": "mhformer", "depth": 1, "width": 64, "hidden": 128, "coordinate_heads": 1},
        64,
    ),
    "motionbert": Row("lifting/hot", {**_STREAMS, "host": "motionbert"}),
    "motionagformer": Row("lifting/hot", {**_STREAMS, "host": "motionagformer"}),
    "d3dp": Row("lifting/finepose", {**_PAIRS, "text": False, "hypotheses": 3, "leaps": 2, "flip": False}, own=True),
    "diffpose, one frame": Row(
        "lifting/diffpose",
        {
            **{"places": 16, "samples": 2, "layers": 1, "condition": 8, "width": 128, "steps": 10},
            **{"hypotheses": 5, "noises": 32},
        },
        own=True,
    ),
}


class Muon:
    """Momentum whose matrices are made orthogonal (K. Jordan et al., Muon, 2024), all those of a shape at once.

    PyTorch's own takes one matrix after the other, in bfloat16, and convolutions not at all: on a processor most of a
    small system's time.
    """

    def __init__(self, matrices: Sequence[Tensor], rate: float, momentum: float = 0.95) -> None:
        self.param_groups: list[dict[str, Any]] = [{"lr": rate}]
        self.kept = momentum
        self.alike: dict[tuple[int, int], list[Tensor]] = {}
        for matrix in matrices:
            rows, columns = matrix.flatten(1).shape
            self.alike.setdefault((rows, columns), []).append(matrix)
        self.means = {shape: torch.zeros(len(group), *shape) for shape, group in self.alike.items()}

    @torch.no_grad()
    def step(self) -> None:
        """One step, of Nesterov's momentum."""
        for shape, group in self.alike.items():
            slopes = torch.stack([matrix.grad.flatten(1) for matrix in group if matrix.grad is not None])
            means = self.means[shape].lerp_(slopes, 1 - self.kept)
            turned = orthogonal(slopes.lerp(means, self.kept)) * max(1.0, shape[0] / shape[1]) ** 0.5
            for matrix, step in zip(group, turned):
                matrix.sub_(self.param_groups[0]["lr"] * step.view_as(matrix))


def orthogonal(matrices: Tensor) -> Tensor:
    """Matrices (N, R, C) with all singular values near 1, by five steps of Newton and Schulz with Muon's numbers."""
    wide = matrices.shape[1] <= matrices.shape[2]
    x = matrices if wide else matrices.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return x if wide else x.mT


def optimisers(model: nn.Module) -> list[Muon | torch.optim.Optimizer]:
    """Muon for the matrices of layers, AdamW for all else and for the thinnest: keypoints come in by two or three
    numbers and bodies go out by three."""
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d)]
    matrices = [layer.weight for layer in layers if min(layer.weight.flatten(1).shape) >= THIN]
    own = set(map(id, matrices))
    others = [value for value in model.parameters() if id(value) not in own]
    adam = torch.optim.AdamW(others, lr=RATE, betas=(0.9, 0.95), weight_decay=0.01, fused=True)
    return [Muon(matrices, MUON_RATE), adam]


@dataclass(frozen=True)
class Places(Rig):
    """Cameras at any azimuth that stand as high and as far as some do, with their lenses: rows of `given`."""

    given: Sequence[tuple[float, float, float]] = ()

    def draw(self, random: np.random.Generator, number: int) -> list[Array]:
        """(number,) each of azimuth, height, distance and focal length."""
        rows = np.array(self.given)[random.integers(len(self.given), size=number)]
        return [2 * np.pi * random.random(number), *rows.T]


def looked_at(rays: Array, joints: Array) -> Clips:
    """Clips as a camera at the same place would see them that looks at the root of the middle frame.

    Args:
        rays: (N, T, 17, 2), x and y of what lies at the depth 1.
        joints: (N, T, 17, 3) metres from the root along the axes of the camera that took them.
    """
    straight = np.concatenate((rays, np.ones_like(rays[..., :1])), -1)
    ahead = straight[:, FRAMES // 2, H36M17.root]
    ahead = ahead / np.linalg.norm(ahead, axis=1, keepdims=True)
    right = np.stack((ahead[:, 2], np.zeros(len(ahead)), -ahead[:, 0]), 1)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    turn = np.stack((right, np.cross(ahead, right), ahead), 1)  # N 3 3
    turned = np.einsum("nij,ntkj->ntki", turn, straight)
    keypoints = turned[..., :2] / turned[..., 2:]
    size = np.linalg.norm(keypoints, axis=-1).mean((1, 2))[:, None, None, None]
    bodies = np.einsum("nij,ntkj->ntki", turn, joints)
    return Clips(*(torch.from_numpy(values.astype(np.float32)) for values in (keypoints * SIZE / size, bodies)))


def joined(parts: Sequence[Clips]) -> Clips:
    return Clips(*map(torch.cat, zip(*parts)))


def learned_from(benchmark: Benchmark, number: int = POOL) -> Clips:
    """Clips of the subjects that are learned from, through the seen cameras."""
    motions = [benchmark.clips[name].to_skeleton(H36M17)[0].keypoints.astype(float) for name in benchmark.train()]
    ends = np.cumsum([len(motion) for motion in motions])
    lengths = np.array([len(motion) for motion in motions])
    first, last = np.repeat(ends - lengths, lengths), np.repeat(ends - 1, lengths)
    bodies = np.concatenate(motions)
    stand = [benchmark.camera("seen", i) for i in range(benchmark.cameras)]
    rig = Places(given=[(rig.height[0], rig.distance[0], rig.focal[0]) for rig in stand])
    random, parts = np.random.default_rng((benchmark.seed, 3)), []
    for _ in range(max(1, number // PART)):
        middle = random.integers(len(bodies), size=PART)
        stride = int(random.choice(STRIDES))
        frames = middle[:, None] + stride * AROUND
        clips = bodies[np.clip(frames, first[middle][:, None], last[middle][:, None])]
        clips = varied(random, clips, PEOPLE)
        targets = clips[:, FRAMES // 2, H36M17.root] + random.normal(0, AIM, (PART, 3))
        cameras = draw_cameras(random, targets, rig, ground=clips[..., 1].min((1, 2)).clip(max=0.0))
        seen = cameras.see(clips)
        seen[..., 2] += np.clip(1 - seen[..., 2].min((1, 2)), 0, None)[:, None, None]
        screen = detected(random, cameras.screen(seen), slower(benchmark.detector, abs(stride)), PEOPLE)
        rays = screen / cameras.focal[:, None, None, None]
        parts.append(looked_at(rays, seen - seen[:, :, H36M17.root, None]))
    return joined(parts)


def slower(detector: Detector, stride: int) -> Detector:
    """The detector as it errs in every so manieth frame: what lasts has nearly gone by the next one."""
    return replace(detector, steady=detector.steady**stride, length=max(1.0, detector.length / stride))


def clips_of(picture: Track, body: Track) -> Clips:
    """Clips around every so manieth frame of a test track, edges repeated."""
    ready, never = picture.filled_in()
    assert picture.camera is not None
    gone = np.isin(H36M17.keypoints, never)
    screen = picture.camera.to_screen(at_parents(ready.keypoints, gone, H36M17))
    rays = screen * (picture.camera.size[1] / 2 / picture.camera.focal)
    rows = np.clip(np.arange(0, len(body), EVERY)[:, None] + STRIDE * AROUND, 0, len(body) - 1)
    return looked_at(rays[rows], at_root(body.keypoints)[rows])


def stood_still(clips: Clips) -> Clips:
    """The middle frame all along."""
    return Clips(*(values[:, FRAMES // 2, None].expand_as(values).contiguous() for values in clips))


def beginner(row: Row, seed: int) -> Any:
    """A system that has learned nothing.

    Most begin with zeros for what tells joints and frames apart, and spend much of a short training on finding it.
    MHFormer adds to the keypoints what a transformer makes of their normalised courses, at first several times as
    large as they are: here it begins with nothing. Nothing is left out at random.
    """
    torch.manual_seed(seed)
    model = zoo.create(row.system, **row.options).train()
    for name, values in model.named_parameters():
        if "places" in name or "pos_embed" in name:
            nn.init.normal_(values, std=PLACES)
    for part in model.modules():
        if isinstance(part, Coordinates):
            nn.init.zeros_(part.norm.weight)
        elif isinstance(part, DropPath):
            part.rate = 0.0
    return model


def rate(part: float) -> float:
    """Of the highest, after such a part of the training: it rises and then falls to nothing."""
    return min(1.0, part / 0.05 + 0.02) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * part)))


def missed(model: Any, batch: Clips, own: bool) -> Tensor:
    """The loss."""
    if own:
        return torch.stack(list(model.loss(batch).values())).sum()
    found = model(batch.keypoints)
    joints = batch.joints if found.shape[1] == batch.joints.shape[1] else batch.joints[:, FRAMES // 2, None]
    return distance(found, joints)


def trained(row: Row, clips: Clips, seconds: float, seed: int, still: bool) -> tuple[Any, int]:
    """A system after so many seconds of processor time, and its steps."""
    mirror = torch.as_tensor(np.array(H36M17.mirror))
    model = beginner(row, seed)
    both = [(optimiser, optimiser.param_groups[0]["lr"]) for optimiser in optimisers(model)]
    start, steps = time.process_time(), 0
    while (part := (time.process_time() - start) / seconds) < 1:
        for optimiser, most in both:
            optimiser.param_groups[0]["lr"] = most * rate(part)
        chosen = torch.randint(len(clips.joints), (row.batch,))
        batch = Clips(*(values[chosen] for values in clips))
        if model.frames == 1:
            batch = Clips(*(values[:, FRAMES // 2, None] for values in batch))
        elif still:
            batch = stood_still(batch)
        if steps % 2:
            batch = Clips(*(mirrored(values, mirror) for values in batch))
        model.zero_grad()
        missed(model, batch, row.own).backward()
        for optimiser, _ in both:
            optimiser.step()
        steps += 1
    return model.eval(), steps


def middle_of(model: Any) -> Answer:
    """A system's answer for the middle frame of clips, (B, J, 3): of hypotheses and of a clip and its mirror the
    mean."""
    mirror = torch.as_tensor(np.array(H36M17.mirror))

    def one(keypoints: Tensor) -> Tensor:
        if model.frames == 1:
            keypoints = keypoints[:, FRAMES // 2, None]
        found = model(keypoints)
        found = found.mean(1) if found.dim() == 5 else found
        return found[:, found.shape[1] // 2]

    return lambda keypoints: (one(keypoints) + mirrored(one(mirrored(keypoints, mirror)), mirror)) / 2


@torch.no_grad()
def scored(answer: Answer, clips: Clips) -> list[float]:
    """MPJPE and P-MPJPE in mm of the middle frames."""
    torch.manual_seed(0)
    found = at_root(torch.cat([answer(part) for part in clips.keypoints.split(128)]).numpy())
    truth = clips.joints[:, FRAMES // 2].numpy()
    errors = distances(found, truth), distances(aligned(found, truth), truth)
    return [round(1000 * float(error.mean()), 2) for error in errors]


def run(arguments: argparse.Namespace) -> None:
    benchmark = Benchmark(cmu.read(arguments.motion), subject=arguments.subject)
    moving = learned_from(benchmark, arguments.clips)
    tests = {
        which: joined([clips_of(*pair) for pair in benchmark.pairs(benchmark.test(), which, TEST_CAMERAS)])
        for which in WHICH
    }
    mean = moving.joints[:, FRAMES // 2].mean(0)
    always = {"float32": lambda keypoints: mean.expand(len(keypoints), -1, -1)}
    note(arguments, "mean pose", 0, lambda: (always, 0), tests)
    still_tests = {which: stood_still(clips) for which, clips in tests.items()}
    for seed in range(arguments.seeds):
        for name, row in SYSTEMS.items():
            note(arguments, name, seed, partial(answering, row, moving, arguments.seconds, seed, False), tests)
            if "one frame" not in name:
                train = partial(answering, row, moving, arguments.seconds, seed, True)
                note(arguments, f"{name}, one frame", seed, train, still_tests)


def answering(row: Row, clips: Clips, seconds: float, seed: int, still: bool) -> tuple[dict[str, Answer], int]:
    """A trained system's answers, by precision, and its steps."""
    model, steps = trained(row, clips, seconds, seed, still)
    answers = {"float32": middle_of(model)}
    if hasattr(model, "EIGHT_BITS"):
        small = copy.deepcopy(model)
        in_eight_bits(small, small.EIGHT_BITS)
        answers["int8"] = middle_of(small)
    return answers, steps


def note(
    arguments: argparse.Namespace,
    name: str,
    seed: int,
    train: Callable[[], tuple[dict[str, Answer], int]],
    tests: dict[str, Clips],
) -> None:
    """One line of results, unless it is there or not wanted."""
    there = {(line["name"], line["seed"]) for line in lines(arguments)}
    if (name, seed) in there or (arguments.only and name not in arguments.only):
        return
    answers, steps = train()
    line: dict[str, Any] = {"name": name, "seed": seed, "steps": steps}
    line |= {"subject": arguments.subject, "seconds": arguments.seconds}
    line |= {which: scored(answers["float32"], clips) for which, clips in tests.items()}
    if "int8" in answers:
        line["int8"] = scored(answers["int8"], tests["unseen"])
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
    columns = (*(f"{which} cameras" for which in WHICH), "unseen, int8", "mean pose / unseen")
    for column in ("system", "seeds", "steps", *columns):
        shown.add_column(column)
    for name, runs in found.items():
        cells = []
        for which in WHICH:
            values, after = np.array([run[which] for run in runs]).T
            spread = f" [{values.min():.0f}-{values.max():.0f}]" if len(values) > 1 else ""
            cells.append(f"{values.mean():.0f}{spread} ({after.mean():.0f})")
        small = [run["int8"][0] for run in runs if "int8" in run]
        cells.append(f"{np.mean(small):.1f}" if small else "")
        unseen = np.mean([run["unseen"][0] for run in runs])
        times = f"{found['mean pose'][0]['unseen'][0] / unseen:.2f}" if "mean pose" in found else ""
        shown.add_row(name, str(len(runs)), f"{np.mean([run['steps'] for run in runs]):.0f}", *cells, times)
    Console(width=150).print(shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("motion", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--subject", default="02")
    parser.add_argument("--clips", type=int, default=POOL, help="that are learned from")
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
