import pytest
import torch

from slowfast.checkpoint.convert import (
    clear_names,
    find_model_state,
    plain_batch_norm,
    split_sub_bn,
    strip_wrappers,
)
from slowfast.models.norm import SubBatchNorm3d

ONE = torch.ones(1)


@pytest.mark.parametrize(
    "content",
    [
        {"model_state": {"a": ONE}, "epoch": 3, "optimizer_state": {}},
        {"state_dict": {"a": ONE}},
        {"model": {"a": ONE}, "epoch": 1},
        {"model": {"state_dict": {"a": ONE}}},
        {"a": ONE},
    ],
)
def test_finds_the_weights(content):
    assert find_model_state(content) == {"a": ONE}


def test_prefers_the_moving_average():
    average = {"num_updates": 3, "model_state": {"a": ONE}}
    assert find_model_state({"model_state": {"a": -ONE}, "ema_state": average}) == {"a": ONE}


@pytest.mark.parametrize("content", [{}, {"epoch": 3, "weights": 1}])
def test_a_file_without_weights_is_refused(content):
    with pytest.raises(ValueError, match="no model weights"):
        find_model_state(content)


def test_wrappers_are_stripped():
    state = {"module.s1.a": 1, "module._orig_mod.s2": 2, "s3.module.b": 3}
    assert strip_wrappers(state) == {"s1.a": 1, "s2": 2, "s3.module.b": 3}


def test_patterns_are_cleared_everywhere():
    state = {"backbone.backbone.s1": 1, "encoder_12.s2": 2}
    assert clear_names(state, [r"backbone\.", r"encoder_\d+\."]) == {"s1": 1, "s2": 2}


def test_two_tensors_of_one_name_are_refused():
    with pytest.raises(ValueError, match="'q.s1' and 'k.s1' would both be named 's1'"):
        clear_names({"q.s1": 1, "k.s1": 2}, [r"[qk]\."])


def test_split_sub_bn_loses_nothing():
    state = SubBatchNorm3d(2, 3).state_dict()
    plain, parts = split_sub_bn(state)
    assert set(plain) == set(torch.nn.BatchNorm3d(2).state_dict())
    assert {**plain, **parts}.keys() == state.keys()


def test_sub_batch_norm_of_pyslowfast_becomes_plain():
    state = {
        "s1.bn.weight": 1,
        "s1.bn.bias": 2,
        "s1.bn.bn.running_mean": 3,
        "s1.bn.split_bn.running_mean": 4,
        "s1.bn.split_bn.num_batches_tracked": 5,
        "s2.a.1.weight": 6,
        "s2.a.1.bn.running_var": 7,
        "s2.a.1.split_bn.running_var": 8,
    }
    assert plain_batch_norm(state) == {
        "s1.bn.weight": 1,
        "s1.bn.bias": 2,
        "s1.bn.running_mean": 3,
        "s2.a.1.weight": 6,
        "s2.a.1.running_var": 7,
    }


def test_plain_batch_norm_is_left_as_it_is():
    state = {"s1.weight": 0, "s1.bn.weight": 1, "s1.bn.running_mean": 2, "s2.bn.running_mean": 3}
    assert plain_batch_norm(state) == state
