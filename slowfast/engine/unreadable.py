"""Keeps the list of videos that could not be read, the same in all processes."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from slowfast.datasets.records import Record
from slowfast.utils.distributed import gather_objects, is_main_process
from slowfast.utils.io import write_csv

logger = logging.getLogger(__name__)


def names_of(records: Iterable[Record]) -> list[str]:
    """What records are called in messages: the path, and the key frame where there is one."""
    return [
        record.path if record.key is None else f"{record.path} ({record.key.key})"
        for record in records
    ]


class UnreadableVideos:
    """Names (see `names_of`) of the records that could not be read, and why.

    A log line tells of the first one of each path; those of further key frames of a video go only
    to the file of the log. `max_share` (0..1) is the share of unreadable records beyond which
    `merge` raises ValueError.
    """

    def __init__(self, records: Sequence[Record], *, max_share: float = 1.0):
        self._names = names_of(records)
        self._paths = {n: record.path for n, record in zip(self._names, records, strict=True)}
        self._told: set[str] = set()
        self._max_share = max_share
        self.reasons: dict[str, str] = {}
        self._new: dict[str, str] = {}

    def note(self, failures: list[tuple[int, str]]) -> int:
        """Remember failures of this process until `merge`; returns how many are new here."""
        for index, reason in failures:
            name = self._names[index]
            if name not in self.reasons and name not in self._new:
                self._new[name] = reason
                self._tell(name, reason)
        return len(self._new)

    def merge(self) -> None:
        """Join the new failures of all processes; every process must call this together.

        The main process names those of the others, whose log lines go nowhere.
        """
        for rank, new in enumerate(gather_objects(self._new)):
            for name, reason in new.items():
                if rank and is_main_process() and name not in self.reasons:
                    self._tell(name, reason)
            self.reasons.update(new)
        self._new = {}
        share = len(self.reasons) / len(self._names)
        if share > self._max_share:
            named = "\n".join(
                f"  {name}: {reason}" for name, reason in list(self.reasons.items())[:10]
            )
            raise ValueError(
                f"DATA.MAX_UNREADABLE_SHARE: {len(self.reasons)} of {len(self._names)} videos are "
                f"unreadable, more than the allowed share of {self._max_share}; the first:\n{named}"
            )

    def _tell(self, name: str, reason: str) -> None:
        path = self._paths[name]
        level = logging.DEBUG if path in self._told else logging.WARNING
        logger.log(level, "unreadable video: %s (%s)", name, reason)
        self._told.add(path)

    def write(self, path: Path) -> None:
        """Write the list as csv (path, reason) when there is anything to list."""
        if self.reasons:
            write_csv(path, ["path", "reason"], sorted(self.reasons.items()))
