"""Scores of a set of videos: what validation and testing have in common."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from slowfast.engine.stop import StopRequest
from slowfast.engine.tasks import Task
from slowfast.engine.unreadable import UnreadableVideos
from slowfast.utils import distributed


def predict_loader(
    model: nn.Module,
    loader: DataLoader,
    task: Task,
    device: torch.device,
    *,
    autocast: torch.autocast,
    title: str,
    stop: StopRequest,
    max_clips: int | None = None,
) -> tuple[Any, UnreadableVideos]:
    """The task's scores of the loader's videos; the main process gets those of all processes.

    At most `max_clips` clips go through the network at once (None: a whole batch). Unreadable
    videos have no scores. A stop request leaves the rest of this process's videos out: the caller
    must look at it.
    """
    scores = task.make_scores(loader.dataset)
    unreadable = UnreadableVideos(loader.dataset.records)
    outputs = run_loader(
        model,
        loader,
        task,
        device,
        autocast=autocast,
        title=title,
        stop=stop,
        max_clips=max_clips,
        unreadable=unreadable,
    )
    for batch, output in outputs:
        task.collect(scores, batch, output)
    unreadable.merge()
    if distributed.is_distributed():
        scores.merge(distributed.gather_to_main(scores))
    return scores, unreadable


@torch.no_grad()
def run_loader(
    model: nn.Module,
    loader: DataLoader,
    task: Task,
    device: torch.device,
    *,
    autocast: torch.autocast,
    title: str,
    stop: StopRequest,
    max_clips: int | None,
    unreadable: UnreadableVideos,
) -> Iterator[tuple[dict, torch.Tensor]]:
    """Batches on the device with the network's output; those without readable videos are left out.

    See `predict_loader`; failures are noted in `unreadable`, for the caller to merge.
    """
    model.eval()
    is_main = distributed.is_main_process()
    for item in tqdm(
        loader, desc=title, unit="batch", disable=None if is_main else True, leave=False
    ):
        for batch in task.eval_batches(item, max_clips):
            unreadable.note(batch["failures"], batch["damaged"])
            if batch["clips"]:  # else all its videos are unreadable
                batch = task.to_device(batch, device)
                with autocast:
                    output = model(*task.inputs(batch))
                yield batch, output
        if stop.signum:
            break
