"""Batches that are copied beside the stream that computes."""

import pytest
import torch

from slowfast.runtime import prefetch
from slowfast.runtime.prefetch import Prefetcher, SideStream, make_prefetcher


def group(value):
    labels = torch.tensor([value])
    return ({"clips": [torch.full((1, 3), value)], "labels": labels, "indices": labels},)


class Side:
    """A device whose numbers are negative, and what it was told."""

    def __init__(self):
        self.told = []

    def copy(self, tensor):
        self.told.append("copy")
        return -tensor

    def hand_over(self, tensors):
        self.told.append([tensor.flatten()[0].item() for tensor in tensors])


def test_clips_and_named_tensors_are_handed_over_once_copied():
    side = Side()
    ((batch,), _) = Prefetcher(side, ("labels",))([group(1), group(2)])
    assert batch["clips"][0].tolist() == [[-1, -1, -1]] and batch["labels"].item() == -1
    assert batch["indices"].item() == 1  # for the host
    assert side.told[:3] == ["copy", "copy", [-1, -1]] and len(side.told) == 6


@pytest.mark.slow
def test_a_batch_is_not_read_before_it_is_wanted():
    read = []
    groups = (read.append(value) or group(value) for value in (1, 2))
    batches = Prefetcher(Side(), ())(groups)
    next(batches)
    assert read == [1]


def test_on_the_cpu_batches_stay_as_they_are():
    groups = [group(1), group(2)]
    assert list(make_prefetcher(torch.device("cpu"), ("labels",))(groups)) == groups


def test_the_computing_stream_waits_and_keeps_the_memory(monkeypatch):
    told = []

    class Stream:
        def wait_stream(self, other):
            told.append(("wait", other))

    class Copy:
        def record_stream(self, stream):
            told.append(("keep", stream))

    side, computing = Stream(), Stream()
    monkeypatch.setattr(prefetch.torch.cuda, "Stream", lambda _device: side)
    monkeypatch.setattr(prefetch.torch.cuda, "current_stream", lambda _device: computing)
    SideStream(torch.device("cuda")).hand_over([Copy()])
    assert told == [("wait", side), ("keep", computing)]


@pytest.mark.gpu
def test_copies_arrive_on_a_gpu():
    device = torch.device("cuda")
    batches = [
        {"clips": [torch.full((8, 3, 64, 64), value).pin_memory()], "labels": torch.tensor([value])}
        for value in range(20)
    ]
    sums = []
    for (batch,) in make_prefetcher(device, ("labels",))((each,) for each in batches):
        sums.append((batch["clips"][0].float().sum(), batch["labels"]))
    counts = 8 * 3 * 64 * 64
    assert [(x.item(), y.item()) for x, y in sums] == [(counts * v, v) for v in range(20)]
