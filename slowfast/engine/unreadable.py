"""Keeps the list of videos that could not be read, the same in all processes."""

import logging
from pathlib import Path

from slowfast.utils.distributed import gather_objects, is_main_process
from slowfast.utils.io import write_csv

logger = logging.getLogger(__name__)


class UnreadableVideos:
    """Paths and reasons, each named once; `num_videos` is the size of the dataset.

    `max_share` (0..1) is the share of unreadable videos beyond which `merge` raises ValueError.
    """

    def __init__(self, paths: list[str], *, max_share: float = 1.0):
        self._paths = paths
        self._max_share = max_share
        self.reasons: dict[str, str] = {}
        self._new: dict[str, str] = {}

    def note(self, failures: list[tuple[int, str]]) -> int:
        """Remember failures of this process until `merge`; returns how many are new here."""
        for index, reason in failures:
            path = self._paths[index]
            if path not in self.reasons and path not in self._new:
                self._new[path] = reason
                logger.warning("unreadable video: %s (%s)", path, reason)
        return len(self._new)

    def merge(self) -> None:
        """Join the new failures of all processes; every process must call this together.

        The main process names those of the others, whose log lines go nowhere.
        """
        for rank, new in enumerate(gather_objects(self._new)):
            for path, reason in new.items():
                if rank and is_main_process() and path not in self.reasons:
                    logger.warning("unreadable video: %s (%s)", path, reason)
            self.reasons.update(new)
        self._new = {}
        share = len(self.reasons) / len(self._paths)
        if share > self._max_share:
            named = "\n".join(
                f"  {path}: {reason}" for path, reason in list(self.reasons.items())[:10]
            )
            raise ValueError(
                f"DATA.MAX_UNREADABLE_SHARE: {len(self.reasons)} of {len(self._paths)} videos are "
                f"unreadable, more than the allowed share of {self._max_share}; the first:\n{named}"
            )

    def write(self, path: Path) -> None:
        """Write the list as csv (path, reason) when there is anything to list."""
        if self.reasons:
            write_csv(path, ["path", "reason"], sorted(self.reasons.items()))
