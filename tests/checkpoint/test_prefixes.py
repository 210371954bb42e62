"""Weights of other trainers: where they stand in the file, and what stands before their names."""

import logging

import numpy as np
import pytest
import torch

from slowfast.checkpoint.convert import find_model_state, strip_prefix
from slowfast.checkpoint.files import CheckpointError
from slowfast.checkpoint.initialize import initialize_from, load_for_test
from tests.helpers.small_networks import Net

WANTED = ("s1.conv.weight", "s1.bn.bias", "head.projection.weight")
STATE = {name: torch.full((1,), float(number)) for number, name in enumerate(WANTED)}


def _named(prefix):
    return {f"{prefix}{name}": value for name, value in STATE.items()}


def _strip(state):
    return strip_prefix(state, WANTED, lambda state: state)


@pytest.mark.parametrize(
    "content",
    [
        {"model_state_dict": STATE, "optimizer_state_dict": {"state": {0: {"exp_avg": STATE}}}},
        {"net": STATE, "acc": 91.2, "epoch": 3},
        {"weights": STATE},
        {"network": STATE},
        {"state": {"model": {"state_dict": STATE, "step": 3}}},
        {"params": {name: value.numpy() for name, value in STATE.items()}},
        {"checkpoint": STATE, "lr_scheduler": {"last": np.float64(3)}},
        {**STATE, "epoch": 3, "best": np.float32(0.5)},
    ],
)
def test_weights_are_found_under_any_name(content):
    found = _strip(find_model_state(content)).state
    assert found.keys() == set(WANTED) and torch.equal(found[WANTED[1]], STATE[WANTED[1]])


@pytest.mark.parametrize("prefix", ["net.", "backbone.", "encoder.video.", "my_net.module.net."])
def test_a_common_prefix_is_left_out(prefix):
    stripped = _strip({**_named(prefix), "queue": torch.ones(2)})
    assert stripped.state.keys() == {*WANTED, "queue"}
    assert stripped.remark.startswith(f"3 names are the model's without their prefix '{prefix}'")


def test_a_prefix_of_the_backbone_alone_is_left_out():
    head = WANTED[2]
    state = {name: value for name, value in _named("backbone.").items() if head not in name}
    assert _strip({**state, head: STATE[head]}).state.keys() == set(WANTED)


def test_nothing_is_left_out_of_names_that_fit():
    state = {**STATE, **_named("teacher.")}
    assert _strip(state).state is state


def test_two_prefixes_that_fit_as_well_are_a_hint():
    stripped = _strip({**_named("student."), **_named("teacher.")})
    assert stripped.remark == "" and "student.s1.conv.weight" in stripped.state
    assert "['^student\\.'] or ['^teacher\\.']" in stripped.hint


def test_the_network_with_more_of_the_names_is_taken():
    queue = {"teacher.s1.conv.weight": torch.ones(1)}
    assert WANTED[1] in _strip({**queue, **_named("student.")}).state


def _save(tmp_path, content):
    torch.save(content, tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


def test_a_test_reads_prefixed_weights_and_says_so_in_a_line(tmp_path, caplog):
    source, model = Net(), Net()
    state = {f"net.{name}": value for name, value in source.state_dict().items()}
    with caplog.at_level(logging.INFO):
        load_for_test(model, _save(tmp_path, {"model_state_dict": state}))
    assert torch.equal(model.head.projection.weight, source.head.projection.weight)
    assert sum("prefix 'net.'" in message for message in caplog.messages) == 1


def test_the_error_says_which_patterns_there_are(tmp_path):
    state = Net().state_dict()
    both = {f"{who}.{name}": value for who in ("a", "b") for name, value in state.items()}
    path = _save(tmp_path, both)
    for load in (initialize_from, load_for_test):
        with pytest.raises(CheckpointError, match=r"CLEAR_NAME_PATTERN \['\^a\\\.'\] or \['\^b"):
            load(Net(), path)


@pytest.mark.parametrize("load", [initialize_from, load_for_test])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named_and_not_loaded(tmp_path, load, bad):
    state = Net().state_dict()
    state["s1.0.weight"][0] = bad
    state["s2.running_var"][1:] = bad
    model = Net()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    named = (
        r"weights.pth: 2 of 1\d tensors hold NaN or infinite values, 6 in all: s1.0.weight \(3\), "
    )
    with pytest.raises(CheckpointError, match=named + r"s2.running_var \(3\)\. "):
        load(model, _save(tmp_path, {"state_dict": state}))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_weights_that_are_not_loaded_may_be_anything(tmp_path):
    content = {**Net().state_dict(), "queue": torch.full((4,), float("nan"))}
    assert initialize_from(Net(), _save(tmp_path, content)).unexpected == ("queue",)


@pytest.mark.parametrize("names", [{0: "jump"}, ["jump", 3], "jump", 3])
def test_class_names_of_other_programs_are_not_taken_for_ours(tmp_path, names):
    content = {"state_dict": Net().state_dict(), "class_names": names, "class_counts": names}
    assert load_for_test(Net(), _save(tmp_path, content)).class_names is None
