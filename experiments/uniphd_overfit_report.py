"""What `uniphd_overfit.py` learned: pose AP on its eight pictures, and its curve.

python experiments/uniphd_overfit_report.py RUN DATA
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from anypose.evaluation import average_precision
from anypose.models.promptable.uniphd import UniPHD
from anypose.models.promptable.uniphd.answers import found_in
from anypose.people import People
from anypose.recipes import experiment
from anypose.recipes.referring import Referring
from anypose.recipes.referring_data import batch_of

HERE = Path(__file__).parent


def pose_precision(run: Path, data: Path) -> float:
    """Pose AP of the averaged weights, from 0 to 100."""
    values = experiment.read(HERE / "uniphd_overfit.py", [f"data_dir={data}"])
    recipe, _ = experiment.build(values, run)
    assert isinstance(recipe, Referring)
    newest = sorted(run.glob("step-*.pt"))[-1]
    recipe.model.load_state_dict(torch.load(newest, weights_only=True)["average"])
    model = recipe.model.eval()
    assert isinstance(model, UniPHD)
    truth, answers = [], []
    with torch.no_grad():
        for i, entry in enumerate(recipe.entries):
            batch = batch_of([entry], "scribble", None, None, values["side"], seed=10_000 + i)
            found = found_in(model, batch.pictures, batch.sizes, batch.prompts, torch.arange(1))
            size = (int(batch.sizes[0, 0]), int(batch.sizes[0, 1]))
            scale = np.array([size[1], size[0]], np.float32)
            seen = batch.visible.numpy()
            centre, half = batch.boxes[:, :2].numpy() * scale, batch.boxes[:, 2:].numpy() * scale / 2
            none = np.zeros((1, 17, 3), np.float32)
            truth.append(
                People(
                    size=size,
                    boxes=np.concatenate((centre - half, centre + half), 1),
                    scores=np.ones(1),
                    keypoints=batch.keypoints.numpy() * scale,
                    confidence=seen,
                    state=np.stack((seen, 0 * seen, 0 * seen), -1),
                    stated_areas=batch.area.numpy() * size[0] * size[1],
                )
            )
            answers.append(
                People(
                    size=size,
                    boxes=found.boxes[0].numpy(),
                    scores=found.scores[0].numpy(),
                    keypoints=found.keypoints[0].numpy(),
                    confidence=np.ones((1, 17)),
                    state=none,
                )
            )
    return 100 * average_precision(truth, answers, "keypoints").figures["AP"]


def curve(run: Path, out: Path) -> None:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps, totals = np.array([line["step"] for line in lines]), np.log([line["total"] for line in lines])
    picture = Image.new("RGB", (640, 320), "white")
    draw = ImageDraw.Draw(picture)
    x = 40 + 580 * steps / steps.max()
    y = 290 - 260 * (totals - totals.min()) / max(float(np.ptp(totals)), 1e-6)
    draw.line(list(zip(x.tolist(), y.tolist())), fill=(20, 80, 160), width=2)
    draw.line([(40, 20), (40, 290), (620, 290)], fill="black")
    draw.text((44, 8), f"loss, logarithmic: {np.exp(totals[0]):.0f} to {np.exp(totals.min()):.1f}", fill="black")
    draw.text((560, 296), f"step {steps.max()}", fill="black")
    picture.save(out)


if __name__ == "__main__":
    run_dir, data_dir = Path(sys.argv[1]), Path(sys.argv[2])
    curve(run_dir, run_dir / "curve.png")
    print(f"pose AP {pose_precision(run_dir, data_dir):.1f}; the curve is in {run_dir / 'curve.png'}")
