"""TSN (arXiv 1608.00859): a 2D ResNet on one frame of each segment, then a consensus.

TSN R50 on clips of 3 x 8 x 224 x 224 (C x T x H x W), one frame of each of 8 segments:

    stage      layers                                                  width  output
    s1         1x7x7, stride 1, 2, 2; max-pool 1x3x3, stride 1, 2, 2      64  8 x 56 x 56
    s2         [1x1x1, 64; 1x3x3, 64; 1x1x1, 256] x 3                    256  8 x 56 x 56
    s3         [1x1x1, 128; 1x3x3, 128; 1x1x1, 512] x 4                  512  8 x 28 x 28
    s4         [1x1x1, 256; 1x3x3, 256; 1x1x1, 1024] x 6                1024  8 x 14 x 14
    s5         [1x1x1, 512; 1x3x3, 512; 1x1x1, 2048] x 3                2048  8 x 7 x 7
    head       average 1x7x7; linear                                    2048  8 x 1 x 1
    consensus  mean of the frames' logits                                     1 x 1 x 1

Names are those of resnet.py. The other networks on segments have these stages, too, with something
between frames.
"""

from collections.abc import Callable

from torch import nn

from slowfast.config.node import ConfigNode
from slowfast.models.blocks import ResBlock
from slowfast.models.families.resnet import C2D, TemporalKernels, build_pathway, build_stages
from slowfast.models.heads import (
    AveragePool,
    FramePool,
    MeanLogitsHead,
    build_classifier,
    build_pool,
)
from slowfast.models.network import VideoNetwork, assemble, build_init, single_pathway_channels
from slowfast.models.norm import build_norm


def build_frame_stages(
    cfg: ConfigNode,
    *,
    make_block: Callable[..., ResBlock] = ResBlock,
    make_branch: Callable[..., nn.Module] | None = None,
    kernels: TemporalKernels = C2D,
) -> tuple[dict[str, nn.Module], int]:
    """The stages s1 ... s5 of a 2D ResNet on each frame, and the channels of its last map.

    Blocks of `make_block`, branches of `make_branch` (see build_stages), and temporal `kernels` may
    look at other frames.
    """
    dim_clip = single_pathway_channels(cfg.DATA.INPUT_CHANNEL_NUM, model=cfg.MODEL.MODEL_NAME)
    pathway = build_pathway(cfg, kernels, dim_clip)
    made = {"make_block": make_block, "make_branch": make_branch}
    return build_stages(cfg, [pathway], norm=build_norm(cfg), **made), pathway.dim_out


def build_consensus_head(cfg: ConfigNode, dim_in: int, *, map_stride: int = 32) -> MeanLogitsHead:
    """The head of SEGMENTS.CONSENSUS on maps of any size; in detection that of boxes."""
    pool = FramePool() if cfg.SEGMENTS.CONSENSUS == "logits" else AveragePool(None)
    pool = build_pool(cfg, pool, map_stride=map_stride)
    return MeanLogitsHead(pool, build_classifier(cfg, [dim_in]))


def build_tsn(cfg: ConfigNode) -> VideoNetwork:
    """TSN of any RESNET.DEPTH; MODEL.ARCH is not read."""
    stages, dim_out = build_frame_stages(cfg)
    return assemble(stages, build_consensus_head(cfg, dim_out), build_init(cfg))
