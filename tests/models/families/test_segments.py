"""Facts about networks on one frame of each segment."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torchvision.models.resnet import Bottleneck

from slowfast.checkpoint.initialize import initialize_from
from slowfast.checkpoint.layouts import detect_and_rename
from slowfast.config.checks import check_cfg
from slowfast.models.families.tsm import ShiftBlock, temporal_shift
from slowfast.models.heads import AuxiliaryLogits
from slowfast.tasks.base import logits_and_loss
from slowfast.tasks.build import build_task
from tests.helpers.configs import cfg_with
from tests.helpers.small_networks import clips, small_cfg, small_model


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


def test_task_trains_both_classifiers_of_a_pyramid():
    cfg = small_cfg("TPN", **{"MODEL.DROPOUT_RATE": 0.0})
    model, task = small_model("TPN", **{"MODEL.DROPOUT_RATE": 0.0}), build_task(cfg)
    batch = {"clips": clips("TPN"), "labels": torch.tensor([0, 3])}
    loss, _ = task.loss(model, batch, None)
    out = model(batch["clips"])
    of_each = [F.cross_entropy(logits, batch["labels"]) for logits in (out.logits, out.auxiliary)]
    torch.testing.assert_close(loss, of_each[0] + 0.5 * of_each[1])
    loss.backward()
    assert model.head.auxiliary.projection.weight.grad.any()


@pytest.mark.slow
@pytest.mark.parametrize("family", ["TSN", "TSM", "GST"])
def test_imagenet_weights_start_a_network_on_segments(family, tmp_path):
    net = torchvision.models.ResNet(Bottleneck, [2, 2, 2, 2], num_classes=5).eval()
    torch.save(net.state_dict(), tmp_path / "resnet.pth")
    model = small_model(family, **{"RESNET.WIDTH_PER_GROUP": 64, "MODEL.HEAD_ACT": "none"})
    report = initialize_from(model, tmp_path / "resnet.pth")
    assert report.coverage > 0.9 and not report.mismatched
    if family == "TSN":
        (x,) = clips(family)
        frames = net(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (2, -1))
        torch.testing.assert_close(model.eval()([x]), frames.mean(1), rtol=1e-4, atol=1e-4)


def test_pyramid_without_weight_for_it_has_no_second_classifier():
    model = small_model("TPN", **{"TPN.AUX_LOSS_WEIGHT": 0.0})
    assert model(clips("TPN")).shape == (2, 5)
    assert not any("auxiliary" in name for name in model.state_dict())


def test_second_classifier_learns_from_the_labels_with_its_weight():
    logits, auxiliary = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 5.0]])
    output = AuxiliaryLogits(logits, auxiliary, 0.5)
    found, loss = logits_and_loss(output, torch.sum)
    assert found.equal(logits) and loss == 3 + 0.5 * 8


@pytest.mark.parametrize("scales", [[4], [3, 4], [0, 4], [2.0, 4]])
def test_pyramid_refuses_scales_that_do_not_fit_together(scales):
    with pytest.raises(ValueError, match="TPN.TEMPORAL_SCALES"):
        small_model("TPN", **{"TPN.TEMPORAL_SCALES": scales})


def test_pyramid_takes_a_lower_level_of_more_frames():
    model = small_model("TPN", **{"TPN.TEMPORAL_SCALES": [2, 4], "TPN.TRUNK": "tsm"}).eval()
    torch.testing.assert_close(model(clips("TPN")).sum(1), torch.ones(2))


@pytest.mark.parametrize("family", ["GST", "TPN"])
@pytest.mark.parametrize("option", [["ADAPTIVE.ENABLE", True], ["MODEL.WIDTH", 0.5]])
def test_networks_that_cannot_be_sliced_say_so(family, option):
    cfg = cfg_with(
        {"MODEL.MODEL_NAME": family, "DATA.INPUT_CHANNEL_NUM": [3], option[0]: option[1]}
    )
    with pytest.raises(ValueError, match=f"{option[0]}: .* with {family}: "):
        check_cfg(cfg)


def test_grouped_blocks_start_from_the_first_channels_of_a_plain_kernel():
    branch = small_model("GST").s2.pathway0_res0.branch2
    kernel = torch.randn(8, 8, 3, 3)
    changes, _ = branch.adapt_weights({"x.b.weight": kernel}, "x.")
    assert changes["x.b.weight"].shape == branch.b.weight.shape == (6, 4, 1, 3, 3)
    assert changes["x.b.weight"].squeeze(2).equal(kernel[:6, :4])


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("necks.level_fusion_op.ops.0.norm.bias", "neck.bottom_up.lower.bn.bias"),
        ("necks.pyramid_fusion_op.0.weight", "neck.join.conv.weight"),
        ("necks.aux_head.fc.bias", "head.auxiliary.projection.bias"),
        ("neck.level_fusion_1.fusion_conv.bn.bias", "neck.top_down.join.bn.bias"),
        ("neck.downsample_ops.0.conv.conv.weight", "neck.down.weight"),
        ("base_model.layer2.1.Tconv.weight", "s3.pathway0_res1.branch2.b_t.weight"),
        ("cls_head.fc_cls.bias", "head.projection.bias"),
        ("necks.other.weight", "necks.other.weight"),
    ],
)
def test_names_of_pyramids_and_grouped_blocks_become_ours(theirs, ours):
    trunk = "base_model." if theirs.startswith("base_model") else "backbone."
    state = {f"{trunk}layer1.0.conv1.weight": 0, theirs: 1}
    renamed, _ = detect_and_rename(state, ["s2.pathway0_res0.branch2.a.weight", ours])
    assert renamed == {"s2.pathway0_res0.branch2.a.weight": 0, ours: 1}
