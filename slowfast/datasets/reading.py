"""Watch over the processes that read videos: which one each reads, and for how long."""

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, cast

import torch
from torch.utils.data import DataLoader
from torch.utils.data.dataloader import _BaseDataLoaderIter, _MultiProcessingDataLoaderIter

from slowfast.datasets.clip_dataset import ClipDataset
from slowfast.datasets.decoding.video import UnreadableVideo
from slowfast.utils.system import kept_handler, ticking

if TYPE_CHECKING:
    from slowfast.datasets.loader import ShardedBatchSampler

_POLL = 1.0  # seconds between two looks at the processes
# Seconds that a batch may still take after a request to stop.
STOP_GRACE = 5.0
# Seconds after which a read that its own process could not interrupt is given up.
_MARGIN = 2.0
_PID, _RECORD, _COUNT = range(3)


class LoaderProcessDied(ChildProcessError):
    """A loader process ended before its work was done."""


class LoaderHangs(TimeoutError):
    """A loader process does not come back from reading a video."""


class StoppedWaiting(Exception):
    """The run was asked to stop, and no batch came in time."""


class ReadWatch:
    """Context in which a process reads a record; UnreadableVideo once it takes `seconds`.

    The record's number stands in `cells` meanwhile, for the main process to see. seconds 0: no
    limit. A read that hangs in the kernel cannot be ended here: the main process ends the run.
    """

    def __init__(self, cells: torch.Tensor | None, seconds: float):
        self._cells, self._seconds = cells, seconds

    @contextlib.contextmanager
    def __call__(self, index: int) -> Iterator[None]:
        if self._cells is not None:
            self._cells[_COUNT] += 1
            self._cells[_RECORD] = index
        try:
            with _time_limit(self._seconds):
                yield
        finally:
            if self._cells is not None:
                self._cells[_RECORD] = -1


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise UnreadableVideo in the block after a time; only the main thread can be interrupted."""
    if not seconds:
        yield
        return
    ticks = 0

    def tick():
        nonlocal ticks
        ticks += 1
        if ticks == 10:
            raise UnreadableVideo(
                f"TimeoutError: reading took longer than DATA.READ_TIMEOUT {seconds:g} s"
            )

    # In ten parts: a job that a batch system suspends for an hour gets one tick for it.
    with ticking(seconds / 10, tick):
        yield


class ReadBoard:
    """The record that each loader process reads, in memory that all share; see ReadWatch.

    seconds: DATA.READ_TIMEOUT, 0 for none.
    """

    def __init__(self, num_workers: int, seconds: float):
        self._cells = torch.full((num_workers, 3), -1, dtype=torch.int64).share_memory_()
        self.seconds = seconds

    def enter(self, worker: int) -> ReadWatch:
        """Register this process; returns its watch."""
        self._cells[worker, _PID] = os.getpid()
        return ReadWatch(self._cells[worker], self.seconds)

    def reading(self) -> dict[int, tuple[int, int]]:
        """Process -> (how many records it has begun, number of that which it reads)."""
        return {pid: (count, index) for pid, index, count in self._cells.tolist() if index >= 0}


class WatchedLoader(DataLoader):
    """A DataLoader that notices processes of its own that died or hang.

    `board` is what they write on, None where there are none.
    """

    board: ReadBoard | None = None
    dataset: ClipDataset
    batch_sampler: "ShardedBatchSampler"
    _iterator: "WatchedBatches | None"

    def batches(self, is_stopped: Callable[[], bool]) -> Iterator:
        """A pass over the data; StoppedWaiting where `is_stopped` says so and no batch comes."""
        if self.board is None:
            return iter(self)
        if self._iterator is not None:
            self._iterator.is_stopped = is_stopped  # it waits for the last pass to end
        batches = cast(WatchedBatches, iter(self))
        batches.is_stopped = is_stopped
        return batches

    def _get_iterator(self) -> _BaseDataLoaderIter:
        return super()._get_iterator() if self.board is None else WatchedBatches(self)


class WatchedBatches(_MultiProcessingDataLoaderIter):
    """The batches of a WatchedLoader; the errors of this file where there will be no more."""

    is_stopped: Callable[[], bool] = bool

    def __init__(self, loader: WatchedLoader):
        assert loader.board is not None, "a loader without processes needs no watch"
        self._owner, self._board, self._clips = os.getpid(), loader.board, loader.dataset
        # torch's own would raise in the middle of a step; here it shows when a batch is due.
        with kept_handler("SIGCHLD"):
            super().__init__(loader)
        self._timeout = _POLL

    def __del__(self):
        if self.is_stopped():
            self.kill()  # else the end would wait five seconds for each that hangs
        super().__del__()

    def kill(self) -> None:
        """End the processes at once."""
        if self._owner == os.getpid():  # and not a copy in a forked process
            for process in self._workers:
                process.kill()

    def reading(self) -> dict[int, tuple[int, str]]:
        """Process -> (how many records it has begun, name of that which it reads)."""
        found = self._board.reading()
        names = {pid: self._clips.records[index].name for pid, (_, index) in found.items()}
        return {pid: (count, names[pid]) for pid, (count, _) in found.items()}

    def _get_data(self):
        wait = _Wait(self)
        while True:
            try:
                return super()._get_data()
            except (RuntimeError, OSError, EOFError) as error:
                if not str(error).startswith("DataLoader timed out"):
                    self._raise_if_dead(error)
                    raise
            wait.look(self._board.seconds)

    def _raise_if_dead(self, error: Exception) -> None:
        reading = self.reading()
        for process in self._workers:
            process.join(0.1)  # its connections may break a moment before it is gone
            if process.exitcode:
                self.kill()
                pid = process.pid or 0
                _, name = reading.get(pid, (0, ""))
                raise LoaderProcessDied(_obituary(pid, process.exitcode, name)) from error


class _Wait:
    """Seconds without a batch; counted by looks, so that a suspended job does not count."""

    def __init__(self, batches: WatchedBatches):
        self._batches = batches
        self._num_looks = self._num_stopped = 0
        self._since: dict[int, tuple[int, int]] = {}

    def look(self, seconds: float) -> None:
        """Raise LoaderHangs or StoppedWaiting where the wait is too long; 0: no limit of a read."""
        reading = self._batches.reading()
        self._num_looks += 1
        self._num_stopped += bool(self._batches.is_stopped())
        if self._num_stopped * _POLL >= STOP_GRACE:
            self._batches.kill()
            names = [name for _, name in reading.values()]
            raise StoppedWaiting(f"loader processes were reading {', '.join(names) or 'nothing'}")
        for pid, (count, name) in reading.items():
            number, first = self._since.get(pid, (-1, 0))
            if number != count:
                self._since[pid] = (count, self._num_looks)
            # Somewhat later than the process's own alarm, which can give up the video alone.
            elif seconds and (self._num_looks - first) * _POLL > 1.2 * seconds + _MARGIN:
                self._batches.kill()
                raise LoaderHangs(
                    f"DATA.READ_TIMEOUT: loader process {pid} has been reading {name} for more "
                    f"than {seconds:g} s and cannot be interrupted; its disk or network folder "
                    "hangs. The same command goes on from the last checkpoint; take the video out "
                    "of the list where it alone is to blame"
                )


def _obituary(pid: int, code: int, name: str) -> str:
    """One line about a loader process that ended: how, at which video, why, what to do."""
    end = signal.Signals(-code).name if code < 0 else ""
    how = f"was ended by {end}" if end else f"ended with code {code}"
    where = f" while it read {name}" if name else ""
    free = shutil.disk_usage("/dev/shm").free / 2**30 if os.path.isdir("/dev/shm") else 0
    advice = {
        "SIGKILL": "most often by the kernel, as memory ran out: fewer "
        "DATA_LOADER.NUM_WORKERS or a smaller BATCH_SIZE need less",
        "SIGBUS": f"/dev/shm is full ({free:.1f} GiB are free): make it larger (docker run "
        "--shm-size 16g), or take fewer DATA_LOADER.NUM_WORKERS",
        "SIGSEGV": "a library crashed: tools/dataset.py check finds the videos that do this",
    }.get(end, "DATA_LOADER.NUM_WORKERS 0 shows an error in its own words")
    return (
        f"loader process {pid} {how}{where}; {advice}. The same command goes on from the last "
        "checkpoint"
    )
