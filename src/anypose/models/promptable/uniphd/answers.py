"""From the decoder's groups to answers: who comes first, where, and how sure that anybody is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from anypose.models.promptable.uniphd.losses import PERSON, corners
from anypose.models.promptable.uniphd.masks import pixels
from anypose.models.promptable.uniphd.pictures import STEP
from anypose.models.promptable.uniphd.prompts import Prompts

if TYPE_CHECKING:
    from anypose.models.promptable.uniphd import Answer, Seen, UniPHD

NOTHING = -30.0  # a mask's logit where there is no picture


class Found(NamedTuple):
    """The k best groups for each of P prompts, best first.

    groups: (P, k). scores: (P, k), from 0 to 1. presence: (P,), the probability that the prompt means somebody, 1 where
    the model was not calibrated. boxes: (P, k, 4), x0 y0 x1 y1, and keypoints: (P, k, K, 2), in pixels of the
    resized picture. confidence: (P, k, K), that a keypoint is labelled. masks: (P, k, H, W), logits over the padded
    picture.
    """

    groups: Tensor
    scores: Tensor
    presence: Tensor
    boxes: Tensor
    keypoints: Tensor
    confidence: Tensor
    masks: Tensor


def ranked(scores: Tensor, *, dead_class: bool) -> tuple[Tensor, Tensor]:
    """Logits (P, Q, 2) to probabilities and groups, (P, Q), best first.

    dead_class: the authors rank all 2 Q numbers together and keep the first Q, so that a group can come twice.
    """
    every = scores.flatten(1) if dead_class else scores[..., PERSON]
    best, index = every.sigmoid().topk(scores.shape[1], dim=1)
    return best, torch.div(index, 2, rounding_mode="floor") if dead_class else index


def found(model: UniPHD, seen: Seen, prompts: Prompts, answer: Answer, ranks: Tensor) -> Found:
    """The groups at `ranks` (k,), from 0 for the best, as far as there are so many; only their masks are computed."""
    last = answer.layers[-1]
    scores, groups = ranked(last.scores, dead_class=model.dead_class)
    ranks = ranks[ranks < scores.shape[1]]
    scores, groups = scores[:, ranks], groups[:, ranks]

    def of(values: Tensor) -> Tensor:
        index = groups.view(*groups.shape, *[1] * (values.dim() - 2))
        return values.gather(1, index.expand(-1, -1, *values.shape[2:]))

    scale = seen.sizes[prompts.pictures].flip(-1).to(scores.dtype)[:, None]  # P 1 2, width and height
    masks = scores.new_zeros(0)
    if model.mask is not None:
        masks = pixels(model.refined(seen, prompts, model.masks(seen, prompts, answer, groups)))
    slope, intercept = model.calibration[0], model.calibration[1]
    # A model that nobody calibrated has no opinion on whether anybody is meant.
    calibrated = (slope != 1) | (intercept != 0)
    sure = (last.scores[..., PERSON].amax(1) * slope + intercept).sigmoid()
    return Found(
        groups,
        scores,
        torch.where(calibrated, sure, torch.ones_like(sure)),
        corners(of(last.boxes)) * torch.cat((scale, scale), -1),
        of(last.keypoints) * scale[:, :, None],
        of(last.visibility).sigmoid(),
        masks,
    )


def found_in(model: UniPHD, pictures: Tensor, sizes: Tensor, prompts: Prompts, ranks: Tensor) -> Found:
    """Everything from pictures (B, 3, H, W) and sizes (B, 2) to answers; see `UniPHD.encode` and `found`.

    Unless the model pads pictures together, those of different sizes are run apart, each with no more padding than it
    needs by itself.
    """
    if model.pad_together:
        seen = model.encode(pictures, sizes)
        return found(model, seen, prompts, model.ask(seen, prompts), ranks)
    parts, order = [], []
    for size in sorted({tuple(size) for size in sizes.tolist()}):
        rows = (sizes == sizes.new_tensor(size)).all(1).nonzero()[:, 0]
        some, places = prompts.about(rows)
        if len(places):
            height, width = (-(-side // STEP) * STEP for side in size)
            seen = model.encode(pictures[rows, :, :height, :width], sizes[rows])
            part = found(model, seen, some, model.ask(seen, some), ranks)
            if model.mask is not None:
                more = (0, pictures.shape[-1] - width, 0, pictures.shape[-2] - height)
                part = part._replace(masks=F.pad(part.masks, more, value=NOTHING))
            parts.append(part)
            order.append(places)
    back = torch.cat(order).argsort()
    return Found(*(torch.cat(column)[back] if column[0].numel() else column[0] for column in zip(*parts)))


def at_full_size(masks: Tensor, size: tuple[int, int], original: tuple[int, int]) -> Tensor:
    """Logits (k, H, W) over a padded picture whose picture has `size`, as bitmaps (k, h, w) of the original."""
    inside = masks[None, :, : size[0], : size[1]]
    return F.interpolate(inside, original, mode="bilinear", align_corners=False)[0] > 0


def calibration(logits: Tensor, meant: Tensor, steps: int = 100) -> Tensor:
    """Platt's slope and intercept (2,), by Newton's method, for `model.calibration`.

    Args:
        logits: (N,), the best group's for each of N prompts.
        meant: (N,) bool, whether the prompt meant somebody in the picture.

    Raises:
        ValueError: all prompts meant somebody, or none did: there is nothing to tell apart.
    """
    if meant.all() or not meant.any():
        raise ValueError("calibration needs prompts that mean somebody and prompts that mean nobody")
    positive, negative = meant.sum().double(), (~meant).sum().double()
    # Platt's own targets: as if one more of each kind had been seen, so that the slope stays finite.
    target = torch.where(meant, (positive + 1) / (positive + 2), 1 / (negative + 2))
    x = torch.stack((logits.double(), torch.ones_like(logits, dtype=torch.float64)), 1)  # N 2
    weights = torch.zeros(2, dtype=torch.float64)
    for _ in range(steps):
        probability = (x @ weights).sigmoid()
        gradient = x.T @ (probability - target)
        curvature = (x * (probability * (1 - probability))[:, None]).T @ x + 1e-6 * torch.eye(2, dtype=torch.float64)
        weights = weights - torch.linalg.solve(curvature, gradient)
    return weights.float()
