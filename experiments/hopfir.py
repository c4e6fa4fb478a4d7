"""HopFIR without each of its modules, on CMU: whether what we built of the paper's words acts.

Command:
    python experiments/hopfir.py cmu_60hz.npz [--seeds 0 1 2] [--steps 500] [--json FILE]

Single frames of subjects 01 and 03 are learned from; the error is that of subject 02 through unseen cameras, all as
`experiments/lifting_table.py` has them. Rows: whole; without rings of neighbours (hops=0); without refinement of limbs
(refine_every=0); without both, where no joint knows of another. Everything else is the same: tiny, equal steps of 64
frames, one thread.

Result with --clips 32768, three seeds, 500 steps, mm (standard deviation): whole 75.3 (4.8), without hops 111.2 (1.9),
without limbs 75.5 (1.2), without both 133.4 (0.9): hops act, and limbs where there are no hops.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import torch
from lifting_table import (
    FRAMES,
    POOL,
    TEST_CAMERAS,
    clips_of,
    joined,
    learned_from,
    middle_of,
    optimisers,
    rate,
    scored,
)

from anypose.data import cmu
from anypose.data.simulated import Benchmark
from anypose.models.lifting.hopfir import VARIANTS, HopFIR
from anypose.ops.poses import Clips

ROWS: dict[str, dict[str, Any]] = {
    "whole": {},
    "without hops": {"hops": 0},
    "without limbs": {"refine_every": 0},
    "without both": {"hops": 0, "refine_every": 0},
}


def learned(clips: Clips, seed: int, steps: int, batch: int, **options: Any) -> HopFIR:
    torch.manual_seed(seed)
    model = HopFIR(**{**VARIANTS["tiny"], **options}).train()
    both = [(optimiser, optimiser.param_groups[0]["lr"]) for optimiser in optimisers(model)]
    for step in range(steps):
        for optimiser, most in both:
            optimiser.param_groups[0]["lr"] = most * rate(step / steps)
        chosen = torch.randint(len(clips.joints), (batch,))
        frames = Clips(*(values[chosen, FRAMES // 2, None] for values in clips))
        loss = torch.stack(list(model.loss(frames).values())).sum()
        model.zero_grad()
        loss.backward()
        for optimiser, _ in both:
            optimiser.step()
    return model.eval()


def spread(values: list[float]) -> str:
    """Mean and standard deviation."""
    return f"{statistics.mean(values):.1f} ({statistics.stdev(values) if len(values) > 1 else 0.0:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description="HopFIR without its modules.")
    parser.add_argument("motion", help="cmu_60hz.npz")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--clips", type=int, default=POOL, help="that are learned from")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    benchmark = Benchmark(cmu.read(arguments.motion))
    clips = learned_from(benchmark, arguments.clips)
    unseen = joined([clips_of(*pair) for pair in benchmark.pairs(benchmark.test(), "unseen", TEST_CAMERAS)])
    errors: dict[str, list[float]] = {row: [] for row in ROWS}
    for seed in arguments.seeds:
        for row, options in ROWS.items():
            model = learned(clips, seed, arguments.steps, arguments.batch, **options)
            errors[row].append(scored(middle_of(model), unseen)[0])
            print(f"seed {seed}, {row}: {errors[row][-1]:.1f} mm", flush=True)
    for row, found in errors.items():
        worse = [error - whole for error, whole in zip(found, errors["whole"])]
        print(f"{row}: {spread(found)} mm, {spread(worse)} more than whole with the same seed")
    if arguments.json:
        arguments.json.write_text(json.dumps(errors, indent=1))


if __name__ == "__main__":
    main()
