import re

import numpy as np
import pytest

from slowfast.analysis.compare.build import write_comparison
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


def test_nothing_is_fetched_from_a_network(page):
    assert not re.search(r"(src|href)=\"https?:", page)
