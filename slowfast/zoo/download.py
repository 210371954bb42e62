"""Download of a file: goes on where it was cut off, and gives up with the reason.

Through a proxy where the environment names one (HTTPS_PROXY, NO_PROXY), as Python itself does.
"""

import json
import logging
import os
import shutil
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, build_opener

from tqdm import tqdm

logger = logging.getLogger(__name__)

_CHUNK = 1 << 18
_MARKUP = (b"<!doctype", b"<html", b"<?xml", b"<head")
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_HEADERS = {"User-Agent": "slowfast", "Accept-Encoding": "identity"}
_PROXY = "behind a proxy, set HTTPS_PROXY"


class DownloadError(ValueError):
    """A file that could not be fetched; the message says why."""


@dataclass(frozen=True)
class Patience:
    """Bounds: tries in a row that bring nothing new, seconds without a byte, and between tries.

    The pause doubles from try to try up to `most`; a server may ask for a longer one, up to it.
    """

    tries: int = 5
    timeout: float = 20.0
    pause: float = 1.0
    most: float = 30.0


PATIENCE = Patience()


class PassingError(Exception):
    """A failure that may be gone at the next try; wait: seconds that the server asks for."""

    def __init__(self, reason: str, wait: float = 0.0):
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class _Part:
    """First bytes of a file, and beside them the name of its version on the server."""

    path: Path
    about: Path

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def version(self, address: str) -> str:
        """Name of the version that the part is of; "" where it cannot be gone on with."""
        try:
            about = json.loads(self.about.read_text(encoding="utf-8"))
            return about["version"] if about["address"] == address and self.size else ""
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def remember(self, address: str, version: str) -> None:
        text = json.dumps({"address": address, "version": version})
        self.about.write_text(text, encoding="utf-8")

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.about.unlink(missing_ok=True)


def download(address: str, path: Path, patience: Patience = PATIENCE) -> None:
    """Write the file at an address; a part of it that an earlier try left, PATH.part, is kept.

    DownloadError for an address that gives no such file: it does not exist, is a web page, or
    fails too often in a row. OSError where the disk does not take it. One process at a time.
    """
    part = _Part(path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.part.json"))
    failures, furthest = 0, part.size
    with _progress(path.name) as bar:
        while True:
            try:
                _transfer(address, part, bar, patience.timeout)
                break
            except PassingError as error:
                failures = 1 if part.size > furthest else failures + 1
                furthest = max(furthest, part.size)
                if failures >= patience.tries:
                    raise DownloadError(f"{error}, {failures} times in a row") from error
                pause = max(patience.pause * 2 ** (failures - 1), error.wait)
                logger.info("%s: %s; trying again", address, error)
                time.sleep(min(pause, patience.most))
    os.replace(part.path, path)
    part.remove()


@contextmanager
def _progress(name: str) -> Iterator[tqdm]:
    """A bar of bytes, on a terminal."""
    with tqdm(desc=name, unit="B", unit_scale=True, unit_divisor=1024, disable=None) as bar:
        yield bar


def _transfer(address: str, part: _Part, bar: tqdm, timeout: float) -> None:
    """Fetch what is missing, in one request."""
    headers = dict(_HEADERS)
    if version := part.version(address):
        headers |= {"Range": f"bytes={part.size}-", "If-Range": version}
    try:
        with open_address(Request(address, headers=headers), timeout) as response:
            start, total = _extent(response, part)
            _check_response(response, part, total - start if total else 0)
            if not start:
                part.remember(address, _version(response))
            _append(response, part, bar, start=start, total=total)
    except HTTPError as error:
        _judge(error, part)
    except (HTTPException, ConnectionError, TimeoutError) as error:
        raise PassingError(f"the connection broke ({_words(error)})") from error


def open_address(request: Request, timeout: float) -> HTTPResponse:
    """The answer. HTTPError for a refusal, DownloadError where nobody can be asked at all."""
    try:
        return build_opener().open(request, timeout=timeout)  # the proxies of now
    except HTTPError:
        raise
    except URLError as error:
        reason = error.reason
        if isinstance(reason, socket.gaierror):
            raise DownloadError(f"no connection to {request.host} ({reason}); {_PROXY}") from error
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise DownloadError(
                f"the certificate of {request.host} is not trusted ({reason}); where a proxy has "
                "its own, name the file of its certificates in SSL_CERT_FILE"
            ) from error
        raise PassingError(f"no connection to {request.host} ({reason}); {_PROXY}") from error


def _judge(error: HTTPError, part: _Part) -> None:
    """Raise what an answer that is an error means."""
    if error.code == 416:  # the file is shorter than the part: it has changed
        part.remove()
        raise PassingError("the server has another version now") from error
    words = f"the server answers {error.code} {error.reason}"
    if error.code in _PASSING:
        wait = error.headers.get("Retry-After", "")
        raise PassingError(words, float(wait) if wait.isdigit() else 0.0) from error
    raise DownloadError(words) from error


def _extent(response: HTTPResponse, part: _Part) -> tuple[int, int]:
    """First byte of an answer, and the size of the whole file, 0 where the server does not say."""
    length = int(response.headers.get("Content-Length") or 0)
    if response.status != 206:
        return 0, length
    unit, _, extent = response.headers.get("Content-Range", "").partition(" ")
    span, _, total = extent.partition("/")
    if unit != "bytes" or not span.startswith(f"{part.size}-"):
        part.remove()
        raise PassingError(f"the server sends another part than was asked for ({unit} {extent})")
    return part.size, int(total) if total.isdigit() else part.size + length


def _check_response(response: HTTPResponse, part: _Part, num_bytes: int) -> None:
    """DownloadError for a web page; OSError where the disk has less room than is to come."""
    if response.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        raise DownloadError("the answer is a web page, not the file")
    free = shutil.disk_usage(part.path.parent).free
    if num_bytes > free:
        needed, left = (f"{number / 1e6:.1f} MB" for number in (num_bytes, free))
        raise OSError(f"{part.path.parent}: {needed} are to come, {left} are free")


def _version(response: HTTPResponse) -> str:
    """Name by which a server knows a version of a file, byte by byte; "" where there is none."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _append(response: HTTPResponse, part: _Part, bar: tqdm, *, start: int, total: int) -> None:
    """Write the answer behind byte `start` of the part; all bytes that came stay in it."""
    bar.total = total or None
    bar.n = bar.initial = start
    bar.refresh()
    with open(part.path, "r+b" if start else "wb") as file:
        file.seek(start)
        while chunk := response.read1(_CHUNK):
            if not start and not file.tell() and chunk.lstrip().lower().startswith(_MARKUP):
                raise DownloadError("the answer is a web page, not the file")
            file.write(chunk)
            bar.update(len(chunk))
    if total and part.size < total:
        raise PassingError(f"the connection broke after {part.size} of {total} bytes")


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
