"""Files of `zoo:NAME`: fetched once, kept in a cache, and compared with a hash.

Where the publisher gives no hash, the one of the first use is written beside the file.
"""

import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from slowfast.utils.io import read_json, write_json
from slowfast.zoo.download import PATIENCE, DownloadError, Patience, download
from slowfast.zoo.table import Weights, find_weights, weights

logger = logging.getLogger(__name__)

_CHUNK = 1 << 20
_TOLD_AFTER = 2.0  # seconds of waiting for another process


def cache_folder() -> Path:
    """SLOWFAST_CACHE, else the folder `slowfast` in torch.hub's."""
    if folder := os.environ.get("SLOWFAST_CACHE"):
        return Path(folder).expanduser()
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    torch_home = os.environ.get("TORCH_HOME") or f"{caches}/torch"
    return Path(torch_home).expanduser() / "hub" / "slowfast"


def cached_path(row: Weights) -> Path:
    """The file of a row, there or not."""
    return cache_folder() / row.file_name


def named_weights(name: str | Path) -> Weights | None:
    """The row of zoo:NAME, or of its file in the cache; None for anything else."""
    scheme, _, rest = str(name).partition(":")
    if scheme == "zoo":
        return find_weights(rest)
    path = Path(name)
    is_cached = path.parent == cache_folder()
    rows = weights().values() if is_cached else ()
    return next((row for row in rows if row.file_name == path.name), None)


def fetch(name: str, *, is_thorough: bool = False, patience: Patience = PATIENCE) -> Path:
    """The file of weights by name; of several processes one fetches it, the others wait.

    is_thorough: compare the hash even of a file that has not been touched since it was last
    compared. ValueError says what is wrong, and the way by hand.
    """
    row = find_weights(name)
    path = cached_path(row)
    if not is_thorough and _is_untouched(path):
        return path
    with _alone(path):
        if not path.exists():
            _bring(row, path, patience)
        if is_thorough or not _is_untouched(path):
            _compare(row, path)
    return path


def _bring(row: Weights, path: Path, patience: Patience) -> None:
    """Fetch a file that is not there; ValueError where this does not work."""
    by_hand = (
        f"open {row.address} in a browser, and put the file at {path} (SLOWFAST_CACHE names "
        "another folder)"
    )
    if row.is_page:
        raise ValueError(f"zoo:{row.name}: has to be fetched by hand: {by_hand}")
    logger.info("zoo:%s: fetching %s (licence: %s)", row.name, row.address, row.licence)
    try:
        download(row.address, path, patience)
    except DownloadError as error:
        raise ValueError(f"zoo:{row.name}: {error}. By hand: {by_hand}") from error


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock of a file; a cache that cannot be written needs none for files that it has."""
    lock = FileLock(f"{path}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=_TOLD_AFTER)
        except Timeout:
            logger.info("%s: another process fetches it; waiting", path)
            lock.acquire()
    except OSError as error:
        if not path.exists():
            raise ValueError(
                f"{path.parent}: cannot be written ({error.strerror}): name another folder in "
                "SLOWFAST_CACHE"
            ) from error
    try:
        yield
    finally:
        lock.release()


def _record_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _record(path: Path) -> dict[str, Any]:
    """Facts that were written beside a file; {} where there are none."""
    try:
        found = read_json(_record_path(path))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _state(path: Path) -> dict[str, int]:
    status = path.stat()
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _is_untouched(path: Path) -> bool:
    """Whether a file is there, and as it was when its hash was last compared."""
    record = _record(path)
    return path.is_file() and record.items() >= _state(path).items()


def _compare(row: Weights, path: Path) -> None:
    """ValueError for a file of another hash; one that can be fetched again is removed."""
    expected = row.sha256 or str(_record(path).get("sha256", ""))
    digest = _sha256(path)
    if not digest.startswith(expected):
        whose = "its publisher gives" if row.sha256 else "at its first use it was"
        reason = f"its SHA-256 is {digest}, but {whose} {expected}"
        if row.is_page:
            raise ValueError(
                f"{path}: {reason}. If the new file is meant, remove {_record_path(path)}"
            )
        path.unlink()
        if row.sha256:
            _record_path(path).unlink(missing_ok=True)
        raise ValueError(
            f"zoo:{row.name}: {reason}: {path} is removed. Fetch it again; if that is no "
            f"different, the file at {row.address} has changed{_new_file(path, row)}"
        )
    try:
        write_json(_record_path(path), {"address": row.address, "sha256": digest, **_state(path)})
    except OSError as error:
        logger.debug("%s: the hash is not written (%s)", path, error)


def _new_file(path: Path, row: Weights) -> str:
    return "" if row.sha256 else f"; to accept the new one, remove {_record_path(path)}"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
