"""Keeps the list of videos that could not be read, or not whole, the same in all processes."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from slowfast.datasets.records import Record
from slowfast.utils.distributed import gather_objects, is_main_process
from slowfast.utils.io import write_csv

logger = logging.getLogger(__name__)

_MAX_NAMED = 1000  # damaged videos in a JSON


class Damage(NamedTuple):
    """Packets or image files of a video that were lost, of so many frames."""

    num_lost: int
    num_frames: int


class UnreadableVideos:
    """Names of the records that could not be read, and why.

    A log line tells of the first one of each path; those of further key frames of a video go only
    to the file of the log. `max_share` (0..1) is the share of unreadable records beyond which
    `sync` raises ValueError. `damaged`: path -> what a readable video had lost when that was first
    seen.
    """

    def __init__(self, records: Sequence[Record], *, max_share: float = 1.0):
        self.names = [record.name for record in records]
        self._paths = {n: record.path for n, record in zip(self.names, records, strict=True)}
        self._told: set[str] = set()
        self._max_share = max_share
        self.reasons: dict[str, str] = {}
        self.damaged: dict[str, Damage] = {}
        self._new: dict[str, str] = {}
        self._new_damaged: dict[str, Damage] = {}

    def add(
        self, failures: Sequence[tuple[int, str]], damaged: Sequence[tuple[int, int, int]] = ()
    ) -> int:
        """Remember what this process met until `sync`; returns how much of it is new here."""
        for index, reason in failures:
            name = self.names[index]
            if name not in self.reasons and name not in self._new:
                self._new[name] = reason
                self._tell(name, reason)
        for index, *damage in damaged:
            path = self._paths[self.names[index]]
            if path not in self.damaged and path not in self._new_damaged:
                self._new_damaged[path] = Damage(*damage)
                _tell_damage(path, self._new_damaged[path])
        return len(self._new) + len(self._new_damaged)

    def sync(self) -> None:
        """Join what is new in all processes; every process must call this together.

        The main process names those of the others, whose log lines go nowhere.
        """
        for rank, (new, damaged) in enumerate(gather_objects((self._new, self._new_damaged))):
            if rank and is_main_process():
                for name in filter(lambda name: name not in self.reasons, new):
                    self._tell(name, new[name])
                for path in filter(lambda path: path not in self.damaged, damaged):
                    _tell_damage(path, damaged[path])
            self.reasons |= new
            self.damaged |= damaged
        self._new, self._new_damaged = {}, {}
        self._check_share()

    def _check_share(self) -> None:
        share = len(self.reasons) / len(self.names)
        if share > self._max_share:
            named = "\n".join(
                f"  {name}: {reason}" for name, reason in list(self.reasons.items())[:10]
            )
            raise ValueError(
                f"DATA.MAX_UNREADABLE_SHARE: {len(self.reasons)} of {len(self.names)} videos are "
                f"unreadable, more than the allowed share of {self._max_share}; the first:\n{named}"
            )

    def _tell(self, name: str, reason: str) -> None:
        path = self._paths[name]
        level = logging.DEBUG if path in self._told else logging.WARNING
        logger.log(level, "unreadable video: %s (%s)", name, reason)
        self._told.add(path)

    def counts(self) -> dict[str, int]:
        """Say for a log how many there are."""
        return {"num_unreadable": len(self.reasons), "num_damaged": len(self.damaged)}

    def named(self) -> dict[str, Any]:
        """Name them for a JSON; of damaged videos, which `write` lists, only so many."""
        damaged = sorted(self.damaged.items())[:_MAX_NAMED]
        return {
            "unreadable": self.reasons,
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


def _tell_damage(path: str, damage: Damage) -> None:
    logger.warning(
        "damaged video: %s (%d of %d packets or images lost, others shown instead)", path, *damage
    )
