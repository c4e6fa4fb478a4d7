"""Promptable systems: pictures and prompts in, people out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from anypose.models.promptable.pointer import VARIANTS, Pointer
from anypose.models.promptable.pointer.first_look import NEGATIVE, NOTHING, POSITIVE, STROKE, Prompts
from anypose.models.promptable.pointer.graphs import graphs
from anypose.models.promptable.pointer.losses import HIDDEN, NOBODY, OUTSIDE, VISIBLE, Batch
from anypose.models.promptable.tokenclipose import VARIANTS as TOKENCLIPOSE
from anypose.models.promptable.tokenclipose import Batch as Boxed
from anypose.models.promptable.tokenclipose import TokenCLIPose
from anypose.models.promptable.tokenclipose.graphs import graphs as tokenclipose_graphs
from anypose.models.promptable.uniphd import VARIANTS as UNIPHD
from anypose.models.promptable.uniphd import UniPHD
from anypose.models.promptable.uniphd.answers import found_in
from anypose.models.promptable.uniphd.graphs import graphs as uniphd_graphs
from anypose.models.promptable.uniphd.losses import Batch as UniPHDBatch
from anypose.models.promptable.uniphd.prompts import WORD_PADDING
from anypose.models.promptable.uniphd.prompts import Prompts as UniPHDPrompts
from anypose.nn.csp_darknet import DetectionHead
from anypose.nn.published import convolutions_as_built
from anypose.skeleton import COCO17, HOCKEY15
from cases.case import Case, Inputs

UNIPHD_EXEMPT = {
    "k_proj.bias": "a softmax does not see what is added to all keys",
    "key.bias": "a softmax does not see what is added to all keys",
}
CANDIDATES = 8 * 12 + 4 * 6 + 2 * 3


def tiny_pointer() -> Pointer:
    torch.manual_seed(3)
    # As many candidates as cells in a picture of 64 x 96, so that cells of all levels are among them.
    pointer = Pointer(**{**VARIANTS["tiny"], "candidates": CANDIDATES})  # type: ignore[arg-type]
    # What is given rather than learned, and is zero until it is given.
    pointer.first.words.table.data.normal_()
    pointer.first.things.vectors.normal_()
    # Cells of an untrained detector are all but equally sure, so that rounding would choose among them.
    first = pointer.first
    with torch.no_grad():
        for part in (first.trunk, first.neck, first.heads):
            for conv in convolutions_as_built(part):
                conv.weight.mul_(2.5)
        maps = first.neck(first.trunk(torch.rand(1, 3, 64, 96)))
        for head, level in zip(first.heads, maps):
            assert isinstance(head, DetectionHead)
            head.objectness.bias.sub_(head(level)[2].mean())  # type: ignore[union-attr]
            head.box.weight.mul_(0.1)
    return pointer


def pointer_batch(pointer: Pointer) -> Batch:
    """Two pictures with two people each, every kind of prompt about both, and about nobody, and a crop of each.

    People stand where the untrained network proposes somebody: it cannot be asked to find others.
    """
    random = torch.Generator().manual_seed(0)

    def uniform(*shape: int, low: float = 0, high: float = 1) -> Tensor:
        return torch.rand(*shape, generator=random) * (high - low) + low

    pictures, sizes = uniform(2, 3, 64, 96, high=255), torch.tensor([[64.0, 96.0], [60.0, 80.0]])
    with torch.no_grad():
        boxes = pointer.encode(pictures, sizes).boxes
    by_width = (boxes[..., 2] - boxes[..., 0]).argsort(1)  # from the finest level to the coarsest
    people = torch.stack([boxes[b, by_width[b, rank]] for b, rank in ((0, 2), (0, -2), (1, 108), (1, 40))])
    kinds = torch.full((10, 4), NOTHING)
    kinds[0::5, :2] = torch.tensor([POSITIVE, NEGATIVE])
    kinds[1::5] = STROKE
    words = torch.zeros(10, 6, dtype=torch.int64)
    words[3::5, :4] = torch.randint(2, 100, (2, 4), generator=random)
    words[4::5, :2] = torch.randint(2, 100, (2, 2), generator=random)
    meant = torch.tensor([0, 1, 0, 1, NOBODY, 2, 3, 2, 3, NOBODY])
    has_box = torch.arange(10) % 5 == 2
    prompt_boxes = people[meant.clamp(min=0)] * has_box[:, None]
    to_picture = torch.tensor([[0.25, 0, 0], [0, 0.25, 0]]).repeat(4, 1, 1)
    to_picture[:, :, 2] = people[:, :2]
    known = torch.tensor([VISIBLE] * 13 + [HIDDEN] * 2 + [OUTSIDE] * 2).repeat(4, 1)
    return Batch(
        pictures=pictures,
        sizes=sizes,
        everyone_listed=torch.tensor([True, False]),
        people=people,
        people_picture=torch.tensor([0, 0, 1, 1]),
        people_masks=(uniform(4, 8, 12) > 0.5).float(),
        people_mask_known=torch.ones(4, dtype=torch.bool),
        crowds=torch.tensor([[70.0, 40, 90, 60]]),
        crowds_picture=torch.tensor([0]),
        prompts=Prompts(words, uniform(10, 4, 2, high=60), kinds, prompt_boxes, has_box),
        prompt_picture=torch.arange(10) // 5,
        prompt_person=meant,
        crops=uniform(4, 3, 256, 192, high=255),
        crop_person=torch.arange(4),
        crop_box=people + uniform(4, 4),
        crop_to_picture=to_picture,
        keypoints=uniform(4, 17, 2, low=20, high=170),
        known=known,
        area=torch.full((4,), 9000.0),
        crop_masks=(uniform(4, 128, 96) > 0.5).float(),
        crop_mask_known=torch.ones(4, dtype=torch.bool),
        hint_known=torch.ones(4, dtype=torch.bool),
        sigmas=torch.tensor(COCO17.sigmas, dtype=torch.float32),
        captions=torch.randint(2, 100, (3, 6), generator=random),
        captions_name=(uniform(3, 79) > 0.9).float(),
        things=uniform(2, 8 * 12 + 4 * 6 + 2 * 3, 79) ** 4,
    )


def pointer_answer(pointer: Pointer, batch: Batch) -> dict[str, Tensor]:
    candidates = pointer.encode(batch.pictures, batch.sizes)
    choice = pointer.choose(candidates, batch.prompt_picture, batch.prompts)
    of_crops = batch.people_picture[batch.crop_person]
    coarse = pointer.first.boxed(candidates, of_crops, batch.crop_box)
    seen = pointer.look(batch.crops, coarse, batch.crop_to_picture)
    parts: dict[str, Any] = {"candidates": candidates, "choice": choice, "seen": seen}
    return {f"{part}.{name}": t for part, named in parts.items() for name, t in named._asdict().items()}


def pointer_shapes(batch: Batch) -> dict[str, tuple[int, ...]]:
    pictures, prompts, crops, people = len(batch.pictures), len(batch.prompt_picture), len(batch.crops), CANDIDATES
    return {
        "candidates.boxes": (pictures, people, 4),
        "candidates.scores": (pictures, people),
        "candidates.cells": (pictures, people, 32),
        "candidates.place": (pictures, people, 57),
        "candidates.tokens": (pictures, people, 32),
        "candidates.masks": (pictures, people, 8, 12),
        "candidates.mask_features": (pictures, 16, 8, 12),
        "candidates.refined": (pictures, people, 4),
        "candidates.seen": (pictures, 79),
        "choice.best": (prompts,),
        "choice.presence": (prompts,),
        "choice.boxes": (prompts, 4),
        "choice.masks": (prompts, 8, 12),
        "seen.heatmaps": (crops, 17, 64, 48),
        "seen.keypoints": (crops, 17, 2),
        "seen.confidence": (crops, 17),
        "seen.state": (crops, 17, 3),
        "seen.masks": (crops, 128, 96),
        "seen.quality": (crops,),
    }


def pointer_rows(batch: Batch) -> list[Batch]:
    """A batch of each picture; people, prompts and crops come in the order of their pictures."""
    rows = []
    for picture in range(len(batch.pictures)):
        people, prompts = batch.people_picture == picture, batch.prompt_picture == picture
        crops = people[batch.crop_person]
        rows.append(
            batch._replace(
                pictures=batch.pictures[picture : picture + 1],
                sizes=batch.sizes[picture : picture + 1],
                people_picture=torch.zeros(int(people.sum()), dtype=torch.int64),
                prompts=Prompts(*(part[prompts] for part in batch.prompts)),
                prompt_picture=torch.zeros(int(prompts.sum()), dtype=torch.int64),
                crops=batch.crops[crops],
                crop_person=torch.arange(int(crops.sum())),
                crop_box=batch.crop_box[crops],
                crop_to_picture=batch.crop_to_picture[crops],
            )
        )
    return rows


def pointer_runs(run: Callable[[str, Inputs], Inputs], seed: int) -> list[tuple[str, Inputs]]:
    """Run number `seed`: a picture of another size, and other numbers of prompts, words, places and crops."""
    random = np.random.default_rng(seed + 10)
    height, width = ((192, 96), (96, 192), (32, 416))[seed % 3]
    picture = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    encode: Inputs = {"picture": picture, "size": np.array([height - 3, width], np.float32)}
    scene = run("encode", encode)
    prompts, length, places, crops = ((1, 1, 1, 1), (5, 9, 3, 3), (2, 32, 13, 8))[seed % 3]
    choose: Inputs = {
        **scene,
        "words": random.integers(0, 100, (prompts, length)),
        "points": random.uniform(0, 64, (prompts, places, 2)).astype(np.float32),
        "point_kinds": random.integers(0, 4, (prompts, places)),
        "prompt_boxes": random.uniform((0, 0, 30, 30), (20, 20, 60, 60), (prompts, 4)).astype(np.float32),
        "has_box": random.random(prompts) < 0.5,
    }
    look: Inputs = {
        "crops": random.integers(0, 256, (crops, 256, 192, 3), dtype=np.uint8),
        "coarse": np.ascontiguousarray(scene["masks"][:crops]),
        "crop_to_picture": random.uniform(-0.3, 0.3, (crops, 2, 3)).astype(np.float32),
        "presence": random.random(crops, np.float32),
    }
    return [("encode", encode), ("choose", choose), ("look", look)]


def tiny_uniphd() -> UniPHD:
    torch.manual_seed(5)
    # Without dropout, which would hide what thirty steps learn, and with pictures of two sizes apart.
    return UniPHD(**{**UNIPHD["tiny"], "dropout": 0.0, "drop_path": 0.0, "pad_together": False})


def uniphd_batch(model: UniPHD) -> UniPHDBatch:
    """Two pictures of two sizes, each asked in words, by a point and by a scribble; one text means nobody."""
    random = torch.Generator().manual_seed(0)
    words = torch.randint(3, 120, (4, 7), generator=random)
    words[1::2, 5:] = WORD_PADDING
    places = torch.rand(4, 12, 2, generator=random) * 60
    unused = torch.zeros(4, 12, dtype=torch.bool)
    unused[0::2, 1:] = True
    of = torch.tensor([0, 0, 1, 1])
    boxes = torch.tensor([[0.5, 0.5, 0.4, 0.8], [0.3, 0.6, 0.3, 0.5]])[[0, 1, 0, 1, 0, 1, 0, 1]]
    steps = torch.rand(8, 17, 2, generator=random)
    masks = torch.zeros(8, 64, 96)
    masks[:, 12:40, 20:60] = 1
    return UniPHDBatch(
        pictures=torch.rand(2, 3, 64, 96, generator=random) * 255,
        sizes=torch.tensor([[64, 96], [48, 80]]),
        prompts=UniPHDPrompts(words, of, places, unused, of),
        boxes=boxes,
        keypoints=boxes[:, None, :2] + (steps - 0.5) * boxes[:, None, 2:],
        visible=(torch.arange(17) < 14).float().expand(8, -1),
        area=torch.full((8,), 0.2),
        masks=masks,
        present=torch.arange(8) != 3,
    )


def uniphd_answer(model: UniPHD, batch: UniPHDBatch) -> dict[str, Tensor]:
    found = found_in(model, batch.pictures, batch.sizes, batch.prompts, torch.arange(2))
    # Words come before places in a batch of one picture and of many: sorted by picture, rows and batch agree.
    order = batch.prompts.pictures.argsort(stable=True)
    return {name: value[order] for name, value in found._asdict().items()}


def uniphd_shapes(batch: UniPHDBatch) -> dict[str, tuple[int, ...]]:
    prompts = len(batch.prompts.pictures)
    return {
        "groups": (prompts, 2),
        "scores": (prompts, 2),
        "presence": (prompts,),
        "boxes": (prompts, 2, 4),
        "keypoints": (prompts, 2, 17, 2),
        "confidence": (prompts, 2, 17),
        "masks": (prompts, 2, 64, 96),
    }


def uniphd_rows(batch: UniPHDBatch) -> list[UniPHDBatch]:
    """A batch of each picture."""
    rows = []
    for picture in range(len(batch.pictures)):
        prompts, kept = batch.prompts.about(torch.tensor([picture]))
        parts = {name: getattr(batch, name)[kept] for name in ("boxes", "keypoints", "visible", "area", "masks")}
        rows.append(
            batch._replace(
                pictures=batch.pictures[picture : picture + 1],
                sizes=batch.sizes[picture : picture + 1],
                prompts=prompts,
                present=batch.present[kept],
                **parts,
            )
        )
    return rows


def uniphd_runs(run: Callable[[str, Inputs], Inputs], seed: int) -> list[tuple[str, Inputs]]:
    """Run number `seed`: other numbers of prompts, words, places and candidates."""
    random = np.random.default_rng(seed)
    prompts, length, places, candidates = ((1, 1, 1, 1), (5, 9, 3, 6), (2, 30, 12, 2))[seed]
    size = np.array([(64, 96), (50, 96), (64, 70)][seed])
    picture = random.integers(0, 256, (64, 96, 3), dtype=np.uint8)
    encode: Inputs = {"picture": picture, "size": size}
    words = random.integers(3, 120, (prompts, length))
    words[1:, length // 2 + 1 :] = WORD_PADDING
    unused = random.random((prompts, places)) < 0.3
    unused[:, 0] = False
    ask: Inputs = {
        **run("encode", encode),
        "size": size,
        "ranks": np.arange(candidates),
        "words": words,
        "places": random.uniform(0, 60, (prompts, places, 2)).astype(np.float32),
        "unused": unused,
    }
    return [("encode", encode), ("words", ask), ("places", ask)]


def tokenclipose(**options: Any) -> Callable[[], TokenCLIPose]:
    """A tiny one of players with sticks."""

    def made() -> TokenCLIPose:
        torch.manual_seed(6)
        model = TokenCLIPose(**{**TOKENCLIPOSE["tiny"], "skeleton": HOCKEY15, **options})
        with torch.no_grad():  # or noise would leave some of so few channels behind a ReLU
            for conv in convolutions_as_built(model.backbone):
                conv.weight.mul_(2.5)
        return model

    return made


def tokenclipose_batch(model: TokenCLIPose) -> Boxed:
    """Three crops of noise, whose keypoints lie in them, beside them, and at twice their size."""
    random = torch.Generator().manual_seed(0)
    keypoints = torch.rand(3, 15, 2, generator=random) * 2 - 1
    known = (torch.arange(45).view(3, 15) % 7 > 0).float()
    return Boxed(torch.rand(3, 3, *model.size, generator=random) * 255, (), keypoints, known)


def tokenclipose_answer(model: TokenCLIPose, batch: Boxed) -> dict[str, Tensor]:
    answer = model(batch.crops)
    return {**answer._asdict(), "confidence": model.confidence(answer)}


def tokenclipose_shapes(batch: Boxed) -> dict[str, tuple[int, ...]]:
    people = len(batch.crops)
    return {
        "coarse": (people, 12, 2),
        "coarse_sigma": (people, 12, 1),
        "keypoints": (people, 15, 2),
        "sigma": (people, 15, 1),
        "confidence": (people, 15),
    }


def tokenclipose_rows(batch: Boxed) -> list[Boxed]:
    return [
        Boxed(batch.crops[i : i + 1], (), batch.keypoints[i : i + 1], batch.known[i : i + 1])
        for i in range(len(batch.crops))
    ]


def tokenclipose_runs(run: Callable[[str, Inputs], Inputs], seed: int) -> list[tuple[str, Inputs]]:
    """Run number `seed`: other crops, and another number of them."""
    random = np.random.default_rng(seed)
    return [("see", {"crops": random.integers(0, 256, (seed + 1, 64, 64, 3), dtype=np.uint8)})]


def boxed(build: Callable[[], TokenCLIPose], *, exports: bool = True, rate: float = 3e-3) -> Case:
    return Case(
        "promptable/tokenclipose",
        build,
        tokenclipose_batch,
        tokenclipose_answer,
        tokenclipose_shapes,
        tokenclipose_rows,
        tokenclipose_graphs if exports else None,
        tokenclipose_runs,
        rate=rate,
    )


PROMPTABLE = (
    Case(
        "promptable/pointer",
        tiny_pointer,
        pointer_batch,
        pointer_answer,
        pointer_shapes,
        pointer_rows,
        graphs,
        pointer_runs,
        exempt={
            "key.bias": "a softmax does not see what is added to all keys",
            "listen.bias": "weights of words are divided by their sum",
        },
    ),
    Case(
        "promptable/uniphd",
        tiny_uniphd,
        uniphd_batch,
        uniphd_answer,
        uniphd_shapes,
        uniphd_rows,
        lambda model: uniphd_graphs(model, (64, 96)),
        uniphd_runs,
        exempt=UNIPHD_EXEMPT,
    ),
    boxed(tokenclipose()),
    boxed(tokenclipose(attention="cross", patches=True, grid=(16, 32), prompts="random")),
    boxed(tokenclipose(attention="intention", location=False, base="laplace", double_counting=True), exports=False),
)
