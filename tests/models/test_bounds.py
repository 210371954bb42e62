"""Networks that are too large are refused by the sizes that are to blame, before they are built."""

import pytest
import torch
from torch import nn

from slowfast.config.checks import check_cfg
from slowfast.config.defaults import get_cfg
from slowfast.models import MODELS, build_model
from slowfast.models.bounds import TooLarge, make_on_meta, parameters_up_to

X3D = ["MODEL.MODEL_NAME", "X3D", "RESNET.TRANS_FUNC", "x3d_transform"]
X3D += ["DATA.INPUT_CHANNEL_NUM", [3]]
VOV3D = ["MODEL.MODEL_NAME", "VoV3D", "DATA.INPUT_CHANNEL_NUM", [3]]
S3D = ["MODEL.MODEL_NAME", "S3D", "DATA.INPUT_CHANNEL_NUM", [3]]
SLOWFAST = ["MODEL.MODEL_NAME", "SlowFast"]


def refusal(*overrides) -> str:
    cfg = get_cfg()
    cfg.merge_from_list(overrides)
    with pytest.raises(ValueError) as caught:
        check_cfg(cfg)
        build_model(cfg)
    return str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("base", "key", "value"),
    [
        (X3D, "X3D.DIM_C1", 10**9),
        (X3D, "X3D.DIM_C5", 10**9),
        (X3D, "X3D.DIM_C5", 2**62),
        (X3D, "X3D.WIDTH_FACTOR", 1000.0),
        (X3D, "X3D.BOTTLENECK_FACTOR", 1000.0),
        (VOV3D, "VOV3D.INNER_CH", 10**9),
        (VOV3D, "VOV3D.OUT_MULTIPLIER", [1000] * 4),
        (S3D, "S3D.WIDTH_FACTOR", 1000.0),
        (SLOWFAST, "SLOWFAST.FUSION_CONV_CHANNEL_RATIO", 10**9),
        (SLOWFAST, "RESNET.WIDTH_PER_GROUP", 10**9),
    ],
)
def test_network_beyond_the_limit_is_refused_by_its_sizes(base, key, value):
    message = refusal(*base, key, value)
    assert message.startswith("MODEL.MAX_PARAMS: the network would have more than 2000000000 par")
    assert f"the largest first: {key} {value}" in message


@pytest.mark.parametrize(
    ("base", "key", "value"),
    [
        (X3D, "X3D.DEPTH_FACTOR", 1e30),
        (X3D, "X3D.DIM_C1", -1),
        (X3D, "X3D.DIM_C5", 0),
        (X3D, "X3D.SE_RATIO", -1.0),
        (VOV3D, "VOV3D.NUM_CONV", 10**9),
        (VOV3D, "VOV3D.INNER_MULTIPLIER", [None] * 4),
        (VOV3D, "VOV3D.NUM_MODULES", [1.5] * 4),
        (SLOWFAST, "SLOWFAST.FUSION_KERNEL_SZ", 10**9 + 1),
        (SLOWFAST, "RESNET.SPATIAL_DILATIONS", [[10**9]] * 4),
    ],
)
def test_size_that_makes_no_network_is_refused_by_its_key(base, key, value):
    assert refusal(*base, key, value).startswith(f"{key}: ")


def test_limit_is_a_key():
    message = refusal(*X3D, "MODEL.MAX_PARAMS", 1000)
    assert message.startswith("MODEL.MAX_PARAMS: the network would have more than 1000 parameters")


def test_model_of_a_user_is_built_once_and_bounded_too(monkeypatch):
    built = []

    def build_mine(cfg):
        built.append(torch.get_default_device().type)
        return nn.Linear(10, 10)

    monkeypatch.setitem(MODELS._entries, "Mine", build_mine)
    cfg = get_cfg()
    cfg.MODEL.MODEL_NAME = "Mine"
    build_model(cfg)
    assert built == ["cpu"]
    assert "more than 109 parameters" in refusal(
        "MODEL.MODEL_NAME", "Mine", "MODEL.MAX_PARAMS", 109
    )


def test_counting_draws_no_random_numbers():
    before = torch.get_rng_state()
    make_on_meta(lambda: nn.Linear(10, 10), 110)
    assert torch.equal(torch.get_rng_state(), before)


def test_other_errors_of_a_model_stay_what_they_are():
    with pytest.raises(RuntimeError, match="mine"), parameters_up_to(10):
        raise RuntimeError("mine")
    with pytest.raises(TooLarge), parameters_up_to(10):
        torch.empty(2**62, 2**62)
