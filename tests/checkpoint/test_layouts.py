"""Foreign names, pair by pair, as published files have them."""

import json

import pytest
import torch

from slowfast.checkpoint.caffe2 import caffe2_name
from slowfast.checkpoint.initialize import detect_and_rename
from tests.helpers.paths import GOLDENS

CAFFE2 = json.loads((GOLDENS / "caffe2_names.json").read_text())

# Of the state dicts of pytorchvideo 0.1.5.
X3D = {
    "blocks.0.conv.conv_t.weight": "s1.pathway0_stem.conv_xy.weight",
    "blocks.0.conv.conv_xy.weight": "s1.pathway0_stem.conv.weight",
    "blocks.0.norm.running_mean": "s1.pathway0_stem.bn.running_mean",
    "blocks.1.res_blocks.0.branch1_conv.weight": "s2.pathway0_res0.branch1.weight",
    "blocks.2.res_blocks.0.branch1_conv.weight": "s3.pathway0_res0.branch1.weight",
    "blocks.2.res_blocks.0.branch1_norm.bias": "s3.pathway0_res0.branch1_bn.bias",
    "blocks.1.res_blocks.0.branch2.conv_a.weight": "s2.pathway0_res0.branch2.a.weight",
    "blocks.1.res_blocks.0.branch2.norm_a.weight": "s2.pathway0_res0.branch2.a_bn.weight",
    "blocks.3.res_blocks.10.branch2.conv_b.weight": "s4.pathway0_res10.branch2.b.weight",
    "blocks.3.res_blocks.10.branch2.norm_b.0.weight": "s4.pathway0_res10.branch2.b_bn.weight",
    "blocks.4.res_blocks.2.branch2.norm_b.1.block.0.bias": "s5.pathway0_res2.branch2.se.fc1.bias",
    "blocks.4.res_blocks.2.branch2.norm_b.1.block.2.weight": (
        "s5.pathway0_res2.branch2.se.fc2.weight"
    ),
    "blocks.4.res_blocks.6.branch2.conv_c.weight": "s5.pathway0_res6.branch2.c.weight",
    "blocks.4.res_blocks.6.branch2.norm_c.running_var": "s5.pathway0_res6.branch2.c_bn.running_var",
    "blocks.5.pool.pre_conv.weight": "head.conv_5.weight",
    "blocks.5.pool.pre_norm.weight": "head.conv_5_bn.weight",
    "blocks.5.pool.post_conv.weight": "head.lin_5.weight",
    "blocks.5.proj.bias": "head.projection.bias",
}
SLOWFAST = {
    "blocks.0.multipathway_blocks.0.conv.weight": "s1.pathway0_stem.conv.weight",
    "blocks.0.multipathway_blocks.1.norm.num_batches_tracked": (
        "s1.pathway1_stem.bn.num_batches_tracked"
    ),
    "blocks.0.multipathway_fusion.conv_fast_to_slow.weight": "s1_fuse.conv_f2s.weight",
    "blocks.0.multipathway_fusion.norm.bias": "s1_fuse.bn.bias",
    "blocks.3.multipathway_fusion.conv_fast_to_slow.weight": "s4_fuse.conv_f2s.weight",
    "blocks.1.multipathway_blocks.0.res_blocks.0.branch1_conv.weight": (
        "s2.pathway0_res0.branch1.weight"
    ),
    "blocks.1.multipathway_blocks.0.res_blocks.0.branch1_norm.weight": (
        "s2.pathway0_res0.branch1_bn.weight"
    ),
    "blocks.4.multipathway_blocks.1.res_blocks.2.branch2.norm_b.weight": (
        "s5.pathway1_res2.branch2.b_bn.weight"
    ),
    "blocks.6.proj.weight": "head.projection.weight",
}
# Block 2 of C2D and I3D is a pooling, so that their stages are blocks 1, 3, 4 and 5.
I3D = {
    "blocks.0.conv.weight": "s1.pathway0_stem.conv.weight",
    "blocks.1.res_blocks.2.branch2.conv_a.weight": "s2.pathway0_res2.branch2.a.weight",
    "blocks.3.res_blocks.0.branch2.conv_a.weight": "s3.pathway0_res0.branch2.a.weight",
    "blocks.4.res_blocks.5.branch2.norm_c.bias": "s4.pathway0_res5.branch2.c_bn.bias",
    "blocks.5.res_blocks.0.branch2.conv_b.weight": "s5.pathway0_res0.branch2.b.weight",
    "blocks.6.proj.weight": "head.projection.weight",
}
RESNET_2D = {
    "conv1.weight": "s1.pathway0_stem.conv.weight",
    "bn1.running_var": "s1.pathway0_stem.bn.running_var",
    "layer1.0.conv1.weight": "s2.pathway0_res0.branch2.a.weight",
    "layer1.0.bn1.weight": "s2.pathway0_res0.branch2.a_bn.weight",
    "layer2.3.conv2.weight": "s3.pathway0_res3.branch2.b.weight",
    "layer2.3.bn2.bias": "s3.pathway0_res3.branch2.b_bn.bias",
    "layer3.22.conv3.weight": "s4.pathway0_res22.branch2.c.weight",
    "layer3.22.bn3.num_batches_tracked": "s4.pathway0_res22.branch2.c_bn.num_batches_tracked",
    "layer4.0.downsample.0.weight": "s5.pathway0_res0.branch1.weight",
    "layer4.0.downsample.1.weight": "s5.pathway0_res0.branch1_bn.weight",
    "fc.bias": "head.projection.bias",
}
VIDEO_RESNET = {
    "stem.0.weight": "s1.pathway0_stem.conv.weight",
    "stem.1.running_mean": "s1.pathway0_stem.bn.running_mean",
    "layer1.1.conv1.0.weight": "s2.pathway0_res1.branch2.a.weight",
    "layer1.1.conv1.1.weight": "s2.pathway0_res1.branch2.a_bn.weight",
    "layer4.0.conv2.0.weight": "s5.pathway0_res0.branch2.b.weight",
    "layer4.0.conv2.1.bias": "s5.pathway0_res0.branch2.b_bn.bias",
    "layer4.0.downsample.0.weight": "s5.pathway0_res0.branch1.weight",
    "fc.weight": "head.projection.weight",
}
# A separable convolution is two of (convolution, batch norm), space first.
S3D = {
    "features.0.0.0.weight": "s1.pathway0_stem.conv.weight",
    "features.0.1.1.running_var": "s1.pathway0_stem.bn_t.running_var",
    "features.2.0.weight": "s2.pathway0_conv2b.conv.weight",
    "features.2.1.bias": "s2.pathway0_conv2b.bn.bias",
    "features.3.1.0.weight": "s2.pathway0_conv2c.conv_t.weight",
    "features.5.branch0.0.weight": "s3.pathway0_mixed3b.branch0.conv.weight",
    "features.6.branch1.0.0.weight": "s3.pathway0_mixed3c.branch1_reduce.conv.weight",
    "features.8.branch1.1.0.1.weight": "s4.pathway0_mixed4b.branch1.bn.weight",
    "features.12.branch2.1.1.0.weight": "s4.pathway0_mixed4f.branch2.conv_t.weight",
    "features.14.branch2.0.1.running_mean": "s5.pathway0_mixed5b.branch2_reduce.bn.running_mean",
    "features.15.branch3.1.0.weight": "s5.pathway0_mixed5c.branch3.conv.weight",
    "classifier.1.bias": "head.projection.bias",
}
GOOGLENET = {
    "conv1.conv.weight": "s1.pathway0_stem.conv.weight",
    "conv2.bn.bias": "s2.pathway0_conv2b.bn.bias",
    "conv3.conv.weight": "s2.pathway0_conv2c.conv.weight",
    "inception3a.branch1.conv.weight": "s3.pathway0_mixed3b.branch0.conv.weight",
    "inception3b.branch2.0.conv.weight": "s3.pathway0_mixed3c.branch1_reduce.conv.weight",
    "inception4e.branch2.1.bn.running_var": "s4.pathway0_mixed4f.branch1.bn.running_var",
    "inception4a.branch3.1.conv.weight": "s4.pathway0_mixed4b.branch2.conv.weight",
    "inception5b.branch4.1.conv.weight": "s5.pathway0_mixed5c.branch3.conv.weight",
    "fc.weight": "head.projection.weight",
}


MMACTION2 = {
    "backbone.conv1.conv.weight": "s1.pathway0_stem.conv.weight",
    "backbone.conv1.bn.running_var": "s1.pathway0_stem.bn.running_var",
    "backbone.layer1.0.conv1.conv.weight": "s2.pathway0_res0.branch2.a.weight",
    "backbone.layer2.3.conv2.bn.bias": "s3.pathway0_res3.branch2.b_bn.bias",
    "backbone.layer3.5.conv3.bn.running_mean": "s4.pathway0_res5.branch2.c_bn.running_mean",
    "backbone.layer4.0.downsample.conv.weight": "s5.pathway0_res0.branch1.weight",
    "backbone.layer4.0.downsample.bn.weight": "s5.pathway0_res0.branch1_bn.weight",
    "cls_head.fc_cls.bias": "head.projection.bias",
}


@pytest.mark.parametrize("blob", CAFFE2)
def test_caffe2_blob(blob):
    assert caffe2_name(blob) == CAFFE2[blob]


def test_caffe2_leaves_out_what_the_optimizer_had():
    state = {"res2_0_branch1_w": 1, "res2_0_branch1_w_momentum": 2, "lr": 3, "model_iter": 4}
    assert detect_and_rename(state) == ({"s2.pathway0_res0.branch1.weight": 1}, "Caffe2")


@pytest.mark.parametrize(
    ("layout", "pairs"),
    [
        ("pytorchvideo", X3D),
        ("pytorchvideo", SLOWFAST),
        ("pytorchvideo", I3D),
        ("torchvision", RESNET_2D),
        ("torchvision", VIDEO_RESNET),
        ("mmaction2", MMACTION2),
        ("torchvision S3D", S3D),
        ("torchvision GoogLeNet", GOOGLENET),
    ],
    ids=["X3D", "SlowFast", "I3D", "ResNet", "video ResNet", "mmaction2", "S3D", "GoogLeNet"],
)
def test_names_become_ours(layout, pairs):
    # The stages of pytorchvideo are counted, so all of them must be there.
    others = {} if pairs is I3D else {f"blocks.{n}.res_blocks.0.x": 0 for n in (1, 2, 3, 4)}
    others = others if layout == "pytorchvideo" else {}
    tensors = {name: torch.full((2,), float(n)) for n, name in enumerate(pairs)}
    state, found = detect_and_rename({**tensors, **others})
    assert found == layout
    assert {n: state.get(new) is tensors[n] for n, new in pairs.items()} == dict.fromkeys(
        pairs, True
    )


def test_a_shortcut_of_pytorchvideo_without_batch_norm_gets_the_identity():
    state, _ = detect_and_rename(
        {"blocks.1.res_blocks.0.branch1_conv.weight": torch.ones(4, 4, 1, 1, 1)}
    )
    norm = torch.nn.BatchNorm3d(4).eval()
    prefix = "s2.pathway0_res0.branch1_bn."
    named = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
    norm.load_state_dict(named, strict=False)
    x = torch.randn(2, 4, 3, 3, 3)
    torch.testing.assert_close(norm(x), x, rtol=1e-6, atol=0)


def test_googlenet_s_auxiliary_classifiers_are_left_out():
    state = {"inception3a.branch1.conv.weight": 1, "aux1.conv.conv.weight": 2, "aux2.fc1.bias": 3}
    assert list(detect_and_rename(state)[0]) == ["s3.pathway0_mixed3b.branch0.conv.weight"]


@pytest.mark.parametrize(
    "state",
    [
        {"features.5.branch0.0.weight": 1, "features.4.branch0.0.weight": 2, "x.1.bias": 3},
        {"features.5.branch0.0.weight": 1, "features.5.branch4.0.weight": 2},
        {"inception3a.branch1.conv.weight": 1, "inception3a.branch5.conv.weight": 2},
        {"inception3a.branch1.conv.weight": 1, "conv4.conv.weight": 2, "conv1.weight": 3},
    ],
)
def test_unknown_layers_of_inception_networks_keep_their_names(state):
    known, *others = state
    renamed, _ = detect_and_rename(state)
    assert known not in renamed and set(others) <= renamed.keys()


def test_names_of_another_pattern_stay_and_are_reported_later():
    state = {"layer1.0.conv1.weight": 1, "layer1.0.extra.weight": 2, "aux.weight": 3}
    renamed, _ = detect_and_rename(state)
    assert set(renamed) >= {"layer1.0.extra.weight", "aux.weight"}


@pytest.mark.parametrize(
    ("state", "layout"),
    [
        ({"s2.pathway0_res0.branch1.weight": 1, "layer1.0.x": 2}, "PySlowFast"),
        ({"features.0.weight": 1}, "unknown"),
        ({"s1_fuse.weight": 1}, "unknown"),
    ],
)
def test_other_names_are_left_as_they_are(state, layout):
    assert detect_and_rename(state) == (state, layout)


@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("layer1.0.conv1.0.0.weight", r"torchvision's R\(2\+1\)D.*MODEL_NAME R2Plus1D"),
        ("layer1.0.conv2.0.2.weight", "VMZ's ip-CSN.*MODEL.MODEL_NAME CSN"),
        ("backbone.layer1.0.conv2.1.conv.weight", "mmaction2's CSN.*MODEL.MODEL_NAME CSN"),
        ("backbone.layer1.0.conv1.conv.conv_s.weight", r"R\(2\+1\)D.*MODEL_NAME R2Plus1D"),
    ],
)
def test_weights_of_another_network_are_refused_with_the_model_that_they_fit(name, network):
    wanted = ["s1.pathway0_stem.conv.weight", "s2.pathway0_res0.branch2.b.weight"]
    state = {name: 1, "backbone.layer1.0.conv1.conv.weight": 2, "stem.0.running_mean": 3}
    with pytest.raises(ValueError, match=network):
        detect_and_rename(state, wanted)


@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("backbone.slow_path.layer1.0.conv1.conv.weight", "SlowFast"),
        ("backbone.conv1_s.conv.weight", "X3D"),
    ],
)
def test_networks_of_mmaction2_that_are_not_ours_are_named(name, network):
    state = {name: 1, "backbone.layer1.0.conv1.conv.weight": 2}
    with pytest.raises(ValueError, match=f"mmaction2's {network}.*no model here"):
        detect_and_rename(state)


R2PLUS1D = {
    "stem.0.weight": "s1.pathway0_stem.conv.conv.weight",
    "stem.1.running_var": "s1.pathway0_stem.conv.bn.running_var",
    "stem.3.weight": "s1.pathway0_stem.conv.conv_t.weight",
    "stem.4.bias": "s1.pathway0_stem.bn.bias",
    "layer2.0.conv1.0.0.weight": "s3.pathway0_res0.branch2.a.conv.weight",
    "layer2.0.conv1.0.1.weight": "s3.pathway0_res0.branch2.a.bn.weight",
    "layer2.0.conv1.0.3.weight": "s3.pathway0_res0.branch2.a.conv_t.weight",
    "layer2.0.conv2.1.weight": "s3.pathway0_res0.branch2.b_bn.weight",
    "layer2.0.downsample.0.weight": "s3.pathway0_res0.branch1.weight",
    "fc.bias": "head.projection.bias",
}
MM_R2PLUS1D = {
    "backbone.conv1.conv.bn_s.weight": "s1.pathway0_stem.conv.bn.weight",
    "backbone.conv1.bn.weight": "s1.pathway0_stem.bn.weight",
    "backbone.layer1.0.conv1.conv.conv_s.weight": "s2.pathway0_res0.branch2.a.conv.weight",
    "backbone.layer1.0.conv1.conv.conv_t.weight": "s2.pathway0_res0.branch2.a.conv_t.weight",
    "backbone.layer1.0.conv2.bn.weight": "s2.pathway0_res0.branch2.b_bn.weight",
    "backbone.layer2.0.downsample.conv.bn_s.bias": "s3.pathway0_res0.branch1.bn.bias",
    "backbone.layer2.0.downsample.bn.bias": "s3.pathway0_res0.branch1_bn.bias",
    "cls_head.fc_cls.weight": "head.projection.weight",
}
IP_CSN = {
    "stem.0.weight": "s1.pathway0_stem.conv.weight",
    "layer1.0.conv1.0.weight": "s2.pathway0_res0.branch2.a.weight",
    "layer1.0.conv2.0.0.weight": "s2.pathway0_res0.branch2.b.point.weight",
    "layer1.0.conv2.0.1.bias": "s2.pathway0_res0.branch2.b.point_bn.bias",
    "layer1.0.conv2.0.2.weight": "s2.pathway0_res0.branch2.b.depthwise.weight",
    "layer1.0.conv2.1.bias": "s2.pathway0_res0.branch2.b_bn.bias",
}
IR_CSN = {
    "layer1.0.conv2.0.weight": "s2.pathway0_res0.branch2.b.depthwise.weight",
    "layer1.0.conv2.1.bias": "s2.pathway0_res0.branch2.b_bn.bias",
}
MM_IP_CSN = {
    "backbone.layer1.0.conv1.bn.weight": "s2.pathway0_res0.branch2.a_bn.weight",
    "backbone.layer1.0.conv2.0.conv.weight": "s2.pathway0_res0.branch2.b.point.weight",
    "backbone.layer1.0.conv2.0.bn.weight": "s2.pathway0_res0.branch2.b.point_bn.weight",
    "backbone.layer1.0.conv2.1.conv.weight": "s2.pathway0_res0.branch2.b.depthwise.weight",
    "backbone.layer1.0.conv2.1.bn.bias": "s2.pathway0_res0.branch2.b_bn.bias",
}
MM_IR_CSN = {
    "backbone.layer1.0.conv2.0.conv.weight": "s2.pathway0_res0.branch2.b.depthwise.weight",
    "backbone.layer1.0.conv2.0.bn.bias": "s2.pathway0_res0.branch2.b_bn.bias",
    "backbone.layer1.0.downsample.conv.weight": "s2.pathway0_res0.branch1.weight",
}
PTV_CSN = {
    "blocks.1.res_blocks.0.branch2.conv_b.weight": "s2.pathway0_res0.branch2.b.depthwise.weight",
    "blocks.1.res_blocks.0.branch2.norm_b.bias": "s2.pathway0_res0.branch2.b_bn.bias",
}
PTV_R2PLUS1D = {
    "blocks.0.conv.weight": "s1.pathway0_stem.conv.weight",
    "blocks.1.res_blocks.0.branch2.conv_b.conv_xy.weight": "s2.pathway0_res0.branch2.b.conv.weight",
    "blocks.1.res_blocks.0.branch2.conv_b.norm.bias": "s2.pathway0_res0.branch2.b.bn.bias",
    "blocks.1.res_blocks.0.branch2.conv_b.conv_t.weight": (
        "s2.pathway0_res0.branch2.b.conv_t.weight"
    ),
}
MFNET = {
    "conv1.conv.weight": "s1.pathway0_stem.conv.weight",
    "conv2.B01.conv_i1.bn.weight": "s2.pathway0_res0.i1.bn.weight",
    "conv4.B06.conv_m2.conv.weight": "s4.pathway0_res5.m2.conv.weight",
    "conv5.B01.conv_w1.conv.weight": "s5.pathway0_res0.w1.conv.weight",
    "tail.bn.running_mean": "s5.pathway0_tail.bn.running_mean",
    "classifier.bias": "head.projection.bias",
}


@pytest.mark.parametrize(
    ("layout", "pairs"),
    [
        ("torchvision R(2+1)D", R2PLUS1D),
        ("mmaction2 R(2+1)D", MM_R2PLUS1D),
        ("VMZ CSN", IP_CSN),
        ("VMZ CSN", IR_CSN),
        ("mmaction2 CSN", MM_IP_CSN),
        ("mmaction2 CSN", MM_IR_CSN),
        ("pytorchvideo CSN", PTV_CSN),
        ("pytorchvideo", PTV_R2PLUS1D),
        ("MF-Net", MFNET),
    ],
)
def test_names_become_those_of_the_model_to_be_filled(layout, pairs):
    state = dict(zip(pairs, range(len(pairs)), strict=True))
    expected = {ours: state[theirs] for theirs, ours in pairs.items()}
    assert detect_and_rename(state, list(expected)) == (expected, layout)
