"""Scores of the videos of a loader: what validation, tests and predictions have in common."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from slowfast.adaptive.budget import TableRow
from slowfast.adaptive.network import build_network
from slowfast.checkpoint.initialize import CoverageReport
from slowfast.config.node import ConfigNode
from slowfast.runtime.device import build_autocast, build_device
from slowfast.runtime.stop import StopRequest
from slowfast.runtime.unreadable import UnreadableVideos
from slowfast.tasks import Task, build_task
from slowfast.utils import distributed


class Scorer:
    """`model` on `device`, and the task that reads its outputs.

    At most `max_clips` clips go through the network at once (None: a whole batch). row: what
    TEST.BUDGET chose, if it is set.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        device: torch.device,
        *,
        autocast: torch.autocast,
        max_clips: int | None = None,
        row: TableRow | None = None,
    ):
        self.model, self.task, self.device = model, task, device
        self.autocast, self.max_clips = autocast, max_clips
        self.row = row

    def __call__(
        self, loader: DataLoader, *, title: str, stop: StopRequest | None = None
    ) -> tuple[Any, UnreadableVideos]:
        """The task's scores of the loader's videos; the main process gets those of all processes.

        Unreadable videos have no scores. A stop request leaves the rest of this process's videos
        out: the caller must look at it.
        """
        scores = self.task.make_scores(loader.dataset)
        unreadable = UnreadableVideos(loader.dataset.records)
        outputs = self.outputs(self.model, loader, title=title, unreadable=unreadable, stop=stop)
        for batch, output in outputs:
            self.task.collect(scores, batch, output)
        unreadable.sync()
        if distributed.is_distributed():
            scores.merge(distributed.gather_to_main(scores))
        return scores, unreadable

    @torch.no_grad()
    def outputs(
        self,
        model: nn.Module,
        loader: DataLoader,
        *,
        title: str,
        unreadable: UnreadableVideos,
        stop: StopRequest | None = None,
    ) -> Iterator[tuple[dict, torch.Tensor]]:
        """Batches on the device with what `model`, perhaps a part of the network, gives for them.

        Those without readable videos are left out; failures are added to `unreadable`, for the
        caller to sync.
        """
        model.eval()
        is_main = distributed.is_main_process()
        for item in tqdm(
            loader, desc=title, unit="batch", disable=None if is_main else True, leave=False
        ):
            for batch in self.task.eval_batches(item, self.max_clips):
                unreadable.add(batch["failures"], batch["damaged"])
                if batch["clips"]:  # else all its videos are unreadable
                    batch = self.task.to_device(batch, self.device)
                    with self.autocast:
                        output = model(*self.task.inputs(batch))
                    yield batch, output
            if stop is not None and stop.signum:
                break


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
