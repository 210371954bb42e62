"""Question to every address of the table: does it still give a file?"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException, HTTPResponse
from urllib.error import HTTPError
from urllib.request import Request

from slowfast.zoo.download import DownloadError, PassingError, open_address
from slowfast.zoo.table import Weights

# Servers that do not like the question; they may still give the file.
_ASK_FOR_A_BYTE = {403, 405, 501}
_HEADERS = {"User-Agent": "slowfast", "Accept-Encoding": "identity"}


@dataclass(frozen=True)
class Answer:
    """Answer about a row; size: of the file in bytes, 0 where the server does not say it."""

    row: Weights
    is_good: bool
    words: str
    size: int = 0


def ask_all(rows: Iterable[Weights], *, timeout: float, at_once: int = 8) -> Iterator[Answer]:
    """Answers in the order of the rows; no file is fetched."""
    with ThreadPoolExecutor(at_once) as pool:
        yield from pool.map(partial(ask, timeout=timeout), rows)


def ask(row: Weights, *, timeout: float) -> Answer:
    """Ask for the head of a file, or else for its first byte."""
    try:
        try:
            return _ask(row, "HEAD", {}, timeout)
        except HTTPError as error:
            if error.code not in _ASK_FOR_A_BYTE:
                raise
        return _ask(row, "GET", {"Range": "bytes=0-0"}, timeout)
    except HTTPError as error:
        return Answer(row, False, f"{error.code} {error.reason}")
    except (DownloadError, PassingError, HTTPException, OSError) as error:
        return Answer(row, False, str(error) or type(error).__name__)


def _ask(row: Weights, method: str, more: dict[str, str], timeout: float) -> Answer:
    request = Request(row.address, method=method, headers={**_HEADERS, **more})
    with open_address(request, timeout) as response:
        is_page = response.headers.get_content_type() == "text/html"
        if is_page and not row.is_page:
            return Answer(row, False, "a web page in place of the file")
        words = "a page, to be opened by hand" if row.is_page else "a file"
        return Answer(row, True, words, 0 if is_page else _size(response))


def _size(response: HTTPResponse) -> int:
    """Bytes of the whole file."""
    total = response.headers.get("Content-Range", "").rpartition("/")[2]
    return int(total if total.isdigit() else response.headers.get("Content-Length") or 0)
