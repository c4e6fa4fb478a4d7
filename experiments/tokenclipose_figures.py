"""Figures of the TokenCLIPose that comes along, beyond the crop.

Command:
    python experiments/tokenclipose_figures.py FILE DATA

FILE is model.safetensors, DATA coco_people/. Everybody of dev.json with nine or more labelled keypoints, in a box that
leaves three or more of them outside the crop: the share of keypoints right to 0.2 of the diagonal of the full person's
box. Results stand in the model card; those by box are of `anypose evaluate`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from anypose import zoo
from anypose.data import coco
from anypose.recipes.reaching import Kept, pck, trials
from anypose.recipes.reaching_data import Crowd


def main(weights: Path, data: Path) -> None:
    torch.set_num_threads(1)
    model = zoo.create("promptable/tokenclipose", weights).eval()
    judged = trials(Crowd(coco.read(data / "dev.json", data / "images"), model.size, 9))
    kept = Kept.seen(model, iter([trial.view for trial in judged]))
    with torch.no_grad():
        found = model.read(kept.batch(np.arange(len(judged))).maps).keypoints.numpy()
    for where, share in pck(found, judged).items():
        print(f"{where}: {100 * share:.1f} % of the keypoints of {len(judged)} people")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
