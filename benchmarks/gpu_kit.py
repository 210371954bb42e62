"""Checks of a machine with one GPU: each in a process with a limit of its own.

They begin in the order of their list, the most valuable first; the budget of the whole ends them.
The files of results grow with every check, so that a run that is cut short counts, too.
"""

import argparse
import json
import multiprocessing
import os
import re
import shutil
import signal
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil
import torch
from tabulate import tabulate

ROOT = Path(__file__).parents[1]
# Seconds: of all checks on a GPU and on a CPU, and by how much slower a CPU may be.
_BUDGETS, _CPU_FACTOR = {"cuda": 225.0, "cpu": 3600.0}, 10
_LEAST_SECONDS = 15.0  # a check with less is not begun
_LOG_CHARACTERS = 15_000


class Skip(Exception):
    """A check that cannot run; the message says why."""


@dataclass(frozen=True)
class Place:
    """Task of a check, and the place of its numbers.

    folder: shared by all checks of a run.
    """

    kind: str
    is_tiny: bool
    folder: Path
    rows_path: Path

    @property
    def is_cuda(self) -> bool:
        return self.kind == "cuda"

    @property
    def device(self) -> torch.device:
        """The one GPU, or the CPU with one thread."""
        torch.set_num_threads(4 if self.is_cuda else 1)
        return torch.device("cuda", 0) if self.is_cuda else torch.device("cpu")

    def note(self, **values) -> None:
        """Numbers of the check; they count even when it is ended."""
        rounded = {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in values.items()}
        line = json.dumps(rounded, default=str)
        print(line, flush=True)
        with open(self.rows_path, "a") as file:
            file.write(f"{line}\n")

    def row(self, table: str, **values) -> None:
        """A row of a table that stands below the list of checks."""
        self.note(table=table, **values)

    def synchronize(self) -> None:
        if self.is_cuda:
            torch.cuda.synchronize()

    def time_in_turns(
        self, works: Mapping[str, Callable[[], object]], *, rounds: int = 4, inner: int = 1
    ) -> dict[str, float]:
        """Median wall milliseconds of each; a round runs all of them, `inner` times in a row."""
        rounds, inner, warm = (1, 1, 1) if self.is_tiny else (rounds, inner, 2)
        times: dict[str, list[float]] = {name: [] for name in works}
        for number in range(warm + rounds):
            for name, work in works.items():
                self.synchronize()
                start = time.perf_counter()
                for _ in range(inner):
                    work()
                self.synchronize()
                if number >= warm:
                    times[name].append(1e3 * (time.perf_counter() - start) / inner)
        return {name: statistics.median(values) for name, values in times.items()}

    def time(self, work: Callable[[], object], *, inner: int = 8) -> float:
        """Median wall milliseconds of one kernel."""
        return self.time_in_turns({"": work}, inner=inner)[""]


@dataclass(frozen=True)
class Check:
    """A named piece of work, its seconds at most, and the check that must have passed before."""

    name: str
    work: Callable[[Place], None]
    limit: float
    after: str = ""


@dataclass
class Result:
    """PASS, FAIL or SKIP, why, and the numbers that were noted."""

    status: str
    why: str = ""
    seconds: float = 0.0
    rows: list[dict] = field(default_factory=list)

    def line(self, name: str) -> str:
        pairs = (pair for row in self.rows if "table" not in row for pair in row.items())
        values = " ".join(f"{key}={value}" for key, value in pairs)
        text = f"{self.status} {name} ({self.seconds:.0f} s) {self.why[:500]} {values[:1500]}"
        return text.rstrip()


def tables_of(results: Mapping[str, Result]) -> str:
    """The rows of each table under each other."""
    tables: dict[str, list[dict]] = {}
    for result in results.values():
        for row in result.rows:
            if "table" in row:
                values = {key: value for key, value in row.items() if key != "table"}
                tables.setdefault(row["table"], []).append(values)
    texts = [f"\n{title}\n{tabulate(rows, headers='keys')}\n" for title, rows in tables.items()]
    return "".join(texts)


def parse_options(doc: str | None, *, lanes: int) -> argparse.Namespace:
    """The options of both programs; lanes: checks at a time on a GPU."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=doc, formatter_class=formatter)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--tiny", action="store_true", help="smallest sizes, to try it on a CPU")
    parser.add_argument("--output", type=Path, default=Path("gpu_results"), help="folder")
    parser.add_argument("--budget", type=float, help="seconds in all (225; on the CPU 3600)")
    parser.add_argument("--only", default="", metavar="REGEX", help="names of checks")
    parser.add_argument("--skip", default="^$", metavar="REGEX", help="names of checks")
    parser.add_argument("--list", action="store_true", help="print the names, and end")
    options = parser.parse_args()
    options.lanes = lanes if options.device == "cuda" else min(lanes, 2)
    options.budget = options.budget or _BUDGETS[options.device]
    if options.device == "cuda" and not options.list and not torch.cuda.device_count():
        parser.error("--device: this machine has no CUDA device; try --device cpu --tiny")
    return options


def _chosen(checks: Sequence[Check], options: argparse.Namespace) -> list[Check]:
    """Checks of --only and --skip, and what they wait for."""
    names = {
        check.name
        for check in checks
        if re.search(options.only, check.name) and not re.search(options.skip, check.name)
    }
    for check in reversed(checks):
        if check.name in names and check.after:
            names.add(check.after)
    return [check for check in checks if check.name in names]


@dataclass
class _Running:
    """A check that runs in a process."""

    check: Check
    process: multiprocessing.Process
    place: Place
    files: Path  # without suffix: .log, .rows, .end
    begin: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begin

    def kill(self) -> None:
        """End it and all that it started, what torchrun put into sessions of their own, too."""
        try:
            found = psutil.Process(self.process.pid)
            family = [*found.children(recursive=True), found]
        except psutil.NoSuchProcess:
            family = []
        for one in family:
            with_process(one, psutil.Process.terminate)
        _, alive = psutil.wait_procs(family, timeout=1.5)
        for one in alive:
            with_process(one, psutil.Process.kill)
        self.process.join()

    def result(self) -> Result:
        end, rows = self.files.with_suffix(".end"), self.place.rows_path
        lines = rows.read_text().splitlines() if rows.exists() else []
        about = {"status": "FAIL", "why": "the process died"}
        about = json.loads(end.read_text()) if end.exists() else about
        return Result(**about, seconds=self.seconds, rows=[json.loads(line) for line in lines])


def with_process(process: psutil.Process, act: Callable[[psutil.Process], None]) -> None:
    """Act on a process that may have ended."""
    try:
        act(process)
    except psutil.NoSuchProcess:
        pass


def _run_check(check: Check, place: Place, files: Path) -> None:
    """In the process of a check: its output goes to a log, its outcome to a file."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.stdout = sys.stderr = open(files.with_suffix(".log"), "w", buffering=1)
    os.dup2(sys.stdout.fileno(), 1)  # of programs, too
    os.dup2(sys.stdout.fileno(), 2)
    try:
        check.work(place)
        end = {"status": "PASS", "why": ""}
    except Skip as reason:
        end = {"status": "SKIP", "why": str(reason)}
    except BaseException as error:  # whatever it is, it is the result
        traceback.print_exc()
        end = {"status": "FAIL", "why": f"{type(error).__name__}: {error}"[:1500]}
    files.with_suffix(".end").write_text(json.dumps(end))


class Runner:
    """Runs checks, some at a time, and writes TITLE.txt, .json and _logs.txt into a folder."""

    def __init__(self, title: str, checks: Sequence[Check], options: argparse.Namespace):
        self.title, self.options = title, options
        self.waiting, self.running = list(checks), []
        self.results: dict[str, Result] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="slowfast_gpu_"))
        self.begin = time.monotonic()
        self._fork = multiprocessing.get_context("fork")  # torch is imported once
        options.output.mkdir(parents=True, exist_ok=True)
        self._logs.unlink(missing_ok=True)

    @property
    def _logs(self) -> Path:
        return self.options.output / f"{self.title}_logs.txt"

    @property
    def _left(self) -> float:
        return self.options.budget - (time.monotonic() - self.begin)

    def run(self) -> dict[str, Result]:
        """Results by name, in the order in which they came."""
        try:
            while self.waiting or self.running:
                for check in list(self.waiting):
                    self._begin_or_skip(check)
                for one in list(self.running):
                    self._end_if_due(one)
                time.sleep(0.1)
        finally:
            for one in self.running:
                one.kill()
            shutil.rmtree(self.folder, ignore_errors=True)
        return self.results

    def _limit(self, check: Check) -> float:
        return check.limit * (1 if self.options.device == "cuda" else _CPU_FACTOR)

    def _begin_or_skip(self, check: Check) -> None:
        before = self.results.get(check.after)
        if before is not None and before.status != "PASS":
            self._note(check, Result("SKIP", f"{check.after} did not pass"))
        elif self._left < min(check.limit / 4, _LEAST_SECONDS):
            self._note(check, Result("SKIP", "no time left"))
        elif len(self.running) < self.options.lanes and (before or not check.after):
            self._begin(check)
        else:
            return
        self.waiting.remove(check)

    def _begin(self, check: Check) -> None:
        files = self.folder / re.sub(r"\W+", "_", f"check_{check.name}")
        options = self.options
        place = Place(options.device, options.tiny, self.folder, files.with_suffix(".rows"))
        sys.stdout.flush()
        process = self._fork.Process(target=_run_check, args=(check, place, files))
        process.start()
        self.running.append(_Running(check, process, place, files))

    def _end_if_due(self, one: _Running) -> None:
        if one.process.is_alive():
            is_late = one.seconds > self._limit(one.check)
            if not is_late and self._left > 0:
                return
            one.kill()
            why = f"ended at its limit of {self._limit(one.check):.0f} s" if is_late else "no time"
            result = one.result()
            result.status, result.why = ("FAIL" if is_late else "SKIP"), why
        else:
            one.process.join()
            result = one.result()
        self.running.remove(one)
        self._note(one.check, result, one.files.with_suffix(".log"))

    def _note(self, check: Check, result: Result, log: Path | None = None) -> None:
        self.results[check.name] = result
        print(
            f"[{time.monotonic() - self.begin:4.0f} s] {result.line(check.name)[:500]}", flush=True
        )
        lines = "".join(f"{each.line(name)}\n" for name, each in self.results.items())
        base = self.options.output / self.title
        base.with_suffix(".txt").write_text(lines + tables_of(self.results))
        content = {name: asdict(each) for name, each in self.results.items()}
        base.with_suffix(".json").write_text(json.dumps(content, indent=1))
        text = log.read_text(errors="replace")[-_LOG_CHARACTERS:] if log and log.exists() else ""
        with open(self._logs, "a") as file:
            file.write(f"\n===== {check.name}\n{text}")


def main(title: str, checks: Sequence[Check], options: argparse.Namespace) -> int:
    """Run the chosen checks, print their tables; the exit code, 1 where one failed."""
    checks = _chosen(checks, options)
    if options.list:
        print("\n".join(check.name for check in checks))
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    results = Runner(title, checks, options).run()
    print(tables_of(results))
    counts = {name: sum(each.status == name for each in results.values()) for name in _STATES}
    print(f"{title}: {counts}, files in {options.output}")
    return int(counts["FAIL"] > 0)


_STATES = ("PASS", "FAIL", "SKIP")
