"""A trained network, ready to score the videos of a loader on this process's device."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from slowfast.checkpoint.initialize import CoverageReport
from slowfast.config.node import ConfigNode
from slowfast.engine.budget import Row
from slowfast.engine.device import build_autocast, build_device
from slowfast.engine.network import build_network
from slowfast.engine.predict import predict_loader, run_loader
from slowfast.engine.stop import StopRequest
from slowfast.engine.tasks import Task, build_task
from slowfast.engine.unreadable import UnreadableVideos
from slowfast.utils import distributed


class Scorer:
    """`model` on `device`, and the task that reads its outputs.

    At most `max_clips` clips go through the network at once. row: what TEST.BUDGET chose, if it is
    set.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        device: torch.device,
        *,
        autocast: torch.autocast,
        max_clips: int,
        row: Row | None = None,
    ):
        self.model, self.task, self.device = model, task, device
        self.autocast, self.max_clips = autocast, max_clips
        self.row = row

    def __call__(
        self, loader: DataLoader, *, title: str, stop: StopRequest | None = None
    ) -> tuple[Any, UnreadableVideos]:
        """The task's scores, see `predict_loader`."""
        return predict_loader(
            self.model,
            loader,
            self.task,
            self.device,
            autocast=self.autocast,
            title=title,
            stop=stop or StopRequest(),
            max_clips=self.max_clips,
        )

    def outputs(
        self, model: nn.Module, loader: DataLoader, *, title: str, unreadable: UnreadableVideos
    ) -> Iterator[tuple[dict, torch.Tensor]]:
        """What `model`, for instance a part of the network, gives for each batch: `run_loader`."""
        return run_loader(
            model,
            loader,
            self.task,
            self.device,
            autocast=self.autocast,
            title=title,
            stop=StopRequest(),
            max_clips=self.max_clips,
            unreadable=unreadable,
        )


def build_scorer(cfg: ConfigNode, weights: str | Path) -> tuple[Scorer, CoverageReport]:
    """The network of a config with the weights of a file, its batch norms folded.

    CheckpointError unless all weights fit.
    """
    device, task = build_device(cfg), build_task(cfg)
    model, report, row = build_network(cfg, weights, device)
    scorer = Scorer(
        model,
        task,
        device,
        autocast=build_autocast(cfg, device),
        max_clips=max(cfg.TEST.BATCH_SIZE // distributed.local_size(cfg.NUM_SHARDS), 1),
        row=row,
    )
    return scorer, report
