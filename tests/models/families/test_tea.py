"""TEA: its start, its excitation, and the weights of images."""

import pytest
import torch

from slowfast.checkpoint.layouts import detect_and_rename
from slowfast.config.checks import check_cfg
from slowfast.models import build_model
from slowfast.models.families.tea import MotionExcitation, TemporalConv
from slowfast.models.norm import make_norm
from tests.helpers.configs import cfg_with
from tests.helpers.paths import GOLDENS

SMALL = {
    "MODEL.MODEL_NAME": "TEA",
    "MODEL.NUM_CLASSES": 5,
    "DATA.INPUT_CHANNEL_NUM": [3],
    "RESNET.WIDTH_PER_GROUP": 16,
}


def clip(num_frames=4):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, num_frames, 32, 32, generator=generator)


def started(dim, *, is_shift):
    conv = TemporalConv(dim, is_shift=is_shift)
    conv.draw_weights()
    return conv


def test_temporal_convolution_starts_as_the_identity():
    x = torch.randn(1, 4, 3, 2, 2)
    torch.testing.assert_close(started(4, is_shift=False)(x), x)


def test_temporal_convolution_of_the_last_group_starts_as_a_shift():
    x = torch.randn(1, 4, 3, 2, 2)
    y = started(4, is_shift=True)(x)
    torch.testing.assert_close(y[:, :2, :-1], x[:, :2, 1:])
    torch.testing.assert_close(y[:, 2:, 1:], x[:, 2:, :-1])
    assert not y[:, :2, -1].any() and not y[:, 2:, 0].any()


def test_last_frame_has_no_motion():
    x = torch.randn(1, 16, 3, 4, 4)
    y = MotionExcitation(16, norm=make_norm("batchnorm", 1)).eval()(x)
    torch.testing.assert_close(y[:, :, -1], x[:, :, -1])
    assert not torch.isclose(y[:, :, :-1], x[:, :, :-1]).any()


@pytest.mark.parametrize(
    ("key", "value"),
    [("TRANS_FUNC", "basic_transform"), ("NUM_GROUPS", 2), ("STRIDE_1X1", True)],
)
def test_blocks_of_another_network_are_refused(key, value):
    with pytest.raises(ValueError, match=f"RESNET.{key}: {value!r} must be .* for TEA"):
        check_cfg(cfg_with({**SMALL, f"RESNET.{key}": value}))


def test_res2net_of_images_fills_all_but_motion_and_time():
    released = (GOLDENS / "comparison" / "states" / "tea__tea_r50_8f_sth174.txt").read_text()
    names = [line.split()[0].removeprefix("base_model.") for line in released.splitlines()]
    images = {n: torch.zeros(1) for n in names if ".me." not in n and ".shifts." not in n}
    with torch.device("meta"):
        model = build_model(cfg_with({**SMALL, "RESNET.WIDTH_PER_GROUP": 64}))
    state, layout = detect_and_rename(images, model.state_dict())
    assert layout == "TEA"
    rest = {
        name.split("branch2.")[1].split(".")[0] for name in model.state_dict().keys() - state.keys()
    }
    assert rest == {"me", "times"}
    assert state.keys() <= model.state_dict().keys()


@pytest.mark.slow
def test_narrow_network_keeps_the_inner_widths():
    torch.manual_seed(0)
    model = build_model(cfg_with({**SMALL, "MODEL.WIDTH": 0.5}))
    branch = model.s3.pathway0_res0.branch2
    assert branch.a.weight.shape[:2] == (4 * 13, 32)
    assert branch.c.weight.shape[:2] == (64, 4 * 13)
    out = model([clip()])
    out.square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
