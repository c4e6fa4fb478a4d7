"""Figures of the default lifter, as its card has them.

Command: python experiments/lifting_default_figures.py cmu_60hz.npz
Result: lifting/lever 65.1 mm MPJPE and lifting/lever/single 67.0 mm on the held-out clips through unseen cameras

The clips are the last fifth of each subject's, which the shipped weights did not learn from; each is seen through three
unseen cameras by the simulated detector, and lifted by the exported graphs.
"""

from __future__ import annotations

import argparse
import dataclasses

import numpy as np

import anypose
from anypose.data import cmu
from anypose.data.simulated import Benchmark
from anypose.evaluation.lifting import aligned, at_root, distances, mpjve, n_mpjpe

CAMERAS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("motion")
    arguments = parser.parse_args()
    clips = cmu.read(arguments.motion)
    held, benchmark = cmu.split(clips, None).unseen_clips, Benchmark(clips)
    for name in ("lifting/lever", "lifting/lever/single"):
        predictor = anypose.load(name, threads=1)
        for which in ("unseen", "above"):
            errors, after, scaled, steps = [], [], [], []
            for picture, body in benchmark.pairs(held, which, CAMERAS):
                found = at_root(predictor.lift(dataclasses.replace(picture, camera=None)).keypoints)
                truth = at_root(body.keypoints)
                errors.append(distances(found, truth))
                after.append(distances(aligned(found, truth), truth))
                scaled.append(n_mpjpe(found, truth))
                steps.append(mpjve(found, truth))
            figures = {"MPJPE": np.concatenate(errors), "P-MPJPE": np.concatenate(after)}
            figures |= {"N-MPJPE": np.array(scaled), "MPJVE": np.array(steps)}
            print(name, which, *(f"{key} {1000 * value.mean():.1f} mm" for key, value in figures.items()), sep="  ")


if __name__ == "__main__":
    main()
