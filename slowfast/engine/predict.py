"""Scores of all views of a set of videos: what validation and testing have in common."""

from collections.abc import Iterator

import torch
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from slowfast.engine.stop import StopRequest
from slowfast.engine.tasks import Classification
from slowfast.engine.unreadable import UnreadableVideos
from slowfast.evaluation.views import ViewScores
from slowfast.utils import distributed


@torch.no_grad()
def predict_views(
    model: nn.Module,
    loader: DataLoader,
    task: Classification,
    device: torch.device,
    *,
    num_classes: int,
    autocast: torch.autocast,
    title: str,
    stop: StopRequest,
    max_clips: int | None = None,
) -> tuple[ViewScores, UnreadableVideos]:
    """Scores of every view of the loader's videos; the main process gets those of all processes.

    At most `max_clips` clips go through the network at once (None: a whole batch). Unreadable
    videos have no scores. A stop request leaves the rest of this process's videos out: the caller
    must look at it.
    """
    dataset = loader.dataset
    scores = ViewScores(len(dataset.records), dataset.num_views, num_classes)
    unreadable = UnreadableVideos([record.path for record in dataset.records])
    model.eval()
    is_main = distributed.is_main_process()
    for batch in tqdm(
        loader, desc=title, unit="batch", disable=None if is_main else True, leave=False
    ):
        unreadable.note(batch["failures"])
        for clips, indices, views in _chunks(batch, max_clips):
            with autocast:
                output = model(task.to_device(clips, device))
            scores.add(indices, views, output.float().cpu())
        if stop.signum:
            break
    unreadable.merge()
    if distributed.is_distributed():
        scores.merge(distributed.gather_to_main(scores))
    return scores, unreadable


def join_views(scores: ViewScores, method: str) -> tuple[torch.Tensor, torch.Tensor]:
    """One row of scores per video (videos,classes), and which videos were seen.

    `method` is DATA.ENSEMBLE_METHOD; the sum is divided by the views, so that probabilities stay
    probabilities.
    """
    values, seen = scores.ensemble(method)
    return (values / scores.num_views if method == "sum" else values), seen


def _chunks(
    batch: dict, size: int | None
) -> Iterator[tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]]:
    count = len(batch["indices"])
    for start in range(0, count, size or max(count, 1)):
        part = slice(start, start + (size or count))
        yield [clip[part] for clip in batch["clips"]], batch["indices"][part], batch["views"][part]
