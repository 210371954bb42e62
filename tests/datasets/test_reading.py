"""Loader processes that die, or hang in a video: who it was, at which video, and no long wait."""

import os
import signal
import time
from functools import partial

import pytest
import torch
from torch.utils.data import Dataset

from slowfast.datasets import reading
from slowfast.datasets.clip_dataset import Sample
from slowfast.datasets.decoding.video import UnreadableVideo
from slowfast.datasets.loader import ShardedBatchSampler, make_loader
from slowfast.datasets.reading import LoaderHangs, LoaderProcessDied, ReadWatch, StoppedWaiting
from slowfast.datasets.records import Record


class Videos(Dataset):
    """Four records; reading number 2 calls `trouble`."""

    def __init__(self, trouble):
        self.records = [Record(f"{number}.mp4") for number in range(4)]
        self.trouble = trouble

    def __len__(self):
        return len(self.records)

    def __getitem__(self, key):
        with self.watch(key.index):
            if key.index == 2:
                self.trouble()
        return Sample([torch.zeros(1, 1)], 0, key.index)


def make(trouble, **options):
    sampler = ShardedBatchSampler(4, 1, shuffle=False)
    return make_loader(Videos(trouble), sampler, num_workers=1, **options)


def end_by(signum):
    os.kill(os.getpid(), signum)


def hang():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})  # as a read in the kernel
    time.sleep(60)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    for name, seconds in (("_POLL", 0.05), ("STOP_GRACE", 0.2), ("_MARGIN", 0.1)):
        monkeypatch.setattr(reading, name, seconds)


@pytest.mark.parametrize(
    ("signum", "words"),
    [
        (signal.SIGKILL, "SIGKILL while it read 2.mp4; .* memory .* DATA_LOADER.NUM_WORKERS"),
        (signal.SIGBUS, "SIGBUS while it read 2.mp4; /dev/shm is full"),
        (signal.SIGSEGV, "SIGSEGV while it read 2.mp4; a library crashed"),
    ],
)
def test_a_process_that_dies_is_told_with_its_video_and_the_likely_cause(signum, words):
    with pytest.raises(LoaderProcessDied, match=words):
        list(make(partial(end_by, signum)))


def test_a_process_that_dies_between_two_passes_is_told():
    loader = make(int)
    list(loader)
    loader._iterator._workers[0].kill()
    with pytest.raises(LoaderProcessDied, match="SIGKILL;"):
        list(loader)


def test_a_read_that_can_be_interrupted_is_an_unreadable_video():
    with (
        pytest.raises(UnreadableVideo, match=r"longer than DATA.READ_TIMEOUT 0.05 s"),
        ReadWatch(None, 0.05)(0),
    ):
        time.sleep(5)


def test_a_read_that_cannot_be_interrupted_ends_the_run_with_its_name():
    start = time.monotonic()
    with pytest.raises(LoaderHangs, match="has been reading 2.mp4 for more than 0.1 s"):
        list(make(hang, read_timeout=0.1))
    assert time.monotonic() - start < 4


def test_after_a_request_to_stop_a_hanging_process_is_waited_for_a_moment_only():
    start = time.monotonic()
    loader, got = make(hang), []
    with pytest.raises(StoppedWaiting, match="were reading 2.mp4"):
        for batch in loader.batches(lambda: True):
            got.append(batch["indices"].item())
    del loader
    assert got == [0, 1] and time.monotonic() - start < 4


def test_a_process_that_hangs_between_two_passes_does_not_keep_a_run_from_stopping():
    loader = make(int)
    list(loader)
    os.kill(loader._iterator._workers[0].pid, signal.SIGSTOP)
    with pytest.raises(StoppedWaiting, match="were reading nothing"):
        list(loader.batches(lambda: True))


def test_the_loader_in_this_process_has_the_time_limit_too():
    sampler = ShardedBatchSampler(4, 1, shuffle=False)
    with pytest.raises(UnreadableVideo):
        list(make_loader(Videos(lambda: time.sleep(5)), sampler, read_timeout=0.05))
