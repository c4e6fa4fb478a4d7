"""What UniPHD is trained to minimise (paper section 3.4, and the terms of the released criterion)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anypose.models.promptable.uniphd.decoder import Layer
from anypose.models.promptable.uniphd.masks import pixels
from anypose.models.promptable.uniphd.matching import COSTS, assign, total
from anypose.models.promptable.uniphd.prompts import Prompts
from anypose.ops.boxes import generalised_iou
from anypose.skeleton import COCO17

if TYPE_CHECKING:
    from anypose.models.promptable.uniphd import Answer, UniPHD

WEIGHTS: dict[str, float] = {
    "class": 2.0,
    "box": 5.0,
    "giou": 2.0,
    "keypoints": 10.0,
    "oks": 4.0,
    "visibility": 4.0,
    "mask": 2.0,
    "dice": 5.0,
    "mask_low": 2.0,
    "dice_low": 5.0,
}
PERSON = 1  # of the two classes; the other never gets a positive


class Batch(NamedTuple):
    """B pictures and P prompts about them, in the order of `Prompts`: words, then places.

    pictures: (B, 3, H, W) RGB from 0 to 255, padded below and on the right. sizes: (B, 2), height and width.
    boxes: (P, 4), centre and size. keypoints: (P, K, 2). All from 0 to 1 over the picture without padding.
    visible: (P, K), 1 where a keypoint is labelled. area: (P,), of the person as a share of the picture.
    masks: (P, H, W), 0 or 1. present: (P,) bool, whether the prompt means somebody; what stands in the other rows of a
    prompt that means nobody is not read.
    """

    pictures: Tensor
    sizes: Tensor
    prompts: Prompts
    boxes: Tensor
    keypoints: Tensor
    visible: Tensor
    area: Tensor
    masks: Tensor
    present: Tensor

    def to(self, device: torch.device | str) -> Batch:
        """The same on a device."""
        moved = {name: getattr(self, name).to(device) for name in self._fields if name != "prompts"}
        return Batch(prompts=Prompts(*(part.to(device) for part in self.prompts)), **moved)


class Stage(NamedTuple):
    """The encoder's choice, which has no layer, or a layer of the decoder.

    scores: (P, Q, 2). keypoints: (P, Q, K, 2).
    """

    prefix: str
    scores: Tensor
    keypoints: Tensor
    layer: Layer | None


class Losses(nn.Module):
    """Args:
    weights, costs: change single entries of `WEIGHTS` and `matching.COSTS`.
    isotropic_oks, visibility_halved_again: see `UniPHD`.
    """

    def __init__(
        self,
        weights: Mapping[str, float] | None,
        costs: Mapping[str, float] | None,
        *,
        isotropic_oks: bool,
        visibility_halved_again: bool,
    ) -> None:
        super().__init__()
        self.weights, self.costs = _changed(WEIGHTS, weights, "loss"), _changed(COSTS, costs, "cost")
        self.isotropic_oks, self.visibility_halved_again = isotropic_oks, visibility_halved_again

    def forward(self, model: UniPHD, batch: Batch) -> dict[str, Tensor]:
        """All terms, weighted; see `terms` for their names."""
        found = self.terms(model, batch)
        return {name: self.weights[name.split(".")[-1]] * value for name, value in found.items()}

    def terms(self, model: UniPHD, batch: Batch, groups: Sequence[Tensor | None] | None = None) -> dict[str, Tensor]:
        """Each term without its weight: "class" of the last layer, "0.class" of the first, "encoder.class".

        Args:
            groups: (P,) for the encoder's choice and for each layer, to be held responsible; what is None is matched.
        """
        seen = model.encode(batch.pictures, batch.sizes)
        answer = model.ask(seen, batch.prompts)
        found: dict[str, Tensor] = {}
        for i, stage in enumerate(_stages(answer)):

            def coarse(group: Tensor, layer: int = i - 1) -> Tensor:
                return model.masks(seen, batch.prompts, answer, group, layer)

            given = None if groups is None else groups[i]
            group = self._match(model, stage, batch, coarse) if given is None else given
            terms = self._terms(stage, batch, group)
            if stage.layer is not None and model.mask is not None:
                masks = coarse(group[:, None])
                refined = pixels(model.refined(seen, batch.prompts, masks))[:, 0]
                terms |= mask_terms("mask", "dice", refined, batch.masks)
                # Before the refinement a mask has half the picture's sides.
                terms |= mask_terms("mask_low", "dice_low", pixels(masks)[:, 0], batch.masks[:, 1::2, 1::2])
            found |= {stage.prefix + name: self._mean(name, value, batch) for name, value in terms.items()}
        return found

    def _mean(self, name: str, value: Tensor, batch: Batch) -> Tensor:
        """(P,) to the mean over the people who are meant; every prompt counts for the class."""
        count = batch.present.sum().clamp(min=1)
        if name != "class":
            value = value[batch.present]
        if name == "visibility" and self.visibility_halved_again:
            count = count * count
        return value.sum() / count

    def _terms(self, stage: Stage, batch: Batch, group: Tensor) -> dict[str, Tensor]:
        """What no mask is needed for, (P,) each."""

        def of(values: Tensor) -> Tensor:
            index = group.view(-1, 1, *[1] * (values.dim() - 2)).expand(-1, 1, *values.shape[2:])
            return values.gather(1, index)

        target = torch.zeros_like(stage.scores)
        target[..., PERSON] = F.one_hot(group, target.shape[1]) * batch.present[:, None]
        terms = {"class": focal(stage.scores, target).sum((1, 2))}
        terms |= self._pose(of(stage.keypoints), batch)
        if stage.layer is not None:
            terms |= box_terms(of(stage.layer.boxes), batch)
            if stage.keypoints.shape[2]:
                terms["visibility"] = visibility_terms(of(stage.layer.visibility), batch)
        return {name: value if name == "class" else value[:, 0] for name, value in terms.items()}

    def _pose(self, keypoints: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Keypoints (P, Q, K, 2) to terms (P, Q)."""
        if not keypoints.shape[2]:
            return {}
        apart = keypoints - batch.keypoints[:, None]
        visible = batch.visible[:, None].to(apart.dtype)
        distance = (apart.abs().sum(-1) * visible).sum(-1)
        area = batch.area
        if self.isotropic_oks:
            sizes = batch.sizes[batch.prompts.pictures].to(apart.dtype)
            apart = apart * sizes.flip(-1)[:, None, None]
            area = area * sizes.prod(-1)
        sigmas = apart.new_tensor(COCO17.sigmas[: keypoints.shape[2]])
        variance = 8 * sigmas.square() * area[:, None, None]  # P 1 K
        alike = (-apart.square().sum(-1) / variance.clamp(min=1e-9)).exp() * visible
        similarity = alike.sum(-1) / visible.sum(-1).clamp(min=1e-6)
        return {"keypoints": distance, "oks": 1 - similarity.clamp(min=1e-6)}

    @torch.no_grad()
    def _match(self, model: UniPHD, stage: Stage, batch: Batch, coarse: Callable[[Tensor], Tensor]) -> Tensor:
        """The group (P,) that is to answer: the cheapest of each prompt's."""
        likely = stage.scores[..., PERSON, None]
        costs = {"class": (focal(likely, torch.ones_like(likely)) - focal(likely, torch.zeros_like(likely)))[..., 0]}
        costs |= self._pose(stage.keypoints, batch)
        if stage.layer is not None:
            costs |= box_terms(stage.layer.boxes, batch)
            if stage.keypoints.shape[2]:
                costs["visibility"] = visibility_terms(stage.layer.visibility, batch)
            if model.mask is not None and (self.costs["mask"] or self.costs["dice"]):
                prompts, groups = stage.scores.shape[:2]
                everyone = torch.arange(groups, device=likely.device).expand(prompts, -1)
                masks = pixels(coarse(everyone))  # P Q H/2 W/2
                truth = batch.masks[:, None, 1::2, 1::2].expand_as(masks)
                costs |= mask_terms("mask", "dice", masks, truth)
        return assign(total(costs, self.costs)[..., None])[:, 0]


def _stages(answer: Answer) -> list[Stage]:
    stages = [Stage("encoder.", answer.choice.top_scores, answer.choice.references[:, :, 1:], None)]
    for i, layer in enumerate(answer.layers):
        prefix = "" if layer is answer.layers[-1] else f"{i}."
        stages.append(Stage(prefix, layer.scores, layer.keypoints, layer))
    return stages


def focal(logits: Tensor, target: Tensor, alpha: float = 0.25, gamma: float = 2) -> Tensor:
    """Focal loss of each number (Lin et al., ICCV 2017)."""
    probability = logits.sigmoid()
    cross = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    missed = (probability * (1 - target) + (1 - probability) * target) ** gamma
    return (alpha * target + (1 - alpha) * (1 - target)) * missed * cross


def box_terms(boxes: Tensor, batch: Batch) -> dict[str, Tensor]:
    """Boxes (P, Q, 4) to terms (P, Q)."""
    truth = batch.boxes[:, None].expand_as(boxes)
    return {"box": (boxes - truth).abs().sum(-1), "giou": 1 - generalised_iou(corners(boxes), corners(truth))}


def visibility_terms(visibility: Tensor, batch: Batch) -> Tensor:
    """Logits (P, Q, K) to (P, Q)."""
    truth = batch.visible[:, None].to(visibility.dtype).expand_as(visibility)
    return F.binary_cross_entropy_with_logits(visibility, truth, reduction="none").mean(-1)


def mask_terms(name: str, dice: str, masks: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Logits and 0 or 1, (..., h, w), to terms (...) under the two names; padding counts like background."""
    truth = truth.to(masks.dtype)
    probability = masks.sigmoid()
    both = 2 * (probability * truth).sum((-2, -1)) + 1
    either = probability.sum((-2, -1)) + truth.sum((-2, -1)) + 1
    return {name: focal(masks, truth).mean((-2, -1)), dice: 1 - both / either}


def corners(boxes: Tensor) -> Tensor:
    """Centre and size to x0 y0 x1 y1, (..., 4)."""
    return torch.cat((boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2), -1)


def _changed(defaults: Mapping[str, float], changes: Mapping[str, float] | None, what: str) -> dict[str, float]:
    unknown = sorted(set(changes or {}) - set(defaults))
    if unknown:
        raise ValueError(f"there is no {what} {unknown[0]!r}; there are {', '.join(defaults)}")
    return {**defaults, **(changes or {})}
