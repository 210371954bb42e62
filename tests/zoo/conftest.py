"""A web server on this machine that does what servers do on bad days."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from slowfast.zoo import table, weights
from slowfast.zoo.download import Patience

# Waits are short, so that tests of failures are.
SOON = Patience(tries=3, timeout=5.0, pause=0.001, most=0.01)


@dataclass
class Site:
    """One file, and the answers to the next requests; after these all is well."""

    content: bytes = bytes(range(256)) * 40
    kind: str = "application/octet-stream"
    tag: str = '"first"'
    days: list[Callable] = field(default_factory=list)
    requests: list[tuple[str, str, dict]] = field(default_factory=list)
    address: str = ""

    @property
    def ranges(self) -> list[str | None]:
        """The parts that were asked for."""
        return [headers.get("Range") for _, _, headers in self.requests]


def send(handler, site, *, most=None, takes_ranges=True):
    """The file, or the part that is asked for; the connection ends after `most` bytes."""
    start, asked = 0, handler.headers.get("Range")
    if asked and takes_ranges and handler.headers.get("If-Range") in (None, site.tag):
        start = int(asked.removeprefix("bytes=").split("-")[0])
        if start >= len(site.content):
            handler.send_error(416)
            return
    body = site.content[start:]
    handler.send_response(206 if start else 200)
    if start:
        total = len(site.content)
        handler.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
    handler.send_header("Content-Type", site.kind)
    handler.send_header("Content-Length", str(len(body)))
    handler.send_header("ETag", site.tag)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body if most is None else body[:most])


@pytest.fixture
def site():
    """The server, with the address of its file."""
    page = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            page.requests.append((self.command, self.path, dict(self.headers)))
            day = page.days.pop(0) if page.days else send
            day(self, page)

        do_HEAD = do_GET

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    page.address = f"http://127.0.0.1:{server.server_port}/x3d_s.pyth"
    yield page
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def zoo(site, tmp_path, monkeypatch):
    """Puts one row, changed as asked, into the table; the cache is a fresh folder."""
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path / "cache"))

    published = table.weights()

    def put(**changes):
        row = replace(published["X3D_S"], **{"address": site.address, **changes})
        for module in (table, weights):
            monkeypatch.setattr(module, "weights", lambda: {row.name: row})
        return row

    return put
