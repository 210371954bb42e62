"""Ctrl-C and SIGTERM end a run at the next safe point instead of in the middle of something."""

import logging
import signal
import time

import torch

from slowfast.runtime.peers import first_words
from slowfast.runtime.watchdog import start_watchdog
from slowfast.utils import distributed
from slowfast.utils.system import known_signals

logger = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Slurm's --signal=USR1@120 and submitit send one of these some time before they end a job.
SAVE_SIGNALS = known_signals("SIGUSR1", "SIGUSR2")
# Seconds that a process may hang after a request to stop, and when all have agreed and one saves.
_HANG_SECONDS, _SAVE_SECONDS = 7.0, 60.0


def agreed(stop: "StopRequest", device: torch.device) -> bool:
    """Whether any process was asked to stop; all must call this, and all get the same answer.

    Then all have the same signal, and so the same exit code.
    """
    number = torch.tensor(float(stop.signum), device=device)
    signum = int(distributed.all_reduce_max(number).item())
    stop.adopt(signum)
    return signum > 0


class Interrupted(SystemExit):
    """The run was asked to stop and has saved what it had; exits with 128 + the signal's number."""


class SaveClock:
    """Says when some minutes have gone by since the last save; never with 0."""

    def __init__(self, minutes: float):
        self._seconds = 60 * minutes
        self.restart()

    def restart(self) -> None:
        """Begin anew, after a save."""
        self._start = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether it is time to save."""
        return 0 < self._seconds < time.monotonic() - self._start


class StopRequest:
    """Remembers SIGINT and SIGTERM while its `with` block runs, and SIGUSR1 and SIGUSR2 apart.

    A second signal to stop, more than a second after the first, raises KeyboardInterrupt at once.
    A process that hangs ends some seconds after the first (see Watchdog). An error of other
    processes or of a disk that comes after the request is an Interrupted, too.
    """

    def __init__(self):
        self.signum = 0
        self._wants_save = False
        self._time = 0.0
        self._previous = {}
        self._watchdog = None

    def __enter__(self) -> "StopRequest":
        self._previous = {
            number: signal.signal(number, self._note) for number in STOP_SIGNALS + SAVE_SIGNALS
        }
        self._watchdog = start_watchdog(STOP_SIGNALS, _HANG_SECONDS)
        return self

    def __exit__(self, _kind, error: BaseException | None, _traceback) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        if self._watchdog is not None:
            self._watchdog.close()
            self._watchdog = None
        if self.signum and isinstance(error, RuntimeError | OSError):
            logger.debug("traceback of the error below", exc_info=error)
            logger.error(
                "stopped, but without saving: %s: %s", type(error).__name__, first_words(error)
            )
            raise Interrupted(self.exit_code) from error

    @property
    def exit_code(self) -> int:
        """Of a run that stops: 128 + the signal's number."""
        return 128 + self.signum if self.signum else 1

    def is_asked(self) -> bool:
        """Whether this process knows of a request to stop."""
        return self.signum > 0

    def adopt(self, signum: int) -> None:
        """Take the signal that all processes agreed on, 0 for none."""
        if signum:
            self.signum, self._time = signum, self._time or time.monotonic()
            if self._watchdog is not None:
                self._watchdog.seconds = _SAVE_SECONDS

    def take_save_request(self) -> bool:
        """Whether a signal has asked for a save since the last call."""
        wants_save, self._wants_save = self._wants_save, False
        return wants_save

    def _note(self, signum: int, frame) -> None:
        if signum in SAVE_SIGNALS:
            self._wants_save = True
            return
        if self.signum and time.monotonic() - self._time > 1:
            raise KeyboardInterrupt
        if not self.signum:
            self.signum, self._time = signum, time.monotonic()
            logger.warning(
                "%s: stopping after this step; once more to stop at once",
                signal.Signals(signum).name,
            )
