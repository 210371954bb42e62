"""Pareto front of points (cost, value)."""

import math
from collections.abc import Sequence


def pareto_front(costs: Sequence[float], values: Sequence[float]) -> list[bool]:
    """Mark the points that no other beats: cheaper and as good, or better and as cheap.

    NaN is never on it.
    """
    points = list(zip(costs, values, strict=True))
    return [
        not math.isnan(cost + value)
        and not any(c <= cost and v >= value and (c, v) != (cost, value) for c, v in points)
        for cost, value in points
    ]
