"""Limits of single values, written beside the defaults: `Default(64, AtLeast(1))`.

`str(limit)` says what is allowed.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from slowfast.utils.words import shorten

# Whole numbers that torch and files take.
_LARGEST = 2**63 - 1


class Limit(Protocol):
    """Kind of limit."""

    def mistakes(self, value: Any) -> Iterator[str]:
        """Sentences about the value that follow the name of its key."""


class Default(NamedTuple):
    """Value of a key where nobody sets it, and the limit of every value."""

    value: Any
    limit: Limit


class OneOf:
    """A value of a short list."""

    def __init__(self, *values: Any):
        self.values = values

    def __str__(self) -> str:
        *values, last = map(repr, self.values)
        return f"{', '.join(values)} or {last}"

    def mistakes(self, value: Any) -> Iterator[str]:
        if value not in self.values:
            yield f"{shorten(value)} is not one of {list(self.values)}"


def _or_below(at_most: float) -> str:
    return f" and at most {at_most}" if at_most < math.inf else ""


def _or_none(meaning: str) -> str:
    return f", or None for {meaning}" if meaning else ""


@dataclass(frozen=True)
class AtLeast:
    """A number from `least` up, or None where that has a meaning.

    if_none: the number that None stands for.
    """

    least: float
    at_most: float = math.inf
    none_means: str = ""
    if_none: float | None = None

    def __str__(self) -> str:
        none = self.none_means if self.if_none is None else str(self.if_none)
        return f"at least {self.least}{_or_below(self.at_most)}{_or_none(none)}"

    def mistakes(self, value: float | None) -> Iterator[str]:
        if value is None and self.none_means:
            return
        if not self.least <= value <= self.at_most:
            yield f"{shorten(value)} must be {self}"


@dataclass(frozen=True)
class Step:
    """A whole or decimal number from `least` up; whole ones stay whole."""

    least: int
    at_most: int
    kinds = (int, float)

    def __str__(self) -> str:
        return f"at least {self.least}{_or_below(self.at_most)}"

    def plain(self, value: int | float) -> int | float:
        """The value, whole where it can be."""
        is_whole = isinstance(value, float) and value.is_integer()
        return int(value) if is_whole else value

    def mistakes(self, value: int | float) -> Iterator[str]:
        if not self.least <= value <= self.at_most:
            yield f"{shorten(value)} must be {self}"


@dataclass(frozen=True)
class Above:
    """A number above `bound`, or None where that has a meaning."""

    bound: float
    at_most: float = math.inf
    none_means: str = ""

    def __str__(self) -> str:
        return f"above {self.bound}{_or_below(self.at_most)}{_or_none(self.none_means)}"

    def mistakes(self, value: float | None) -> Iterator[str]:
        if value is None and self.none_means:
            return
        if not self.bound < value <= self.at_most:
            yield f"{value} must be {self}"


@dataclass(frozen=True)
class Share:
    """A probability or a share."""

    def __str__(self) -> str:
        return "within 0..1"

    def mistakes(self, value: float) -> Iterator[str]:
        if not 0 <= value <= 1:
            yield f"{value} must lie {self}"


@dataclass(frozen=True)
class NotEmpty:
    """A text of one character or more."""

    def __str__(self) -> str:
        return "not empty"

    def mistakes(self, value: str) -> Iterator[str]:
        if not value:
            yield "must not be empty"


@dataclass(frozen=True)
class Word:
    """A name: letters, digits and . _ + - in it, or nothing."""

    def __str__(self) -> str:
        return "a name of letters, digits, '.', '_', '+' and '-'"

    def mistakes(self, value: str) -> Iterator[str]:
        if not re.fullmatch(r"[\w.+-]*", value) or value.startswith("."):
            yield f"{shorten(value)} must be {self}"


@dataclass(frozen=True)
class Patterns:
    """A list of regular expressions."""

    def __str__(self) -> str:
        return "regular expressions"

    def mistakes(self, value: list) -> Iterator[str]:
        for pattern in value:
            try:
                re.compile(pattern)
            except (re.error, TypeError):
                yield f"{shorten(pattern)} is not a regular expression"


def odd_numbers(value: Any) -> Iterator[float]:
    """Numbers in `value`, also within lists, that are infinite, no number, or beyond 64 bits."""
    if isinstance(value, list | tuple):
        for element in value:
            yield from odd_numbers(element)
    elif isinstance(value, float) and not math.isfinite(value):
        yield value
    elif isinstance(value, int) and not -_LARGEST <= value <= _LARGEST:
        yield value


@dataclass(frozen=True)
class ClassCounts:
    """A number of classes, or a list of one for each of several targets."""

    kinds = (int, list)
    most = 1_000_000  # of all targets together: class counts take memory before any network does

    def __str__(self) -> str:
        return f"from 1 to {self.most}, or a list of such numbers, one for each of several targets"

    def plain(self, value: int | list) -> int | list:
        """A list of one number as this number."""
        return value[0] if isinstance(value, list) and len(value) == 1 else value

    def mistakes(self, value: int | list) -> Iterator[str]:
        counts = value if isinstance(value, list) else [value]
        are_counts = counts and all(type(count) is int and count >= 1 for count in counts)
        if not are_counts or sum(counts) > self.most:
            yield f"{shorten(value)} must be {self}"


@dataclass(frozen=True)
class ClassWeights:
    """Text that says how weights are found, or a list of them."""

    kinds = (str, list)

    def __str__(self) -> str:
        return "empty, balanced, or a list of numbers from 0 up, one for each class"

    def plain(self, value: str | list) -> str | list:
        """The value itself."""
        return value

    def mistakes(self, value: str | list) -> Iterator[str]:
        is_list = isinstance(value, list) and are_numbers(value)
        if value not in ("", "balanced") and not (is_list and value and min(value) >= 0):
            yield f"{value!r} must be {self}"


def are_numbers(values: list) -> bool:
    """True if all are whole or decimal numbers."""
    return all(type(value) in (int, float) for value in values)


def are_factors(values: list) -> bool:
    """True if all are numbers above 0, up to 1."""
    return are_numbers(values) and all(0 < value <= 1 for value in values)
