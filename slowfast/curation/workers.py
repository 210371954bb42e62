"""A function over many items in several processes, and results that outlive a killed run."""

import json
import multiprocessing
import signal
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

from slowfast.utils.io import json_text
from slowfast.utils.system import ctrl_c_later

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no result for an item: an exception, or the end of the process."""

    reason: str


def run_parallel(
    function: Callable[[Item], Any], items: Iterable[Item], *, workers: int
) -> Generator[tuple[Item, Any], None, None]:
    """(item, result) as they get done; the result is a Failure where there is none.

    A new process takes the place of one that a library crashed, which a ProcessPoolExecutor does
    not survive. The processes end with the generator, also when Ctrl-C or `close` ends it.
    """
    queue = iter(items)
    team: list[_Worker] = []
    try:
        for item in queue:
            team.append(_Worker(function))
            team[-1].give(item)
            if len(team) == workers:
                break
        while busy := {worker.connection: worker for worker in team if worker.is_busy}:
            for connection in wait(list(busy)):
                worker = busy[connection]
                yield worker.item, worker.result()
                if not worker.is_alive:
                    team.remove(worker)
                    worker = _Worker(function)
                    team.append(worker)
                for item in queue:
                    worker.give(item)
                    break
    finally:
        for worker in team:
            worker.process.kill()
        for worker in team:
            worker.process.join()


class _Worker:
    """A process that takes one item at a time; deaf to Ctrl-C, which is for the main process."""

    def __init__(self, function: Callable):
        # Spawned: forking a process in which torch already runs threads can hang.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, function), daemon=True)
        self.item, self.is_busy, self.is_alive = None, False, True
        with ctrl_c_later():
            self.process.start()
        theirs.close()

    def give(self, item: Any) -> None:
        self.item, self.is_busy = item, True
        try:
            self.connection.send(item)
        except BrokenPipeError:
            pass  # dead already: `result` says so

    def result(self) -> Any:
        self.is_busy = False
        try:
            return self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.is_alive = False
            self.process.join()
            return Failure(f"WorkerDied: its process ended with {_end(self.process.exitcode)}")


def _serve(connection: Connection, function: Callable) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            item = connection.recv()
        except EOFError:  # the main process is gone
            return
        try:
            result = function(item)
        except Exception as error:
            result = Failure(f"{type(error).__name__}: {error}")
        try:
            connection.send(result)
        except BrokenPipeError:
            return


def _end(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


class StateFile:
    """Values by key, a JSON line each; the last line of a key counts, one cut short does not.

    failures: reasons by key, where there is no value. also: files of others, which are only read.
    """

    def __init__(self, path: str | Path, *, also: Iterable[str | Path] = ()):
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.values: dict[str, Any] = {}
        self.failures: dict[str, str] = {}
        for other in map(Path, also):
            if other != path:
                self._read(other)
        text = self._read(path)
        self._file = open(path, "a", encoding="utf-8")
        if text and not text.endswith("\n"):
            self._file.write("\n")

    def _read(self, path: Path) -> str:
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        for line in text.splitlines():
            try:
                key, value, *reason = json.loads(line)
            except (ValueError, TypeError):
                continue
            if reason:
                self.failures[key] = reason[0]
            else:
                self.values[key] = value
        return text

    def add(self, key: str, value: Any) -> None:
        """Remember a value, on disk before this returns."""
        self.values[key] = value
        self._write([key, value])

    def add_failure(self, key: str, reason: str) -> None:
        """Remember why there is no value; a value that comes later, or from others, counts."""
        self.failures[key] = reason
        self._write([key, None, reason])

    def _write(self, line: list) -> None:
        self._file.write(f"{json_text(line)}\n")
        self._file.flush()

    def __enter__(self) -> "StateFile":
        return self

    def __exit__(self, *_error) -> None:
        self._file.close()
