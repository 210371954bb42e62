"""ECO-Lite: what its residual blocks add, and keys that it has no use for."""

import pytest
import torch

from slowfast.config.checks import check_cfg
from slowfast.models.families.eco import ResidualPair
from slowfast.models.norm import make_norm
from tests.helpers.configs import cfg_with


def test_second_block_adds_to_the_sum_before_batch_norm():
    torch.manual_seed(0)
    pair = ResidualPair(2, 3, stride=1, has_branch=False, norm=make_norm("batchnorm", 1)).eval()
    torch.nn.init.zeros_(pair.b2.weight)
    torch.nn.init.zeros_(pair.b2.bias)
    torch.nn.init.constant_(pair.a_bn.bias, 7.0)  # seen by the second branch alone
    x = torch.randn(1, 2, 2, 4, 4)
    torch.testing.assert_close(pair(x), pair.b_bn(pair.down(x)).relu())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MODEL.DROPCONNECT_RATE", 0.1),
        ("RESNET.ZERO_INIT_FINAL_BN", True),
        ("RESNET.ZERO_INIT_FINAL_CONV", True),
    ],
)
def test_key_without_effect_is_refused(key, value):
    cfg = cfg_with({"MODEL.MODEL_NAME": "ECO", "DATA.INPUT_CHANNEL_NUM": [3], key: value})
    with pytest.raises(ValueError, match=f"{key}: {value} must be .* for ECO"):
        check_cfg(cfg)
