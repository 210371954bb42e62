"""Intervals of accuracies, and tests of whether two accuracies on the same videos differ.

The values of a video are between 0 and 1: whether one run is right, or the share of several seeds
that are. Resampling videos keeps what all runs say about a video together.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NUM_RESAMPLES = 10_000
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean and its interval of 95 %, in the unit of the values; NaN where it is not known."""

    mean: float
    low: float
    high: float

    def times(self, factor: float) -> "Estimate":
        """In another unit."""
        return Estimate(self.mean * factor, self.low * factor, self.high * factor)


@dataclass(frozen=True)
class McNemar:
    """McNemar's test of two runs on the same videos.

    only_first, only_second: videos that one of them alone has right. exact: p of the binomial
    test. statistic, corrected: chi-squared with continuity correction and its p (Edwards 1948).
    """

    only_first: int
    only_second: int
    exact: float
    statistic: float
    corrected: float


def bootstrap_means(values: np.ndarray, num_resamples: int, seed: int = 0) -> np.ndarray:
    """Means (num_resamples) of as many values, drawn with replacement.

    Draws how often each of the distinct values occurs, which has the same distribution as drawing
    them one by one and takes no longer for many videos.
    """
    levels, counts = np.unique(values, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(
        len(values), counts / len(values), size=num_resamples
    )
    return drawn @ levels / len(values)


def bootstrap_interval(values: np.ndarray, *, num_resamples: int = NUM_RESAMPLES) -> Estimate:
    """Mean of the values of all videos, and its percentile interval."""
    if not len(values):
        return Estimate(math.nan, math.nan, math.nan)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(bootstrap_means(values, num_resamples), [tail, 1 - tail])
    return Estimate(float(values.mean()), float(low), float(high))


def seed_interval(means: Sequence[float]) -> Estimate:
    """Mean over runs that differ in their seed, and the interval of Student's t.

    NaN ends of a single run, and of runs without any spread.
    """
    from scipy.stats import t

    mean = float(np.mean(means))
    if len(means) < 2 or np.ptp(means) == 0:
        return Estimate(mean, math.nan, math.nan)
    error = float(np.std(means, ddof=1)) / math.sqrt(len(means))
    reach = float(t.ppf((1 + LEVEL) / 2, len(means) - 1)) * error
    return Estimate(mean, mean - reach, mean + reach)


def welch_test(first: Sequence[float], second: Sequence[float]) -> float:
    """p of Welch's t-test between accuracies of seeds; NaN of fewer than two, or all the same."""
    from scipy.stats import ttest_ind

    if min(len(first), len(second)) < 2 or (np.ptp(first) == 0 and np.ptp(second) == 0):
        return math.nan
    return float(ttest_ind(first, second, equal_var=False).pvalue)


def mcnemar(first: np.ndarray, second: np.ndarray) -> McNemar:
    """Test of which videos (bool) two runs have right."""
    from scipy.stats import binomtest, chi2

    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    total = only_first + only_second
    if not total:
        return McNemar(0, 0, 1.0, 0.0, 1.0)
    exact = float(binomtest(only_first, total).pvalue)
    statistic = max(abs(only_first - only_second) - 1, 0) ** 2 / total
    return McNemar(only_first, only_second, exact, statistic, float(chi2.sf(statistic, 1)))


def paired_bootstrap(
    first: np.ndarray, second: np.ndarray, *, num_resamples: int = NUM_RESAMPLES
) -> tuple[Estimate, float]:
    """Mean difference second - first over videos with its interval, and the p of no difference.

    p is twice the share of resamples on the other side of 0, at least 2 / (num_resamples + 1).
    """
    differences = second - first
    interval = bootstrap_interval(differences, num_resamples=num_resamples)
    drawn = bootstrap_means(differences, num_resamples)
    side = min((drawn < 1e-12).sum(), (drawn > -1e-12).sum())  # sums of thirds are hardly ever 0
    return interval, min(2 * (float(side) + 1) / (num_resamples + 1), 1.0)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number (Holm 1979); NaN stays and does not count."""
    order = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    adjusted, highest = [math.nan] * len(p_values), 0.0
    for rank, (p, place) in enumerate(order):
        highest = max(highest, min(p * (len(order) - rank), 1.0))
        adjusted[place] = highest
    return adjusted
