"""TSM (arXiv 1811.08383): TSN whose blocks see an eighth of the next and of the last frame.

The stages are those of tsn.py; in front of the residual branch of each block

    channels      come from
    first 1/8     the next frame, in the last one 0
    second 1/8    the frame before, in the first one 0
    all others    the frame itself

In ResNets of 101 layers and more that is so in every second block, from the first of each stage.
"""

from functools import partial

import torch
from torch import nn

from slowfast.config.node import ConfigNode
from slowfast.models.blocks import BlockSpec, ResBlock
from slowfast.models.families.tsn import build_consensus_head, build_frame_stages
from slowfast.models.network import VideoNetwork, assemble, build_init
from slowfast.models.widths import parts_of


def temporal_shift(x: torch.Tensor, num: int) -> torch.Tensor:
    """`x`, N,C,T,H,W, with `num` channels of the next frame, then as many of the one before."""
    if not torch.is_grad_enabled():
        return _shifted(x, slice(0, num), slice(num, 2 * num))
    return _Shift.apply(x, num, False)


def _shifted(x: torch.Tensor, of_next: slice, of_last: slice) -> torch.Tensor:
    """Copy of `x` with channels of the next and of the last frame, 0 where there is none."""
    out = x.clone(memory_format=torch.preserve_format)
    out[:, of_next, :-1] = x[:, of_next, 1:]
    out[:, of_next, -1] = 0
    out[:, of_last, 1:] = x[:, of_last, :-1]
    out[:, of_last, 0] = 0
    return out


class _Shift(torch.autograd.Function):
    """`temporal_shift`, or with `is_back` its gradient, which autograd would take long to find."""

    @staticmethod
    def forward(ctx, x, num, is_back):
        ctx.num, ctx.is_back = num, is_back
        first, second = slice(0, num), slice(num, 2 * num)
        return _shifted(x, second, first) if is_back else _shifted(x, first, second)

    @staticmethod
    def backward(ctx, grad):
        return _Shift.apply(grad, ctx.num, not ctx.is_back), None, None


class ShiftBlock(ResBlock):
    """ResBlock whose branch sees 1/`divisor` of the channels of either neighbouring frame.

    shifts_shortcut: so does the convolution of its shortcut. Of a narrow network the same channels
    are shifted as of the whole one, since both share their weights.
    """

    def __init__(
        self,
        block: BlockSpec,
        branch: nn.Module,
        *,
        divisor: int,
        shifts_shortcut: bool = False,
        **options,
    ):
        super().__init__(block, branch, **options)
        self.num_shifted = sum(parts_of(block.dim_in)) // divisor
        self.shifts_shortcut = shifts_shortcut and self.has_projection

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shifted = temporal_shift(x, self.num_shifted)
        shortcut = self.shortcut(shifted if self.shifts_shortcut else x)
        return self._add(shortcut, self.branch2(shifted))


def make_shift_block(
    block: BlockSpec,
    branch: nn.Module,
    *,
    step: int,
    divisor: int,
    shifts_shortcut: bool,
    **options,
) -> ResBlock:
    """A ShiftBlock in every `step`-th block of a stage, a ResBlock in the others."""
    if block.index % step:
        return ResBlock(block, branch, **options)
    return ShiftBlock(block, branch, divisor=divisor, shifts_shortcut=shifts_shortcut, **options)


def build_shift_stages(cfg: ConfigNode) -> tuple[dict[str, nn.Module], int]:
    """The stages s1 ... s5 of TSM, and the channels of the last map."""
    make_block = partial(
        make_shift_block,
        step=2 if cfg.RESNET.DEPTH >= 101 else 1,
        divisor=cfg.TSM.SHIFT_DIV,
        shifts_shortcut=cfg.TSM.SHIFT_SHORTCUT,
    )
    return build_frame_stages(cfg, make_block=make_block)


def build_tsm(cfg: ConfigNode) -> VideoNetwork:
    """TSM of any RESNET.DEPTH; MODEL.ARCH is not read."""
    stages, dim_out = build_shift_stages(cfg)
    return assemble(stages, build_consensus_head(cfg, dim_out), build_init(cfg))
