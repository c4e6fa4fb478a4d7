"""Which group is to answer for a prompt: the Hungarian method on a sum of costs.

The release has weights for these costs and no matcher; which of them the published weights were trained with is not
known. Costs are those of the losses, one for each group (HuMAR's re-creation uses all of them too).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

COSTS: dict[str, float] = {
    "class": 2.0,
    "box": 5.0,
    "giou": 2.0,
    "keypoints": 10.0,
    "visibility": 4.0,
    "oks": 4.0,
    "mask": 2.0,
    "dice": 5.0,
}


def assign(costs: Tensor) -> Tensor:
    """The cheapest pairs: costs (P, Q, T) of Q groups for T people to the people's groups (P, T)."""
    rows = []
    for table in costs.detach().float().cpu().nan_to_num(1e6, 1e6, -1e6).numpy():
        groups, people = linear_sum_assignment(table)
        rows.append(torch.as_tensor(groups[people.argsort()]))
    return torch.stack(rows).to(costs.device)


def total(costs: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The weighted sum (P, Q) of those costs that there are: the encoder's stage has no boxes and masks."""
    return torch.stack([weights[name] * cost for name, cost in costs.items()]).sum(0)
