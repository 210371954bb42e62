"""The table of exported networks."""

from types import SimpleNamespace

import torch

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


def test_every_way_has_a_row(toy_yaml, monkeypatch):
    """Without writing and reading files, which costs seconds and has tests of its own."""

    def write(network, _facts, path, *, to, clips):
        written.append((to, path.suffix))
        return SimpleNamespace(
            network=lambda _clips: network(clips[0]), difference=0.0, num_bytes=1
        )

    def read(path, backend, *, precision):
        return lambda clips: torch.zeros(1, 3)

    written = []
    monkeypatch.setattr("benchmarks.export.write_checked", write)
    monkeypatch.setattr("benchmarks.export.read_exported", read)
    table = run_export(cfg=[str(toy_yaml)], overrides=[], repeats=1).splitlines()
    rows = [line.split()[1:3] for line in table[2:]]
    assert [row[0] for row in rows] == ["torch", *FORMATS, "openvino"] and rows[-1][1] == "bfloat16"
    assert written == [(to, row.suffix) for to, row in FORMATS.items()]
