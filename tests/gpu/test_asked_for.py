"""One line in every run of the tests that says which were not collected."""

import pytest


def test_tests_on_a_gpu_are_collected(pytestconfig):
    if not pytestconfig.getoption("--gpu"):
        pytest.skip("`pytest --gpu` runs tests/gpu, and engine, models and tasks on CUDA, too")
