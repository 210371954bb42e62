"""Networks that classify boxes, built small through `build_model`."""

import pytest
import torch
from torchvision.ops import roi_align

from slowfast.models.fold import fold_batch_norm
from slowfast.models.heads import RegionPool
from tests.helpers import small_networks
from tests.helpers.small_networks import small_model

FAMILIES = ["ResNet", "SlowFast", "VoV3D", "X3D"]
STRIDE_16 = {"RESNET.SPATIAL_STRIDES": [[1], [2], [2], [1]]}
ATROUS = {**STRIDE_16, "RESNET.SPATIAL_DILATIONS": [[1], [1], [1], [2]]}
BOXES = torch.tensor([[1.0, 0, 0, 40, 40], [0.0, 5, 8, 30, 31], [1.0, 20, 3, 47, 47]])


def detection_keys(**keys):
    values = {
        "MODEL.ARCH": "slow",
        "MODEL.HEAD_ACT": "sigmoid",
        "DETECTION.ENABLE": True,
        "DATA.NUM_FRAMES": 8,
        "DATA.TEST_CROP_SIZE": 32,
        "VOV3D.NUM_MODULES": [1, 2, 1, 2],
    }
    return {**values, **ATROUS, **keys}


def detector(family, **keys):
    return small_model(family, **detection_keys(**keys))


def clips(family, height=48, width=64):
    return small_networks.clips(family, frames=8, size=height, width=width)


def gradients(model):
    return [p.grad for p in model.parameters()]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_training_step_has_finite_gradients_for_every_parameter(family):
    model = detector(family)
    logits = model(clips(family), BOXES)
    assert logits.shape == (3, 5) and logits.dtype == torch.float32
    logits.square().sum().backward()
    assert all(grad is not None and grad.isfinite().all() for grad in gradients(model))
    without = [name for name, p in model.named_parameters() if not p.grad.any()]
    assert without == []


@pytest.mark.parametrize("family", FAMILIES)
def test_no_boxes_give_an_empty_result_and_zero_gradients(family):
    model = detector(family)
    logits = model(clips(family), torch.zeros(0, 5))
    assert logits.shape == (0, 5)
    logits.sum().backward()
    assert all(grad is not None and not grad.any() for grad in gradients(model))


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("height", "width"), [(48, 64), (33, 75), (32, 32)])
def test_whole_frames_of_any_size_give_scores_within_0_1(family, height, width):
    scores = detector(family).eval()(clips(family, height, width), BOXES)
    assert scores.shape == (3, 5) and scores.min() >= 0 and scores.max() <= 1


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
def test_a_box_has_its_score_whatever_other_boxes_there_are(family):
    model = detector(family).eval()
    together = model(clips(family), BOXES)
    alone = torch.cat([model(clips(family), BOXES[number : number + 1]) for number in range(3)])
    torch.testing.assert_close(together, alone)
    assert (together[0] - together[2]).abs().max() > 1e-6


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_in_training_are_what_evaluation_activates(family):
    model = detector(family, **{"MODEL.DROPOUT_RATE": 0.0}).eval()
    scores = model(clips(family), BOXES)
    model.head.training = True
    torch.testing.assert_close(model(clips(family), BOXES).sigmoid(), scores)


@pytest.mark.parametrize("family", FAMILIES)
def test_boxes_belong_to_detection_networks_only(family):
    with pytest.raises(AssertionError, match="this network classifies boxes"):
        detector(family)(clips(family))
    with pytest.raises(AssertionError, match="takes no boxes"):
        detector(family, **{"DETECTION.ENABLE": False})(clips(family), BOXES)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_weights_have_the_names_and_shapes_of_the_classifier_of_clips(family):
    strides = {"RESNET.SPATIAL_STRIDES": [[1], [2], [2], [2]]}
    shapes = [
        {name: x.shape for name, x in model.state_dict().items()}
        for model in (detector(family), detector(family, **strides, **{"DETECTION.ENABLE": False}))
    ]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("family", FAMILIES)
def test_last_stage_can_keep_its_resolution(family):
    stride_32 = {"RESNET.SPATIAL_STRIDES": [[1], [2], [2], [2]]}
    stride_32 |= {"DETECTION.SPATIAL_SCALE_FACTOR": 32}
    for keys, size in (({}, 4), (stride_32, 2)):
        for features in detector(family, **keys).forward_features(clips(family, 64, 64)):
            assert features.shape[3:] == (size, size)


@pytest.mark.parametrize("family", ["VoV3D", "X3D"])
def test_dilation_reaches_the_spatial_kernels_of_its_stage(family):
    model = detector(family)
    for stage, expected in ((model.s4, {1}), (model.s5, {2})):
        convs = [m for m in stage.modules() if isinstance(m, torch.nn.Conv3d)]
        dilations = {m.dilation for m in convs if m.kernel_size[2] == 3}
        assert dilations == {(1, value, value) for value in expected}


@pytest.mark.parametrize("family", FAMILIES)
def test_scale_factor_must_be_the_stride_of_the_network(family):
    with pytest.raises(ValueError, match="DETECTION.SPATIAL_SCALE_FACTOR: 32 must be 16"):
        detector(family, **{"DETECTION.SPATIAL_SCALE_FACTOR": 32})


def test_batch_norm_over_boxes_is_refused():
    with pytest.raises(ValueError, match="X3D.BN_LIN5: True must be False"):
        detector("X3D", **{"X3D.BN_LIN5": True})


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
def test_folded_network_gives_the_same(family):
    keys = {"MODEL.HEAD_ACT": "none"}
    model = detector(family, **keys).eval()
    folded = fold_batch_norm(model, clips(family), BOXES)
    assert not any(isinstance(m, torch.nn.BatchNorm3d) for m in folded.modules())
    expected = model(clips(family), BOXES)
    torch.testing.assert_close(
        folded(clips(family), BOXES), expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max())
    )


def test_region_pool_finds_the_largest_value_inside_the_box():
    x = torch.zeros(1, 1, 2, 8, 8)
    x[0, 0, :, 6, 6] = torch.tensor([2.0, 4.0])
    boxes = torch.tensor([[0.0, 0, 0, 40, 40], [0.0, 44, 44, 60, 60]])
    pooled = RegionPool(8, 7, True)(x, boxes)
    assert pooled.shape == (2, 1, 1, 1, 1)
    assert pooled[0] == 0 and 2 < pooled[1] <= 3  # the mean over time is 3


@pytest.mark.parametrize("is_aligned", [True, False])
def test_region_pool_is_roi_align_of_the_mean_over_time(is_aligned):
    x = torch.randn(2, 3, 4, 6, 5)
    regions = roi_align(x.mean(2), BOXES, 5, 1 / 16, 0, is_aligned)
    pooled = RegionPool(16, 5, is_aligned)(x, BOXES)
    torch.testing.assert_close(pooled.flatten(1), regions.flatten(2).amax(2))


def test_regions_are_float32_under_autocast():
    x = torch.randn(2, 3, 4, 6, 5).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert RegionPool(16, 5, True)(x, BOXES).dtype == torch.float32


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_float32_under_autocast(family):
    model = detector(family)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(clips(family), BOXES)
    logits.square().sum().backward()
    assert logits.dtype == torch.float32
    assert all(grad.isfinite().all() for grad in gradients(model))
