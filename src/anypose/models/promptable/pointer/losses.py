"""What the pointer learns from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from anypose.models.promptable.pointer.first_look import Candidates, Prompts
from anypose.models.promptable.pointer.second_look import STRIDE, Seen, sample_coarse
from anypose.ops import boxes as box_ops
from anypose.ops import heatmaps

if TYPE_CHECKING:
    from anypose.models.promptable.pointer import Pointer

NOBODY = -1
# What is known of a keypoint: nothing, hidden, visible, outside the picture.
UNKNOWN, HIDDEN, VISIBLE, OUTSIDE = range(4)


class Batch(NamedTuple):
    """B pictures with T people, P prompts and N crops. Places are letterbox pixels where nothing is said."""

    pictures: Tensor  # B 3 H W, RGB from 0 to 255
    sizes: Tensor  # B 2
    everyone_listed: Tensor  # B bool
    people: Tensor  # T 4 boxes
    people_picture: Tensor  # T int64
    people_masks: Tensor  # T H/8 W/8, the part of the cell that is the person
    people_mask_known: Tensor  # T bool
    crowds: Tensor  # C 4 boxes of groups not told apart
    crowds_picture: Tensor  # C int64
    prompts: Prompts
    prompt_picture: Tensor  # P int64
    prompt_person: Tensor  # P int64 into people, or NOBODY
    crops: Tensor  # N 3 256 192
    crop_person: Tensor  # N int64 into people, or NOBODY for a crop without its picture
    crop_box: Tensor  # N 4, the box as the first look may err
    crop_to_picture: Tensor  # N 2 3
    keypoints: Tensor  # N K 2, crop pixels
    known: Tensor  # N K int64: UNKNOWN, HIDDEN, VISIBLE, OUTSIDE
    area: Tensor  # N, of the person in crop pixels, for keypoint similarity
    crop_masks: Tensor  # N 128 96
    crop_mask_known: Tensor  # N bool
    hint_known: Tensor  # N bool: whether the coarse mask is shown
    sigmas: Tensor  # K, COCO's per-keypoint constants
    captions: Tensor  # C L int64, whatever anybody said of any picture
    captions_name: Tensor  # C 79, the kinds of things they name
    things: Tensor  # B n 79, what a detector sees in each cell; n is 0 where none was asked

    def to(self, device: torch.device | str) -> Batch:
        """The batch on another device."""
        moved = (
            Prompts(*(tensor.to(device) for tensor in part)) if isinstance(part, Prompts) else part.to(device)
            for part in self
        )
        return Batch(*moved)  # type: ignore[arg-type]  # a generator's items have one type


def pointer_losses(model: Pointer, batch: Batch) -> dict[str, Tensor]:
    """The terms of the loss, weighted."""
    losses: dict[str, Tensor] = {}
    hints = batch.crops.new_zeros(len(batch.crops), batch.crops.shape[2] // STRIDE, batch.crops.shape[3] // STRIDE)
    if len(batch.pictures):
        found = model.first.detect(batch.pictures)
        candidates = model.first.propose(found, batch.pictures, batch.sizes)
        losses |= _thing_losses(model, found.things, batch)
        overlap = _overlap(candidates.boxes.detach(), batch)
        losses |= _candidate_losses(candidates, overlap, batch)
        losses |= _choice_losses(model, candidates, overlap, batch)
        hints, losses["boxed_mask"] = hints_of(model, candidates, batch)
    if len(batch.crops):
        losses |= second_losses(model.second(batch.crops, hints), batch)
    return losses


def _overlap(boxes: Tensor, batch: Batch) -> Tensor:
    """IoU of every candidate with every person of its picture: (B, K, T), 0 in other pictures."""
    everyone = box_ops.iou(boxes, batch.people[None].expand(len(boxes), -1, -1))
    same = batch.people_picture[None] == torch.arange(len(boxes), device=boxes.device)[:, None]
    return everyone * same[:, None]


def _candidate_losses(candidates: Candidates, overlap: Tensor, batch: Batch) -> dict[str, Tensor]:
    if not overlap.shape[2]:
        overlap = torch.cat((overlap, overlap.new_zeros(*overlap.shape[:2], 1)), 2)
        return {"score": _score_loss(candidates, overlap, batch)}
    best, person = overlap.max(2)  # B K
    matched = best >= 0.5
    truth = batch.people[person]  # B K 4
    size = (truth[..., 2:] - truth[..., :2]).clamp(min=4).repeat(1, 1, 2)
    count = matched.sum().clamp(min=1)
    boxes = torch.zeros_like(best)
    for found in (candidates.boxes, candidates.refined):
        error = 1 - box_ops.generalised_iou(found, truth)
        boxes = boxes + error + 0.5 * ((found - truth).abs() / size).mean(-1).clamp(max=1)
    masked = matched & batch.people_mask_known[person] & (candidates.scores > -1e3)
    return {
        "score": _score_loss(candidates, overlap, batch),
        "box": (boxes * matched).sum() / count,
        "coarse_mask": mask_loss(candidates.masks[masked], batch.people_masks[person[masked]]),
    }


def _score_loss(candidates: Candidates, overlap: Tensor, batch: Batch) -> Tensor:
    """One candidate a person is right; others are wrong, unless nobody can know."""
    kept = candidates.scores > -1e3
    right = torch.zeros_like(kept)
    held, index = (overlap * kept[..., None]).flatten(0, 1).max(0)  # T
    right.view(-1)[index[held >= 0.5]] = True
    crowd = torch.zeros_like(candidates.scores)
    if len(batch.crowds):
        shared = box_ops.intersection(candidates.boxes.detach(), batch.crowds[None].expand(len(crowd), -1, -1))
        same = batch.crowds_picture[None] == torch.arange(len(crowd), device=crowd.device)[:, None]
        crowd = (shared * same[:, None]).amax(2) / box_ops.area(candidates.boxes.detach()).clamp(min=1)
    wrong = batch.everyone_listed[:, None] & (crowd < 0.5)
    wrong = wrong | (overlap.amax(2) >= 0.5)  # a repeat is wrong whoever is not listed
    weight = (kept & (right | wrong)).float()
    loss = F.binary_cross_entropy_with_logits(candidates.scores, right.float(), reduction="none")
    return (loss * weight).sum() / right.sum().clamp(min=1) * 0.5


def _choice_losses(model: Pointer, candidates: Candidates, overlap: Tensor, batch: Batch) -> dict[str, Tensor]:
    if not len(batch.prompt_picture):
        return {}
    logits = model.first.compare(candidates, batch.prompt_picture, batch.prompts)
    meant = batch.prompt_person.clamp(min=0)
    somebody = batch.prompt_person != NOBODY
    if overlap.shape[2]:
        rows = overlap[batch.prompt_picture]  # P K T
        with_meant = rows.gather(2, meant[:, None, None].expand(-1, rows.shape[1], 1))[..., 0]
        good = (with_meant >= 0.5) & (with_meant >= rows.amax(2)) & (logits[:, :-1] > -1e3)
    else:
        good = torch.zeros_like(logits[:, :-1], dtype=torch.bool)
    good = torch.cat((good & somebody[:, None], ~somebody[:, None]), 1)
    asked = good.any(1)
    logs = logits.log_softmax(1)
    loss = -torch.where(good, logs, torch.full_like(logs, -1e4)).logsumexp(1)
    return {"choice": (loss * asked).sum() / asked.sum().clamp(min=1)}


def _thing_losses(model: Pointer, cells: Tensor, batch: Batch) -> dict[str, Tensor]:
    """Which things words name, and which a detector would see: the trunk learns people and would forget the rest."""
    losses: dict[str, Tensor] = {}
    if len(batch.captions):
        words = model.first.words(batch.captions)
        named = model.first.things.named(batch.captions, model.first.words.table, words)
        losses["named"] = F.binary_cross_entropy_with_logits(named, batch.captions_name, reduction="sum") / len(named)
    if batch.things.shape[1]:
        entropy = F.binary_cross_entropy(cells.clamp(1e-5, 1 - 1e-5), batch.things, reduction="sum")
        losses["things"] = 0.03 * entropy / batch.things.sum().clamp(min=len(cells))
    return losses


def hints_of(model: Pointer, candidates: Candidates, batch: Batch) -> tuple[Tensor, Tensor]:
    """The coarse masks that the crops are shown, and what is wrong with them."""
    person = batch.crop_person.clamp(min=0)
    size = (batch.crops.shape[2], batch.crops.shape[3])
    if not len(batch.people) or not len(batch.crops):
        nothing = batch.crops.new_zeros(len(batch.crops), size[0] // STRIDE, size[1] // STRIDE)
        return nothing, candidates.masks.sum() * 0
    masks = model.first.boxed(candidates, batch.people_picture[person], batch.crop_box)
    known = batch.people_mask_known[person] & (batch.crop_person != NOBODY)
    loss = mask_loss(masks[known], batch.people_masks[person[known]])
    shown = (batch.hint_known & (batch.crop_person != NOBODY))[:, None, None]
    hints = sample_coarse(masks.detach(), batch.crop_to_picture, size) * shown
    return hints if model.mask_hint else torch.zeros_like(hints), loss


def mask_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy and Dice of (M, h, w), each averaged over the M masks."""
    if not len(logits):
        return logits.sum() * 0
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    # Cells near the person count as much as the person, the rest of the picture little.
    weight = 0.05 + F.max_pool2d((truth > 0.02).float()[:, None], 7, 1, 3)[:, 0]
    cross = (entropy * weight).sum((1, 2)) / weight.sum((1, 2))
    p = logits.sigmoid()
    dice = 1 - (2 * (p * truth).sum((1, 2)) + 1) / (p.sum((1, 2)) + truth.sum((1, 2)) + 1)
    return (cross + dice).mean()


def second_losses(seen: Seen, batch: Batch) -> dict[str, Tensor]:
    """The second look's terms, weighted."""
    labelled = (batch.known == VISIBLE) | (batch.known == HIDDEN)  # N K
    truth = heatmaps.encode(batch.keypoints, (seen.heatmaps.shape[2], seen.heatmaps.shape[3]), stride=STRIDE)
    error = (seen.heatmaps - truth).square().mean((2, 3))
    # A keypoint outside the picture has no place: its map is to be empty.
    empty = seen.heatmaps.square().mean((2, 3))
    outside = batch.known == OUTSIDE
    similarity = keypoint_similarity(seen.keypoints, batch.keypoints, batch.area, batch.sigmas)
    right = ((similarity >= 0.5) & labelled).float()
    judged = labelled | outside
    confidence = F.binary_cross_entropy_with_logits(seen.confidence, right, reduction="none")
    state = F.cross_entropy(
        seen.state.flatten(0, 1), _state_target(batch.known).flatten(), ignore_index=-1, reduction="sum"
    )
    oks = (similarity * labelled).sum(1) / labelled.sum(1).clamp(min=1)
    scored = labelled.sum(1) >= 3
    quality = F.binary_cross_entropy_with_logits(seen.quality, oks, reduction="none")
    known = batch.crop_mask_known
    return {
        "heatmaps": 1000 * ((error * labelled).sum() + (empty * outside).sum()) / judged.sum().clamp(min=1),
        "confidence": 0.1 * (confidence * judged).sum() / judged.sum().clamp(min=1),
        "state": 0.05 * state / judged.sum().clamp(min=1),
        "quality": 0.1 * (quality * scored).sum() / scored.sum().clamp(min=1),
        "mask": 1.5 * mask_loss(seen.masks[known], batch.crop_masks[known]),
    }


def _state_target(known: Tensor) -> Tensor:
    """UNKNOWN, HIDDEN, VISIBLE, OUTSIDE to the place among visible, hidden, outside; -1 for unknown."""
    return torch.tensor((-1, 1, 0, 2), device=known.device)[known]


def keypoint_similarity(found: Tensor, truth: Tensor, area: Tensor, sigmas: Tensor) -> Tensor:
    """exp(-d^2 / (2 s^2 (2 sigma)^2)) of (N, K, 2) with s^2 the area (N,): (N, K)."""
    distance = (found - truth).square().sum(-1)
    return torch.exp(-distance / (2 * area[:, None].clamp(min=1) * (2 * sigmas).square()))
