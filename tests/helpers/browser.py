"""A real browser that opens a page from disk: Chromium, over the pipe of its debugging protocol."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
_FLAGS += ["--disable-background-networking", "--disable-dev-shm-usage", "--remote-debugging-pipe"]
_PATIENCE = 60  # seconds for an answer


class Browser:
    """One tab. requests: addresses that the page asked for, beside itself and data in it."""

    def __init__(self, program: str, folder: Path):
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()

        def connect():  # the protocol is spoken over the descriptors 3 and 4
            ends = os.dup(to_browser), os.dup(from_browser)
            for place, end in zip((3, 4), ends, strict=True):
                os.dup2(end, place)
                os.set_inheritable(place, True)

        self._process = subprocess.Popen(
            [program, *_FLAGS, f"--user-data-dir={folder}", "about:blank"],
            preexec_fn=connect,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        os.set_blocking(self._in, False)
        self._buffer, self._number, self._session, self.events = b"", 0, None, []
        tabs = self.ask("Target.getTargets")["targetInfos"]
        tab = next(tab for tab in tabs if tab["type"] == "page")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=tab, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params):
        """The answer to a command."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return answer["result"]
            self.events.append(answer)

    def _read(self) -> dict:
        end = time.monotonic() + _PATIENCE
        while b"\0" not in self._buffer:
            assert time.monotonic() < end, "the browser does not answer"
            try:
                self._buffer += os.read(self._in, 1 << 20)
            except BlockingIOError:
                time.sleep(0.01)
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def open(self, path: Path) -> None:
        """Open a file, and wait until it is loaded."""
        self.events.clear()
        self.ask("Page.navigate", url=path.resolve().as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._read())

    def run(self, script: str):
        """The value of an expression in the page."""
        result = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def press(self, key: str, text: str = "") -> None:
        """Press and release a key."""
        named = {"key": key, **({"text": text} if text else {})}
        if key == "Enter":
            named |= {"windowsVirtualKeyCode": 13, "text": "\r"}
        self.ask("Input.dispatchKeyEvent", type="keyDown", **named)
        self.ask("Input.dispatchKeyEvent", type="keyUp", key=key)

    def resize(self, width: int, height: int = 900) -> None:
        """Size of the window."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", **metrics)

    @property
    def requests(self) -> list[str]:
        """Addresses that were asked for since `open`, but for files and data."""
        found = [e["params"] for e in self.events if e["method"] == "Network.requestWillBeSent"]
        urls = [params["request"]["url"] for params in found]
        return [url for url in urls if not url.startswith(("data:", "file:"))]

    @property
    def mistakes(self) -> list[dict]:
        """Errors in scripts, and what the browser's log complains of, since `open`."""
        kinds = ("Runtime.exceptionThrown", "Log.entryAdded")
        return [event["params"] for event in self.events if event["method"] in kinds]

    def close(self) -> None:
        """End the browser."""
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A Browser; skips the test where there is none."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip(f"no browser is installed ({', '.join(_NAMES)})")
    found = Browser(program, tmp_path_factory.mktemp("browser"))
    yield found
    found.close()
