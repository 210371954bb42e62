"""Which sample goes into which batch of which process, and the DataLoader around it."""

import os
import signal
from collections.abc import Iterator, Sequence
from itertools import accumulate, cycle, islice

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from slowfast.datasets.clip_dataset import ClipDataset, Sample, SampleKey
from slowfast.utils.batch_shape import BatchShape
from slowfast.utils.seeding import derive_seed


class ShardedBatchSampler(Sampler[list[SampleKey]]):
    """Batches of sample keys for one of `world_size` processes.

    shuffle: an order drawn from (seed, epoch), the same in all processes; global batch k is a
    stretch of batch_size * world_size samples of it, process r has the r-th part; what does not
    fill a global batch is left out. The shapes given to `set_epoch` replace `batch_size`.
    Otherwise: process r has samples r, r + world_size, ..., each exactly once, none added.
    """

    def __init__(
        self,
        num_samples: int,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ):
        self.num_samples, self.batch_size = num_samples, batch_size
        self.shuffle, self.seed = shuffle, seed
        self.rank, self.world_size = rank, world_size
        self._epoch = 0
        self._start = 0
        self._shapes: tuple[BatchShape | None, ...] = (None,)

    def set_epoch(self, epoch: int, shapes: Sequence[BatchShape | None] = (None,)) -> None:
        """Choose the epoch of the batches to come, from its first batch on.

        In training the batches have these shapes, over and over; None: batch_size clips, as the
        dataset makes them.
        """
        self._epoch, self._start, self._shapes = epoch, 0, tuple(shapes)

    def set_start(self, step: int) -> None:
        """Leave out the first `step` batches of the epoch that is set."""
        self._start = step

    def num_batches(self, shapes: Sequence[BatchShape | None]) -> int:
        """Batches in a whole epoch of training with these shapes."""
        sizes = [self._num_clips(shape) * self.world_size for shape in shapes]
        num_cycles, rest = divmod(self.num_samples, sum(sizes))
        return num_cycles * len(sizes) + sum(end <= rest for end in accumulate(sizes))

    def __len__(self) -> int:
        """Batches in a whole epoch."""
        if self.shuffle:
            return self.num_batches(self._shapes)
        own = len(range(self.rank, self.num_samples, self.world_size))
        return -(-own // self.batch_size)

    def __iter__(self) -> Iterator[list[SampleKey]]:
        # Fixed now: a set_epoch or set_start during the iteration is for the next one.
        batches = (
            self._shuffled_batches(self._epoch, self._shapes)
            if self.shuffle
            else self._batches_in_order(self._epoch)
        )
        return islice(batches, self._start, None)

    def _batches_in_order(self, epoch: int) -> Iterator[list[SampleKey]]:
        own = range(self.rank, self.num_samples, self.world_size)
        for start in range(0, len(own), self.batch_size):
            yield [SampleKey(epoch, index) for index in own[start : start + self.batch_size]]

    def _shuffled_batches(
        self, epoch: int, shapes: Sequence[BatchShape | None]
    ) -> Iterator[list[SampleKey]]:
        order = np.random.default_rng(derive_seed("order", self.seed, epoch))
        order = order.permutation(self.num_samples).tolist()
        start = 0
        for shape in islice(cycle(shapes), self.num_batches(shapes)):
            size = self._num_clips(shape)
            own = start + self.rank * size
            yield [SampleKey(epoch, index, shape) for index in order[own : own + size]]
            start += size * self.world_size

    def _num_clips(self, shape: BatchShape | None) -> int:
        return self.batch_size if shape is None else shape.num_clips


def collate(samples: Sequence[Sample]) -> dict:
    """One batch from samples: all views of all readable videos, one after another.

    clips: per pathway N,C,T,H,W (no pathways when nothing was readable); labels, indices (positions
    in the records) and views (number of the view within its video): int64 of length N; failures:
    (index, reason).
    """
    readable = [sample for sample in samples if sample.clips]
    counts = torch.tensor([len(sample.clips[0]) for sample in readable], dtype=torch.int64)

    def per_view(values: list[int]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.int64).repeat_interleave(counts)

    pathways = zip(*(sample.clips for sample in readable), strict=True)
    views = [torch.arange(count) for count in counts.tolist()]
    return {
        "clips": [torch.cat(clips) if len(clips) > 1 else clips[0] for clips in pathways],
        "labels": per_view([sample.label for sample in readable]),
        "indices": per_view([sample.index for sample in readable]),
        "views": torch.cat(views) if views else torch.empty(0, dtype=torch.int64),
        "failures": [failure for sample in samples for failure in sample.failures],
    }


def make_loader(
    dataset: ClipDataset,
    batch_sampler: ShardedBatchSampler,
    *,
    num_workers: int = 0,
    pin_memory: bool = False,
) -> DataLoader:
    """A DataLoader whose batches are the same for any number of workers."""
    return DataLoader(
        dataset,
        batch_sampler=batch_sampler,
        num_workers=num_workers,
        pin_memory=pin_memory,
        collate_fn=collate,
        worker_init_fn=_init_worker,
        persistent_workers=num_workers > 0,
        # Its own generator: otherwise every pass over the loader would draw from the global one.
        generator=torch.Generator(),
    )


def _init_worker(_worker: int) -> None:
    """One thread, and no part in signals: the main process ends its workers in good order.

    Ctrl-C, timeout and batch systems signal a whole process group, hence a group of its own.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.setpgid(0, 0)
    torch.set_num_threads(1)
