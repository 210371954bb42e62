import re
from types import SimpleNamespace

import numpy as np
import pytest

from slowfast.analysis.compare.build import verdict, video_estimate, write_comparison
from slowfast.analysis.compare.tested_runs import Group
from slowfast.analysis.report.numbers import wilson_interval
from tests.helpers.tested_run import write_tested_run


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Text of the page of two seeds of one config and of another one."""
    folder = tmp_path_factory.mktemp("runs")
    right = np.arange(60) % 6 > 0
    first = [
        write_tested_run(folder / "a" / f"s{n}", np.roll(right, n), ["RNG_SEED", n]) for n in (0, 1)
    ]
    worse = right & (np.arange(60) > 11)
    second = write_tested_run(folder / "b", worse, ["SOLVER.BASE_LR", 0.37])
    return write_comparison([*first, f"B={second}"], folder / "compare.html").read_text()


def test_seeds_are_one_row_with_their_mean(page):
    assert "3 runs of 2 configs, 60 videos." in page
    assert re.search(r"<td>a</td><td[^>]*>2</td><td[^>]*>83.33</td>", page)


def test_only_the_key_that_differs_is_listed(page):
    assert ">SOLVER.BASE_LR<" in page and ">RNG_SEED<" not in page and ">TRAIN.DATASET<" not in page


def test_run_by_run_mcnemar_is_of_the_exact_binomial(page):
    """10 videos only the first has right, none the second: 2 / 2^10."""
    row = r"<td>s0</td><td>b</td><td[^>]*>10</td><td[^>]*>0</td><td[^>]*>0.0020</td>"
    assert re.search(row, page)


def test_a_single_run_has_wilson_s_interval(page):
    """40 of 60, as in the report of the run."""
    low, high = wilson_interval(40, 60)
    assert f"{100 * low:.2f} to {100 * high:.2f}" in page


def test_all_right_is_no_point():
    runs = [SimpleNamespace(is_right=np.ones(80, dtype=bool))] * 3
    assert video_estimate(Group("a", {}, runs)).low == pytest.approx(95.42, abs=0.01)


def test_a_sentence_says_whether_a_difference_is_shown(page):
    assert re.search(r"a is better than B by 16\.7 points \(\S+ to \S+\), p ", page)
    nothing = verdict(["a", "b", -0.01, -1.7, 1.7, 1.0, 1.0, 1.0])
    words = "No difference is shown: b - a is 0.0 points (-1.7 to 1.7), p = 1 (paired bootstrap)."
    assert nothing == words


def test_the_first_heading_is_that_of_its_link(page):
    assert '<h2 id="result-title">Top-1</h2>' in page


def test_nothing_is_fetched_from_a_network(page):
    assert not re.search(r"(src|href)=\"https?:", page)
