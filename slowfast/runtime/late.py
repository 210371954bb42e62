"""Values and times of the device that the host reads later, when they are there."""

import time

import torch
from torch import Tensor


class HostCopy:
    """A copy of a small tensor for the host, which waits for it only in `tolist`.

    On a GPU it goes to pinned memory behind the work that is under way, and the wait is for this
    copy alone, not for what was launched later. On the CPU it is the tensor itself, which must not
    change any more.
    """

    def __init__(self, values: Tensor):
        self._values, self._event = values.detach(), None
        if values.is_cuda:
            pinned = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._values = pinned.copy_(values.detach(), non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record(torch.cuda.current_stream(values.device))

    def tolist(self) -> list[float] | float:
        """The values, of a 0-d tensor one number."""
        if self._event is not None:
            self._event.synchronize()
        return self._values.tolist()


class Stopwatch:
    """Seconds that a device works from now to `stop`, without a wait before `seconds`."""

    def __init__(self, device: torch.device):
        self._is_cuda = device.type == "cuda"
        self._start = self._end = self._now()

    def _now(self) -> "float | torch.cuda.Event":
        if not self._is_cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def stop(self) -> None:
        """Note the end."""
        self._end = self._now()

    def seconds(self) -> float:
        """Wait for the end, and give the time."""
        if not self._is_cuda:
            return self._end - self._start
        self._end.synchronize()
        return self._start.elapsed_time(self._end) / 1000
