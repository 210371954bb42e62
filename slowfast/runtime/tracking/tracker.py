"""Sends a run to a tracker in a thread of its own, so that the tracker never stops the run."""

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from slowfast.config.node import ConfigNode, flatten
from slowfast.runtime.tracking.libraries import LIBRARIES, Library, RunFacts
from slowfast.utils.distributed import is_main_process
from slowfast.utils.io import read_json, write_json
from slowfast.utils.words import cut

logger = logging.getLogger(__name__)

_MOST_CHARACTERS = 300  # of a library's own words
# How long the end of a run waits for a tracker, and the end of one that was stopped or has failed.
_PATIENCE, _SHORT_PATIENCE = 60.0, 10.0


class Tracker:
    """One run of a tracker; OUTPUT_DIR/tracker.json holds its id, by which it goes on.

    All calls return at once. The first failure is one warning; what comes after it is dropped.
    """

    def __init__(self, name: str, facts: RunFacts):
        row = LIBRARIES[name]
        self._name, self._facts, self._advice = name, facts, row.advice
        self._library: Library = row.adapter()
        self._jobs: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self._has_warned = False
        self._thread = threading.Thread(target=self._work, name="tracker", daemon=True)
        self._thread.start()

    def values(self, kind: str, values: Mapping[str, Any], *, step: int) -> None:
        """Add the numbers among the values to the curves of `kind`."""
        numbers = {key: float(value) for key, value in values.items() if _is_number(value)}
        self._jobs.put(partial(self._library.values, kind, numbers, step))

    def table(self, path: Path) -> None:
        """Add a csv, where there is one."""
        if path.is_file():
            self._jobs.put(partial(self._library.table, path))

    def file(self, path: Path) -> None:
        """Keep a file, where there is one."""
        if path.is_file():
            self._jobs.put(partial(self._library.file, path))

    def close(self, *, has_failed: bool = False) -> None:
        """Wait until all is sent, for a minute at most, or ten seconds for a run that failed."""
        self._jobs.put(partial(self._library.finish, has_failed=has_failed))
        self._jobs.put(None)
        patience = _SHORT_PATIENCE if has_failed else _PATIENCE
        self._thread.join(patience)
        if self._thread.is_alive():
            self._warn(f"it has not taken everything within {patience:g} s", self._advice)

    def _work(self) -> None:
        try:
            self._start()
            while (job := self._jobs.get()) is not None:
                job()
        except Exception as error:  # anything, from an import that fails to a server that is gone
            is_missing = isinstance(error, ImportError)
            advice = f"`pip install {self._name}`" if is_missing else self._advice
            self._warn(f"{type(error).__name__}: {error}", advice)

    def _start(self) -> None:
        path = self._facts.folder / "tracker.json"
        known = read_json(path) if path.is_file() else {}
        config = self._facts.config
        number = known.get(self._name, "") if isinstance(known, dict) else ""
        facts = RunFacts(self._facts.name, self._facts.project, config, path.parent, number)
        number = self._library.start(facts)
        write_json(path, {**known, self._name: number})

    def _warn(self, reason: str, advice: str) -> None:
        if self._has_warned:
            return
        self._has_warned = True
        logger.warning(
            "TRACKER: %s gets nothing more of this run (%s). The run goes on, and all numbers are "
            "in %s. To mend it: %s; or TRACKER ''",
            self._name,
            cut(" ".join(reason.split()), _MOST_CHARACTERS),
            self._facts.folder / "log.jsonl",
            advice,
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def run_name(folder: Path) -> str:
    """The last two parts of a folder's path: the second alone is often seed_0."""
    return "/".join(folder.resolve().parts[-2:]).lstrip("/")


def build_tracker(cfg: ConfigNode) -> Tracker | None:
    """The tracker of the run in OUTPUT_DIR; None without TRACKER and beside the main process."""
    if not cfg.TRACKER or not is_main_process():
        return None
    folder, config = Path(cfg.OUTPUT_DIR), dict(flatten(cfg))
    folder.mkdir(parents=True, exist_ok=True)
    return Tracker(cfg.TRACKER, RunFacts(run_name(folder), cfg.TRACKER_PROJECT, config, folder))
