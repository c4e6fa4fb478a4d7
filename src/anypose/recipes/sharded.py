"""Weights that lie in parts on several processes (FSDP), as whole tensors and back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint import state_dict as states_of
from torch.distributed.tensor import DTensor, distribute_tensor

_WHOLE = states_of.StateDictOptions(full_state_dict=True, cpu_offload=True)
_GIVEN = states_of.StateDictOptions(full_state_dict=True)


def states(whole: nn.Module, optimiser: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """State of a split `Learning` and of its optimiser, by parameter names; all processes ask together."""
    model, moments = states_of.get_state_dict(whole, _bare(optimiser), options=_WHOLE)
    return dict(model), dict(moments)


def restore(whole: nn.Module, optimiser: Any, model: dict[str, Any], moments: dict[str, Any]) -> None:
    """The inverse of `states`."""
    # A copy, since torch puts its parts into the mapping that it is given.
    given = dict(model)
    states_of.set_state_dict(whole, _bare(optimiser), model_state_dict=given, optim_state_dict=moments, options=_GIVEN)


def _bare(optimiser: Any) -> torch.optim.Optimizer:
    """The optimiser inside accelerate's."""
    inner: torch.optim.Optimizer = getattr(optimiser, "optimizer", optimiser)
    return inner


def gathered(value: Tensor) -> Tensor:
    """A whole tensor; one that lies in parts is put together by all processes."""
    return value.full_tensor() if isinstance(value, DTensor) else value


@torch.no_grad()
def fill(kept: Tensor, value: Tensor) -> None:
    """Copies a whole tensor into one that may lie in parts."""
    if isinstance(kept, DTensor):
        value = distribute_tensor(value.to(kept.device), kept.device_mesh, kept.placements)
    kept.copy_(value)
