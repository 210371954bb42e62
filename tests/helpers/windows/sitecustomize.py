"""Windows, and macOS, as this project's own code sees them: what they lack is not there.

Every process that starts with this folder on its PYTHONPATH imports this file. The standard library
and torch keep their system: only an `import` of slowfast, the tools and `__main__` is changed.
"""

import builtins
import multiprocessing
import os
import signal
import sys
import time
import types

NO_MODULES = {"fcntl", "grp", "posix", "pwd", "resource", "termios"}
NO_NAMES = {
    "os": "fork forkpty killpg getpgid getsid setsid setpgid getuid geteuid getgid getegid nice "
    "sched_getaffinity sched_setaffinity sysconf statvfs uname mkfifo mknod chown fchmod "
    "O_NONBLOCK O_CLOEXEC O_DIRECTORY pread pwrite posix_fadvise wait WNOHANG getloadavg",
    "signal": "SIGKILL SIGHUP SIGUSR1 SIGUSR2 SIGALRM SIGBUS SIGCHLD SIGPIPE SIG_BLOCK SIG_SETMASK "
    "SIG_UNBLOCK alarm setitimer ITIMER_REAL pause pthread_kill pthread_sigmask sigwait",
    "time": "pthread_getcpuclockid clock_gettime",
    "sys": "",
}


def refuse(*_words) -> None:
    raise AssertionError("os.kill ends a process on Windows, even with signal 0")


OTHER_VALUES = {"os": {"name": "nt", "kill": refuse}, "sys": {"platform": "win32"}}


class View(types.ModuleType):
    """A module without some of its names."""

    def __init__(self, module: types.ModuleType):
        name = module.__name__
        super().__init__(name)
        self.__dict__.update(OTHER_VALUES.get(name, {}))
        self.__dict__["_of"] = module, frozenset(NO_NAMES[name].split())

    def __getattr__(self, name: str):
        module, hidden = self.__dict__["_of"]
        if name in hidden:
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
        return getattr(module, name)


views = {module.__name__: View(module) for module in (os, signal, sys, time)}
import_module = builtins.__import__


def import_for_us(name, names=None, *words, **keys):
    module = import_module(name, names, *words, **keys)
    user = (names or {}).get("__name__", "")
    if not user.startswith(("slowfast", "tools", "__main__")):
        return module
    if name in NO_MODULES:
        raise ModuleNotFoundError(f"No module named {name!r}")
    return views.get(name, module)


builtins.__import__ = import_for_us
multiprocessing.set_start_method("spawn")
