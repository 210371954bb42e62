"""Calls of the operating system that Linux has, and macOS or Windows may lack.

Everything is looked up by name when it is needed: what a system lacks does nothing there, or is
done in another way, as each docstring says. Only this file knows which systems there are.
"""

import ctypes
import os
import platform
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from pathlib import Path


def num_usable_cores() -> int:
    """Cores that this process may use; all of the machine where the system cannot say (macOS)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor_name() -> str:
    """Name of the processor, by its makers on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def known_signals(*names: str) -> tuple[signal.Signals, ...]:
    """The signals of these names that the system has; Windows has SIGINT and SIGTERM alone."""
    return tuple(getattr(signal, name) for name in names if hasattr(signal, name))


@contextmanager
def ctrl_c_later() -> Iterator[None]:
    """Block that a Ctrl-C does not disturb: it comes at the end.

    Processes that are started in it stay deaf to it. On Windows it does nothing.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # its own start would unblock the signal
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def ticking(seconds: float, tick: Callable[[], None]) -> Iterator[None]:
    """Call `tick()` in the main thread every `seconds` during the block; what it raises, this does.

    Never in another thread, which cannot be interrupted, nor on Windows, which has no alarm.
    """
    if not hasattr(signal, "setitimer") or not _is_main_thread():
        yield
        return
    previous = signal.signal(signal.SIGALRM, lambda _signum, _frame: tick())
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@contextmanager
def kept_handler(name: str) -> Iterator[None]:
    """Block after which the signal of this name, where there is one, has its handler again."""
    handler = signal.getsignal(getattr(signal, name)) if hasattr(signal, name) else None
    yield
    if handler is not None and _is_main_thread():
        signal.signal(getattr(signal, name), handler)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def leave_process_group() -> None:
    """Begin a group of processes: a Ctrl-C in the shell comes here no longer. Not on Windows."""
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)


def send_signal(pid: int, signum: int) -> None:
    """Hand a signal on to a process; not on Windows, which sends Ctrl-C to all of them itself."""
    if os.name != "nt":  # there os.kill ends the process, whatever the signal
        os.kill(pid, signum)


def is_alive(pid: int) -> bool:
    """Whether there is such a process on this machine."""
    import psutil

    return psutil.pid_exists(pid)


def end_with_parent() -> Callable[[], None] | None:
    """A preexec_fn of Popen: the process ends with the one that starts it, even by SIGKILL.

    None where only the system of Linux does that.
    """
    return _ask_for_kill if sys.platform == "linux" else None


def _ask_for_kill() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1: PR_SET_PDEATHSIG


def kill_group(process: subprocess.Popen) -> None:
    """End a process that leads a session (Popen's start_new_session), and all that it started."""
    import psutil

    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):  # all of it has ended
            os.killpg(process.pid, signal.SIGKILL)
    else:
        started: list[psutil.Process] = []
        with suppress(psutil.Error):
            started = psutil.Process(process.pid).children(recursive=True)
        process.kill()  # first: it must not go on when those that it waits for have ended
        for child in started:
            with suppress(psutil.Error):
                child.kill()
    process.wait()


def can_map_files() -> bool:
    """Whether files in use as memory can be renamed and removed; Windows refuses that."""
    return os.name != "nt"
