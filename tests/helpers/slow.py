"""Parameters whose tests `make test-fast` leaves out."""

from collections.abc import Collection, Iterable

import pytest


def slow(rows: Iterable) -> list:
    """Rows of a parametrised test, marked."""
    return [
        pytest.param(*(row if isinstance(row, tuple) else (row,)), marks=pytest.mark.slow)
        for row in rows
    ]


def slow_but(fast: Collection, rows: Iterable) -> list:
    """Rows of a parametrised test, of which only a few are fast; these stand for the others."""
    rows = list(rows)
    assert [row for row in fast if row not in rows] == [], "no such rows"
    return [row if row in fast else slow([row])[0] for row in rows]
