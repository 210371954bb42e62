"""Base class for tasks: one training step of a kind of labels."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from slowfast.datasets.transforms.spatial import normalize
from slowfast.runtime.device import clip_layout

# Runs the network, and gives a loss to differentiate and what the meter adds up.
TrainPass = Callable[[], tuple[torch.Tensor, torch.Tensor]]


class Task(ABC):
    """Base class for tasks: a kind of labels, and how a network learns them from a batch.

    A batch is what a loader of `build_loader` gives, with clips of values 0..255.
    """

    # Keys of a batch that the device needs beside the clips.
    _moved: ClassVar[tuple[str, ...]]

    def __init__(self, *, mean: Sequence[float], std: Sequence[float]):
        self._mean, self._std = mean, std

    def to_device(self, batch: dict, device: torch.device) -> dict:
        """The batch with normalised float32 clips on the device in its layout."""
        clips = [clip.to(device, non_blocking=True) for clip in batch["clips"]]
        moved = {key: batch[key].to(device, non_blocking=True) for key in self._moved}
        normalized = [
            normalize(clip, self._mean, self._std).contiguous(memory_format=clip_layout(device))
            for clip in clips
        ]
        return {**batch, **moved, "clips": normalized}

    def inputs(self, batch: dict) -> tuple:
        """Arguments of the network."""
        return (batch["clips"],)

    @abstractmethod
    def train_step(
        self, network: nn.Module, batch: dict, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss of a batch on the device, and what the meter adds up.

        The first sum is loss * count, the last one the count.
        """

    def train_passes(
        self,
        network: nn.Module,
        batch: dict,
        rng: np.random.Generator,
        _shared_rng: np.random.Generator,
    ) -> list[TrainPass]:
        """The forward passes of a training step, in order; each is followed by its backward pass.

        Losses and sums are added up. `_shared_rng` draws the same in all processes. Here it is the
        one pass that `train_step` does.
        """
        return [partial(self.train_step, network, batch, rng)]

    def train_metrics(self, sums: Sequence[float]) -> dict[str, float]:
        """Means of what `train_step` added up."""
        loss, *_, count = (float(value) for value in sums)
        return {"loss": loss / max(count, 1)}


def sums_of(loss: torch.Tensor, *values: torch.Tensor, count: int) -> torch.Tensor:
    """What a training step reports: float64 of loss * count, `values`, count."""
    loss = loss.detach().double()
    return torch.stack(
        [loss * count, *(value.double() for value in values), loss.new_tensor(count)]
    )
