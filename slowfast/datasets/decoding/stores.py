"""Files in object stores and on web servers: everything that is asked of fsspec.

A path of a disk will do in place of an address.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from slowfast.datasets.decoding.video import UnreadableVideo
from slowfast.utils.words import cut

if TYPE_CHECKING:  # fsspec is imported by what reads from a store
    from fsspec import AbstractFileSystem

# Seconds for one answer, where nothing else is asked for; 0 is no limit.
PATIENCE = 600.0
_MOST = 200  # characters of a store's message


class StoreError(UnreadableVideo):
    """A store does not give what it was asked for; the text is "Type: reason", one line."""


class NoSuchObject(StoreError):
    """There is nothing of this name."""


class NoAnswer(StoreError):
    """Nothing came in time, and nothing else would."""


def read_range(url: str, start: int, size: int, *, seconds: float = PATIENCE) -> bytes:
    """`size` bytes from `start` on, in one request; StoreError where other ones come."""
    if not size:
        return b""
    with _asking(url, seconds) as ask:
        data = ask("cat_file", start=start, end=start + size)
    if len(data) > size:
        raise StoreError(f"NoRanges: the server of {url} sends whole files, no ranges of them")
    if len(data) < size:
        raise StoreError(f"ShortRead: {len(data)} of {size} bytes came, from byte {start} on")
    return data


def read_whole(url: str, *, seconds: float = PATIENCE) -> bytes:
    """All bytes of a small file."""
    with _asking(url, seconds) as ask:
        return ask("cat_file")


def file_facts(url: str, *, seconds: float = PATIENCE) -> tuple[int, str]:
    """Size of a file, and a text that changes with it as far as the store tells."""
    with _asking(url, seconds) as ask:
        info = ask("info")
    if info.get("type") == "directory":
        raise NoSuchObject(f"IsADirectoryError: {url} is a folder")
    if info.get("size") is None:
        raise StoreError(f"UnknownSize: the server of {url} does not tell how large it is")
    keys = ("ETag", "etag", "mtime", "LastModified", "last_modified", "created")
    return info["size"], next((str(info[key]) for key in keys if info.get(key)), "")


def list_names(url: str, *, seconds: float = PATIENCE) -> set[str]:
    """Names of the files right in a folder."""
    with _asking(url, seconds) as ask:
        found = ask("ls", detail=True)
    return {entry["name"].rpartition("/")[2] for entry in found if entry["type"] == "file"}


def find_files(pattern: str, *, seconds: float = PATIENCE) -> list[str]:
    """Addresses, or paths, that fit a pattern with stars, sorted."""
    with _asking(pattern, seconds) as ask:
        found = ask("glob")
        system, _ = _system(pattern)
        names = [system.unstrip_protocol(name) for name in found] if "://" in pattern else found
    return sorted(names)


@contextmanager
def open_stream(url: str, *, seconds: float = PATIENCE) -> Iterator[Any]:
    """A file that is read here and there in small pieces."""
    with _asking(url, seconds):
        system, path = _system(url)
        with system.open(path, "rb", block_size=1 << 16, cache_type="readahead") as file:
            yield file


def _system(url: str) -> tuple[AbstractFileSystem, str]:
    """The file system of an address, which its package keeps for each process, and its path."""
    from fsspec.core import url_to_fs

    return url_to_fs(url)


@contextmanager
def _asking(url: str, seconds: float) -> Iterator[Any]:
    """A function that calls a method of the address's file system; errors become a StoreError."""

    def ask(method: str, **options: Any) -> Any:
        system, path = _system(url)
        if system.async_impl and seconds:
            options["timeout"] = seconds
        return getattr(system, method)(path, **options)

    try:
        yield ask
    except UnreadableVideo:  # also of the alarm of DATA.READ_TIMEOUT
        raise
    except FileNotFoundError as error:
        cause = error.__cause__  # of a web server: whatever it was that came in place of the file
        if cause is not None and _status(cause) not in (404, 410, "404", "NoSuchKey"):
            raise _error(cause, url, seconds) from error
        raise NoSuchObject(f"FileNotFoundError: there is no {url}") from error
    except Exception as error:  # each package behind fsspec has exceptions of its own
        raise _error(error, url, seconds) from error


def _status(cause: BaseException) -> int | str | None:
    """Number of a web server's answer, code of S3's."""
    response = getattr(cause, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    return getattr(cause, "status", code)


def _error(error: Exception, url: str, seconds: float) -> StoreError:
    text = " ".join(str(error).split())
    if "Timeout" in type(error).__name__ and not text:
        return NoAnswer(f"TimeoutError: no answer for {url} within {seconds:g} s")
    where = "" if url in text else f" ({url})"
    return StoreError(f"{type(error).__name__}: {cut(text or 'no reason given', _MOST)}{where}")
