"""Parameters and GMACs of A3D's networks (arXiv 2011.12384), from the specs, on the meta device."""

import functools
from pathlib import Path

import pytest
import torch

from slowfast.config.cli import load_cfg
from slowfast.models import build_model
from slowfast.models.complexity import build_complexity, count_macs, count_parameters
from slowfast.models.slimmable import make_slimmable, narrow, width
from tests.helpers.paths import ROOT
from tests.helpers.slow import slow_but

CONFIGS = ROOT / "configs" / "Kinetics"
SLOW = CONFIGS / "slow" / "SLOW_8x8_R50.yaml"
SLOWFAST = CONFIGS / "slowfast" / "SLOWFAST_4x16_R50.yaml"

# Width, frames (of the slow pathway), crop -> GMACs.
SLOW_GMACS = {
    (1.0, 8, 256): 54.518,
    (1.0, 8, 224): 41.741,
    (1.0, 6, 224): 31.306,
    (1.0, 4, 224): 20.871,
    (1.0, 4, 256): 27.260,
    (1.0, 2, 256): 13.630,
    (0.9, 6, 224): 25.252,
    (0.9, 4, 224): 16.835,
    (0.8, 4, 224): 13.397,
    (0.8, 4, 192): 9.843,
    (0.7, 4, 192): 7.616,
    (0.5, 4, 224): 5.336,
    (0.5, 4, 192): 3.920,
    (0.5, 4, 160): 2.723,
    (0.5, 2, 192): 1.960,
    (0.5, 2, 160): 1.362,
    (0.5, 2, 128): 0.872,
    (0.83, 8, 224): 29.330,
    (0.73, 8, 224): 22.547,
    (0.63, 8, 224): 16.600,
    (0.63, 5, 224): 10.375,
    (0.63, 5, 178): 7.306,
    (0.63, 3, 178): 4.384,
    (0.63, 3, 142): 2.675,
    (0.6, 8, 224): 15.418,
    (0.73, 5, 224): 14.092,
}
SLOWFAST_GMACS = {
    (1.0, 4, 256): 36.099,
    (1.0, 4, 224): 27.639,
    (1.0, 3, 224): 22.148,
    (1.0, 2, 256): 21.757,
    (0.83, 4, 224): 21.250,
    (0.83, 3, 224): 17.357,
    (0.73, 3, 224): 14.729,
    (0.63, 3, 224): 12.414,
    (0.63, 2, 224): 10.168,
    (0.63, 2, 178): 8.838,
    (0.83, 2, 142): 9.018,
    (0.73, 2, 142): 8.267,
    (0.63, 2, 142): 7.604,
}
# Width -> millions of parameters, batch norm included.
SLOW_PARAMS = {
    1.0: 32.454,
    0.9: 26.516,
    0.83: 22.547,
    0.8: 20.965,
    0.73: 17.456,
    0.7: 16.043,
    0.63: 12.963,
    0.6: 11.798,
    0.5: 8.334,
}
SLOWFAST_PARAMS = {1.0: 34.480, 0.83: 24.369, 0.73: 19.160, 0.63: 14.545}
# Width -> stem; inner widths and outputs of res2 ... res5.
WIDTHS = {
    0.93: (56, [56, 120, 240, 480], [240, 480, 952, 1904]),
    0.9: (56, [56, 112, 232, 464], [232, 464, 920, 1840]),
    0.83: (56, [56, 104, 216, 424], [216, 424, 848, 1696]),
    0.8: (48, [48, 104, 208, 408], [208, 408, 816, 1640]),
    0.73: (48, [48, 96, 184, 376], [184, 376, 744, 1496]),
    0.7: (48, [48, 88, 176, 360], [176, 360, 720, 1432]),
    0.63: (40, [40, 80, 160, 320], [160, 320, 648, 1288]),
    0.6: (40, [40, 80, 152, 304], [152, 304, 616, 1232]),
    0.5: (32, [32, 64, 128, 256], [128, 256, 512, 1024]),
}


@functools.cache
def adaptive(path):
    with torch.device("meta"):
        return make_slimmable(build_model(load_cfg(path)))


def gmacs(path, share, *clips):
    model = adaptive(path)
    with width(model, share):
        macs = count_macs(model, [torch.empty(1, 3, *clip, device="meta") for clip in clips])
    return sum(macs.values()) / 1e9


def millions(model):
    return sum(count_parameters(model).values()) / 1e6


@pytest.mark.parametrize(
    ("share", "frames", "crop"), slow_but([(1.0, 8, 224), (0.63, 5, 178)], SLOW_GMACS)
)
def test_a3d_slow_has_its_cost(share, frames, crop):
    cost = gmacs(SLOW, share, (frames, crop, crop))
    assert cost == pytest.approx(SLOW_GMACS[share, frames, crop], abs=0.005)


@pytest.mark.parametrize(
    ("share", "frames", "crop"), slow_but([(1.0, 4, 256), (0.63, 2, 178)], SLOWFAST_GMACS)
)
def test_a3d_slowfast_has_its_cost(share, frames, crop):
    """The fast pathway keeps its 32 frames, and 224 pixels but beside slow ones of 256."""
    cost = gmacs(SLOWFAST, share, (frames, crop, crop), (32, max(crop, 224), max(crop, 224)))
    assert cost == pytest.approx(SLOWFAST_GMACS[share, frames, crop], abs=0.005)


@pytest.mark.parametrize(
    ("path", "share", "params"),
    [
        *((SLOW, *row) for row in SLOW_PARAMS.items()),
        *((SLOWFAST, *row) for row in SLOWFAST_PARAMS.items()),
    ],
    ids=lambda value: value.stem if isinstance(value, Path) else None,
)
def test_a3d_has_its_parameters(path, share, params):
    assert millions(narrow(adaptive(path), share)) == pytest.approx(params, abs=0.001)


def test_a_config_with_a_width_counts_the_narrow_network():
    complexity = build_complexity(load_cfg(SLOW, ["MODEL.WIDTH", "0.5", "DATA.NUM_FRAMES", "4"]))
    assert complexity.params / 1e6 == pytest.approx(SLOW_PARAMS[0.5], abs=0.001)
    assert complexity.macs_train / 1e9 == pytest.approx(SLOW_GMACS[0.5, 4, 224], abs=0.005)


@pytest.mark.parametrize("share", WIDTHS)
def test_a3d_has_its_widths(share):
    dim_stem, dims_inner, dims_out = WIDTHS[share]
    for path in (SLOW, SLOWFAST):
        model = narrow(adaptive(path), share)
        blocks = [getattr(model, f"s{i}").pathway0_res1 for i in (2, 3, 4, 5)]
        assert model.s1.pathway0_stem.conv.out_channels == dim_stem
        assert [block.branch2.a.out_channels for block in blocks] == dims_inner
        assert [block.branch2.b.out_channels for block in blocks] == dims_inner
        assert [block.branch2.c.out_channels for block in blocks] == dims_out
        assert model.head.projection.in_features - dims_out[-1] == 256 * (path is SLOWFAST)
