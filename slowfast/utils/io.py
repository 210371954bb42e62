"""Files that are either complete or not there: written under a temporary name, then renamed."""

import csv
import errno
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import simplejson

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def check_is_file(path: str | Path) -> None:
    """OSError unless it is an ordinary file: reading a pipe or a device may never end."""
    path = os.fspath(path)
    try:
        kind = stat.S_IFMT(os.stat(path).st_mode)
    except ValueError as error:  # a NUL byte
        raise OSError(errno.EINVAL, f"not the name of a file ({error})", path) from error
    if kind == stat.S_IFDIR:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if kind != stat.S_IFREG:
        name = _KINDS.get(kind, "something else")
        raise OSError(errno.EINVAL, f"{name}, not an ordinary file", path)


@contextmanager
def atomic_write(path: str | Path, mode: str = "wb") -> Iterator[IO]:
    """Open a temporary file beside `path` that replaces it only when the block ends without error.

    After a full disk, an exception or a kill the old file is still there, whole. Text is UTF-8;
    file names that are not keep their bytes.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    text = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
    try:
        with os.fdopen(handle, mode, **({} if "b" in mode else text)) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(path.parent).free / 1e6
            raise OSError(
                error.errno, f"{path}: not written, the disk is full ({free:.1f} MB are free)"
            ) from error
        raise


def read_small_text(path: str | Path, *, most_bytes: int = 2**28) -> str:
    """UTF-8 text, without a byte order mark, of an ordinary file.

    ValueError for a pipe or device, which might never end, and for a file of more bytes.
    """
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is not an ordinary file, but a pipe or a device")
        if status.st_size > most_bytes:
            raise ValueError(
                f"it has {status.st_size / 1e6:.1f} MB, at most {most_bytes / 1e6:.1f} MB are read"
            )
        return file.read(most_bytes).decode("utf-8-sig")


def read_json(path: str | Path) -> Any:
    """Content of an ordinary JSON file; ValueError for others, also those nested too deep."""
    text = read_small_text(path)
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def json_text(value: Any, *, indent: int | None = None) -> str:
    """`value` as JSON; the numbers that JSON does not have, NaN and infinity, become null."""
    return simplejson.dumps(value, indent=indent, ignore_nan=True, namedtuple_as_object=False)


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    with atomic_write(path, "w") as file:
        file.write(json_text(value, indent=2) + "\n")


def write_lines(path: str | Path, lines: Iterable[str]) -> None:
    """Write lines of text, atomically."""
    with atomic_write(path, "w") as file:
        file.writelines(f"{line}\n" for line in lines)


def write_csv(path: str | Path, header: Sequence[str], rows: Iterable[Sequence]) -> None:
    """Write a comma-separated table with a header line, atomically."""
    with atomic_write(path, "w") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
