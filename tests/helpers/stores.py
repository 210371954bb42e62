"""Stores and web servers on this machine; tests that need S3 skip without moto and s3fs."""

import re
import socket
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.store_server import KEYS, run_store


@pytest.fixture(scope="session")
def store_address():
    """Address of an S3 server, which the environment names to all that reads s3://."""
    for package in ("moto", "s3fs", "flask"):
        pytest.importorskip(package, reason=f"needs {package}: pip install -e '.[dev]'")
    with pytest.MonkeyPatch.context() as patch, run_store() as address:
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": address}.items():
            patch.setenv(name, value)
        yield address


@pytest.fixture
def bucket(store_address):
    """Function (folder) -> address of a copy of it in a bucket of the test's own."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()  # an earlier test may have gone to another server
    system = s3fs.S3FileSystem()
    name = f"bucket{len(system.ls('', refresh=True))}"
    system.mkdir(name)

    def copy(folder, below="set"):
        for path in folder.iterdir():
            if path.is_file():
                system.pipe_file(f"{name}/{below}/{path.name}", path.read_bytes())
        return f"s3://{name}/{below}"

    return copy


class _Ranges(SimpleHTTPRequestHandler):
    """Files of a folder, ranges of them where a client asks for one."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.translate_path(self.path)
        if "forbidden" in path:
            return self.send_error(403)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        try:
            with open(path, "rb") as file:
                data = file.read()
        except OSError:
            return self.send_error(404)
        part = data[int(wanted[1]) : int(wanted[2]) + 1] if wanted else data
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        is_cut = "cut" in path and self.command == "GET"
        self.wfile.write(part[: len(part) // 2] if is_cut else part)
        self.close_connection = is_cut

    def log_message(self, *_words):
        pass


@pytest.fixture
def web_server():
    """Function (folder) -> address under which a web server gives its files."""
    servers = []

    def serve(folder):
        pytest.importorskip("aiohttp", reason="needs aiohttp: pip install -e '.[dev]'")
        handler = partial(_Ranges, directory=str(folder))
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def deaf_server():
    """Address of a server that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
