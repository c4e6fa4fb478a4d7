"""The first look: the whole picture once, at a small size; then every prompt against the people in it."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anypose.models.promptable.pointer.attention import Layer
from anypose.models.promptable.pointer.things import Things
from anypose.models.promptable.pointer.words import PAD, Words
from anypose.nn.csp_darknet import STRIDES, CSPDarknet, DetectionHead, PathAggregation
from anypose.ops import boxes as box_ops

MASK_STRIDE = 8
CONSIDERED = 200  # cells of the detector that may become candidates
# What a prompt's point is: nothing, a place on the person, a place off the person, a place of a scribble.
NOTHING, POSITIVE, NEGATIVE, STROKE = range(4)
RANKS = 6  # places in a row that are told apart
PLACE = 8 + 7 * (1 + RANKS)  # numbers that say where a candidate is
_BANDS = ((0.0, 0.25), (0.15, 0.55), (0.5, 1.0))  # head, torso, legs as parts of a box's height
_FILTER = (8, 8)  # widths of the two hidden layers of a candidate's mask filters


class Candidates(NamedTuple):
    """The people a picture may hold. K is the same for all pictures; B pictures of letterboxed size H, W."""

    boxes: Tensor  # B K 4, letterbox pixels
    scores: Tensor  # B K, logit of "this is a person"; -1e4 where the candidate repeats a better one
    cells: Tensor  # B K C, features of the detector's cell that proposed it
    place: Tensor  # B K 57, where each is and how it ranks among the others
    tokens: Tensor  # B K D
    masks: Tensor  # B K H/8 W/8, logits
    mask_features: Tensor  # B M H/8 W/8
    refined: Tensor  # B K 4, better boxes, letterbox pixels
    seen: Tensor  # B 79, probability that each kind of thing is in the picture


class Detected(NamedTuple):
    """What the detector says of B pictures; n cells of all levels, fine to coarse."""

    maps: tuple[Tensor, ...]  # B D h w of strides 8, 16, 32
    boxes: Tensor  # B n 4, letterbox pixels
    person: Tensor  # B n, logit
    cells: Tensor  # B n C, features
    things: Tensor  # B n 79, probability of each kind of other thing


class Prompts(NamedTuple):
    """P prompts, each about one picture. All places are letterbox pixels."""

    words: Tensor  # P L int64, 0 where there is none
    points: Tensor  # P S 2
    point_kinds: Tensor  # P S int64
    boxes: Tensor  # P 4
    has_box: Tensor  # P bool


class Choice(NamedTuple):
    """Which candidate each prompt means."""

    best: Tensor  # P int64
    presence: Tensor  # P, probability that the prompt means somebody
    boxes: Tensor  # P 4, letterbox pixels
    masks: Tensor  # P H/8 W/8, logits


class FirstLook(nn.Module):
    """Args:
    width: width of tokens.
    trunk_width: width of CSPDarknet; 16 is YOLOX-Nano.
    candidates: number of candidates K.
    mask_features: channels M that masks are made from.
    vocabulary, vector: of the table of words.
    """

    def __init__(
        self,
        *,
        width: int = 96,
        trunk_width: int = 16,
        candidates: int = 40,
        mask_features: int = 16,
        vocabulary: int = 26847,
        vector: int = 64,
        layers: int = 2,
    ) -> None:
        super().__init__()
        head = 4 * trunk_width
        self.candidates = candidates
        self.trunk = CSPDarknet(width=trunk_width)
        self.neck = PathAggregation(width=trunk_width)
        self.heads = nn.ModuleList(DetectionHead(trunk_width * n, width=head) for n in (4, 8, 16))
        self.mask_fine = nn.Conv2d(4 * trunk_width, 2 * mask_features, 1)
        self.mask_middle = nn.Conv2d(8 * trunk_width, 2 * mask_features, 1)
        self.mask_merge = nn.Sequential(
            nn.GELU(),
            nn.Conv2d(2 * mask_features, 2 * mask_features, 3, 1, 1, groups=2 * mask_features),
            nn.Conv2d(2 * mask_features, mask_features, 1),
            nn.GroupNorm(1, mask_features),
        )
        self.cell_norm = nn.LayerNorm(2 * head)
        self.filters = nn.Linear(2 * head, _filter_count(mask_features))
        self.things = Things(vector=vector, width=width)
        looks = len(_BANDS) * (4 * trunk_width + 3)
        self.look_norm = nn.GroupNorm(1, 4 * trunk_width)
        self.enter_cells = nn.Linear(2 * head, width)
        self.enter_looks = nn.Linear(looks, width)
        self.enter_place = nn.Sequential(nn.Linear(PLACE, width), nn.GELU(), nn.Linear(width, width))
        self.enter_things = nn.Linear(vector, width)
        self.person_layers = nn.ModuleList(Layer(width) for _ in range(layers))
        self.score = nn.Linear(width, 1)
        self.box = nn.Linear(width, 4)

        self.words = Words(vocabulary=vocabulary, vector=vector, width=width)
        self.point_kinds = nn.Embedding(4, width)
        self.enter_point = nn.Sequential(nn.Linear(4 * 8 + mask_features, width), nn.GELU(), nn.Linear(width, width))
        self.enter_box = nn.Sequential(nn.Linear(4 * 16, width), nn.GELU(), nn.Linear(width, width))
        self.enter_pair = nn.Sequential(nn.Linear(13, width), nn.GELU(), nn.Linear(width, width))
        self.summary = nn.Parameter(torch.randn(width) * 0.02)
        self.nobody = nn.Parameter(torch.randn(width) * 0.02)
        self.choice_layers = nn.ModuleList(Layer(width, cross=True) for _ in range(layers))
        self.choice = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 1))
        self.listen = nn.Linear(width, 1)
        self.say = nn.Linear(width, width, bias=False)
        self.be = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width))
        self.be_at = nn.Linear(PLACE, width, bias=False)
        self.counted = nn.Parameter(torch.tensor((1.0, 3.0)))  # who counts as a person when places are counted
        for last in (self.score, self.box, self.enter_things):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        nn.init.zeros_(self.say.weight)
        nn.init.zeros_(self.be_at.weight)
        nn.init.normal_(self.filters.weight, std=0.02)

    def encode(self, pictures: Tensor, sizes: Tensor) -> Candidates:
        """Finds everybody who may be meant.

        Args:
            pictures: (B, 3, H, W), RGB from 0 to 255, letterboxed at the top left.
            sizes: (B, 2), height and width of the picture inside the letterbox, in letterbox pixels.
        """
        return self.propose(self.detect(pictures), pictures, sizes)

    def detect(self, pictures: Tensor) -> Detected:
        """People and other things in every cell of (B, 3, H, W), RGB from 0 to 255."""
        maps = self.neck(self.trunk(pictures / 255))
        decoded = [_decode_level(head(level), stride) for head, level, stride in zip(self.heads, maps, STRIDES)]
        return Detected(tuple(maps), *(torch.cat(parts, 1) for parts in zip(*decoded)))

    def propose(self, found: Detected, pictures: Tensor, sizes: Tensor) -> Candidates:
        """The candidates among what was detected; pictures and sizes as `encode` takes them."""
        boxes, scores, cells, keep = self._propose(found.boxes, found.person, found.cells)
        things, thing_boxes = _strongest_things(found.things, found.boxes)
        fine, middle = found.maps[0], found.maps[1]
        x = self.mask_fine(fine) + F.interpolate(self.mask_middle(middle), scale_factor=2.0)
        mask_features = self.mask_merge(x)  # B M H/8 W/8
        masks = self.masks(boxes, cells, mask_features)
        colours = F.avg_pool2d(pictures, MASK_STRIDE) / 128 - 1
        looks = _looks(torch.cat((self.look_norm(fine), colours), 1), masks.detach(), boxes.detach())
        place = _place(boxes.detach(), scores.detach(), ((scores.detach() + 0.5) * 2).sigmoid() * keep, sizes)
        tokens = (
            self.enter_cells(self.cell_norm(cells))
            + self.enter_looks(looks)
            + self.enter_place(place)
            + self.enter_things(_things_near(boxes.detach(), thing_boxes.detach(), things) @ self.things.vectors)
        )
        for layer in self.person_layers:
            tokens = layer(tokens, keep)
        refined = box_ops.refine(boxes, self.box(tokens))
        scores = torch.where(keep, scores + self.score(tokens)[..., 0], torch.full_like(scores, -1e4))
        place = self.placed(refined, scores, sizes)
        seen = self.things.seen(found.things)
        return Candidates(boxes, scores, cells, place, tokens, masks, mask_features, refined, seen)

    def placed(self, refined: Tensor, scores: Tensor, sizes: Tensor) -> Tensor:
        """Places once more (B, K, 57), now that boxes and scores are better: who is third hangs on all of them.

        Args:
            refined: (B, K, 4); scores: (B, K), logits; sizes: (B, 2).
        """
        boxes, scores = refined.detach(), scores.detach().clamp(min=-8)
        once = box_ops.distinct(boxes, scores, 0.5)
        level, steepness = self.counted
        return _place(boxes, scores, ((scores + level) * steepness).sigmoid() * once, sizes)

    def _propose(self, boxes: Tensor, person: Tensor, cells: Tensor) -> tuple[Tensor, ...]:
        """The best K of all cells, without repeats."""
        # The number of cells is at least 21 (H = W = 32); the graph of an export fixes it by its own example.
        considered = min(CONSIDERED, person.shape[1])
        top, index = person.topk(considered, 1)
        top_boxes = boxes.gather(1, index[..., None].expand(-1, -1, 4))
        distinct = box_ops.distinct(top_boxes.detach(), top, 0.7)
        _, order = torch.where(distinct, top, top - 1e3).topk(min(self.candidates, considered), 1)
        index = index.gather(1, order)
        chosen_boxes = boxes.gather(1, index[..., None].expand(-1, -1, 4))
        chosen_cells = cells.gather(1, index[..., None].expand(-1, -1, cells.shape[-1]))
        return chosen_boxes, top.gather(1, order), chosen_cells, distinct.gather(1, order)

    def masks(self, boxes: Tensor, cells: Tensor, mask_features: Tensor) -> Tensor:
        """Dynamic filters over mask features and the place in the box (CondInst, Tian et al., ECCV 2020).

        Args:
            boxes: (B, K, 4); cells: (B, K, C); mask_features: (B, M, h, w).

        Returns: logits (B, K, h, w).
        """
        batch, width, height, columns = mask_features.shape
        count = boxes.shape[1]
        size = (boxes[..., 2:] - boxes[..., :2]).clamp(min=4)
        centre = (boxes[..., 2:] + boxes[..., :2]) / 2
        x = (torch.arange(columns, device=boxes.device) + 0.5) * MASK_STRIDE
        y = (torch.arange(height, device=boxes.device) + 0.5) * MASK_STRIDE
        x = ((x - centre[..., :1]) / size[..., :1]).clamp(-2, 2)  # B K w
        y = ((y - centre[..., 1:]) / size[..., 1:]).clamp(-2, 2)  # B K h
        first, second = _FILTER
        sizes = (width * first, 2 * first, first, first * second, second, second, 1)
        w0, place, b0, w1, b1, w2, b2 = self.filters(self.cell_norm(cells)).split(sizes, -1)
        # 1x1 filters over the features are one product; over the place an outer sum.
        hidden = w0.reshape(batch, count * first, width) @ mask_features.flatten(2)
        hidden = hidden.view(batch, count, first, height, columns) + b0[..., None, None]
        px, py = place.unflatten(-1, (first, 2)).unbind(-1)  # B K first
        hidden = hidden + px[..., None, None] * x[:, :, None, None, :]
        hidden = F.relu(hidden + py[..., None, None] * y[:, :, None, :, None]).flatten(3)
        hidden = F.relu(w1.unflatten(-1, (second, first)) @ hidden + b1[..., None])
        logits = (w2[..., None, :] @ hidden)[:, :, 0] + b2  # B K hw
        inside = torch.maximum(x.abs()[:, :, None, :], y.abs()[:, :, :, None])  # B K h w
        return logits.view(batch, count, height, columns) - 10 * (inside - 0.6).clamp(0, 1)

    def choose(self, candidates: Candidates, picture: Tensor, prompts: Prompts) -> Choice:
        """Finds whom each prompt means.

        Args:
            candidates: of B pictures.
            picture: (P,) int64, which picture each prompt is about.
            prompts: P prompts.
        """
        logits = self.compare(candidates, picture, prompts)
        best = logits[:, :-1].argmax(1)
        presence = 1 - logits.softmax(1)[:, -1]
        own_masks = self.boxed(candidates, picture, prompts.boxes)
        has = prompts.has_box
        boxes = torch.where(has[:, None], prompts.boxes, candidates.refined[picture, best])
        masks = torch.where(has[:, None, None], own_masks, candidates.masks[picture, best])
        return Choice(best, presence, boxes, masks)

    def compare(self, candidates: Candidates, picture: Tensor, prompts: Prompts) -> Tensor:
        """Logits (P, K + 1) of each candidate being the one meant; the last is nobody. Arguments as `choose`."""
        boxes, scores = candidates.boxes[picture].detach(), candidates.scores[picture]
        keep = scores > -1e3
        words = self.words(prompts.words)  # P L D
        tokens, memory_keep = self._prompt_tokens(prompts, words, candidates.mask_features[picture])
        pairs = _pairs(prompts, boxes, scores.detach(), candidates.masks.detach()[picture])
        people = candidates.tokens[picture] + self.enter_pair(pairs)  # P K D
        x = torch.cat((people, self.nobody.expand(people.shape[0], 1, -1)), 1)
        everyone = torch.cat((keep, torch.ones_like(keep[:, :1])), 1)
        for layer in self.choice_layers:
            x = layer(x, everyone, tokens, memory_keep)
        matched = self.match(prompts.words, words, candidates.tokens, candidates.place, picture)
        named = self.things.named(prompts.words, self.words.table, words)
        lacking = self.things.lacking(named, candidates.seen[picture])  # P
        logits = self.choice(x)[..., 0] + torch.cat((matched, lacking[:, None]), 1)
        return torch.where(everyone, logits, torch.full_like(logits, -1e4))

    def match(self, ids: Tensor, words: Tensor, tokens: Tensor, place: Tensor, picture: Tensor) -> Tensor:
        """How well what is said agrees with what each candidate is: (P, K), 0 without words.

        A product learns "left" times "is on the left" from far fewer sentences than layers of sums do.

        Args:
            ids: (P, L); words: (P, L, D); tokens: (B, K, D); place: (B, K, 57); picture: (P,).
        """
        are = (self.be(tokens) + self.be_at(place))[picture]  # P K D
        spoken = (ids != PAD)[..., None].to(words.dtype)
        weight = self.listen(words).clamp(-10, 10).exp() * spoken
        said = (weight * words).sum(1) / weight.sum(1).clamp(min=1e-6)  # P D
        product = self.say(said)[:, None] * are
        return product.sum(-1) / math.sqrt(product.shape[-1]) * spoken.amax(1)

    def boxed(self, candidates: Candidates, picture: Tensor, boxes: Tensor) -> Tensor:
        """Coarse masks of given boxes (P, 4): the cells that proposed boxes like it speak for it."""
        overlap = box_ops.iou(boxes[:, None], candidates.boxes[picture].detach())[:, 0]  # P K
        weights = (20 * overlap).softmax(1)[:, None]  # P 1 K
        cells = weights @ candidates.cells[picture]
        return self.masks(boxes[:, None], cells, candidates.mask_features[picture])[:, 0]

    def _prompt_tokens(self, prompts: Prompts, words: Tensor, mask_features: Tensor) -> tuple[Tensor, Tensor]:
        count = prompts.words.shape[0]
        at = _sample(mask_features, prompts.points).transpose(1, 2)  # P S M
        points = self.enter_point(torch.cat((_waves(prompts.points, 8), at), -1))
        points = points + self.point_kinds(prompts.point_kinds)
        box = self.enter_box(_waves(prompts.boxes.view(count, 2, 2), 8).flatten(1))
        tokens = (
            self.summary.expand(count, 1, -1),
            box[:, None],
            points,
            words,
        )
        keep = (
            torch.ones_like(prompts.has_box)[:, None],
            prompts.has_box[:, None],
            prompts.point_kinds != NOTHING,
            prompts.words != PAD,
        )
        return torch.cat(tokens, 1), torch.cat(keep, 1)


def _filter_count(mask_features: int) -> int:
    first, second = _FILTER
    return (mask_features + 2) * first + first + first * second + second + second + 1


def _decode_level(said: tuple[Tensor, ...], stride: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A level's boxes (B, n, 4), person logits (B, n), features (B, n, C), other things (B, n, 79)."""
    classes, box, objectness, what, where = said
    height, width = box.shape[-2:]
    x = torch.arange(width, device=box.device)
    y = torch.arange(height, device=box.device)
    cx = (box[:, 0] + x) * stride  # B h w
    cy = (box[:, 1] + y[:, None]) * stride
    half_w = box[:, 2].clamp(max=6).exp() * stride / 2
    half_h = box[:, 3].clamp(max=6).exp() * stride / 2
    boxes = torch.stack((cx - half_w, cy - half_h, cx + half_w, cy + half_h), -1).flatten(1, 2)
    there, kinds = objectness.sigmoid(), classes.sigmoid()
    person = torch.logit((there * kinds[:, :1])[:, 0].clamp(1e-5, 1 - 1e-5)).flatten(1)
    cells = torch.cat((what, where), 1).flatten(2).transpose(1, 2)
    things = (there * kinds[:, 1:]).flatten(2).transpose(1, 2)
    return boxes, person, cells, things


def _strongest_things(things: Tensor, boxes: Tensor, count: int = 32) -> tuple[Tensor, Tensor]:
    """The cells surest of something other than a person: (B, T, 79) and their boxes (B, T, 4)."""
    index = things.amax(-1).topk(min(count, things.shape[1]), 1).indices[..., None]
    return (
        things.gather(1, index.expand(-1, -1, things.shape[-1])),
        boxes.gather(1, index.expand(-1, -1, 4)),
    )


def _things_near(boxes: Tensor, thing_boxes: Tensor, things: Tensor) -> Tensor:
    """How surely each kind of thing touches each candidate: (B, K, 79)."""
    size = boxes[..., 2:] - boxes[..., :2]
    wide = torch.cat((boxes[..., :2] - 0.15 * size, boxes[..., 2:] + 0.15 * size), -1)
    shared = box_ops.intersection(wide, thing_boxes)  # B K T
    part = shared / box_ops.area(thing_boxes)[:, None].clamp(min=1)
    return (part @ things) / (1 + part @ things)  # repeats of one thing saturate


def _looks(features: Tensor, masks: Tensor, boxes: Tensor) -> Tensor:
    """Mean features of head, torso and legs under each candidate's mask: (B, K, bands x C)."""
    weight = masks.sigmoid() + 1e-4
    top, bottom = boxes[..., 1:2], boxes[..., 3:4]
    y = (torch.arange(masks.shape[-2], device=boxes.device) + 0.5) * MASK_STRIDE
    part = (y - top) / (bottom - top).clamp(min=1)  # B K h
    rows = []
    for low, high in _BANDS:
        # Soft edges, so that a band thinner than a cell still has weight.
        band = torch.sigmoid((part - low) * 30) * torch.sigmoid((high - part) * 30) + 1e-4
        weighted = (weight * band[..., None]).flatten(2)  # B K hw
        weighted = weighted / weighted.sum(-1, keepdim=True)
        rows.append(weighted @ features.flatten(2).transpose(1, 2))
    return torch.cat(rows, -1)


def _place(boxes: Tensor, scores: Tensor, weight: Tensor, sizes: Tensor) -> Tensor:
    """Where a candidate is in the picture and how it ranks among the others: (B, K, 57).

    weight: (B, K), how far each is counted.
    """
    scale = torch.cat((sizes.flip(1), sizes.flip(1)), 1)[:, None]  # B 1 4
    b = boxes / scale
    size = (b[..., 2:] - b[..., :2]).clamp(min=1e-3)
    geometry = torch.cat((b, size.log(), scores[..., None] / 5, size.prod(-1, keepdim=True).sqrt()), -1)
    x, y = (b[..., 0] + b[..., 2]) / 2, b[..., 3]
    height = size[..., 1]
    ranks = []
    for quantity in (x, -x, y, -y, height, -height):
        others = torch.sigmoid((quantity[:, :, None] - quantity[:, None, :]) * 60)  # B K K: those before it
        count = (others * weight[:, None]).sum(-1) - 0.5 * weight
        ranks.append(count)
    ranks.append(weight.sum(-1, keepdim=True).expand_as(weight))
    rank = torch.stack(ranks, -1)  # B K 7
    steps = torch.stack([(1 - (rank - n).abs()).clamp(min=0) for n in range(RANKS)], -1).flatten(2)
    return torch.cat((geometry, rank / 8, steps), -1)


def _waves(places: Tensor, count: int) -> Tensor:
    """Sines and cosines of places in letterbox pixels: (..., 2) to (..., 4 count)."""
    frequency = 2.0 ** torch.arange(count, device=places.device) * (math.pi / 512)
    angle = (places[..., None] * frequency).flatten(-2)
    return torch.cat((angle.sin(), angle.cos()), -1)


def _sample(maps: Tensor, places: Tensor) -> Tensor:
    """Maps (P, D, h, w) of stride 8 at places (P, S, 2) in letterbox pixels: (P, D, S)."""
    height, width = maps.shape[-2:]
    x, y = places[..., 0] / (width * MASK_STRIDE), places[..., 1] / (height * MASK_STRIDE)
    grid = torch.stack((x, y), -1) * 2 - 1
    return F.grid_sample(maps, grid[:, :, None], padding_mode="border", align_corners=False)[..., 0]


def _pairs(prompts: Prompts, boxes: Tensor, scores: Tensor, masks: Tensor) -> Tensor:
    """How each prompt's places lie in each candidate's box and mask: (P, K, 13)."""
    inside_mask = _sample(masks, prompts.points).clamp(-8, 8) / 4  # P K S
    size = (boxes[..., 2:] - boxes[..., :2]).clamp(min=4)
    centre = (boxes[..., 2:] + boxes[..., :2]) / 2
    relative = (prompts.points[:, None] - centre[:, :, None]) / size[:, :, None]  # P K S 2
    distance = relative.abs().amax(-1)  # P K S; 0.5 at the border
    positive = ((prompts.point_kinds == POSITIVE) | (prompts.point_kinds == STROKE))[:, None].to(boxes.dtype)
    negative = (prompts.point_kinds == NEGATIVE)[:, None].to(boxes.dtype)
    some, off = positive.sum(-1), negative.sum(-1)  # P 1
    mean = positive / some.clamp(min=1)[..., None]
    overlap = box_ops.iou(prompts.boxes[:, None], boxes)[:, 0] * prompts.has_box[:, None]
    place = (relative.clamp(-2, 2) * mean[..., None]).sum(2)  # P K 2
    features = (
        (inside_mask * mean).sum(-1),
        torch.where(positive > 0, inside_mask, torch.full_like(inside_mask, 2.0)).amin(-1) * (some > 0),
        torch.where(negative > 0, inside_mask, torch.full_like(inside_mask, -2.0)).amax(-1) * (off > 0),
        ((distance < 0.5).to(boxes.dtype) * mean).sum(-1),
        ((distance < 0.5).to(boxes.dtype) * negative).sum(-1) / off.clamp(min=1),
        (distance.clamp(max=3) * mean).sum(-1),
        place[..., 0],
        place[..., 1],
        overlap,
        prompts.has_box[:, None].to(boxes.dtype).expand_as(overlap),
        (some > 0).to(boxes.dtype).expand_as(overlap),
        scores.clamp(-8, 8) / 4,
        (size.prod(-1).log() - 8) / 4,
    )
    return torch.stack(features, -1)
