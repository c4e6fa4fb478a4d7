"""The pointer as three graphs, each of which an engine runs on its own.

All decisions are inside; who runs them cuts, scales and warps pictures and puts answers back into their pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from anypose.models.promptable.pointer import Pointer
from anypose.models.promptable.pointer.first_look import Candidates, Prompts
from anypose.runtime.graph import Graph


class Encode(nn.Module):
    """picture (H, W, 3) uint8 RGB and size (2,), of the picture in it, to the picture's candidates."""

    def __init__(self, pointer: Pointer) -> None:
        super().__init__()
        self.pointer = pointer

    def forward(self, picture: Tensor, size: Tensor) -> tuple[Tensor, ...]:
        candidates = self.pointer.encode(picture.permute(2, 0, 1)[None].float(), size[None])
        return (*(part[0] for part in candidates), candidates.scores[0].sigmoid())


class Choose(nn.Module):
    """A picture's candidates and P prompts to whom each means."""

    def __init__(self, pointer: Pointer) -> None:
        super().__init__()
        self.pointer = pointer

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        count = len(Candidates._fields)
        candidates = Candidates(*(part[None] for part in inputs[:count]))
        words, points, kinds, boxes, has_box = inputs[count:]
        picture = torch.zeros_like(words[:, 0])
        prompts = Prompts(words, points, kinds, boxes, has_box)
        choice = self.pointer.choose(candidates, picture, prompts)
        return choice.presence, choice.boxes, choice.masks


class Look(nn.Module):
    """N crops (N, H, W, 3) uint8 with their people's coarse masks to keypoints and masks."""

    def __init__(self, pointer: Pointer) -> None:
        super().__init__()
        self.pointer = pointer

    def forward(self, crops: Tensor, coarse: Tensor, crop_to_picture: Tensor, presence: Tensor) -> tuple[Tensor, ...]:
        seen = self.pointer.look(crops.permute(0, 3, 1, 2).float(), coarse, crop_to_picture)
        scores = presence * seen.quality.sigmoid()
        return seen.keypoints, seen.confidence.sigmoid(), seen.state.softmax(-1), seen.masks, scores


def graphs(pointer: Pointer) -> dict[str, Graph]:
    """The three graphs by name: encode, choose, look."""
    pointer = pointer.eval()
    # Large enough to have CONSIDERED cells: that number is fixed in the exported graph. With fewer, the tracer would
    # take the number of all cells, and every cell of a large picture would be compared with every other.
    picture = torch.randint(0, 256, (128, 160, 3), dtype=torch.uint8)
    size = torch.tensor([120.0, 150.0])
    with torch.no_grad():
        parts = Encode(pointer)(picture, size)
    names = Candidates._fields
    candidates = dict(zip(names, parts))
    prompts = {
        "words": torch.tensor([[2, 3, 0, 0, 0], [2, 0, 0, 0, 0], [0] * 5]),
        "points": torch.full((3, 4, 2), 8.0),
        "point_kinds": torch.tensor([[1, 0, 0, 0], [0] * 4, [3] * 4]),
        "prompt_boxes": torch.tensor([[4.0, 4, 40, 50]] * 3),
        "has_box": torch.tensor([False, True, False]),
    }
    height, width = pointer.crop_size
    crops = {
        "crops": torch.randint(0, 256, (2, height, width, 3), dtype=torch.uint8),
        "coarse": candidates["masks"][:2],
        "crop_to_picture": torch.tensor([[[0.3, 0, 2], [0, 0.3, 1]]] * 2),
        "presence": torch.tensor([0.9, 0.8]),
    }
    cells = {0: "rows", 1: "columns"}
    shifted = {axis + 1: name for axis, name in cells.items()}
    return {
        "encode": Graph(
            Encode(pointer),
            {"picture": picture, "size": size},
            (*names, "everyone"),
            {"picture": {0: "height", 1: "width"}, "size": {}},
            {"height": 32, "width": 32},
        ),
        "choose": Graph(
            Choose(pointer),
            {**candidates, **prompts},
            ("presence", "chosen", "coarse"),
            {
                **{name: {} for name in names},
                "masks": shifted,
                "mask_features": shifted,
                "words": {0: "prompts", 1: "length"},
                "points": {0: "prompts", 1: "places"},
                "point_kinds": {0: "prompts", 1: "places"},
                "prompt_boxes": {0: "prompts"},
                "has_box": {0: "prompts"},
            },
        ),
        "look": Graph(
            Look(pointer),
            crops,
            ("keypoints", "confidence", "state", "fine", "scores"),
            {
                "crops": {0: "people"},
                "coarse": {0: "people", **shifted},
                "crop_to_picture": {0: "people"},
                "presence": {0: "people"},
            },
        ),
    }
