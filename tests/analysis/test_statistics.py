import math

import numpy as np
import pytest
from scipy import stats

from slowfast.analysis.compare.statistics import (
    bootstrap_interval,
    bootstrap_means,
    holm,
    mcnemar,
    paired_bootstrap,
    seed_interval,
    welch_test,
)


def videos(*counts):
    """(first, second) bool of videos: both right, only the first, only the second, none."""
    pairs = np.repeat([(True, True), (True, False), (False, True), (False, False)], counts, axis=0)
    return pairs[:, 0], pairs[:, 1]


def test_mcnemar_of_the_approval_example_in_agresti():
    """Categorical Data Analysis, section 10.1: 944 people, asked twice."""
    found = mcnemar(*videos(794, 150, 86, 570))
    assert (found.only_first, found.only_second) == (150, 86)
    assert found.statistic == pytest.approx((150 - 86 - 1) ** 2 / 236)
    assert found.corrected == pytest.approx(4.115e-5, rel=1e-3)


def test_exact_mcnemar_is_a_sum_of_binomials():
    assert mcnemar(*videos(80, 1, 8, 3)).exact == pytest.approx(2 * (1 + 9) / 2**9)


def test_mcnemar_of_runs_that_agree_finds_nothing():
    found = mcnemar(*videos(9, 0, 0, 1))
    assert (found.exact, found.corrected) == (1, 1)


def test_continuity_correction_stops_at_no_difference():
    assert mcnemar(*videos(5, 3, 3, 0)).statistic == 0


def test_bootstrap_of_right_and_wrong_has_the_quantiles_of_the_binomial():
    interval = bootstrap_interval(np.repeat([1.0, 0.0], [180, 60]))
    exact = stats.binom.ppf([0.025, 0.975], 240, 0.75) / 240
    assert interval.mean == 0.75
    assert [interval.low, interval.high] == pytest.approx(exact, abs=1.1 / 240)


def test_bootstrap_of_shares_is_as_wide_as_that_of_scipy():
    values = np.random.default_rng(1).integers(0, 4, 100) / 3
    drawn = stats.bootstrap((values,), np.mean, n_resamples=2000, method="percentile", rng=1)
    assert bootstrap_means(values, 10_000).std() == pytest.approx(drawn.standard_error, rel=0.06)


def test_paired_bootstrap_knows_how_often_no_draw_has_the_only_discordant_videos():
    first, second = videos(96, 0, 4, 0)
    difference, p = paired_bootstrap(first * 1.0, second * 1.0)
    assert difference.mean == pytest.approx(0.04)
    assert p == pytest.approx(2 * 0.96**100, rel=0.15)


def test_paired_bootstrap_of_the_same_run_is_certain_of_nothing():
    first, _ = videos(7, 0, 0, 3)
    difference, p = paired_bootstrap(first * 1.0, first * 1.0)
    assert (difference.low, difference.high, p) == (0, 0, 1)


def test_pairing_narrows_the_interval_of_runs_that_agree():
    first, second = videos(50, 2, 4, 44)
    paired, _ = paired_bootstrap(first * 1.0, second * 1.0)
    alone = bootstrap_interval(second * 1.0)
    assert paired.high - paired.low < 0.6 * (alone.high - alone.low)


def test_interval_over_seeds_is_that_of_student():
    interval = seed_interval([90.0, 91.0, 92.0])
    assert interval.high - interval.mean == pytest.approx(4.302653 / math.sqrt(3))


def test_one_seed_has_no_interval():
    assert math.isnan(seed_interval([90.0]).low)


def test_seeds_without_spread_have_no_interval():
    assert math.isnan(seed_interval([1.0, 1.0, 1.0]).high)


def test_welch_needs_two_seeds_on_both_sides():
    assert math.isnan(welch_test([90.0, 91.0], [80.0]))
    assert welch_test([90.0, 91.0, 92.0], [80.0, 81.0, 83.0]) < 0.01


def test_holm_multiplies_the_smallest_by_their_number_and_never_falls():
    assert holm([0.04, 0.01, math.nan, 0.03]) == pytest.approx(
        [0.06, 0.03, math.nan, 0.06], nan_ok=True
    )
