"""An end for a process that hangs when it is asked to stop."""

import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from types import FrameType

import torch

_TICK = 0.25


class Watchdog:
    """Ends this process where its main thread hangs in one call after a signal to stop.

    Python calls a signal's handler in the main thread, between two calls. One that waits for
    another process or a disk never gets there: the number of the signal comes here over a wake-up
    descriptor. `seconds` is how long the main thread may stand in one place without work, one
    second after another signal. A process on a GPU seems to work while it waits, and gets no more.
    """

    def __init__(self, signums: Collection[int], seconds: float):
        self.seconds = seconds
        self._signums = frozenset(signums)
        self._main = threading.main_thread().ident or 0
        self._ours, self._theirs = socket.socketpair()
        self._ours.settimeout(_TICK)
        self._theirs.setblocking(False)
        self._previous = signal.set_wakeup_fd(self._theirs.fileno(), warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Watch no longer."""
        signal.set_wakeup_fd(self._previous)
        self._theirs.shutdown(socket.SHUT_WR)  # forked processes may have it open
        self._thread.join()
        self._theirs.close()
        self._ours.close()

    def _watch(self) -> None:
        signum, asked, place, since, used = 0, 0.0, None, 0.0, 0.0
        while (received := self._receive()) != b"":
            now = time.monotonic()
            for number in self._signums.intersection(received or ()):
                if signum and now - asked > 1:
                    self.seconds = 1.0
                elif not signum:
                    signum, asked = number, now
            if not signum:
                continue
            here = self._place()
            if here != place:
                place, since, used = here, now, self._cpu_seconds()
            elif now - since > self.seconds and self._is_idle(used, now - since):
                self._end(signum)

    def _receive(self) -> bytes | None:
        """Numbers of signals, None if there were none for a moment, b"" at the end."""
        try:
            return self._ours.recv(64)
        except TimeoutError:
            return None

    def _place(self) -> tuple:
        """Point of the main thread in each of its functions."""
        frame, place = self._frame(), []
        while frame is not None:
            place.append((frame.f_code, frame.f_lasti))
            frame = frame.f_back
        return tuple(place)

    def _frame(self) -> FrameType | None:
        return sys._current_frames().get(self._main)

    def _cpu_seconds(self) -> float:
        return time.clock_gettime(time.pthread_getcpuclockid(self._main))

    def _is_idle(self, used: float, seconds: float) -> bool:
        return torch.cuda.is_initialized() or self._cpu_seconds() - used < 0.2 * seconds

    def _end(self, signum: int) -> None:
        frame = self._frame()
        assert frame is not None, "the main thread runs as long as this one"
        while (
            frame.f_back is not None and f"{os.sep}slowfast{os.sep}" not in frame.f_code.co_filename
        ):
            frame = frame.f_back
        where = f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"
        line = (
            f"{signal.Signals(signum).name}: the process hangs at {where} {frame.f_code.co_name} "
            "and ends without saving (another process, a disk or a network folder does not "
            "answer); the same command goes on from the last checkpoint\n"
        )
        os.write(2, line.encode())  # a log file may be on the disk that hangs
        for process in multiprocessing.active_children():
            process.kill()
        os._exit(128 + signum)


@contextmanager
def ended_if_hung(signums: Collection[int], seconds: float = 7.0) -> Iterator[None]:
    """A Watchdog during the block: one thread that waits for a dead disk keeps all from ending."""
    watchdog = start_watchdog(signums, seconds)
    try:
        yield
    finally:
        if watchdog is not None:
            watchdog.close()


def start_watchdog(signums: Collection[int], seconds: float) -> Watchdog | None:
    """A Watchdog, where the system can tell the work of a thread (not on macOS and Windows)."""
    return Watchdog(signums, seconds) if hasattr(time, "pthread_getcpuclockid") else None
