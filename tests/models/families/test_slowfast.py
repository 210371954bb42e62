"""Facts about SlowFast, built small or without memory through `build_model`."""

import pytest
import torch
from torch import nn

from slowfast.models import build_model
from slowfast.models.blocks import ResBlock
from slowfast.models.families.slowfast import FastToSlow
from tests.helpers.configs import cfg_with


def slowfast(device="meta", **keys):
    values = {"MODEL.NUM_CLASSES": 5, "DATA.NUM_FRAMES": 16, "DATA.TRAIN_CROP_SIZE": 64, **keys}
    torch.manual_seed(0)
    with torch.device(device):
        return build_model(cfg_with(values))


def test_default_model_is_slowfast_with_two_pathways():
    names = [name for name, _ in slowfast().named_children()]
    assert names == ["s1", "s1_fuse", "s2", "s2_fuse", "s3", "s3_fuse", "s4", "s4_fuse"] + [
        "s5",
        "head",
    ]


def test_lateral_connection_appends_fast_channels_at_the_slow_rate():
    torch.manual_seed(0)
    lateral = FastToSlow((6, 2), ratio=2, kernel_t=5, stride=4, norm=nn.BatchNorm3d).eval()
    slow, fast = torch.randn(1, 6, 2, 3, 3), torch.randn(1, 2, 8, 3, 3)
    joined, unchanged = lateral([slow, fast])
    assert lateral.dims_out == ((6, 4), 2)
    assert unchanged is fast
    torch.testing.assert_close(joined[:, :6], slow)
    expected = nn.functional.conv3d(fast, lateral.conv_f2s.weight, None, (4, 1, 1), (2, 0, 0))
    torch.testing.assert_close(joined[:, 6:], lateral.bn(expected).relu())


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [2, 4, 8])
def test_fast_pathway_keeps_its_frames(alpha):
    model = slowfast(**{"SLOWFAST.ALPHA": alpha})
    clips = [torch.empty(1, 3, num, 64, 64, device="meta") for num in (16 // alpha, 16)]
    slow, fast = model.forward_features(clips)
    assert slow.shape == (1, 2048, 16 // alpha, 2, 2)
    assert fast.shape == (1, 256, 16, 2, 2)
    assert model(clips).shape == (1, 5)


def test_widths_follow_beta_and_the_fusion_ratio():
    model = slowfast(**{"SLOWFAST.BETA_INV": 4, "SLOWFAST.FUSION_CONV_CHANNEL_RATIO": 3})
    assert model.s1.pathway1_stem.conv.out_channels == 16
    assert model.s1_fuse.conv_f2s.out_channels == 48
    assert model.s3.pathway0_res0.branch2.a.in_channels == 256 + 3 * 64
    assert model.s3.pathway1_res0.branch2.a.in_channels == 64
    assert model.head.projection.in_features == 2048 + 512


def test_temporal_kernels_of_both_pathways():
    model = slowfast()
    kernels = {
        pathway: [
            block.branch2.a.kernel_size[0]
            for name, block in model.named_modules()
            if isinstance(block, ResBlock) and f"pathway{pathway}" in name
        ]
        for pathway in (0, 1)
    }
    assert kernels == {0: [1] * 7 + [3] * 9, 1: [3] * 16}
    assert model.s1.pathway1_stem.conv.kernel_size == (5, 7, 7)


def test_tables_may_differ_between_pathways():
    tables = {
        "RESNET.DEPTH": 101,
        "RESNET.NUM_BLOCK_TEMP_KERNEL": [[3, 3], [4, 4], [6, 23], [3, 3]],
        "NONLOCAL.LOCATION": [[[], []], [[], []], [[6, 13], []], [[], []]],
    }
    model = slowfast(**tables)
    for pathway, count in ((0, 6), (1, 23)):
        blocks = [getattr(model.s4, f"pathway{pathway}_res{index}") for index in range(23)]
        assert sum(block.branch2.a.kernel_size[0] == 3 for block in blocks) == count
    names = [name for name, _ in model.s4.named_children() if "nonlocal" in name]
    assert names == ["pathway0_nonlocal6", "pathway0_nonlocal13"]


@pytest.mark.parametrize(("depth", "name"), [(18, "basic_transform"), (34, "bottleneck_transform")])
def test_other_depths_and_blocks_train(depth, name):
    keys = {"RESNET.DEPTH": depth, "RESNET.TRANS_FUNC": name, "RESNET.WIDTH_PER_GROUP": 8}
    model = slowfast("cpu", **keys, **{"DATA.TRAIN_CROP_SIZE": 32})
    loss = model([torch.randn(2, 3, 2, 32, 32), torch.randn(2, 3, 16, 32, 32)]).square().sum()
    loss.backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


def test_groups_must_divide_the_fast_widths():
    keys = {"RESNET.NUM_GROUPS": 32, "RESNET.WIDTH_PER_GROUP": 4}
    with pytest.raises(ValueError, match="RESNET.NUM_GROUPS: 32 does not divide .* width 16"):
        slowfast(**keys)


def test_table_without_a_value_for_the_fast_pathway_is_named():
    keys = {"NONLOCAL.LOCATION": [[[], []], [[]], [[], []], []]}
    with pytest.raises(ValueError, match="NONLOCAL.LOCATION: .*four lists"):
        slowfast(**keys)
    keys = {"DATA.INPUT_CHANNEL_NUM": [3, 3, 3]}
    with pytest.raises(ValueError, match="DATA.INPUT_CHANNEL_NUM: .*3 entries"):
        slowfast(**keys)
