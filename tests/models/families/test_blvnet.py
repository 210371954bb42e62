"""bLVNet-TAM: pairs of frames, and weights of images."""

import pytest
import torch

from slowfast.checkpoint.layouts import detect_and_rename
from slowfast.config.checks import check_cfg
from slowfast.models import build_model
from slowfast.models.families.blvnet import Pair
from tests.helpers.configs import cfg_with

SMALL = {
    "MODEL.MODEL_NAME": "bLVNet",
    "MODEL.NUM_CLASSES": 5,
    "DATA.INPUT_CHANNEL_NUM": [3],
    "DATA.NUM_FRAMES": 4,
    "RESNET.WIDTH_PER_GROUP": 8,
}


def pair():
    """Its TAM leaves frames as they are where they are positive."""
    parts = {name: torch.nn.Identity() for name in ("big", "little", "widen", "fusion")}
    made = Pair(2, **parts)
    with torch.no_grad():
        made.tam.conv.weight.zero_()[:, :, 1] = 1
    return made


def test_frames_of_a_pair_go_on_with_the_sum_of_both():
    x = torch.rand(1, 2, 4, 3, 3)
    y = pair()(x)
    sums = x[:, :, 0::2] + x[:, :, 1::2]
    torch.testing.assert_close(y[:, :, 0::2], sums)
    torch.testing.assert_close(y[:, :, 1::2], sums)


def test_odd_number_of_frames_is_refused():
    with pytest.raises(ValueError, match="DATA.NUM_FRAMES: bLVNet takes pairs of frames, not 3"):
        pair()(torch.rand(1, 2, 3, 3, 3))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"DATA.NUM_FRAMES": 5}, "DATA.NUM_FRAMES: 5 must be even for bLVNet"),
        ({"MODEL.DROPCONNECT_RATE": 0.1}, "MODEL.DROPCONNECT_RATE: 0.1 must be 0 for bLVNet"),
        ({"RESNET.DEPTH": 18}, r"RESNET.DEPTH: 18 must be one of \[50, 101, 152\] for bLVNet"),
        ({"RESNET.NUM_GROUPS": 2}, "RESNET.NUM_GROUPS: 2 must be 1 for bLVNet"),
        (
            {
                "ADAPTIVE.ENABLE": True,
                "ADAPTIVE.FRAMES": [2, 4],
                "ADAPTIVE.POINTS": [[1.0, 1, 64]],
            },
            r"ADAPTIVE.FRAMES: \[2, 4, 1\] must be even",
        ),
    ],
)
def test_config_of_another_network_is_refused(keys, message):
    with pytest.raises(ValueError, match=message):
        check_cfg(cfg_with({**SMALL, **keys}))


def test_taps_of_an_aggregation_become_one_kernel():
    taps = {"prev": 1.0, "curr": 2.0, "next": 3.0}
    state = {f"layer4.0.tam.{tap}.weight": torch.full((2, 1, 1, 1), v) for tap, v in taps.items()}
    state["b_conv0.weight"], wanted = torch.zeros(1, 1, 1, 1), "s5.pathway0_res0.tam.conv.weight"
    state, layout = detect_and_rename(state, [wanted])
    assert layout == "bLVNet-TAM"
    assert state[wanted].flatten(1).tolist() == [[1, 2, 3]] * 2


@pytest.mark.slow
def test_training_reaches_every_parameter_of_a_narrow_network():
    torch.manual_seed(0)
    model = build_model(cfg_with({**SMALL, "RESNET.WIDTH_PER_GROUP": 32, "MODEL.WIDTH": 0.5}))
    model([torch.randn(2, 3, 4, 32, 32)]).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
