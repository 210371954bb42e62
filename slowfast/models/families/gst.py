"""GST (arXiv 1909.07086): some channels of each block from 3x3x3, the others from 1x3x3 kernels.

GST R50 on clips of 3 x 8 x 224 x 224 (C x T x H x W); alpha 4, beta 2:

    stage      layers                                                     width  output
    s1         1x7x7, stride 1, 2, 2; max-pool 1x3x3, stride 1, 2, 2         64  8 x 56 x 56
    s2         [1x1x1, 64; 1x3x3, 48 and 3x3x3, 16; 1x1x1, 256] x 3         256  8 x 56 x 56
    s3         [1x1x1, 128; 1x3x3, 96 and 3x3x3, 32; 1x1x1, 512] x 4        512  8 x 28 x 28
    s4         [1x1x1, 256; 1x3x3, 192 and 3x3x3, 64; 1x1x1, 1024] x 6     1024  8 x 14 x 14
    s5         [1x1x1, 512; 1x3x3, 384 and 3x3x3, 128; 1x1x1, 2048] x 3    2048  8 x 7 x 7
    head       average 1x7x7; linear                                       2048  8 x 1 x 1
    consensus  mean of the frames' logits                                        1 x 1 x 1

1/alpha of the channels come from the 3x3x3. With beta 2 the 1x3x3 sees the first half of the
channels and the 3x3x3 the second one; with beta 1 (GST-Large) both see all.
"""

from collections.abc import Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from slowfast.config.node import ConfigNode
from slowfast.models.blocks import BlockSpec, HasFinalConv
from slowfast.models.conv import conv3d
from slowfast.models.families.tsn import build_consensus_head, build_frame_stages
from slowfast.models.network import VideoNetwork, assemble, build_init
from slowfast.models.norm import Norm, build_norm


class GroupedBranch(HasFinalConv, nn.Module):
    """Residual branch: 1x1x1, then 1x3x3 beside 3x3x3 (`b` and `b_t`, both strided), 1x1x1."""

    def __init__(self, block: BlockSpec, *, kernel_t: int, alpha: int, beta: int, norm: Norm):
        super().__init__()
        assert kernel_t == 1, "temporal kernels are in b_t"
        dim, stride = block.dim_inner, (1, block.stride, block.stride)
        if dim % alpha or dim % beta:
            raise ValueError(
                f"GST.ALPHA: {alpha} does not divide the inner width {dim} of a block "
                f"(nor may GST.BETA {beta} leave a rest)"
            )
        dilation, dim_t = (1, block.dilation, block.dilation), dim // alpha
        self.dim_seen = dim // beta
        self.a = conv3d(block.dim_in, dim, 1)
        self.a_bn = norm(dim)
        self.b = conv3d(self.dim_seen, dim - dim_t, (1, 3, 3), stride=stride, dilation=dilation)
        self.b_t = conv3d(self.dim_seen, dim_t, (3, 3, 3), stride=stride, dilation=dilation)
        self.b_bn = norm(dim)
        self.c = conv3d(dim, block.dim_out, 1)
        self.c_bn = norm(block.dim_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.a_bn(self.a(x)), inplace=True)
        space, time = self.b(x[:, : self.dim_seen]), self.b_t(x[:, -self.dim_seen :])
        x = F.relu(self.b_bn(torch.cat([space, time], 1)), inplace=True)
        return self.c_bn(self.c(x))

    def adapt_weights(
        self, state: Mapping[str, torch.Tensor], prefix: str
    ) -> tuple[dict[str, torch.Tensor | None], str]:
        """Changes to weights of a plain ResNet (see checkpoint.initialize).

        The 1x3x3 takes the part of its kernel for the first outputs and inputs, as in the authors'
        code; the 3x3x3 starts fresh.
        """
        kernel, (dim_out, dim_in) = state.get(f"{prefix}b.weight"), self.b.weight.shape[:2]
        dim = self.a.out_channels
        if kernel is None or kernel.ndim not in (4, 5) or kernel.shape[:2] != (dim, dim):
            return {}, ""
        part = kernel[:dim_out, :dim_in]
        return {f"{prefix}b.weight": part.unsqueeze(2) if part.ndim == 4 else part}, ""


def _check_branch(trans_func: str, num_groups: int, strides_first: bool) -> None:
    if trans_func != "bottleneck_transform" or num_groups != 1 or strides_first:
        raise ValueError(
            f"RESNET.TRANS_FUNC: {trans_func!r} must be 'bottleneck_transform', "
            f"RESNET.NUM_GROUPS {num_groups} 1 and RESNET.STRIDE_1X1 {strides_first} False with "
            "MODEL.MODEL_NAME GST"
        )


def build_gst(cfg: ConfigNode) -> VideoNetwork:
    """GST of 50 layers and more; MODEL.ARCH is not read."""
    resnet, gst = cfg.RESNET, cfg.GST
    _check_branch(resnet.TRANS_FUNC, resnet.NUM_GROUPS, resnet.STRIDE_1X1)
    make_branch = partial(GroupedBranch, alpha=gst.ALPHA, beta=gst.BETA, norm=build_norm(cfg))
    stages, dim_out = build_frame_stages(cfg, make_branch=make_branch)
    return assemble(stages, build_consensus_head(cfg, dim_out), build_init(cfg))
