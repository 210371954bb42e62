"""Scores of a long test in files that grow while it runs, one for each process.

A file is rows of one size, without a header, so that it can be mapped, and a kill loses at most the
row that was being written:

| field   | of the row                                                                     |
|---------|--------------------------------------------------------------------------------|
| index   | number of the record                                                           |
| number  | view of the record, or box                                                     |
| of      | rows of this record; they follow one another                                   |
| lost    | packets or images of the record that were lost, of `frames`                    |
| check   | sum of all other words and a constant: zeros of a lost page are no row         |
| values  | float32: the scores                                                            |
"""

import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from slowfast.evaluation.evaluator import Evaluation, Evaluator
from slowfast.evaluation.video_scores import to_numpy

logger = logging.getLogger(__name__)

_SALT = np.uint32(0x9E3779B9)
_SYNC_SECONDS = 10.0  # at most so much is lost with a machine; a killed process loses nothing
_CHUNK = 1 << 26  # bytes that are checked at once
_HEAD = [(name, "<i4") for name in ("number", "of", "lost", "frames")]


def row_type(num_values: int) -> np.dtype:
    """Type of a row with so many scores."""
    return np.dtype([("index", "<i8"), *_HEAD, ("check", "<u4"), ("values", "<f4", (num_values,))])


def make_rows(places: np.ndarray, values: np.ndarray, damaged: Iterable) -> np.ndarray:
    """Rows of `places` (n,2: record and number) with scores (n,classes).

    damaged: (record, lost, frames) of those that are.
    """
    rows = np.zeros(len(values), row_type(values.shape[1]))
    index, place, counts = np.unique(places[:, 0], return_inverse=True, return_counts=True)
    rows["index"], rows["number"], rows["of"] = places[:, 0], places[:, 1], counts[place]
    known = {record: rest for record, *rest in damaged}
    if known:
        losses = np.array([known.get(record, (0, 0)) for record in index.tolist()])
        rows["lost"], rows["frames"] = losses[place].T
    rows["values"] = values
    rows["check"] = _sums(rows)
    return rows


def _sums(rows: np.ndarray) -> np.ndarray:
    """uint32: of each row, the check that it should have."""
    words = rows.view(np.uint32).reshape(len(rows), -1)
    return words.sum(axis=1, dtype=np.uint32) - rows["check"] + _SALT


def whole_rows(rows: np.ndarray) -> np.ndarray:
    """Bool for each row: it and all others of its record are there, as they were written."""
    if not len(rows):
        return np.zeros(0, bool)
    size = max(_CHUNK // rows.dtype.itemsize, 1)
    parts = (rows[start : start + size] for start in range(0, len(rows), size))
    is_good = np.concatenate([_sums(part) == part["check"] for part in parts])
    starts = np.flatnonzero(np.diff(rows["index"], prepend=rows["index"][0] - 1))
    counts = np.diff(starts, append=len(rows))
    num_good = np.add.reduceat(is_good, starts, dtype=np.int64)
    return np.repeat((num_good == counts) & (rows["of"][starts] == counts), counts)


class Shard(NamedTuple):
    """A file of rows; path: ends in the number of scores of a row, as in `a1b2-0.400`."""

    path: Path

    @property
    def num_values(self) -> int:
        return int(self.path.suffix[1:])

    def rows(self) -> np.ndarray:
        """The rows, mapped; a torn last one is left out."""
        kind = row_type(self.num_values)
        count = self.path.stat().st_size // kind.itemsize
        # As a plain array, which slices faster; what is changed stays in memory.
        return (
            np.asarray(np.memmap(self.path, kind, "c", shape=count)) if count else np.empty(0, kind)
        )

    def stretches(self) -> Iterator[np.ndarray]:
        """Parts of the rows, as long as can be, whose records are whole."""
        rows = self.rows()
        edges = np.flatnonzero(np.diff(whole_rows(rows), prepend=False, append=False))
        for start, end in edges.reshape(-1, 2).tolist():
            yield rows[start:end]


def find_shards(folder: Path) -> list[Shard]:
    """The files of a folder, in the order of their names."""
    return [Shard(path) for path in sorted(folder.glob("*-*.*")) if path.suffix[1:].isdecimal()]


def find_done(shards: Sequence[Shard], num_records: int) -> np.ndarray:
    """Bool for each record: its scores are there."""
    done = np.zeros(num_records, bool)
    for shard in shards:
        for rows in shard.stretches():
            done[rows["index"]] = True
    return done


class ShardedEvaluator(Evaluator):
    """Puts what another evaluator would keep into a file of this process, and reads it at the end.

    The other one must have `row_keys`. name: of the file, without its suffix. earlier: files that
    count, too. `evaluate` reads all files, and from then on this is the other evaluator.
    """

    def __init__(self, inner: Evaluator, folder: Path, name: str, earlier: Sequence[Shard] = ()):
        self.titles, self.metric = inner.titles, inner.metric
        self._inner, self._folder, self._name = inner, folder, name
        self._earlier, self._file = list(earlier), None
        super().__init__()

    def reset(self) -> None:
        self._shards: list[Shard] = []
        self._synced = time.monotonic()

    @property
    def scores(self) -> list[Shard]:
        """The files, in a state in which other machines can read them."""
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None
        return self._shards

    def add(self, batch: dict, output: torch.Tensor) -> None:
        """Write the batch's rows; they outlive this process, and from a while later the machine."""
        values = to_numpy(self._inner.row_values(batch, output))
        if not len(values):
            return
        places = np.stack([to_numpy(batch[key]) for key in self._inner.row_keys], axis=1)
        if not self._shards:
            self._shards = [Shard(self._folder / f"{self._name}.{values.shape[1]}")]
            self._file = open(self._shards[0].path, "wb", buffering=0)
        content = memoryview(make_rows(places, values, batch.get("damaged", ()))).cast("B")
        while content:
            content = content[self._file.write(content) :]
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def merge(self, others: Iterable[list[Shard]]) -> None:
        self._shards += [shard for shards in others for shard in shards]

    def evaluate(self) -> Evaluation | None:
        for shard in self._earlier + self.scores:
            for rows in shard.stretches():
                places = [
                    torch.from_numpy(rows[key].astype(np.int64)) for key in ("index", "number")
                ]
                batch = dict(zip(self._inner.row_keys, places, strict=True))
                values = torch.from_numpy(rows["values"])
                self._inner.add_rows({**batch, "damaged": _damages(rows)}, values)
        self._earlier, self._shards = [], []
        return self._inner.evaluate()

    def damages(self) -> list[tuple[int, int, int]]:
        """(record, lost, frames) of the damaged records among those of earlier runs."""
        stretches = (rows for shard in self._earlier for rows in shard.stretches())
        return [damage for rows in stretches for damage in _damages(rows)]

    def details(self) -> dict[str, Any]:
        return self._inner.details()

    def write(self, folder: Path, evaluation: Evaluation, *, scores_path: Path) -> list[Path]:
        return self._inner.write(folder, evaluation, scores_path=scores_path)


def _damages(rows: np.ndarray) -> list[tuple[int, int, int]]:
    found = rows[["index", "lost", "frames"]][rows["lost"] > 0]
    return list(dict.fromkeys(found.tolist()))
