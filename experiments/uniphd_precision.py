"""How far int8 and bfloat16 move UniPHD's answers from float32's, on trained weights.

python experiments/uniphd_precision.py RUN DATA [--precision int8 ...] [--parts PATTERN ...] [--pictures 40]

RUN is what `anypose train experiments/uniphd_overfit.py --out RUN` left, DATA holds coco_people/. The eight people that
the run learned, and people of other pictures, are meant by scribbles. Keypoint deviations are in sides of the person's
box (the root of its area), masks are compared as bitmaps of the picture. Bounds: 0.01 of the box on average and a mean
mask IoU of 0.98, on the people that were learned.
"""

import argparse
import copy
from pathlib import Path

import torch

from anypose.models.promptable.uniphd import UniPHD
from anypose.models.promptable.uniphd.answers import found_in
from anypose.nn.eight_bits import in_eight_bits
from anypose.recipes import experiment
from anypose.recipes.referring import Referring
from anypose.recipes.referring_data import batch_of

HERE = Path(__file__).parent
DEVIATION, OVERLAP = 0.01, 0.98


def trained(run: Path, data: Path, first: int) -> tuple[UniPHD, Referring, dict]:
    values = experiment.read(HERE / "uniphd_overfit.py", [f"data_dir={data}", f"first={first}"])
    recipe, _ = experiment.build(values, run)
    assert isinstance(recipe, Referring)
    newest = sorted(run.glob("step-*.pt"))[-1]
    recipe.model.load_state_dict(torch.load(newest, weights_only=True)["average"])
    assert isinstance(recipe.model, UniPHD)
    return recipe.model.eval(), recipe, values


def answers(model: UniPHD, recipe: Referring, side: int, *, half: bool) -> list[tuple[torch.Tensor, ...]]:
    """Keypoints (K, 2), in pixels, and mask (H, W) of each entry's person."""
    found = []
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        for i, entry in enumerate(recipe.entries):
            batch = batch_of([entry], "scribble", None, None, side, seed=10_000 + i)
            best = found_in(model, batch.pictures, batch.sizes, batch.prompts, torch.arange(1))
            size = batch.sizes[0]
            box = (batch.boxes[0, 2:] * size.flip(-1)).prod().sqrt()  # its side in pixels
            inside = best.masks[0, 0, : size[0], : size[1]].float() > 0
            found.append((best.keypoints[0, 0].float(), inside, box))
    return found


def compared(one: list[tuple[torch.Tensor, ...]], two: list[tuple[torch.Tensor, ...]]) -> tuple[torch.Tensor, ...]:
    """Mean and largest deviation of each person's keypoints in sides of the box, and the masks' IoU: (N,) each."""
    apart = [(a[0] - b[0]).norm(dim=-1) / a[2] for a, b in zip(one, two)]
    overlaps = [(a[1] & b[1]).sum() / (a[1] | b[1]).sum().clamp(min=1) for a, b in zip(one, two)]
    return torch.stack([d.mean() for d in apart]), torch.stack([d.max() for d in apart]), torch.stack(overlaps)


def main() -> None:
    parser = argparse.ArgumentParser(description="What precision costs UniPHD.")
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--precision", nargs="+", choices=("int8", "bfloat16"), default=("int8", "bfloat16"))
    parser.add_argument("--parts", nargs="+", default=UniPHD.EIGHT_BITS, help="names of the layers that int8 takes")
    parser.add_argument("--pictures", type=int, default=40, help="the eight of the run, and others")
    arguments = parser.parse_args()
    model, recipe, values = trained(arguments.run, arguments.data, arguments.pictures)
    learned = 8
    plain = answers(model, recipe, values["side"], half=False)
    for precision in arguments.precision:
        other = copy.deepcopy(model)
        if precision == "int8":
            print(f"{in_eight_bits(other, arguments.parts)} linear layers in int8")
        found = answers(other, recipe, values["side"], half=precision == "bfloat16")
        for name, rows in (("learned", slice(0, learned)), ("other", slice(learned, None))):
            mean, most, overlap = compared(plain[rows], found[rows])
            if not len(mean):
                continue
            print(
                f"{precision}, {len(mean)} {name} people: keypoints {mean.mean():.4f} of the box apart on average, "
                f"median {mean.median():.4f}, worst keypoint {most.max():.4f}; mask IoU {overlap.mean():.4f}, "
                f"least {overlap.min():.4f}"
            )
            if name == "learned":
                kept = bool(mean.mean() <= DEVIATION and overlap.mean() >= OVERLAP)
                print(f"  bounds of {DEVIATION} and {OVERLAP}: {'kept' if kept else 'NOT kept'}")


if __name__ == "__main__":
    main()
