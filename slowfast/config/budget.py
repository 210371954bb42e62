"""Costs per clip that an adaptive network may have, as a user writes them."""

import re
from dataclasses import dataclass

_BUDGET = re.compile(r"\s*(\d{1,12}(?:\.\d*)?|\.\d+)\s*(G|M|ms)\s*")
# What follows the number: the cost that it limits, and how much of it that is.
_UNITS = {"G": ("gmacs", 1.0), "M": ("gmacs", 1e-3), "ms": ("latency_ms", 1.0)}


@dataclass(frozen=True)
class Budget:
    """Largest value of a cost, gmacs or latency_ms, and how the user wrote it."""

    cost: str
    limit: float
    text: str


def parse_budget(text: str) -> Budget:
    """`10G` or `500M` (multiply-adds per clip), or `50ms` (time per clip)."""
    match = _BUDGET.fullmatch(text)
    if not match or not float(match[1]):
        raise ValueError(
            f"TEST.BUDGET: {text!r} is not a number above 0 with its unit: multiply-adds per clip "
            "like 10G or 500M, or time per clip like 50ms"
        )
    cost, scale = _UNITS[match[2]]
    return Budget(cost, scale * float(match[1]), text)
