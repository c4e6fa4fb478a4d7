"""TokenCLIPose as one graph: crops to keypoints. All decisions are inside; who runs it cuts crops and warps back."""

from __future__ import annotations

import json

import torch
from torch import Tensor, nn

from anypose.models.promptable.tokenclipose import TokenCLIPose
from anypose.models.promptable.tokenclipose.decoder import Attention
from anypose.runtime.graph import Graph


class See(nn.Module):
    """N crops (N, H, W, 3) uint8 RGB to keypoints (N, K, 2) in pixels of the crop, confidence (N, K), scores (N,)."""

    def __init__(self, model: TokenCLIPose) -> None:
        super().__init__()
        self.model = model
        height, width = model.size
        self.register_buffer("scale", torch.tensor([float(width), float(height)]), persistent=False)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        answer = self.model(crops.permute(0, 3, 1, 2).float())
        confidence = self.model.confidence(answer)
        return (answer.keypoints + 0.5) * self.scale, confidence, confidence.mean(1)


def graphs(model: TokenCLIPose) -> dict[str, Graph]:
    """The one graph, "see", whose notes hold the skeleton and the (height, width) of a crop.

    Raises ValueError for intention attention: ONNX has no operator that solves its equations.
    """
    if any(isinstance(module, Attention) and module.ridge is not None for module in model.modules()):
        raise ValueError("intention attention does not export: ONNX has no operator that solves its equations")
    model = model.eval()
    crops = torch.randint(0, 256, (2, *model.size, 3), dtype=torch.uint8)
    notes = {"skeleton": json.dumps(model.skeleton.to_dict()), "size": json.dumps(model.size)}
    outputs = ("keypoints", "confidence", "scores")
    return {"see": Graph(See(model), {"crops": crops}, outputs, {"crops": {0: "people"}}, notes=notes)}
