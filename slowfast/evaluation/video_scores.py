"""Scores of several views (clips x crops) of each video, and what they add up to."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO
from zipfile import ZipFile

import numpy as np
import torch

from slowfast.utils.io import atomic_write

_JOIN = {"sum": (np.add, 0.0), "max": (np.maximum, -np.inf)}
_MAX_ROWS = 10


class VideoScores:
    """Scores per video and view; a view number is `clip * num_crops + crop`.

    Holds only what was added, so a process keeps its share of the videos. Views that never came
    (unreadable videos) count nowhere; a view that comes twice counts once. num_broken: of the
    damaged videos, by their numbers, how many packets or images were lost.
    """

    def __init__(self, num_videos: int, num_views: int, num_classes: int):
        self.num_videos = num_videos
        self.num_views = num_views
        self.num_classes = num_classes
        self._scores: dict[int, np.ndarray] = {}  # video -> views,classes
        self._seen = np.zeros((num_videos, num_views), dtype=bool)
        self.num_broken: dict[int, int] = {}

    def add(self, indices: torch.Tensor, views: torch.Tensor, scores: torch.Tensor) -> None:
        """Store scores (N,classes) of the videos `indices` (N) in the views `views` (N)."""
        scores = to_numpy(scores)
        indices, views = to_numpy(indices).astype(int), to_numpy(views).astype(int)
        assert scores.shape == (len(indices), self.num_classes), f"scores are {scores.shape}"
        assert ((0 <= indices) & (indices < self.num_videos)).all(), f"videos {indices}"
        assert ((0 <= views) & (views < self.num_views)).all(), f"views {views}"
        starts = np.flatnonzero(np.diff(indices, prepend=-1))
        ends = np.append(starts[1:], len(indices))[: len(starts)]
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            self._add_views(int(indices[start]), views[start:end], scores[start:end])

    def _add_views(self, index: int, views: np.ndarray, rows: np.ndarray) -> None:
        """Rows of all views in their order are kept as they are: they may be in a mapped file."""
        if len(views) == self.num_views and rows.dtype == np.float32 and _counts_up(views):
            self._scores[index] = rows
        else:
            self._video(index)[views] = rows
        self._seen[index, views] = True

    def merge(self, others: Iterable["VideoScores"]) -> None:
        """Add what other processes have."""
        for other in others:
            assert other._seen.shape == self._seen.shape, "scores of another set of videos"
            for index, rows in other._scores.items():
                seen = other._seen[index]
                self._video(index)[seen] = rows[seen]
                self._seen[index] |= seen
            self.num_broken |= other.num_broken

    def ensemble(
        self, method: str, views: Sequence[int] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores joined over `views`, all when None: (videos,classes float64; videos bool: seen).

        `method` is sum or max. Views are joined in the order of their numbers, so the result does
        not depend on when they were added. Rows of videos that were not seen mean nothing.
        """
        if method not in _JOIN:
            raise ValueError(f"DATA.ENSEMBLE_METHOD: {method!r} is not one of {sorted(_JOIN)}")
        join, start = _JOIN[method]
        seen = self._seen.copy()
        if views is not None:
            seen[:, [view for view in range(self.num_views) if view not in views]] = False
        joined = np.full((self.num_videos, self.num_classes), start)
        for index, rows in self._scores.items():
            present = rows[seen[index]].astype(np.float64)  # views,classes
            joined[index] = join.reduce(present, axis=0, initial=start)
        return torch.from_numpy(joined), torch.from_numpy(seen.any(axis=1))

    def join(
        self, method: str, views: Sequence[int] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As `ensemble`, but a sum is divided by the number of views: probabilities stay such."""
        values, seen = self.ensemble(method, views)
        num_views = self.num_views if views is None else len(views)
        return (values / num_views if method == "sum" else values), seen

    def metrics_by_views(
        self,
        judge: Callable[[torch.Tensor, torch.Tensor], dict[str, float]],
        num_crops: int,
        *,
        method: str,
    ) -> list[dict]:
        """Metrics with fewer views, without another pass: a row per number of clips and crops.

        judge: (scores of the videos seen, videos bool: seen) -> metrics. Clips are uniform subsets
        of those there are; crops are the centre one, and all. A row is {"clips", "crops", "videos",
        and the metrics}. The scores are those of `ensemble`: metrics look at ranks alone, and a sum
        ranks as its mean does.
        """
        num_clips = self.num_views // num_crops
        assert num_clips * num_crops == self.num_views, f"{num_crops} crops"
        centre, every = [num_crops // 2], list(range(num_crops))
        crop_sets = [centre, every] if num_crops > 1 else [centre]
        rows = []
        for crops in crop_sets:
            for clips in _clip_subsets(num_clips):
                views = [clip * num_crops + crop for clip in clips for crop in crops]
                scores, seen = self.ensemble(method, views)
                counts = {"clips": len(clips), "crops": len(crops), "videos": int(seen.sum())}
                rows.append({**counts, **judge(scores[seen], seen)})
        return rows

    def save_npz(self, path: str | Path, paths: Sequence[str], labels: Sequence) -> None:
        """Write scores (videos,views,classes; NaN: not seen), seen, paths, labels, atomically.

        labels: the class of each video, or classes of 0 and 1 for each.
        """
        assert len(paths) == len(labels) == self.num_videos, "one path and one label per video"
        others = {
            "seen": self._seen,
            "paths": np.array(paths, dtype=np.str_),
            "labels": np.array(labels, dtype=np.int64),
        }
        with atomic_write(path) as file, ZipFile(file, "w") as archive:
            with archive.open("scores.npy", "w", force_zip64=True) as part:
                self._write_array(part)
            for name, values in others.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as part:
                    np.lib.format.write_array(part, values, allow_pickle=False)

    def _write_array(self, file: IO[bytes]) -> None:
        """The scores as a .npy file, video by video: all of them may not fit into memory."""
        shape = (*self._seen.shape, self.num_classes)
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for index, seen in enumerate(self._seen):
            rows = np.full(shape[1:], np.nan, dtype="<f4")
            if index in self._scores:
                rows[seen] = self._scores[index][seen]
            file.write(rows.tobytes())

    @classmethod
    def load_npz(cls, path: str | Path) -> tuple["VideoScores", list[str], list]:
        """(scores, paths, labels) as `save_npz` wrote them."""
        with np.load(path, allow_pickle=False) as content:
            scores, seen = content["scores"], content["seen"]
            paths, labels = content["paths"].tolist(), content["labels"].tolist()
        loaded = cls(*scores.shape)
        indices, views = np.nonzero(seen)
        loaded.add(indices, views, scores[indices, views])
        return loaded, paths, labels

    def _video(self, index: int) -> np.ndarray:
        if index not in self._scores:
            self._scores[index] = np.zeros((self.num_views, self.num_classes), dtype=np.float32)
        return self._scores[index]


def _counts_up(views: np.ndarray) -> bool:
    return bool((views == np.arange(len(views))).all())


def _clip_subsets(num_clips: int) -> list[list[int]]:
    """For up to ten numbers n from 1 to `num_clips`: n clips in the middles of n equal parts."""
    counts = sorted({round(num_clips * i / _MAX_ROWS) for i in range(1, _MAX_ROWS + 1)} | {1})
    return [
        [(2 * i + 1) * num_clips // (2 * count) for i in range(count)] for count in counts if count
    ]


def to_numpy(values: torch.Tensor | np.ndarray) -> np.ndarray:
    """Values on the CPU; bfloat16, which numpy lacks, and other floats as float32."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() else values
    return np.asarray(values)
