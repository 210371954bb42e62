import numpy as np
import pytest
import torch

from slowfast.checkpoint.convert import (
    clear_names,
    find_model_state,
    inflate,
    join_targets,
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
        {"blobs": {"a": np.ones(1, dtype=np.float32)}},
        {"state_dict": {"a": ONE, "version": 3}},
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
    state = {"module.s1.a": 1, "module._orig_mod.s2": 2, "s3.module.b": 3, "model.s4.c": 4}
    assert strip_wrappers(state) == {"s1.a": 1, "s2": 2, "s3.module.b": 3, "s4.c": 4}


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


def _inflated(value, shape, *, repeats_frames=True):
    state, names = inflate(
        {"a": value, "other": ONE},
        {"a": torch.Size(shape)},
        repeats_frames=repeats_frames,
    )
    assert names in ([], ["a"]) and state["other"] is ONE
    return state["a"] if names else None


def test_a_2d_kernel_is_repeated_over_time_and_keeps_its_sum():
    kernel = torch.rand(4, 3, 2, 2)
    assert _inflated(kernel, (4, 3, 5, 2, 2), repeats_frames=False) is None
    inflated = _inflated(kernel, (4, 3, 5, 2, 2))
    torch.testing.assert_close(inflated, kernel[:, :, None].repeat(1, 1, 5, 1, 1) / 5)
    torch.testing.assert_close(inflated.sum(2), kernel)


def test_a_linear_layer_becomes_a_convolution():
    weight = torch.rand(4, 3)
    inflated = _inflated(weight, (4, 3, 1, 1, 1), repeats_frames=False)
    assert torch.equal(inflated[..., 0, 0, 0], weight)


def test_a_kernel_of_one_frame_is_repeated_on_request():
    kernel = torch.rand(4, 3, 1, 2, 2)
    assert torch.equal(_inflated(kernel, (4, 3, 2, 2, 2)), kernel.repeat(1, 1, 2, 1, 1) / 2)
    assert _inflated(kernel, (4, 3, 2, 2, 2), repeats_frames=False) is None


@pytest.mark.parametrize(
    ("shape", "target"),
    [
        ((4, 3, 2, 2), (4, 2, 5, 2, 2)),
        ((4, 3, 2, 2), (4, 3, 5, 3, 3)),
        ((4, 3, 3, 2, 2), (4, 3, 5, 2, 2)),
        ((4, 3), (4, 3, 1, 2, 2)),
        ((4,), (4, 3, 1, 1, 1)),
        ((4, 3, 2, 2), (4, 3)),
        ((4, 3, 1, 2, 2), (4, 3, 1, 2, 2)),
    ],
)
def test_other_shapes_are_not_inflated(shape, target):
    assert _inflated(torch.rand(shape), target) is None


def test_pattern_that_begins_with_a_wrapper_is_cleared():
    names = clear_names({"module.encoder.s1.weight": torch.zeros(1)}, [r"module\.encoder\."])
    assert list(strip_wrappers(names)) == ["s1.weight"]


def test_classifiers_of_verbs_and_nouns_become_one():
    verb, noun = "head.projection_verb", "head.projection_noun"
    state = {
        **{"s1.weight": ONE, f"{verb}.weight": torch.zeros(2, 4), f"{verb}.bias": torch.zeros(2)},
        **{f"{noun}.weight": torch.ones(3, 4), f"{noun}.bias": torch.ones(3)},
    }
    joined, counts = join_targets(state)
    assert set(joined) == {"s1.weight", "head.projection.weight", "head.projection.bias"}
    assert counts == (2, 3) and joined["head.projection.bias"].tolist() == [0, 0, 1, 1, 1]
    assert joined["head.projection.weight"].shape == (5, 4)
    assert join_targets({"head.projection.bias": ONE}) == ({"head.projection.bias": ONE}, None)
