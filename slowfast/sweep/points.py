"""Points of a sweep: values of config keys that are tried together, and their names."""

import hashlib
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Keys that a sweep sets itself, and how the user says what they should be.
_OWN = {
    "RNG_SEED": "--seeds sets it",
    "OUTPUT_DIR": "--output sets it",
    "TRAIN.ENABLE": "a sweep trains",
    "TEST.ENABLE": "a sweep tests",
    "TRAIN.AUTO_RESUME": "a sweep goes on by itself",
    "TEST.CHECKPOINT_FILE_PATH": "a sweep tests what it has trained",
}
_MOST_LETTERS = 80


@dataclass(frozen=True)
class Axis:
    """A key of the config and the values to try, as words of a command line."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Range:
    """A key of the config and the ends of the values to try, evenly in their logarithm if is_log.

    is_int: whole numbers only.
    """

    key: str
    low: float
    high: float
    is_log: bool = False
    is_int: bool = False

    def ends(self) -> tuple[float, float]:
        """Lowest and highest value, as whole numbers where only these are tried."""
        return (int(self.low), int(self.high)) if self.is_int else (self.low, self.high)


def read_axes(groups: Iterable[Sequence[str]]) -> list[Axis]:
    """The axes of --grid KEY VALUE ...; ValueError for mistakes."""
    axes = []
    for key, *values in groups:
        if not values:
            raise ValueError(f"--grid: {key}: give the values to try, --grid {key} VALUE VALUE")
        axes.append(Axis(key, tuple(values)))
    _check_keys("--grid", [axis.key for axis in axes])
    return axes


def read_ranges(groups: Iterable[Sequence[str]]) -> list[Range]:
    """The ranges of --range KEY LOW HIGH [log] [int]; ValueError for mistakes."""
    ranges = [_read_range(*group) for group in groups]
    _check_keys("--range", [one.key for one in ranges])
    return ranges


def _read_range(key: str, *words: str) -> Range:
    ends, kinds = words[:2], words[2:]
    wanted = f"--range {key} LOW HIGH [log] [int]"
    try:
        low, high = map(float, ends)
    except ValueError:
        raise ValueError(f"--range: {key}: {' '.join(words)!r} is not {wanted}") from None
    if not set(kinds) <= {"log", "int"} or not low < high or ("log" in kinds and low <= 0):
        raise ValueError(
            f"--range: {key}: {' '.join(words)!r} is not {wanted} with LOW below HIGH, and above 0 "
            "where log is asked for"
        )
    return Range(key, low, high, "log" in kinds, "int" in kinds)


def _check_keys(option: str, keys: Sequence[str]) -> None:
    for number, key in enumerate(keys):
        if key in _OWN:
            raise ValueError(f"{option}: {key}: {_OWN[key]}")
        if key in keys[:number]:
            raise ValueError(f"{option}: {key} is given twice")


def grid(axes: Sequence[Axis]) -> list[dict[str, str]]:
    """All combinations, those of the last key next to each other; [{}] without axes."""
    keys = [axis.key for axis in axes]
    rows = itertools.product(*(axis.values for axis in axes))
    return [dict(zip(keys, row, strict=True)) for row in rows]


def words(point: Mapping[str, Any]) -> list[Any]:
    """Overrides KEY VALUE ... of a point."""
    return [word for pair in point.items() for word in pair]


def point_name(values: Mapping[str, Any]) -> str:
    """Name for a folder: BASE_LR=0.01,DROPOUT_RATE=0.5; whole keys where the last parts clash."""
    lasts = [key.rpartition(".")[2] for key in values]
    parts = []
    for (key, value), last in zip(values.items(), lasts, strict=True):
        parts.append(f"{last if lasts.count(last) == 1 else key}={value}")
    text = ",".join(parts)
    name = re.sub(r"[^A-Za-z0-9.,=+_-]+", "-", text).strip("-.")
    if name == text and len(name) <= _MOST_LETTERS:
        return name
    return f"{name[:_MOST_LETTERS]}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"
