"""A small server that answers as the Hugging Face Hub does when files are fetched."""

import hashlib
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def hub_server(folder, repo="user/net"):
    """Serves the files of `folder` as those of `repo`; gives its address and the list of calls."""
    calls = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self._answer(has_body=False)

        def do_GET(self):
            self._answer(has_body=True)

        def _answer(self, *, has_body):
            calls.append(f"{self.command} {self.path}")
            place, _, rest = self.path.partition("/resolve/")
            file = folder / rest.partition("/")[2]
            if place != f"/{repo}":
                return self._refuse("RepoNotFound")
            if not file.is_file():
                return self._refuse("EntryNotFound")
            content = file.read_bytes()
            self.send_response(200)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if has_body:
                self.wfile.write(content)

        def _refuse(self, code):
            self.send_response(404)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", calls
        server.shutdown()
