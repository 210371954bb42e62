"""The S3D family: sizes, variants, and who can tell the order of frames."""

import json
from itertools import product

import pytest
import torch
import torchvision
from torch import nn

from slowfast.checkpoint.torchvision import from_torchvision_s3d
from slowfast.models import build_model
from slowfast.models.build import build_meta_inputs
from slowfast.models.complexity import count_macs
from slowfast.models.heads import AveragePool
from slowfast.models.layers import FeatureGate
from tests.helpers.configs import cfg_with
from tests.helpers.paths import GOLDENS
from tests.helpers.slow import slow_but

VARIANTS = ["i3d", "i2d", "s3d", "s3d-g", "fast-s3d"]
TINY = {"WIDTH_FACTOR": 0.125}


def s3d_cfg(num_classes=5, frames=8, crop=32, **keys):
    """Keys of the section S3D, on a small clip."""
    values = {"MODEL.MODEL_NAME": "S3D", "MODEL.NUM_CLASSES": num_classes}
    values |= {"DATA.INPUT_CHANNEL_NUM": [3], "DATA.NUM_FRAMES": frames}
    values |= {"DATA.TRAIN_CROP_SIZE": crop, "MODEL.DROPOUT_RATE": 0.0}
    return cfg_with({**values, **{f"S3D.{key}": value for key, value in keys.items()}})


def build(**keys):
    torch.manual_seed(0)
    return build_model(s3d_cfg(**keys))


def size(**keys):
    """Parameters, and MACs of a clip of 64 x 224 x 224, with 400 classes."""
    cfg = s3d_cfg(400, 64, 224, **keys)
    with torch.device("meta"):
        model = build_model(cfg)
    macs = count_macs(model, *build_meta_inputs(cfg, 224))
    return sum(p.numel() for p in model.parameters()), sum(macs.values())


def randomise_statistics(model):
    """Batch norms that do something in evaluation."""
    for name, tensor in model.state_dict().items():
        if name.endswith("running_mean"):
            tensor.normal_(std=0.1)
        elif tensor.ndim == 1 and not name.endswith("bias"):
            tensor.uniform_(0.5, 1.5)


# Named variants, then bottom- and top-heavy I3D and S3D at every position K.
SIZES = json.loads((GOLDENS / "s3d.json").read_text())


@pytest.mark.parametrize(
    "row", slow_but(SIZES[:8], SIZES), ids=lambda row: "-".join(map(str, row["keys"].values()))
)
def test_network_has_its_size(row):
    assert size(**row["keys"]) == (row["params"], row["macs"])


def test_every_position_of_the_four_heavy_families_has_its_size():
    heavy = [row["keys"] for row in SIZES if not row["keys"]["VARIANT"]]
    families = {(keys["TEMPORAL_END"], keys["SEPARABLE"], keys["POSITION"]) for keys in heavy}
    assert families == set(product(("top", "bottom"), (True, False), range(11)))


@pytest.mark.slow
@torch.no_grad()
def test_logits_are_those_of_torchvision():
    torch.manual_seed(0)
    theirs = torchvision.models.video.s3d(num_classes=5).double().eval()
    randomise_statistics(theirs)
    # Their average pool does not shrink to small maps.
    theirs.avgpool = nn.AvgPool3d((2, 2, 2), stride=1)
    ours = build(VARIANT="s3d").double().eval()
    ours.head.projection.activation = "none"
    ours.load_state_dict(from_torchvision_s3d(theirs.state_dict()))
    clip = torch.randn(1, 3, 16, 64, 64, dtype=torch.float64)
    expected = theirs(clip)
    assert expected.std() > 0.01
    for clips in (clip, clip.contiguous(memory_format=torch.channels_last_3d)):
        torch.testing.assert_close(ours([clips]), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("num_frames", [2, 8])
def test_head_at_the_crop_of_224_is_that_of_torchvision(num_frames):
    torch.manual_seed(0)
    theirs = torchvision.models.video.s3d(num_classes=5).eval()
    ours = build(VARIANT="s3d").eval().head
    ours.projection.activation = "none"
    state = from_torchvision_s3d(theirs.state_dict())
    names = [name for name in state if name.startswith("head.")]
    ours.load_state_dict({name.removeprefix("head."): state[name] for name in names})
    maps = torch.rand(2, 1024, num_frames, 7, 7)
    expected = theirs.classifier(theirs.avgpool(maps)).mean((2, 3, 4))
    torch.testing.assert_close(ours([maps]), expected)


@pytest.mark.parametrize(
    "keys",
    [
        *({"VARIANT": variant} for variant in VARIANTS),
        {"VARIANT": "s3d-g", "ALL_BRANCHES": True, "STEM": "3d", "STEM_KERNEL_T": 5},
        {"VARIANT": "", "TEMPORAL_END": "bottom", "POSITION": 4, "SEPARABLE": False},
        {"VARIANT": "", "POSITION": 5, "GATING": True, "SEPARABLE": False, "ALL_BRANCHES": True},
    ],
    ids=lambda keys: "-".join(map(str, keys.values())),
)
def test_variant_trains_a_step_with_finite_gradients(keys):
    model = build(**keys, **TINY).to(memory_format=torch.channels_last_3d)
    clip = torch.randn(2, 3, 9, 64, 48).contiguous(memory_format=torch.channels_last_3d)
    loss = nn.functional.cross_entropy(model([clip]), torch.tensor([1, 3]))
    loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    assert [name for name, g in gradients.items() if g is None or not g.isfinite().all()] == []
    assert all(gradients[f"s{stage}.pathway0_{key}.conv.weight"].any() for stage, key in UNITS)


UNITS = [
    (1, "stem"),
    (2, "conv2c"),
    (3, "mixed3b.branch1"),
    (4, "mixed4f.branch2"),
    (5, "mixed5c.branch3"),
]


@torch.no_grad()
@pytest.mark.parametrize("variant", VARIANTS)
def test_memory_formats_agree(variant):
    model = build(VARIANT=variant, **TINY).double().eval()
    clip = torch.randn(2, 3, 9, 64, 48, dtype=torch.float64)
    folded = clip.contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(model([folded]), model([clip]))


@torch.no_grad()
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("shape", [(1, 32, 32), (2, 40, 72), (5, 96, 33), (13, 16, 16)])
def test_any_length_and_rectangle_gives_scores(variant, shape):
    scores = build(VARIANT=variant, **TINY).eval()([torch.randn(2, 3, *shape)])
    torch.testing.assert_close(scores.sum(1), torch.ones(2))


@pytest.mark.parametrize("variant", VARIANTS)
def test_stages_halve_time_three_times_and_space_five_times(variant):
    model, x = build(VARIANT=variant, **TINY), [torch.randn(1, 3, 16, 64, 96)]
    shapes = []
    for number in range(1, 6):
        x = getattr(model, f"s{number}")(x)
        shapes.append(tuple(x[0].shape[2:]))
    assert shapes == [(8, 32, 48), (8, 16, 24), (8, 8, 12), (4, 4, 6), (2, 2, 3)]


def with_time(model):
    return {
        name.removesuffix(".conv_t").split("pathway0_")[1]
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv3d) and module.kernel_size[0] > 1
    }


def test_nothing_starts_at_zero():
    cfg = s3d_cfg(**TINY)
    cfg.RESNET.ZERO_INIT_FINAL_BN = True
    with pytest.raises(ValueError, match="RESNET.ZERO_INIT_FINAL_BN: True must be False for S3D"):
        build_model(cfg)


@pytest.mark.slow
def test_top_heavy_and_bottom_heavy_are_temporal_where_they_say():
    inner = [f"{block}.branch{number}" for block in ("mixed5b", "mixed5c") for number in (1, 2)]
    assert with_time(build(VARIANT="", POSITION=9)) == set(inner)
    assert with_time(build(VARIANT="", TEMPORAL_END="bottom", POSITION=1)) == {"stem", "conv2c"}
    outer = [f"mixed5c.branch{number}" for number in range(4)]
    assert with_time(build(VARIANT="", POSITION=10, ALL_BRANCHES=True)) == set(outer)
    assert with_time(build(VARIANT="i2d")) == set()
    assert with_time(build(VARIANT="fast-s3d", STEM="separable")) == {"stem", *inner}


def test_every_temporal_convolution_is_gated_in_s3d_g():
    model = build(VARIANT="s3d-g", ALL_BRANCHES=True)
    gates = {n for n, module in model.named_modules() if isinstance(module, FeatureGate)}
    assert {name.removesuffix(".gate").split("pathway0_")[1] for name in gates} == with_time(model)
    assert len(gates) == 2 + 9 * 4


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "pool_t"), [("i2d", 1), ("s3d", 2), ("fast-s3d", 2)])
def test_head_pools_two_frames_where_the_top_sees_time(variant, pool_t):
    assert build(VARIANT=variant).head.pool == AveragePool((pool_t, 7, 7))


@pytest.mark.slow
def test_batch_norms_have_the_constants_of_the_paper_s_code():
    for kind in ("batchnorm", "sub_batchnorm", "sync_batchnorm"):
        cfg = s3d_cfg(VARIANT="s3d", **TINY)
        cfg.BN.NORM_TYPE = kind
        norms = [m for m in build_model(cfg).modules() if isinstance(m, nn.BatchNorm3d)]
        assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 1e-3)} and len(norms) == 77


def reversal_gap(variant, frames):
    """Largest change of the maps' mean over time when the clip is played backwards."""
    torch.manual_seed(0)
    model = build(VARIANT=variant, **TINY).double().eval()
    randomise_statistics(model)
    clip = torch.randn(1, 3, frames, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        forwards, backwards = (model.forward_features([x])[0].mean(2) for x in (clip, clip.flip(2)))
    return float((forwards - backwards).abs().max() / forwards.abs().max())


# Time strides are 2 in the stem, the pool before 4b and that before 5b. They keep the middle of a
# clip in the middle where the first two see odd lengths and the last an even one, 5 + 8n frames, or
# where there is one frame.
@pytest.mark.parametrize("frames", [1, 5, 13, 21])
def test_i2d_is_blind_to_order_where_its_strides_are_symmetric(frames):
    assert reversal_gap("i2d", frames) < 1e-12


@pytest.mark.parametrize("frames", [8, 9, 16])
def test_i2d_sees_other_frames_of_a_reversed_clip_elsewhere(frames):
    assert reversal_gap("i2d", frames) > 1e-3


@pytest.mark.parametrize("variant", ["i3d", "s3d", "s3d-g", "fast-s3d"])
def test_networks_with_temporal_convolutions_see_order(variant):
    assert reversal_gap(variant, 13) > 1e-3


def test_i2d_is_blind_to_a_still_clip_s_length():
    model = build(VARIANT="i2d", **TINY).double().eval()
    image = torch.randn(1, 3, 1, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        scores = [model([image.repeat(1, 1, frames, 1, 1)]) for frames in (1, 6, 16)]
    torch.testing.assert_close(scores[1:], [scores[0], scores[0]])
