"""Facts about whole networks, built small through `build_model`."""

import re

import pytest
import torch
from torch import nn

from slowfast.models import MODELS
from slowfast.models.blocks import BlockSpec, ResBlock
from slowfast.models.norm import SubBatchNorm3d, SyncBatchNorm3d
from slowfast.tasks.base import logits_and_loss
from tests.helpers.small_networks import clips, num_pathways, small_model

FAMILIES = [
    "CSN",
    "GST",
    "MC3",
    "MFNet",
    "R2Plus1D",
    "R3D",
    "MViT",
    "ResNet",
    "ResNet_nopool",
    "S3D",
    "SlowFast",
    "TEA",
    "TPN",
    "TSM",
    "TSN",
    "VoV3D",
    "X3D",
]
CONVOLUTIONAL = [family for family in FAMILIES if family != "MViT"]
RESIDUAL = [family for family in CONVOLUTIONAL if family not in ("MFNet", "S3D")]
# Positions of the last map in a clip of 64 x 64 pixels.
EXTENT = {"MC3": (4, 4), "R3D": (4, 4)}


def test_the_table_lists_the_families():
    assert sorted(MODELS) == sorted([*FAMILIES, "ECO", "TRN", "bLVNet", "external"])


@pytest.mark.parametrize("family", FAMILIES)
def test_training_reaches_every_parameter(family):
    model = small_model(family)
    out = model(clips(family))
    logits, loss = logits_and_loss(out, lambda logits: logits.square().sum())
    assert logits.shape == (2, 5)
    loss.backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert without == []


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("frames", "size"), [(4, 64), (6, 40), (2, 32), (1, 16)])
def test_evaluation_takes_clips_of_other_sizes(family, frames, size):
    scores = small_model(family).eval()(clips(family, frames=frames, size=size))
    torch.testing.assert_close(scores.sum(1), torch.ones(2))


@pytest.mark.parametrize("family", FAMILIES)
def test_input_channels_come_from_the_config(family):
    model = small_model(family, **{"DATA.INPUT_CHANNEL_NUM": [2] * num_pathways(family)})
    assert model.eval()(clips(family, channels=2)).shape == (2, 5)


@pytest.mark.parametrize("family", FAMILIES)
def test_features_stay_channels_last(family):
    model = small_model(family).to(memory_format=torch.channels_last_3d)
    x = [clip.to(memory_format=torch.channels_last_3d) for clip in clips(family, size=64)]
    for features in model.forward_features(x):
        assert features.shape[3:] == EXTENT.get(family, (2, 2))
        assert features.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("family", FAMILIES)
def test_clips_are_not_written_to(family):
    x = clips(family)
    small_model(family).eval()(x)
    torch.testing.assert_close(x, clips(family))


@pytest.mark.parametrize("family", RESIDUAL)
def test_drop_connect_grows_over_the_blocks_and_spares_evaluation(family):
    model = small_model(family, **{"MODEL.DROPCONNECT_RATE": 0.5})
    blocks = {name: m for name, m in model.named_modules() if isinstance(m, ResBlock)}
    rates = [block.drop_connect_rate for name, block in blocks.items() if "pathway0" in name]
    torch.testing.assert_close(rates, torch.linspace(0, 0.5, len(rates) + 1)[1:].tolist())
    expected = small_model(family).eval()(clips(family))
    torch.testing.assert_close(model.eval()(clips(family)), expected)


@pytest.mark.parametrize(
    ("family", "layer"), [("X3D", r"branch2\.c"), ("VoV3D", r"branch2\.layers\.\d\.c")]
)
@pytest.mark.parametrize("has_swish", [True, False])
def test_swish_in_the_middle_of_a_bottleneck_or_relu(family, layer, has_swish):
    model = small_model(family, **{f"{family.upper()}.SWISH_INNER": has_swish}).eval()
    least = []
    for name, module in model.named_modules():
        if re.search(f"{layer}$", name):
            module.register_forward_pre_hook(lambda _, args: least.append(args[0].min().item()))
    model(clips(family))
    assert len(least) > 3
    assert max(least) < 0 if has_swish else set(least) == {0.0}


def test_residual_block_drops_its_branch_in_training_only():
    spec = BlockSpec(0, dim_in=2, dim_inner=2, dim_out=2, stride=1, dilation=1)
    block = ResBlock(spec, nn.Identity(), norm=nn.BatchNorm3d, drop_connect_rate=0.5)
    x = torch.ones(64, 2, 1, 2, 2)
    assert block(x).flatten(1).unique().tolist() == [1.0, 3.0]
    assert block.eval()(x).unique().tolist() == [2.0]


@pytest.mark.parametrize("family", CONVOLUTIONAL)
@pytest.mark.parametrize(
    ("name", "kind"), [("sub_batchnorm", SubBatchNorm3d), ("sync_batchnorm", SyncBatchNorm3d)]
)
def test_norm_type_reaches_every_batch_norm_and_its_zero_gamma(family, name, kind):
    keys = {"BN.NORM_TYPE": name, "BN.NUM_SPLITS": 2}
    model = small_model(family, **keys, **{"RESNET.ZERO_INIT_FINAL_BN": family in RESIDUAL})
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm3d)]
    assert {type(norm) for norm in norms} == {kind}
    blocks = [module for module in model.modules() if isinstance(module, ResBlock)]
    zeros = [norm for norm in norms if not norm.weight.any()]
    assert zeros == [block.branch2.final_norm for block in blocks]
    logits, _ = logits_and_loss(model(clips(family, size=64)), torch.sum)
    assert logits.shape == (2, 5)


@pytest.mark.parametrize("family", CONVOLUTIONAL)
def test_all_gammas_start_at_one_without_zero_init(family):
    model = small_model(family)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm3d)]
    assert all((norm.weight == 1).all() and not norm.bias.any() for norm in norms)


@pytest.mark.parametrize("family", CONVOLUTIONAL)
def test_weights_start_with_the_spread_of_the_reference(family):
    model = small_model(family, **{"X3D.DIM_C5": 512, "MODEL.FC_INIT_STD": 0.02})
    own = [part for m in model.modules() if hasattr(m, "draw_weights") for part in m.modules()]
    for module in model.modules():
        if isinstance(module, nn.Conv3d) and module not in own:
            fan_out = module.out_channels * module.weight[0, 0].numel()
            ratio = module.weight.std().item() / (2 / fan_out) ** 0.5
            assert ratio == pytest.approx(1, abs=4 / module.weight.numel() ** 0.5)
            assert module.bias is None or not module.bias.any()
    assert model.head.projection.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert not model.head.projection.bias.any()


@pytest.mark.parametrize("num_conv", [1, 2])
def test_vov3d_has_num_conv_layers_per_module(num_conv):
    model = small_model("VoV3D", **{"VOV3D.NUM_CONV": num_conv})
    assert len(model.s3.pathway0_res1.branch2.layers) == num_conv
    assert model.eval()(clips("VoV3D")).shape == (2, 5)


def test_vov3d_multipliers_set_the_widths():
    keys = {"VOV3D.INNER_MULTIPLIER": [1, 2, 2, 3], "VOV3D.OUT_MULTIPLIER": [1, 1, 2, 2.5]}
    model = small_model("VoV3D", **keys)
    assert model.s5.pathway0_res0.branch2.layers[0].a[0].out_channels == 24
    assert model.s5.pathway0_res0.branch2.c.out_channels == 20
    assert model.eval()(clips("VoV3D")).shape == (2, 5)


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("t_osa_3d_transform", ["a", "b", "b_bn", "se", "c"]),
        ("t_osa_r2plus1_transform", ["a", "b1", "b2", "b_bn", "se", "c"]),
        ("t_osa_dw3d_transform", ["a", "b", "b_bn", "se", "c"]),
        ("t_osa_1plus2_transform", ["a", "b1", "b2", "b_bn", "se", "c"]),
        ("t_osa_2plus1_transform", ["a", "b1", "b2", "b_bn", "se", "c"]),
    ],
)
def test_vov3d_bottlenecks_run_and_have_their_names(name, names):
    model = small_model("VoV3D", **{"VOV3D.TRANS_FUNC": name})
    layer = model.s2.pathway0_res0.branch2.layers[0]
    assert [child for child, _ in layer.named_children()] == names
    assert model.eval()(clips("VoV3D")).shape == (2, 5)


def test_temporal_first_bottleneck_strides_in_space_only():
    model = small_model("VoV3D", **{"VOV3D.TRANS_FUNC": "t_osa_1plus2_transform"})
    layer = model.s2.pathway0_res0.branch2.layers[0]
    assert (layer.b1.kernel_size, layer.b1.stride) == ((3, 1, 1), (1, 1, 1))
    assert (layer.b2.kernel_size, layer.b2.stride) == ((1, 3, 3), (1, 2, 2))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x3d_2plus1_transform", "x3d_1plus2_transform"])
def test_x3d_bottlenecks_run(name):
    model = small_model("X3D", **{"RESNET.TRANS_FUNC": name})
    assert model.eval()(clips("X3D")).shape == (2, 5)


def test_x3d_scale_res2_doubles_the_first_stage():
    assert small_model("X3D").s2.pathway0_res0.branch2.c.out_channels == 16
    model = small_model("X3D", **{"X3D.SCALE_RES2": True})
    assert model.s2.pathway0_res0.branch2.c.out_channels == 24


@pytest.mark.parametrize(
    ("family", "key", "value", "message"),
    [
        ("Vov3D", "MODEL.NUM_CLASSES", 5, "MODEL.MODEL_NAME: 'Vov3D' .*VoV3D.*X3D"),
        ("ResNet", "DATA.INPUT_CHANNEL_NUM", [3, 3], r"DATA.INPUT_CHANNEL_NUM: \[3, 3\] .*ResNet"),
        ("ResNet", "MODEL.ARCH", "slowfast", "MODEL.ARCH: 'slowfast' .*c2d.*i3d.*slow"),
        ("ResNet", "RESNET.DEPTH", 20, r"RESNET.DEPTH: 20 .*18, 34, 50, 101, 152"),
        ("ResNet", "RESNET.TRANS_FUNC", "basic", "RESNET.TRANS_FUNC: 'basic' .*basic_transform"),
        ("ResNet", "RESNET.SPATIAL_STRIDES", [[1], [2]], "RESNET.SPATIAL_STRIDES: .*four"),
        ("X3D", "NONLOCAL.LOCATION", [[[]], [[1]], [[]], [[]]], "NONLOCAL.LOCATION.* X3D does not"),
        ("ResNet", "NONLOCAL.LOCATION", [[[]], [[2]], [[]], [[]]], "NONLOCAL.LOCATION.*res3.*0..1"),
        ("SlowFast", "DATA.INPUT_CHANNEL_NUM", [3], r"DATA.INPUT_CHANNEL_NUM: \[3\] .*SlowFast"),
        ("SlowFast", "SLOWFAST.FUSION_KERNEL_SZ", 4, "SLOWFAST.FUSION_KERNEL_SZ: 4 must be odd"),
        ("SlowFast", "SLOWFAST.BETA_INV", 16, "SLOWFAST.BETA_INV: 16 must be at most 8"),
        ("ResNet", "RESNET.SPATIAL_STRIDES", [[0]] * 4, "RESNET.SPATIAL_STRIDES: 0 .*at least 1"),
        ("ResNet", "RESNET.SPATIAL_DILATIONS", [["a"]] * 4, "RESNET.SPATIAL_DILATIONS: 'a'"),
        ("ResNet", "NONLOCAL.LOCATION", [[], [1, 3], [], []], "NONLOCAL.LOCATION: .*four lists"),
        ("ResNet", "NONLOCAL.LOCATION", [[1, 3]] * 4, "NONLOCAL.LOCATION: 1 .*list of numbers"),
        ("ResNet", "NONLOCAL.POOL", [[[2, 2]]] * 4, r"NONLOCAL.POOL: \[2, 2\] .*T, H, W"),
        ("ResNet", "NONLOCAL.GROUP", [[0]] * 4, "NONLOCAL.GROUP: 0 .*at least 1"),
        ("S3D", "S3D.VARIANT", "S3D", "S3D.VARIANT: 'S3D' .*fast-s3d.*i3d"),
        ("S3D", "MODEL.DROPCONNECT_RATE", 0.1, "MODEL.DROPCONNECT_RATE: 0.1 must be 0 for S3D"),
        ("S3D", "NONLOCAL.LOCATION", [[[]], [[1]], [[]], [[]]], "NONLOCAL.LOCATION.* S3D does not"),
        ("S3D", "DATA.INPUT_CHANNEL_NUM", [3, 3], r"DATA.INPUT_CHANNEL_NUM: \[3, 3\] .*S3D"),
        ("X3D", "DATA.INPUT_CHANNEL_NUM", [3, 3], r"DATA.INPUT_CHANNEL_NUM: \[3, 3\] .*X3D"),
        ("VoV3D", "DATA.INPUT_CHANNEL_NUM", [3, 3], r"DATA.INPUT_CHANNEL_NUM: \[3, 3\] .*VoV3D"),
        ("X3D", "RESNET.TRANS_FUNC", "bottleneck_transform", "RESNET.TRANS_FUNC.*x3d_transform"),
        ("X3D", "X3D.DEPTH_FACTOR", 0.0, "X3D.*DEPTH_FACTOR"),
        ("VoV3D", "VOV3D.TRANS_FUNC", "osa", "VOV3D.TRANS_FUNC: 'osa' .*t_osa_2plus1_transform"),
        ("VoV3D", "VOV3D.NUM_MODULES", [1, 1], r"VOV3D.NUM_MODULES: \[1, 1\] .*four"),
        ("VoV3D", "VOV3D.OUT_MULTIPLIER", [1, 1, 1, 0], "VOV3D.OUT_MULTIPLIER: .*above 0"),
        ("VoV3D", "VOV3D.INNER_CH", 1, "VOV3D.INNER_CH: 1 "),
        ("VoV3D", "VOV3D.NUM_CONV", 0, "VOV3D.NUM_CONV: 0 "),
        ("VoV3D", "X3D.SWISH_INNER", False, "X3D.SWISH_INNER: False has no effect on VoV3D; VOV"),
        ("X3D", "VOV3D.SWISH_INNER", False, "VOV3D.SWISH_INNER: False has no effect on X3D; X3D"),
    ],
)
def test_a_mistake_in_the_config_names_value_and_key(family, key, value, message):
    with pytest.raises(ValueError, match=message):
        small_model(family, **{key: value})


def test_unknown_depth_says_how_to_get_it():
    keys = {"VOV3D.DEPTH": 19, "VOV3D.NUM_MODULES": []}
    with pytest.raises(ValueError, match=r"VOV3D.DEPTH: 19 .*\[31, 70\].*VOV3D.NUM_MODULES"):
        small_model("VoV3D", **keys)


def test_factorised_x3d_needs_depthwise_convolutions():
    keys = {"RESNET.TRANS_FUNC": "x3d_2plus1_transform", "X3D.CHANNELWISE_3x3x3": False}
    with pytest.raises(ValueError, match="X3D.CHANNELWISE_3x3x3: False .*x3d_transform"):
        small_model("X3D", **keys)
