"""An S3 server on this machine, moto's, in a process of its own, that counts the bytes it sends.

python -m benchmarks.store_server prints its port. PUT /BUCKET makes a bucket, as in S3; GET /_sent
gives the bytes of objects that were sent, and how many answers they were in.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

# What moto takes for a user's.
KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}


class CountSent:
    """A WSGI application around another one that counts what it sends of objects."""

    def __init__(self, app: Callable):
        self._app, self._sent, self._answers = app, 0, 0

    def __call__(self, environ: dict, start: Callable) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/_sent":
            start("200 OK", [("Content-Type", "application/json")])
            return [json.dumps([self._sent, self._answers]).encode()]
        is_object = environ["REQUEST_METHOD"] == "GET" and environ["PATH_INFO"].count("/") > 1
        body = list(self._app(environ, start))
        if is_object:
            self._sent += sum(map(len, body))
            self._answers += 1
        return body


def serve() -> None:
    """Serve until the process is ended."""
    from moto.server import create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"  # connections stay open

        def log(self, *_words) -> None:
            pass

    app = CountSent(create_backend_app("s3"))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Handler)
    print(server.port, flush=True)
    server.serve_forever()


@contextmanager
def run_store() -> Iterator[str]:
    """The address of a server that ends with the block."""
    words = [sys.executable, "-m", "benchmarks.store_server"]
    root = Path(__file__).parents[1]
    process = subprocess.Popen(words, cwd=root, stdout=subprocess.PIPE, text=True)
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()


def bytes_sent(address: str) -> tuple[int, int]:
    """Bytes of objects that a server sent until now, and in how many answers."""
    with urlopen(f"{address}/_sent") as answer:
        sent, answers = json.load(answer)
    return sent, answers


if __name__ == "__main__":
    serve()
