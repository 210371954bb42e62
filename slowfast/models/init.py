"""Initial weights."""

import math

from torch import nn

from slowfast.models.blocks import ResBlock
from slowfast.models.nonlocal_ import NonLocal


def init_weights(
    model: nn.Module, *, fc_std: float, zero_final_norm: bool, zero_final_conv: bool
) -> None:
    """Draw convolutions N(0, 2 / (out * kt * kh * kw)) and linear layers N(0, fc_std^2), in place.

    `out` counts all output channels, also in grouped convolutions. Biases start at 0, gammas at 1,
    or at 0 in the last batch norm of each residual branch and Non-local block: `zero_final_norm`
    (arXiv 1706.02677). `zero_final_conv`: the last convolution of each residual branch starts at 0.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv3d):
            fan_out = module.out_channels * math.prod(module.kernel_size)
            nn.init.normal_(module.weight, std=math.sqrt(2.0 / fan_out))
            _zero_bias(module)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=fc_std)
            _zero_bias(module)
    for module in model.modules():
        if isinstance(module, ResBlock):
            if zero_final_norm:
                nn.init.zeros_(module.branch2.final_norm.weight)
            if zero_final_conv:
                nn.init.zeros_(module.branch2.final_conv.weight)
        elif isinstance(module, NonLocal) and zero_final_norm:
            nn.init.zeros_(module.bn.weight)


def _zero_bias(module: nn.Conv3d | nn.Linear) -> None:
    if module.bias is not None:
        nn.init.zeros_(module.bias)
