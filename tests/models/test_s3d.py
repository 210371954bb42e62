"""The S3D family: sizes, variants, and who can tell the order of frames."""

import pytest
import torch
import torchvision
from torch import nn

from slowfast.analysis.complexity import count_macs
from slowfast.checkpoint.inception import from_torchvision_s3d
from slowfast.config.defaults import get_cfg
from slowfast.models import build_model
from slowfast.models.heads import AveragePool
from slowfast.models.layers import FeatureGate
from slowfast.models.meta import build_meta_inputs

VARIANTS = ["i3d", "i2d", "s3d", "s3d-g", "fast-s3d"]
TINY = {"WIDTH_FACTOR": 0.125}


def s3d_cfg(num_classes=5, frames=8, crop=32, **keys):
    """Keys of the section S3D, on a small clip."""
    cfg = get_cfg()
    cfg.MODEL.MODEL_NAME = "S3D"
    cfg.MODEL.NUM_CLASSES = num_classes
    cfg.MODEL.DROPOUT_RATE = 0.0
    cfg.DATA.INPUT_CHANNEL_NUM = [3]
    cfg.DATA.NUM_FRAMES = frames
    cfg.DATA.TRAIN_CROP_SIZE = crop
    cfg.merge_from_list([part for key, value in keys.items() for part in (f"S3D.{key}", value)])
    return cfg


def build(**keys):
    torch.manual_seed(0)
    return build_model(s3d_cfg(**keys))


def size(**keys):
    """Parameters, and GMACs of a clip of 64 x 224 x 224, with 400 classes."""
    cfg = s3d_cfg(400, 64, 224, **keys)
    with torch.device("meta"):
        model = build_model(cfg)
    macs = count_macs(model, *build_meta_inputs(cfg, 224))
    return sum(p.numel() for p in model.parameters()), sum(macs.values()) / 1e9


def randomise_statistics(model):
    """Batch norms that do something in evaluation."""
    for name, tensor in model.state_dict().items():
        if name.endswith("running_mean"):
            tensor.normal_(std=0.1)
        elif tensor.ndim == 1 and not name.endswith("bias"):
            tensor.uniform_(0.5, 1.5)


@pytest.mark.parametrize(
    ("keys", "params", "gmacs"),
    [
        ({"VARIANT": "i3d"}, 12_697_264, 111.15),
        ({"VARIANT": "i2d"}, 6_009_904, 36.89),
        ({"VARIANT": "s3d"}, 8_320_048, 71.92),
        ({"VARIANT": "s3d", "STEM_KERNEL_T": 3}, 8_303_664, 65.34),
        ({"VARIANT": "s3d", "ALL_BRANCHES": True}, 9_708_048, 75.92),
        ({"VARIANT": "s3d-g"}, 9_085_744, 71.92),
        ({"VARIANT": "s3d-g", "ALL_BRANCHES": True}, 10_937_216, 75.92),
        ({"VARIANT": "fast-s3d"}, 6_859_696, 37.22),
        ({"VARIANT": "fast-s3d", "STEM": "3d", "STEM_KERNEL_T": 3}, 6_878_512, 44.78),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)
def test_variant_has_its_size(keys, params, gmacs):
    num_params, measured = size(**keys)
    assert num_params == params
    assert measured == pytest.approx(gmacs, abs=0.01)


# K -> parameters (M) and GMACs of bottom-heavy and top-heavy I3D, bottom-heavy and top-heavy S3D.
HEAVY = """
0   6.066/59.55   12.697/111.15  6.039/52.18  8.320/71.92
1   6.288/81.75   12.641/88.49   6.150/63.27  8.291/56.63
2   6.518/87.53   12.420/66.30   6.202/64.58  8.180/45.53
3   7.016/100.01  12.189/60.52   6.341/68.05  8.128/44.22
4   7.389/101.18  11.692/48.03   6.478/68.48  7.989/40.75
5   7.868/102.69  11.318/46.86   6.642/68.99  7.852/40.33
6   8.486/104.62  10.839/45.36   6.851/69.65  7.688/39.81
7   9.269/107.08  10.222/43.42   7.113/70.47  7.479/39.16
8   10.264/110.20 9.438/40.97    7.470/71.58  7.217/38.34
9   11.260/110.59 8.443/37.84    7.828/71.72  6.860/37.22
10  12.697/111.15 7.448/37.45    8.320/71.92  6.502/37.08
"""
FAMILIES = [("bottom", False), ("top", False), ("bottom", True), ("top", True)]


@pytest.mark.parametrize("row", HEAVY.split("\n")[1:-1], ids=lambda row: f"K={row.split()[0]}")
@pytest.mark.parametrize("column", range(4), ids=["bottom I3D", "top I3D", "bottom S3D", "top S3D"])
def test_heavy_network_has_its_size(row, column):
    position, *cells = row.split()
    params, gmacs = cells[column].split("/")
    end, is_separable = FAMILIES[column]
    num_params, measured = size(
        VARIANT="", TEMPORAL_END=end, POSITION=int(position), SEPARABLE=is_separable
    )
    assert f"{num_params / 1e6:.3f}" == params
    assert measured == pytest.approx(float(gmacs), abs=0.01)


@torch.no_grad()
def test_logits_are_those_of_torchvision():
    torch.manual_seed(0)
    theirs = torchvision.models.video.s3d(num_classes=5).double().eval()
    randomise_statistics(theirs)
    # Their average pool does not shrink to small maps.
    theirs.avgpool = nn.AvgPool3d((2, 2, 2), stride=1)
    ours = build(VARIANT="s3d").double().eval()
    ours.head.activation = "none"
    ours.load_state_dict(from_torchvision_s3d(theirs.state_dict()))
    clip = torch.randn(1, 3, 16, 64, 64, dtype=torch.float64)
    expected = theirs(clip)
    assert expected.std() > 0.01
    for clips in (clip, clip.contiguous(memory_format=torch.channels_last_3d)):
        torch.testing.assert_close(ours([clips]), expected, rtol=1e-6, atol=1e-9)


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


@pytest.mark.parametrize(("variant", "pool_t"), [("i2d", 1), ("s3d", 2), ("fast-s3d", 2)])
def test_head_pools_two_frames_where_the_top_sees_time(variant, pool_t):
    assert build(VARIANT=variant).head.pool == AveragePool((pool_t, 7, 7))


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
