"""Facts about C2D, I3D and Slow, built small or without memory through `build_model`."""

import json

import pytest
import torch
import torchvision
from torch import nn

from slowfast.models import build_model
from slowfast.models.blocks import ResBlock
from slowfast.models.build import build_meta_inputs
from slowfast.models.heads import AveragePool
from slowfast.models.norm import SubBatchNorm3d
from tests.helpers.configs import cfg_with
from tests.helpers.paths import GOLDENS
from tests.helpers.slow import slow_but

RECIPES = json.loads((GOLDENS / "recipes.json").read_text())
MODEL_SECTIONS = ("MODEL", "RESNET", "NONLOCAL", "SLOWFAST", "DATA")


def resnet(device="meta", **keys):
    values = {
        "MODEL.MODEL_NAME": "ResNet",
        "MODEL.ARCH": "i3d",
        "MODEL.NUM_CLASSES": 5,
        "DATA.INPUT_CHANNEL_NUM": [3],
        "DATA.NUM_FRAMES": 4,
        "DATA.TRAIN_CROP_SIZE": 64,
        **keys,
    }
    torch.manual_seed(0)
    with torch.device(device):
        return build_model(cfg_with(values))


def blocks(model):
    return [module for module in model.modules() if isinstance(module, ResBlock)]


def kernels_t(model):
    return [block.branch2.a.kernel_size[0] for block in blocks(model)]


@pytest.mark.parametrize(
    ("arch", "stem", "expected"),
    [
        ("2d", 1, [1] * 16),
        ("c2d", 1, [1] * 16),
        ("slow", 1, [1] * 7 + [3] * 9),
        ("i3d", 5, [3, 3, 3] + [3, 1] * 2 + [3, 1] * 3 + [1, 3, 1]),
    ],
)
def test_temporal_kernels_follow_the_architecture(arch, stem, expected):
    model = resnet(**{"MODEL.ARCH": arch})
    assert model.s1.pathway0_stem.conv.kernel_size == (stem, 7, 7)
    assert kernels_t(model) == expected


def test_temporal_kernels_end_after_the_configured_blocks():
    keys = {"RESNET.NUM_BLOCK_TEMP_KERNEL": [[1], [9], [2], [0]]}
    expected = [3, 1, 1] + [3, 1, 3, 1] + [3, 1, 1, 1, 1, 1] + [1, 1, 1]
    assert kernels_t(resnet(**keys)) == expected


@pytest.mark.parametrize(
    ("name", "arch", "frames"),
    [
        ("ResNet", "c2d", 4),
        ("ResNet", "i3d", 4),
        ("ResNet_nopool", "c2d", 8),
        ("ResNet_nopool", "i3d", 8),
        ("ResNet", "c2d_nopool", 8),
        ("ResNet", "i3d_nopool", 8),
        ("ResNet", "slow", 8),
        ("ResNet", "2d", 8),
    ],
)
def test_frames_are_pooled_once_where_the_architecture_says_so(name, arch, frames):
    model = resnet(**{"MODEL.MODEL_NAME": name, "MODEL.ARCH": arch, "DATA.NUM_FRAMES": 8})
    (features,) = model.forward_features([torch.empty(1, 3, 8, 64, 64, device="meta")])
    assert features.shape == (1, 2048, frames, 2, 2)
    assert model.head.pools == [AveragePool((frames, 2, 2))]


@pytest.mark.parametrize(
    ("depth", "counts"),
    [(18, [2, 2, 2, 2]), (34, [3, 4, 6, 3]), (101, [3, 4, 23, 3]), (152, [3, 8, 36, 3])],
)
def test_depth_sets_the_blocks_of_each_stage(depth, counts):
    model = resnet(**{"RESNET.DEPTH": depth, "RESNET.WIDTH_PER_GROUP": 8})
    assert [len(blocks(stage)) for stage in (model.s2, model.s3, model.s4, model.s5)] == counts


def test_width_scales_the_whole_network():
    model = resnet(**{"RESNET.WIDTH_PER_GROUP": 16})
    assert model.s1.pathway0_stem.conv.out_channels == 16
    assert [stage.pathway0_res1.branch2.c.weight.shape[:2] for stage in (model.s2, model.s5)] == [
        (64, 16),
        (512, 128),
    ]


@pytest.mark.slow
def test_spatial_stride_is_in_the_3x3_or_in_the_first_convolution():
    strides = {}
    for strides_first in (False, True):
        branch = resnet(**{"RESNET.STRIDE_1X1": strides_first}).s3.pathway0_res0.branch2
        strides[strides_first] = (branch.a.stride, branch.b.stride)
    assert strides[False] == ((1, 1, 1), (1, 2, 2))
    assert strides[True] == ((1, 2, 2), (1, 1, 1))


@pytest.mark.parametrize("name", ["bottleneck_transform", "basic_transform"])
def test_dilation_in_place_of_stride_keeps_the_resolution(name):
    keys = {
        "RESNET.TRANS_FUNC": name,
        "RESNET.SPATIAL_STRIDES": [[1], [2], [2], [1]],
        "RESNET.SPATIAL_DILATIONS": [[1], [1], [1], [2]],
    }
    model = resnet(**keys)
    (features,) = model.forward_features([torch.empty(1, 3, 4, 64, 64, device="meta")])
    assert features.shape[3:] == (4, 4)
    assert model.s5.pathway0_res2.branch2.b.dilation == (1, 2, 2)
    assert model.s4.pathway0_res2.branch2.b.dilation == (1, 1, 1)


def test_nonlocal_blocks_follow_the_blocks_of_their_numbers():
    keys = {"NONLOCAL.LOCATION": [[[]], [[1, 3]], [[]], [[0]]], "RESNET.WIDTH_PER_GROUP": 8}
    model = resnet(**keys)
    names = [name.removeprefix("pathway0_") for name, _ in model.s3.named_children()]
    assert names == ["res0", "res1", "nonlocal1", "res2", "res3", "nonlocal3"]
    assert [name for name, _ in model.s5.named_children()][1] == "pathway0_nonlocal0"


@pytest.mark.parametrize("norm", ["batchnorm", "sub_batchnorm"])
def test_zero_gamma_reaches_nonlocal_blocks(norm):
    keys = {"NONLOCAL.LOCATION": [[[]], [[1, 3]], [[]], [[]]], "RESNET.WIDTH_PER_GROUP": 8}
    keys |= {"RESNET.ZERO_INIT_FINAL_BN": True, "BN.NORM_TYPE": norm, "BN.NUM_SPLITS": 2}
    model = resnet("cpu", **keys)
    zeros = {name for name, p in model.named_parameters() if p.ndim == 1 and not p.any()}
    assert {name for name in zeros if name.endswith("nonlocal1.bn.weight")} == {
        "s3.pathway0_nonlocal1.bn.weight"
    }
    assert sum(name.endswith("c_bn.weight") for name in zeros) == len(blocks(model))


@pytest.mark.parametrize("name", ["bottleneck_transform", "basic_transform"])
def test_last_convolutions_can_start_at_zero(name):
    keys = {"RESNET.TRANS_FUNC": name, "RESNET.ZERO_INIT_FINAL_CONV": True, "RESNET.DEPTH": 18}
    model = resnet("cpu", **keys, **{"RESNET.WIDTH_PER_GROUP": 8})
    last = "branch2.c.weight" if name == "bottleneck_transform" else "branch2.b.weight"
    zeros = [name for name, p in model.named_parameters() if p.ndim == 5 and not p.any()]
    assert len(zeros) == 8 and all(name.endswith(last) for name in zeros)


def test_groups_need_bottlenecks():
    keys = {"RESNET.TRANS_FUNC": "basic_transform", "RESNET.NUM_GROUPS": 32}
    with pytest.raises(ValueError, match="RESNET.NUM_GROUPS: 32 needs .*bottleneck_transform"):
        resnet(**keys)


def test_short_cycle_averages_whole_maps():
    assert resnet(**{"MULTIGRID.SHORT_CYCLE": True}).head.pools == [AveragePool(None)]


def our_name(name):
    """torchvision's name of a ResNet's tensor -> ours."""
    names = {"conv1": "a", "bn1": "a_bn", "conv2": "b", "bn2": "b_bn", "conv3": "c", "bn3": "c_bn"}
    module, _, last = name.rpartition(".")
    parts = module.split(".")
    if parts[0] == "fc":
        return f"head.projection.{last}"
    if len(parts) == 1:
        return f"s1.pathway0_stem.{'conv' if parts[0] == 'conv1' else 'bn'}.{last}"
    block = f"s{int(parts[0][-1]) + 1}.pathway0_res{parts[1]}"
    if parts[2] == "downsample":
        return f"{block}.{('branch1', 'branch1_bn')[int(parts[3])]}.{last}"
    return f"{block}.branch2.{names[parts[2]]}.{last}"


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("resnet18", {"RESNET.DEPTH": 18, "RESNET.TRANS_FUNC": "basic_transform"}),
        ("resnet50", {"RESNET.DEPTH": 50}),
        ("resnext50_32x4d", {"RESNET.NUM_GROUPS": 32, "RESNET.WIDTH_PER_GROUP": 4}),
    ],
)
def test_2d_network_is_torchvisions(name, keys):
    torch.manual_seed(0)
    theirs = torchvision.models.get_model(name, weights=None, num_classes=5).eval()
    model = resnet("cpu", **{"MODEL.ARCH": "2d", "DATA.NUM_FRAMES": 1, **keys}).eval()
    state = {}
    for key, tensor in theirs.state_dict().items():
        state[our_name(key)] = tensor.unsqueeze(2) if tensor.ndim == 4 else tensor
    model.load_state_dict(state)
    images = torch.randn(2, 3, 64, 64)
    expected = theirs(images).softmax(-1)
    torch.testing.assert_close(model([images.unsqueeze(2)]), expected, rtol=1e-4, atol=1e-6)


def family_recipes():
    """One recipe for each network that recipes of ResNet and SlowFast describe."""
    found = {}
    for name, recipe in RECIPES.items():
        keys = {k: v for k, v in recipe.items() if k.split(".")[0] in MODEL_SECTIONS}
        if recipe.get("MODEL.MODEL_NAME", "SlowFast") in ("ResNet", "ResNet_nopool", "SlowFast"):
            sections = ("RESNET", "NONLOCAL", "SLOWFAST")
            same = {k: v for k, v in keys.items() if k.split(".")[0] in sections}
            identity = (recipe["MODEL.ARCH"], recipe.get("MODEL.MODEL_NAME"), str(same))
            found.setdefault(identity, name)
    return sorted(found.values())


@pytest.mark.parametrize("name", slow_but(family_recipes()[::7], family_recipes()))
def test_published_recipe_builds_its_network(name):
    cfg = cfg_with({**RECIPES[name], "BN.NORM_TYPE": "batchnorm"})
    with torch.device("meta"):
        model = build_model(cfg)
    assert model.eval()(*build_meta_inputs(cfg, 64)).shape == (1, cfg.MODEL.NUM_CLASSES)


def test_nonlocal_batch_norms_are_of_the_configured_kind():
    keys = {"NONLOCAL.LOCATION": [[[]], [[1, 3]], [[]], [[]]]}
    model = resnet(**keys, **{"BN.NORM_TYPE": "sub_batchnorm", "BN.NUM_SPLITS": 2})
    kinds = {type(m) for m in model.modules() if isinstance(m, nn.BatchNorm3d)}
    assert kinds == {SubBatchNorm3d}
