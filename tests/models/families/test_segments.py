"""Facts about networks on one frame of each segment."""

import pytest
import torch

from slowfast.checkpoint.layouts import detect_and_rename
from slowfast.models.families.tsm import ShiftBlock, temporal_shift
from tests.helpers.small_networks import clips, small_model


def test_a_shift_takes_channels_of_the_next_frame_and_of_the_one_before():
    x = torch.arange(1.0, 13.0).reshape(1, 4, 3, 1, 1)
    shifted = temporal_shift(x, 1)
    expected = [[2, 3, 0], [0, 4, 5], [7, 8, 9], [10, 11, 12]]
    assert shifted[0, :, :, 0, 0].tolist() == expected


@pytest.mark.parametrize(("family", "is_seen"), [("TSN", False), ("TSM", True)])
def test_order_of_frames_is_seen_by_those_that_look_at_neighbours(family, is_seen):
    model, (x,) = small_model(family, **{"MODEL.HEAD_ACT": "none"}).eval(), clips(family)
    logits, backwards = model([x]), model([x.flip(2)])
    assert torch.allclose(logits, backwards, rtol=1e-4, atol=1e-5) != is_seen


@pytest.mark.parametrize(("depth", "blocks"), [(50, [0, 1, 2]), (101, [0, 2])])
def test_deep_networks_shift_in_every_second_block(depth, blocks):
    with torch.device("meta"):
        model = small_model("TSM", **{"RESNET.DEPTH": depth})
    for stage in (model.s2, model.s5):
        shifted = [isinstance(block, ShiftBlock) for block in stage.children()]
        assert [number for number, is_shifted in enumerate(shifted) if is_shifted] == blocks


def test_consensus_of_features_is_that_of_logits_in_evaluation():
    logits = [
        small_model("TSN", **{"SEGMENTS.CONSENSUS": kind}).eval()(clips("TSN"))
        for kind in ("logits", "features")
    ]
    torch.testing.assert_close(*logits)


def test_weights_of_tsn_and_tsm_get_our_names():
    state = {"base_model.layer1.0.conv1.net.weight": 0, "base_model.bn1.bias": 1, "new_fc.bias": 2}
    names = [
        "s2.pathway0_res0.branch2.a.weight",
        "s1.pathway0_stem.bn.bias",
        "head.projection.bias",
    ]
    assert detect_and_rename(state, names) == (dict(zip(names, range(3), strict=True)), "TSN")
