"""Keeps the list of videos that could not be read, or not whole, the same in all processes."""

import logging
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from slowfast.datasets.records import Record
from slowfast.utils.distributed import gather_objects, is_main_process
from slowfast.utils.io import write_csv

logger = logging.getLogger(__name__)

_MAX_NAMED = 1000  # videos of a kind in a JSON
_MAX_TOLD = 100  # videos of a kind with a line of the log each


class Damage(NamedTuple):
    """Packets or image files of a video that were lost, of so many frames."""

    num_lost: int
    num_frames: int


class UnreadableVideos:
    """Names of the records that could not be read, and why.

    A log line tells of the first one of each path; those of further key frames of a video go only
    to the file of the log. After 100 lines of a kind there is one more, and the rest is counted.
    `max_share` (0..1) is the share of unreadable records beyond which `sync` raises ValueError.
    reasons: by name. damaged: path -> what a readable video had lost when that was first seen.
    """

    def __init__(self, records: Sequence[Record], *, max_share: float = 1.0):
        self._records, self._max_share = records, max_share
        self._told: dict[str, set[str]] = {"unreadable": set(), "damaged": set()}
        self.reasons: dict[str, str] = {}
        self.damaged: dict[str, Damage] = {}
        self._new: dict[str, tuple[str, str]] = {}  # path and reason
        self._new_damaged: dict[str, Damage] = {}

    def name(self, index: int) -> str:
        """Name of a record."""
        return self._records[index].name

    def add(
        self, failures: Sequence[tuple[int, str]], damaged: Sequence[tuple[int, int, int]] = ()
    ) -> int:
        """Remember what this process met until `sync`; returns how many unreadable ones wait."""
        for index, reason in failures:
            record = self._records[index]
            name, path = record.name, record.path
            if name not in self.reasons and name not in self._new:
                self._new[name] = path, reason
                self._tell(name, path, reason)
        for index, *damage in damaged:
            path = self._records[index].path
            if path not in self.damaged and path not in self._new_damaged:
                self._new_damaged[path] = Damage(*damage)
                self._tell_damage(path, self._new_damaged[path])
        return len(self._new)

    def restore(self, damaged: Sequence[tuple[int, int, int]]) -> None:
        """Take up what an earlier run met, in this process alone."""
        self.damaged |= {self._records[index].path: Damage(*each) for index, *each in damaged}

    def may_exceed(self, num_waiting: float) -> bool:
        """Whether so many unreadable ones more, in all processes, may be too large a share."""
        return (len(self.reasons) + num_waiting) / len(self._records) > self._max_share

    def sync(self) -> None:
        """Join what is new in all processes; every process must call this together.

        The main process names those of the others, whose log lines go nowhere.
        """
        for rank, (new, damaged) in enumerate(gather_objects((self._new, self._new_damaged))):
            if rank and is_main_process():
                for name in filter(lambda name: name not in self.reasons, new):
                    self._tell(name, *new[name])
                for path in filter(lambda path: path not in self.damaged, damaged):
                    self._tell_damage(path, damaged[path])
            self.reasons |= {name: reason for name, (_, reason) in new.items()}
            self.damaged |= damaged
        self._new, self._new_damaged = {}, {}
        self._check_share()

    def _check_share(self) -> None:
        num_bad, num_records = len(self.reasons), len(self._records)
        if self.may_exceed(0):
            named = "\n".join(
                f"  {name}: {reason}" for name, reason in list(self.reasons.items())[:10]
            )
            raise ValueError(
                f"DATA.MAX_UNREADABLE_SHARE: {num_bad} of {num_records} videos are "
                f"unreadable, more than the allowed share of {self._max_share}; the first:\n{named}"
            )

    def _tell(self, name: str, path: str, reason: str) -> None:
        told = self._told["unreadable"]
        is_known = path in told
        if len(told) < _MAX_TOLD if is_known else self._may_tell("unreadable", path):
            level = logging.DEBUG if is_known else logging.WARNING
            logger.log(level, "unreadable video: %s (%s)", name, reason)

    def _tell_damage(self, path: str, damage: Damage) -> None:
        if self._may_tell("damaged", path):
            logger.warning(
                "damaged video: %s (%d of %d packets or images lost, others shown instead)",
                *(path, *damage),
            )

    def _may_tell(self, kind: str, path: str) -> bool:
        """Whether a video gets a line of its own; the first one without is said to."""
        told = self._told[kind]
        if len(told) > _MAX_TOLD:
            return False
        told.add(path)
        if len(told) > _MAX_TOLD:
            logger.warning(
                "more than %d videos are %s: further ones are only counted, and listed in "
                "%s_*.csv of OUTPUT_DIR",
                *(_MAX_TOLD, kind, kind),
            )
        return len(told) <= _MAX_TOLD

    def counts(self) -> dict[str, int]:
        """Say for a log how many there are."""
        return {"num_unreadable": len(self.reasons), "num_damaged": len(self.damaged)}

    def named(self) -> dict[str, Any]:
        """Name them for a JSON; only so many of those that `write` lists."""
        damaged = sorted(self.damaged.items())[:_MAX_NAMED]
        return {
            "unreadable": dict(islice(self.reasons.items(), _MAX_NAMED)),
            "damaged": [{"path": path, **damage._asdict()} for path, damage in damaged],
        }

    def write(self, folder: Path, split: str) -> list[Path]:
        """Write unreadable_SPLIT.csv and damaged_SPLIT.csv where there is anything to list."""
        written = []
        if self.reasons:
            written.append(folder / f"unreadable_{split}.csv")
            write_csv(written[-1], ["path", "reason"], sorted(self.reasons.items()))
        if self.damaged:
            rows = [[path, *damage] for path, damage in sorted(self.damaged.items())]
            written.append(folder / f"damaged_{split}.csv")
            write_csv(written[-1], ["path", *Damage._fields], rows)
        return written
