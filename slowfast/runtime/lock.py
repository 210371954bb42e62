"""One training, and one test, at a time in a folder."""

import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

logger = logging.getLogger(__name__)

# A process that was killed a moment ago, and those that it had started, may still be ending.
_PATIENCE = 3.0


@contextmanager
def only_run_in(folder: str | Path, kind: str) -> Iterator[None]:
    """Hold a lock of the folder; ValueError where another run of the kind ("train", "test") has it.

    The kernel frees the lock when its process ends, in whatever way; the file stays. A restart by
    torchrun goes on, with a warning, where a machine that was lost seems to hold it.
    """
    path = Path(folder) / f".{kind}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=_PATIENCE)
    except Timeout as error:
        holder = _read(path)
        if not _is_restart_of(holder):
            raise ValueError(_refusal(folder, kind, holder, path)) from error
        logger.warning("OUTPUT_DIR: %s is still locked by %s, which is lost", folder, _told(holder))
    except OSError as error:
        logger.warning(
            "OUTPUT_DIR: %s cannot be locked (%s); do not start a second run in it", folder, error
        )
    else:
        with suppress(PermissionError):  # of Windows, which locks the content, too
            path.write_text(json.dumps(_about_this_process()), encoding="utf-8")
    try:
        yield
    finally:
        lock.release()


def _about_this_process() -> dict:
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "start": datetime.now().astimezone().isoformat(timespec="seconds"),
        "elastic": os.environ.get("TORCHELASTIC_RUN_ID", ""),
    }


def _read(path: Path) -> dict:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_restart_of(holder: dict) -> bool:
    """Whether torchrun started this process anew, and the holder was on another machine."""
    is_restart = int(os.environ.get("TORCHELASTIC_RESTART_COUNT") or 0) > 0
    is_same = holder.get("elastic") == os.environ.get("TORCHELASTIC_RUN_ID", "")
    return is_restart and is_same and holder.get("host") != socket.gethostname()


def _told(holder: dict) -> str:
    if not holder:
        return "another process"
    return f"process {holder.get('pid')} on {holder.get('host')}, begun {holder.get('start')}"


def _refusal(folder: str | Path, kind: str, holder: dict, path: Path) -> str:
    noun = {"train": "training"}.get(kind, kind)
    return (
        f"OUTPUT_DIR: {folder} is in use by another {noun}: {_told(holder)}. Give this one another "
        "folder, or end that one; it goes on where it stopped. Where there is no such process "
        f"(a file system that keeps locks), remove {path}"
    )
