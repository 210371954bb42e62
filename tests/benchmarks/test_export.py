"""The table of exported networks."""

import pytest

from benchmarks.export import Way, measure, run_export
from slowfast.export.formats import FORMATS


def test_ways_take_turns_and_are_compared_with_the_first():
    calls = []
    ways = [Way(name, lambda clips, name=name: calls.append(name), 0.0, 10**6) for name in "ab"]
    rows = measure(ways, [], name="net", repeats=2)
    assert calls == ["a", "b"] * 3 and [row[:4] for row in rows] == [
        ["net", "a", "0e+00", "1.0"],
        ["net", "b", "0e+00", "1.0"],
    ]


@pytest.mark.slow
def test_every_way_has_a_row(toy_yaml, monkeypatch):
    few = {"openvino": FORMATS["openvino"]}
    monkeypatch.setattr("benchmarks.export.FORMATS", few)  # each costs seconds
    table = run_export(cfg=[str(toy_yaml)], overrides=[], repeats=1).splitlines()
    assert [line.split()[1] for line in table[2:]] == ["torch", "openvino", "openvino"]
