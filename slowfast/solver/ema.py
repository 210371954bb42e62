"""Exponential moving average of a model's weights."""

import copy

import torch
from torch import nn


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
        for average, current in zip(self.module.parameters(), model.parameters(), strict=True):
            average.lerp_(current, 1 - decay)
        for average, current in zip(self.module.buffers(), model.buffers(), strict=True):
            average.copy_(current)

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
