"""Base class for tasks: what a network learns from a batch with a kind of labels."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from slowfast.datasets.transforms.spatial import normalize
from slowfast.models.heads import AuxiliaryLogits
from slowfast.runtime.device import clip_layout

# Runs the network, and gives a loss to differentiate and named sums for the log.
TrainPass = Callable[[], tuple[torch.Tensor, dict[str, torch.Tensor]]]


def logits_and_loss(
    output: torch.Tensor | AuxiliaryLogits, loss: Callable[[torch.Tensor], torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Float32 logits of a network's output in training, and the `loss` of such.

    The loss of auxiliary logits is added, times its weight.
    """
    if not isinstance(output, AuxiliaryLogits):
        logits = output.float()
        return logits, loss(logits)
    logits = output.logits.float()
    return logits, loss(logits) + output.weight * loss(output.auxiliary.float())


class Task(ABC):
    """Base class for tasks: a kind of labels, and how a network learns them from a batch.

    A batch is what a loader of `build_loader` gives, with clips of values 0..255.
    """

    # Keys of a batch that the device needs beside the clips.
    moved: ClassVar[tuple[str, ...]]
    # Memory layout of the clips, see `clip_layout`.
    layout = "auto"

    def __init__(self, *, mean: Sequence[float], std: Sequence[float]):
        self._mean, self._std = mean, std
        self._constants: dict[torch.device, tuple[torch.Tensor, torch.Tensor]] = {}

    def prepare(self, batch: dict, device: torch.device) -> dict:
        """Move the batch to the device, and normalise its clips there, and only there.

        Clips of values 0..255, uint8 or float32, become float32 in the layout of the device.
        """
        clips = [clip.to(device, non_blocking=True) for clip in batch["clips"]]
        moved = {key: batch[key].to(device, non_blocking=True) for key in self.moved}
        mean, std = self._normalization(device)
        normalized = [
            normalize(clip, mean, std).contiguous(memory_format=clip_layout(device, self.layout))
            for clip in clips
        ]
        return {**batch, **moved, "clips": normalized}

    def _normalization(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation on the device, brought there once."""
        if device not in self._constants:
            mean, std = (
                torch.tensor(each, dtype=torch.float32) for each in (self._mean, self._std)
            )
            self._constants[device] = (mean.to(device), std.to(device))
        return self._constants[device]

    def inputs(self, batch: dict) -> tuple:
        """Arguments of the network."""
        return (batch["clips"],)

    @abstractmethod
    def loss(
        self, network: nn.Module, batch: dict, rng: np.random.Generator
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Loss of one forward pass over a prepared batch, and what the log shows beside it.

        The loss is a mean over the `num_labelled` clips or boxes; the others are sums over them
        (0-d), under the same names in every process and step. The log has the means.
        """

    def train_passes(
        self,
        network: nn.Module,
        batch: dict,
        rng: np.random.Generator,
        _shared_rng: np.random.Generator,
    ) -> list[TrainPass]:
        """The forward passes of a training step, in order; each is followed by its backward pass.

        Losses, and sums of a name, are added up. `_shared_rng` draws the same in all processes.
        Here it is the one pass that `loss` does.
        """
        return [partial(self.loss, network, batch, rng)]

    def weigh_classes(self, weights: torch.Tensor) -> None:
        """Let the classes count by (classes,) weights in the loss of training.

        Here a refusal, for tasks that do not know how.
        """
        raise ValueError(
            f"TRAIN.CLASS_WEIGHTS: must be empty, as {type(self).__name__} does not weigh classes"
        )

    def num_labelled(self, batch: dict) -> int:
        """Number of clips, or boxes, in a batch to learn from."""
        return len(batch["labels"])
