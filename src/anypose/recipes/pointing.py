"""Pointing: the recipe of `promptable/pointer`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from anypose.data import coco
from anypose.data.sample import Sample
from anypose.data.things import COCO_THINGS
from anypose.draw import draw
from anypose.evaluation import examine, figures_of
from anypose.evaluation.prompts import point_prompt
from anypose.files import write_atomically
from anypose.models.promptable.pointer import Pointer
from anypose.models.promptable.pointer.graphs import graphs
from anypose.models.promptable.pointer.losses import Batch
from anypose.nn.csp_darknet import CSPLayer
from anypose.nn.lite_hrnet import ShuffleUnit, StridedShuffleUnit
from anypose.ops import boxes as box_ops
from anypose.predictor import Predictor
from anypose.recipes.pointing_data import Photographs, PointingData
from anypose.recipes.recipe import Recipe
from anypose.runtime.torch import TorchEngine

PICTURES = 4  # drawn as training goes on


class Pointing(Recipe):
    """Trains the pointer on photographs with people.

    Args:
        out: folder of the run; what a detector sees beside people is noted in it once.
        people: COCO keypoint file, and the folder of its pictures.
        athletes: another one of single people, for crops alone, and its folder; or None.
        synthetic: people.json and the folder of pictures that `anypose data synthesize` wrote, to learn from beside
            `people`; or None.
        yolox, tinypose: published weights to start from; None starts from nothing.
        words: folder with words.safetensors and tokenizer.json (experiments/words.py).
        detector: YOLOX-Nano as published: what it sees beside people is noted, and the first look is kept from
            forgetting it; None asks nobody.
        weights: a safetensors file of the pointer to go on from, or None.
        model: options of `Pointer`.
        data: options of `PointingData`.
        judged: COCO keypoint file, and its folder, whose people are asked for by a click at every checkpoint; or None.
        learn: beginnings of the names of what is learned, such as "first.words"; everything if empty.
        lr: peak learning rate of what is new; `lr_words` of the table of words, `lr_things` of what compares it with
            the things in the picture, `lr_first`, `lr_second` of the published trunks.
        workers: processes that prepare batches; 0 prepares them between steps.
    """

    blocks = (ShuffleUnit, StridedShuffleUnit, CSPLayer)

    def __init__(
        self,
        *,
        out: Path,
        people: tuple[str, str],
        athletes: tuple[str, str] | None = None,
        synthetic: tuple[str, str] | None = None,
        yolox: str | None = None,
        tinypose: str | None = None,
        detector: str | None = None,
        words: str,
        weights: str | None = None,
        model: dict[str, Any] | None = None,
        data: dict[str, Any] | None = None,
        judged: tuple[str, str] | None = None,
        learn: tuple[str, ...] = (),
        lr: float = 8e-4,
        lr_words: float = 5e-3,
        lr_things: float = 3e-3,
        lr_first: float = 1e-4,
        lr_second: float = 6e-5,
        workers: int = 1,
        seed: int = 0,
    ) -> None:
        torch.manual_seed(seed)
        pointer = Pointer(**(model or {}))
        table = load_file(Path(words) / "words.safetensors")
        pointer.first.words.table.data.copy_(table["table"].float())
        pointer.first.things.vectors.copy_(table["things"].float())
        pointer.start_from(yolox, tinypose)
        if weights is not None:
            print(f"new: {', '.join(pointer.go_on_from(weights)) or 'nothing'}")
        for parameter_name, parameter in pointer.named_parameters():
            parameter.requires_grad_(not learn or parameter_name.startswith(learn))
        super().__init__(model=pointer, groups=_groups(pointer, lr, lr_words, lr_things, lr_first, lr_second))
        self._detector: Pointer | None = None
        if detector is not None:
            self._detector = Pointer(**{**(model or {}), "vocabulary": 2}).eval().requires_grad_(requires_grad=False)
            self._detector.start_from(detector, None)
        samples = [s for s in coco.read(*people) if len(s.people)]
        samples += [s for s in coco.read(*synthetic) if len(s.people)] if synthetic else []
        others = list(coco.read(*athletes)) if athletes else []
        notes = out / "things.json"
        if not notes.exists():
            out.mkdir(parents=True, exist_ok=True)
            seen = detect_things(detector, samples) if detector else {}
            write_atomically(notes, json.dumps(seen))
        things = {k: [(n, b, s) for n, b, s in v] for k, v in json.loads(notes.read_text()).items()}
        options = {"seed": seed, **(data or {})}
        tokenizer = Path(words) / "tokenizer.json"
        self._data = PointingData(Photographs(samples, things), Photographs(others, {}), tokenizer, **options)
        self._workers = workers
        self._judged = coco.read(*judged) if judged else []
        several = [sample for sample in samples if len(sample.people) > 1 and sample.people.masks is not None]
        self._shown = several[:PICTURES]

    def batches(self, start: int, stride: int = 1) -> Iterator[Batch]:
        self._data.start, self._data.stride = start, stride
        loader = torch.utils.data.DataLoader(
            self._data,
            batch_size=None,
            num_workers=self._workers,
            prefetch_factor=2 if self._workers else None,
        )
        return iter(loader)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        device = next(self.model.parameters()).device
        batch = batch.to(device)
        if self._detector is not None:
            with torch.no_grad():
                batch = batch._replace(things=self._detector.to(device).first.detect(batch.pictures).things)
        return super().losses(batch)

    def judge(self) -> dict[str, float]:
        if not self._judged:
            return {}
        figures = figures_of(examine(self._predictor(), self._judged, ("point",)))["point"]
        return {name: float(figures[name]) for name in ("pose_ap", "miou", "right_person")}

    def pictures(self) -> list[NDArray[np.uint8]]:
        predictor, drawn = self._predictor(), []
        for sample in self._shown:
            prompt = point_prompt(sample.people[[0]], 0)
            image = sample.image()
            drawn.append(draw(image, predictor.encode(image).find(prompt), prompts=[prompt]))
        return drawn

    def _predictor(self) -> Predictor:
        """The model as it stands."""
        pointer = self.model
        assert isinstance(pointer, Pointer)
        engine = TorchEngine(graphs(pointer), str(next(pointer.parameters()).device))
        return Predictor("promptable/pointer", engine, self._data.tokenizer_file)


def _groups(
    model: Pointer, lr: float, lr_words: float, lr_things: float, lr_first: float, lr_second: float
) -> list[dict[str, Any]]:
    first, second = model.first, model.second
    parts: list[tuple[float, list[nn.Module]]] = [
        (lr_things, [first.things]),
        (lr_first, [first.trunk, first.neck, first.heads]),
        (lr_second, [second.trunk, second.heatmaps]),
    ]
    groups = []
    taken: set[int] = set()
    for peak, modules in parts:
        own = [parameter for module in modules for parameter in module.parameters() if parameter.requires_grad]
        taken |= {id(parameter) for parameter in own}
        groups.append({"params": own, "lr": peak})
    table = first.words.table
    if table.requires_grad:
        # Without decay: a row moves only where its word is read.
        groups.append({"params": [table], "lr": lr_words, "weight_decay": 0.0})
        taken.add(id(table))
    rest = [p for p in model.parameters() if p.requires_grad and id(p) not in taken]
    groups.append({"params": rest, "lr": lr})
    return [group for group in groups if group["params"]]


def detect_things(detector: str, samples: list[Sample]) -> dict[str, list[tuple[str, list[float], float]]]:
    """What YOLOX-Nano sees in each picture: (class, box, score) by the sample's name, persons too."""
    import onnxruntime

    session = onnxruntime.InferenceSession(detector, providers=["CPUExecutionProvider"])
    names = ("person", *COCO_THINGS)
    cells = _cells()
    seen = {}
    for sample in samples:
        image = sample.image()
        scale = 416 / max(image.shape[:2])
        size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        canvas = np.full((416, 416, 3), 114, np.uint8)
        canvas[: size[1], : size[0]] = np.asarray(Image.fromarray(image).resize(size))
        (out,) = session.run(None, {"images": canvas[None, ..., ::-1].transpose(0, 3, 1, 2).astype(np.float32)})
        said = torch.from_numpy(out[0])
        centre = (said[:, :2] + cells[:, :2]) * cells[:, 2:]
        half = said[:, 2:4].exp() * cells[:, 2:] / 2
        boxes = torch.cat((centre - half, centre + half), 1) / scale
        found = []
        for kind, name in enumerate(names):
            scores = said[:, 4] * said[:, 5 + kind]
            order = scores.argsort(descending=True)[:50]
            order = order[scores[order] > 0.25]
            kept = order[box_ops.distinct(boxes[order], scores[order], 0.5)] if len(order) else order
            found += [(name, [round(v, 1) for v in boxes[i].tolist()], round(float(scores[i]), 3)) for i in kept]
        seen[sample.name] = found
    return seen


def _cells() -> torch.Tensor:
    """Column, row and stride of YOLOX's 3549 cells at 416 pixels."""
    parts = []
    for stride in (8, 16, 32):
        count = 416 // stride
        y, x = torch.meshgrid(torch.arange(count), torch.arange(count), indexing="ij")
        parts.append(torch.stack((x, y, torch.full_like(x, stride)), -1).view(-1, 3))
    return torch.cat(parts).float()
