"""Batches of samples, shared among processes, and the DataLoader around them."""

import signal
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import accumulate, cycle, islice

import numpy as np
import torch
from torch.utils.data import Sampler, get_worker_info

from slowfast.datasets.clip_dataset import ClipDataset, Sample, SampleKey
from slowfast.datasets.reading import ReadBoard, ReadWatch, WatchedLoader
from slowfast.utils.clip_shapes import BatchShape
from slowfast.utils.seeding import derive_seed
from slowfast.utils.system import leave_process_group

# Draws the numbers of an epoch's samples.
Order = Callable[[np.random.Generator], np.ndarray]


class ShardedBatchSampler(Sampler[list[SampleKey]]):
    """Batches of sample keys for one of `world_size` processes.

    shuffle: an order drawn from (seed, epoch), the same in all processes; global batch k is a
    stretch of batch_size * world_size samples of it, process r has the r-th part; what does not
    fill a global batch is left out. The shapes given to `set_epoch` replace `batch_size`. `order`
    draws `num_samples` numbers of samples, which may repeat; None: a permutation.
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
        order: Order | None = None,
    ):
        self.num_samples, self.batch_size = num_samples, batch_size
        self.shuffle, self.seed = shuffle, seed
        self.rank, self.world_size = rank, world_size
        self._order = order
        self._epoch = 0
        self._start = self._skipped = 0
        self._shapes: tuple[BatchShape | None, ...] = (None,)
        self._is_done: np.ndarray | None = None
        self._every, self._first = 1, 0

    def set_epoch(self, epoch: int, shapes: Sequence[BatchShape | None] = (None,)) -> None:
        """Choose the epoch of the batches to come, from its first batch on.

        In training the batches have these shapes, over and over; None: batch_size clips, as the
        dataset makes them.
        """
        self._epoch, self._shapes = epoch, tuple(shapes)
        self._start = self._skipped = 0

    def set_start(self, step: int, skipped: int = 0) -> None:
        """Leave out the first `skipped` samples of the epoch that is set, then `step` batches.

        skipped: samples that batches of other sizes had before, in an epoch of training.
        """
        self._start, self._skipped = step, skipped

    def take_every(self, count: int, first: int) -> None:
        """Give, from the start, the `first` of each `count` batches; the length is that of all."""
        self._every, self._first = count, first

    def leave_out(self, is_done: np.ndarray) -> None:
        """Leave samples (bool for each) out of passes in order; others stay in their batches."""
        assert not self.shuffle, "samples of a training cannot be left out"
        self._is_done = is_done

    def num_batches(self, shapes: Sequence[BatchShape | None], skipped: int = 0) -> int:
        """Batches of training with these shapes in an epoch, or in what `skipped` samples leave."""
        sizes = [self._num_clips(shape) * self.world_size for shape in shapes]
        num_cycles, rest = divmod(self.num_samples - skipped, sum(sizes))
        return num_cycles * len(sizes) + sum(end <= rest for end in accumulate(sizes))

    def __len__(self) -> int:
        """Batches in a whole epoch."""
        if self.shuffle:
            return self.num_batches(self._shapes, self._skipped)
        own = np.arange(self.rank, self.num_samples, self.world_size)
        if self._is_done is None:
            return -(-len(own) // self.batch_size)
        return len(np.unique(np.flatnonzero(~self._is_done[own]) // self.batch_size))

    def __iter__(self) -> Iterator[list[SampleKey]]:
        # Fixed now: a set_epoch or set_start during the iteration is for the next one.
        batches = (
            self._shuffled_batches(self._epoch, self._shapes, self._skipped)
            if self.shuffle
            else self._batches_in_order(self._epoch)
        )
        return islice(batches, self._start + self._first, None, self._every)

    def _batches_in_order(self, epoch: int) -> Iterator[list[SampleKey]]:
        own: Sequence[int] = range(self.rank, self.num_samples, self.world_size)
        for start in range(0, len(own), self.batch_size):
            part: Sequence[int] = own[start : start + self.batch_size]
            if self._is_done is not None:
                part = [index for index in part if not self._is_done[index]]
            if part:
                yield [SampleKey(epoch, index) for index in part]

    def _shuffled_batches(
        self, epoch: int, shapes: Sequence[BatchShape | None], start: int
    ) -> Iterator[list[SampleKey]]:
        order, repeats = self._drawn(epoch)
        for shape in islice(cycle(shapes), self.num_batches(shapes, start)):
            size = self._num_clips(shape)
            own = start + self.rank * size
            part = slice(own, own + size)
            pairs = zip(order[part].tolist(), repeats[part].tolist(), strict=True)
            yield [SampleKey(epoch, index, shape, repeat) for index, repeat in pairs]
            start += size * self.world_size

    def _drawn(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The samples of an epoch in order, and how often each came before."""
        rng = np.random.default_rng(derive_seed("order", self.seed, epoch))
        if self._order is None:
            order = rng.permutation(self.num_samples)
            if self.num_samples < 2**31:  # half the memory, which each process takes
                order = order.astype(np.int32)
            return order, np.broadcast_to(np.int32(0), order.shape)
        order = self._order(rng)
        return order, _repeats(order)

    def _num_clips(self, shape: BatchShape | None) -> int:
        return self.batch_size if shape is None else shape.num_clips


def _repeats(order: np.ndarray) -> np.ndarray:
    """For each place how often its number stands before."""
    places = np.argsort(order, kind="stable")
    _, starts, counts = np.unique(order[places], return_index=True, return_counts=True)
    repeats = np.empty_like(places)
    repeats[places] = np.arange(len(order)) - np.repeat(starts, counts)
    return repeats


def _per_view(values: list[int | torch.Tensor], counts: torch.Tensor) -> torch.Tensor:
    """The value of each sample once for each of its views."""
    if not values:
        return torch.empty(0, dtype=torch.int64)
    stacked = torch.stack([torch.as_tensor(value) for value in values])
    return stacked.repeat_interleave(counts, dim=0)


def collate(samples: Sequence[Sample]) -> dict:
    """One batch from samples: all views of all readable videos, one after another.

    clips: per pathway N,C,T,H,W (no pathways when nothing was readable); labels: N int64, or
    N,classes float32; indices (positions in the records) and views (number of the view within its
    video): N int64; failures: (index, reason); damaged: (index, packets or images that were lost,
    frames of the video).
    See `_collate_boxes` for what detection adds.
    """
    readable = [sample for sample in samples if sample.clips]
    counts = torch.tensor([len(sample.clips[0]) for sample in readable], dtype=torch.int64)
    pathways = zip(*(sample.clips for sample in readable), strict=True)
    views = [torch.arange(count) for count in counts.tolist()]
    batch = {
        "clips": [torch.cat(clips) if len(clips) > 1 else clips[0] for clips in pathways],
        "labels": _per_view([sample.label for sample in readable], counts),
        "indices": _per_view([sample.index for sample in readable], counts),
        "views": torch.cat(views) if views else torch.empty(0, dtype=torch.int64),
        "failures": [failure for sample in samples for failure in sample.failures],
        "damaged": [
            (sample.index, sample.num_broken, sample.num_frames)
            for sample in readable
            if sample.num_broken
        ],
    }
    if readable and readable[0].boxes is not None:
        batch |= _collate_boxes(readable)
    return batch


def _collate_boxes(samples: Sequence[Sample]) -> dict:
    """Boxes of the samples, which have one view each, one after another; there may be none.

    boxes: M,5 float32: number of the clip in the batch, x1,y1,x2,y2 in its pixels; box_labels:
    M,classes float32; box_indices: M int64, positions in the records; box_numbers: M int64, which
    of the record's boxes they are.
    """
    found = [sample.boxes for sample in samples if sample.boxes is not None]
    counts = torch.tensor([len(boxes) for boxes in found])
    clip = torch.arange(len(samples)).repeat_interleave(counts)
    boxes = torch.cat(found)
    return {
        "boxes": torch.cat([clip[:, None].to(boxes), boxes], dim=1),
        "box_labels": torch.cat([s.box_labels for s in samples if s.box_labels is not None]),
        "box_indices": torch.tensor([sample.index for sample in samples])[clip],
        "box_numbers": torch.cat([s.box_numbers for s in samples if s.box_numbers is not None]),
    }


def collate_by_size(samples: Sequence[Sample]) -> list[dict]:
    """Batches of samples whose clips have the same size; unreadable ones go with the first."""
    groups: dict[torch.Size, list[Sample]] = {}
    for sample in samples:
        if sample.clips:
            groups.setdefault(sample.clips[0].shape, []).append(sample)
    first, *others = groups.values() or [[]]
    unreadable = [sample for sample in samples if not sample.clips]
    return [collate(group) for group in ([*first, *unreadable], *others)]


def make_loader(
    dataset: ClipDataset,
    batch_sampler: ShardedBatchSampler,
    *,
    num_workers: int = 0,
    pin_memory: bool = False,
    collate: Callable[[Sequence[Sample]], dict | list[dict]] = collate,
    read_timeout: float = 0,
) -> WatchedLoader:
    """A DataLoader whose batches are the same for any number of workers.

    A video that takes more than `read_timeout` seconds is unreadable; 0 is no limit.
    """
    board = ReadBoard(num_workers, read_timeout) if num_workers else None
    if board is None:
        dataset.watch = ReadWatch(None, read_timeout)
    loader = WatchedLoader(
        dataset,
        batch_sampler=batch_sampler,
        num_workers=num_workers,
        pin_memory=pin_memory,
        collate_fn=collate,
        worker_init_fn=partial(_init_worker, board=board),
        persistent_workers=num_workers > 0,
        # Its own generator: otherwise every pass over the loader would draw from the global one.
        generator=torch.Generator(),
    )
    loader.board = board
    return loader


def _init_worker(worker: int, board: ReadBoard | None) -> None:
    """One thread, and no part in signals: the main process ends its workers in good order.

    Ctrl-C, timeout and batch systems signal a whole process group, hence a group of its own.
    """
    info = get_worker_info()
    assert info is not None and board is not None, "this runs in loader processes"
    info.dataset.watch = board.enter(worker)  # type: ignore[attr-defined]  # a ClipDataset
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.set_wakeup_fd(-1)  # the main process reads the numbers of its own signals there
    leave_process_group()
    torch.set_num_threads(1)
