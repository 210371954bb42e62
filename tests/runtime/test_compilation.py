"""Parts of a network that are compiled as long as there is time."""

import copy
import logging

import pytest
import torch
from torch import nn

from slowfast.models.network import VideoNetwork
from slowfast.runtime.compilation import compile_parts


class Times(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, maps, boxes=None):
        return [self.factor * x for x in maps]


@pytest.fixture
def compiled_calls(monkeypatch):
    """Factors of the modules whose compiled form was called."""
    calls = []

    def compile_module(module, **_options):
        def call(*args):
            calls.append(module.factor)
            return module._call_impl(*args)

        module._compiled_call_impl = call

    monkeypatch.setattr(nn.Module, "compile", compile_module)
    return calls


def network():
    return VideoNetwork({"s1": Times(2), "s2": Times(3)}, Times(5))


def test_stages_and_head_are_compiled_each_by_itself(compiled_calls):
    model = network()
    compile_parts(model, mode="default", seconds=60)
    for _ in range(2):
        assert model([torch.ones(1)])[0].item() == 30
    assert compiled_calls == [2, 3, 5, 2, 3, 5]


def test_without_time_the_rest_is_eager(compiled_calls, monkeypatch, caplog):
    monkeypatch.setattr(logging.getLogger("slowfast"), "propagate", True)
    clock = iter(range(0, 1000, 10))  # seconds: a part takes 10
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    model = network()
    compile_parts(model, mode="default", seconds=15)
    for _ in range(2):
        assert model([torch.ones(1)])[0].item() == 30
    assert model([torch.ones(4)])[0].tolist() == [30] * 4  # another shape
    assert compiled_calls == [2, 3, 2, 3]
    # As a set: the logger may have the fixture's handler besides the root.
    (told,) = {record.message for record in caplog.records if "COMPILE_SECONDS" in record.message}
    assert "the 15 s for compiling are over before head" in told


def test_a_copy_is_not_compiled(compiled_calls):
    model = network()
    compile_parts(model, mode="default", seconds=60)
    assert copy.deepcopy(model)([torch.ones(1)])[0].item() == 30
    assert compiled_calls == []


def test_graphs_are_told_of_each_pass(compiled_calls, monkeypatch):
    marks = []
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: marks.append(1))
    model = network()
    compile_parts(model, mode="reduce-overhead", seconds=60)
    model([torch.ones(1)])
    assert len(marks) == 1
