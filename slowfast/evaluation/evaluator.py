"""The judge of an evaluation: takes scores batch by batch, says what they are worth."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from slowfast.utils.io import write_csv


@dataclass(frozen=True)
class Evaluation:
    """Worth of a set of scores.

    metrics: numbers of the log. per_class: columns of a table with a row per class, each from class
    to value; NaN and None are unknown.
    """

    metrics: dict[str, float]
    per_class: dict[str, dict[int, float | None]]


class Evaluator(ABC):
    """Base class for evaluators: `reset`, `add` for each batch, then `evaluate` and `write`.

    metric: the one that says which epoch is best; higher is better. titles: what a user reads in
    place of the names of metrics. scores: what was added since `reset`; it can be pickled, and
    has a method `merge` for the scores of other processes. row_keys: the two integer tensors of a
    batch, number of the record first, that `add` needs beside the output; then a long test can keep
    its scores on the disk, and go on after an interruption. None: it cannot.
    """

    titles: ClassVar[Mapping[str, str]]
    metric: str
    scores: Any
    row_keys: ClassVar[tuple[str, str] | None] = None

    def __init__(self):
        self.reset()

    @abstractmethod
    def reset(self) -> None:
        """Forget all scores."""

    @abstractmethod
    def add(self, batch: dict, output: torch.Tensor) -> None:
        """Keep the network's output, float32 on the CPU, for a batch of the loader."""

    def row_values(self, batch: dict, output: torch.Tensor) -> torch.Tensor:
        """Rows of the output as a file takes them, one for each pair of `row_keys`."""
        return output

    def add_rows(self, batch: dict, values: torch.Tensor) -> None:
        """Keep rows of a file; of the batch there are `row_keys` and `damaged` alone."""
        self.add(batch, values)

    def merge(self, others: Iterable[Any]) -> None:
        """Add the `scores` of other processes."""
        self.scores.merge(others)

    @abstractmethod
    def evaluate(self) -> Evaluation | None:
        """Judge all that was added; None when nothing was scored."""

    def details(self) -> dict[str, Any]:
        """Say how a test was done, and give tables, for its JSON."""
        return {}

    def write(self, folder: Path, evaluation: Evaluation, *, scores_path: Path) -> list[Path]:
        """Write what a test predicts into `folder`, all scores to `scores_path`; the files."""
        return []


def write_class_table(
    path: Path,
    columns: Mapping[str, Mapping[int, float | str | None]],
    names: Mapping[int, str] | Sequence[str] | None,
) -> None:
    """Write one line per class; what is NaN or None stays empty.

    columns: as in an Evaluation; `confused_with`, a class, also by name.
    """
    labels = list(next(iter(columns.values())))
    if "confused_with" in columns:
        others = columns["confused_with"].items()
        known = {label: names[other] for label, other in others if names and other is not None}
        columns = {**columns, "confused_with_name": dict.fromkeys(labels) | known}
    rows = [
        [label, names[label] if names else "", *(_cell(one[label]) for one in columns.values())]
        for label in labels
    ]
    write_csv(path, ["class", "name", *columns], rows)


def _cell(value: float | str | None) -> float | str:
    return "" if value is None or value != value else value  # NaN is not itself
