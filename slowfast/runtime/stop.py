"""Ctrl-C and SIGTERM end a run at the next safe point instead of in the middle of something."""

import logging
import signal
import time

import torch

from slowfast.utils import distributed

logger = logging.getLogger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def agreed(stop: "StopRequest", device: torch.device) -> bool:
    """Whether any process was asked to stop; all must call this, and all get the same answer."""
    flag = torch.tensor(float(bool(stop.signum)), device=device)
    return bool(distributed.all_reduce_sum(flag).item())


class Interrupted(SystemExit):
    """The run was asked to stop and has saved what it had; exits with 128 + the signal's number."""


class StopRequest:
    """Remembers SIGINT and SIGTERM while its `with` block runs.

    A second signal, more than a second after the first, raises KeyboardInterrupt at once.
    """

    def __init__(self):
        self.signum = 0
        self._time = 0.0
        self._previous = {}

    def __enter__(self) -> "StopRequest":
        self._previous = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(self, *exception) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @property
    def exit_code(self) -> int:
        """Of a run that stops: 128 + the signal's number, 1 if another process got the signal."""
        return 128 + self.signum if self.signum else 1

    def _note(self, signum: int, frame) -> None:
        if self.signum and time.monotonic() - self._time > 1:
            raise KeyboardInterrupt
        if not self.signum:
            self.signum, self._time = signum, time.monotonic()
            logger.warning(
                "%s: stopping after this step; once more to stop at once",
                signal.Signals(signum).name,
            )
