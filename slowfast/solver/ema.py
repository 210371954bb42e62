"""Exponential moving average of a model's weights."""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn


def _by_dtype(
    averages: Iterable[Tensor], currents: Iterable[Tensor]
) -> Iterable[tuple[list[Tensor], list[Tensor]]]:
    """Lists of tensors of one type each: a GPU then does a list at once, not one by one."""
    lists: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
    for average, current in zip(averages, currents, strict=True):
        own, others = lists.setdefault(average.dtype, ([], []))
        own.append(average)
        others.append(current)
    return lists.values()


class ModelEma:
    """`module` is a copy of the model, in evaluation mode, whose parameters follow it slowly.

    Buffers (batch-norm statistics) are copied. Update n uses the decay (1 + n) / (10 + n) where
    that is smaller, so that the initial weights are soon forgotten, as in
    tf.train.ExponentialMovingAverage.
    """

    def __init__(self, model: nn.Module, decay: float):
        if not 0 < decay < 1:
            raise ValueError(f"TRAIN.EMA_DECAY: {decay} must lie between 0 and 1")
        self.module = copy.deepcopy(model).eval().requires_grad_(False)
        self.num_updates = 0
        self._decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move towards the weights of `model`, after an optimizer step."""
        self.num_updates += 1
        decay = min(self._decay, (1 + self.num_updates) / (10 + self.num_updates))
        for averages, currents in _by_dtype(self.module.parameters(), model.parameters()):
            torch._foreach_lerp_(averages, currents, 1 - decay)
        for averages, currents in _by_dtype(self.module.buffers(), model.buffers()):
            torch._foreach_copy_(averages, currents)

    def restarted(self, model: nn.Module) -> "ModelEma":
        """The average of the weights of `model` from now on."""
        return ModelEma(model, self._decay)

    def state_dict(self) -> dict:
        """All that `load_state_dict` needs to go on."""
        return {"num_updates": self.num_updates, "model_state": self.module.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        """Restore what `state_dict` gave."""
        self.module.load_state_dict(state["model_state"])
        self.num_updates = state["num_updates"]
