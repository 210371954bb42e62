"""Scores of the test of a run, joined over views, with labels and names."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from slowfast.analysis.report.run_folder import RunFolder
from slowfast.evaluation.video_scores import VideoScores

_CLASSES = "test_results_per_class.csv"


@dataclass(frozen=True)
class ScoredVideos:
    """Videos that were scored, and whose labels are known.

    paths: videos. values: videos,classes. labels: the class of each, or classes of 0 and 1.
    names: of the classes. rows: their places among the records of the test split.
    """

    paths: list[str]
    values: np.ndarray
    labels: np.ndarray
    names: list[str]
    rows: np.ndarray

    @property
    def confidence(self) -> np.ndarray:
        """Probabilities videos,classes: the scores, or their softmax where they are logits."""
        values = self.values
        if values.min() >= 0 and values.max() <= 1.001:
            return values / np.maximum(values.sum(1, keepdims=True), 1.0)  # those of max exceed 1
        shifted = np.exp(values - values.max(1, keepdims=True))
        return shifted / shifted.sum(1, keepdims=True)


def read_scores(run: RunFolder) -> ScoredVideos | None:
    """None where there is no file of scores of whole videos."""
    path = run.path / (run.config.TEST.SAVE_RESULTS_PATH or "test_scores.npz")
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as content:
        if "seen" not in content.files:  # of boxes
            return None
    scores, paths, labels = VideoScores.load_npz(path)
    values, seen = scores.join(run.config.DATA.ENSEMBLE_METHOD)
    labels, is_known = np.array(labels), seen.numpy()
    if labels.ndim == 1:
        is_known = is_known & (labels >= 0)
    rows = np.flatnonzero(is_known)
    values = values.numpy()[rows]
    finite = np.isfinite(values).all(1)
    rows, values = rows[finite], values[finite]
    names = class_names(run, values.shape[1])
    return ScoredVideos([paths[row] for row in rows], values, labels[rows], names, rows)


def class_names(run: RunFolder, num_classes: int) -> list[str]:
    """As the test wrote them; numbers where it knew none."""
    found = [row.get("name") or "" for row in run.csv_rows(_CLASSES)]
    if len(found) != num_classes or not all(found):
        return [f"class {number}" for number in range(num_classes)]
    return found


Value = TypeVar("Value")


def spread(values: Sequence[Value], most: int) -> list[Value]:
    """At most so many of the values, evenly."""
    if len(values) <= most:
        return list(values)
    return [values[i] for i in np.linspace(0, len(values) - 1, most).astype(int)]
