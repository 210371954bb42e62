"""bLVNet-TAM (arXiv 1912.00869): of each two frames one in full width, one in full resolution.

bLVNet-TAM-50, alpha 2, beta 4, on clips of 3 x 16 x 224 x 224 (C x T x H x W):

    stage    big, of odd frames     little, of even frames             width  output
    s1       1x7x7, stride 2, TAM, and of both                            64  16 x 56 x 56
             3x3, 64, stride 2      3x3, 32; 3x3, 32, stride 2; 1x1, 64
    s2       TAM; block x 2, 256    block, 128; 1x1, 256                 256  16 x 28 x 28
    s3       TAM; block x 3, 512    block, 256; 1x1, 512                 512  16 x 14 x 14
    s4       TAM; block x 5, 1024   block, 512; 1x1, 1024               1024  16 x 14 x 14
    s5       of odd frames [TAM; block, 2048] x 3                       2048  8 x 7 x 7
    head     average 1x7x7; linear; mean over the frames' logits        2048  8 x 1 x 1

A block is 1x1, 3x3, 1x1, with an average of 3x3 in its shortcut where it has a stride. The big
branch of s2, s3 and s4 has half the height and width of the little one: its result is enlarged, and
both are added. A block (in s1 a 1x1) follows, with stride 2 in s2 and s3, and both frames of a pair
go on with what comes out. TAM, the temporal aggregation module, is a depthwise 3x1x1 and a ReLU.

Names that released weights are given by checkpoint/frame_networks.py: s1.pathway0_{stem,pair},
s{2,3,4}.pathway0_pair, s5.pathway0_res{i}, and those that classes list.
"""

from collections.abc import Iterator, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from slowfast.config.checks import register_rule
from slowfast.config.derived import adaptive_frames
from slowfast.config.node import ConfigNode
from slowfast.models.blocks import BlockSpec, BottleneckBranch
from slowfast.models.conv import avg_pool2d, conv3d
from slowfast.models.families.tsn import build_consensus_head
from slowfast.models.network import (
    Stage,
    VideoNetwork,
    assemble,
    build_init,
    refuse_nonlocal,
    single_pathway_channels,
)
from slowfast.models.norm import Norm, build_norm

_NAME = "bLVNet"
# RESNET.DEPTH -> blocks of s2 ... s5, those of a pair's big branch and the one that joins it.
_DEPTHS = {50: (3, 4, 6, 3), 101: (4, 8, 18, 3), 152: (5, 12, 30, 3)}
_EXPANSION = 4


class ConvNorm(nn.Module):
    """Convolution of `size` x `size` pixels and batch norm; the ReLU may be left out.

    Names that released weights are given: conv, bn.
    """

    def __init__(
        self,
        dim_in: int,
        dim_out: int,
        size: int,
        *,
        norm: Norm,
        stride: int = 1,
        has_relu: bool = True,
    ):
        super().__init__()
        self.conv = conv3d(dim_in, dim_out, (1, size, size), stride=(1, stride, stride))
        self.bn = norm(dim_out)
        self.has_relu = has_relu

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return F.relu(x, inplace=True) if self.has_relu else x


class TemporalAggregation(nn.Module):
    """TAM: the frame before, the frame and the next one, weighted channel by channel; ReLU.

    Names that released weights are given: conv.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.conv = conv3d(dim, dim, (3, 1, 1), groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x), inplace=True)


class Block(nn.Module):
    """Bottleneck whose shortcut averages pixels where it has a stride, with a TAM before or not.

    The shortcut begins after the TAM where it changes the shape, else before it.
    Names that released weights are given: tam, branch1, branch1_bn, branch2.
    """

    def __init__(
        self,
        dim_in: int,
        dim_out: int,
        *,
        norm: Norm,
        stride: int = 1,
        has_relu: bool = True,
        has_tam: bool = False,
    ):
        super().__init__()
        self.stride, self.has_relu = stride, has_relu
        self.tam = TemporalAggregation(dim_in) if has_tam else None
        self.branch1 = self.branch1_bn = None
        if dim_in != dim_out:
            self.branch1, self.branch1_bn = conv3d(dim_in, dim_out, 1), norm(dim_out)
        spec = BlockSpec(0, dim_in, dim_out // _EXPANSION, dim_out, stride, dilation=1)
        options = {"kernel_t": 1, "groups": 1, "strides_first": False}
        self.branch2 = BottleneckBranch(spec, **options, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        seen = x if self.tam is None else self.tam(x)
        x = self._shortcut(x, seen) + self.branch2(seen)
        return F.relu(x, inplace=True) if self.has_relu else x

    def _shortcut(self, x: Tensor, seen: Tensor) -> Tensor:
        if self.stride == 1 and self.branch1 is None:
            return x
        if self.stride > 1:
            seen = avg_pool2d(seen, 3, stride=self.stride)
        return seen if self.branch1 is None else self.branch1_bn(self.branch1(seen))


class Pair(nn.Module):
    """TAM; the odd frames through `big`, the even ones through `little` and `widen`; the sum.

    Both frames get what `fusion` makes of it. `big` may give smaller maps, which are enlarged.
    Names that released weights are given: tam, big, little, widen, fusion.
    """

    def __init__(
        self,
        dim_in: int,
        *,
        big: nn.Module,
        little: nn.Module,
        widen: nn.Module,
        fusion: nn.Module,
    ):
        super().__init__()
        self.tam = TemporalAggregation(dim_in)
        self.big, self.little, self.widen, self.fusion = big, little, widen, fusion

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] % 2:
            raise ValueError(f"DATA.NUM_FRAMES: {_NAME} takes pairs of frames, not {x.shape[2]}")
        x = self.tam(x)
        big, little = self.big(x[:, :, 1::2]), self.widen(self.little(x[:, :, 0::2]))
        if big.shape[3:] != little.shape[3:]:
            big = F.interpolate(big, little.shape[2:])
        both = self.fusion(F.relu(big + little, inplace=True))
        return both.repeat_interleave(2, dim=2)


class OddFrames(nn.Module):
    """One frame of each pair."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, 1::2]


def first_pair(dim: int, *, alpha: int, norm: Norm) -> Pair:
    """The pair of s1; its little branch has 1/`alpha` of the channels."""
    dim_little = dim // alpha
    return Pair(
        dim,
        big=ConvNorm(dim, dim, 3, stride=2, has_relu=False, norm=norm),
        little=nn.Sequential(
            ConvNorm(dim, dim_little, 3, norm=norm),
            ConvNorm(dim_little, dim_little, 3, stride=2, norm=norm),
        ),
        widen=ConvNorm(dim_little, dim, 1, has_relu=False, norm=norm),
        fusion=ConvNorm(dim, dim, 1, norm=norm),
    )


def blocks_pair(
    dim_in: int, dim: int, depth: int, *, stride: int, alpha: int, beta: int, norm: Norm
) -> Pair:
    """The pair of a stage of `depth` blocks, of which one joins and the others are big."""
    depth_little, dim_little = max(1, depth // beta - 1), dim // alpha
    big = [Block(dim, dim, has_relu=index < depth - 2, norm=norm) for index in range(1, depth - 1)]
    little = [Block(dim_little, dim_little, norm=norm) for _ in range(1, depth_little)]
    return Pair(
        dim_in,
        big=nn.Sequential(Block(dim_in, dim, stride=2, norm=norm), *big),
        little=nn.Sequential(Block(dim_in, dim_little, norm=norm), *little),
        widen=ConvNorm(dim_little, dim, 1, has_relu=False, norm=norm),
        fusion=Block(dim, dim, stride=stride, norm=norm),
    )


def blvnet_stages(
    dim_clip: int, dim: int, depths: Sequence[int], *, alpha: int, beta: int, norm: Norm
) -> dict[str, nn.Module]:
    """The stages s1 ... s5 by name; `dim` channels in s1."""
    stem = ConvNorm(dim_clip, dim, 7, stride=2, norm=norm)
    pair = first_pair(dim, alpha=alpha, norm=norm)
    modules: dict[str, nn.Module] = {"s1": Stage([{"stem": stem, "pair": pair}])}
    *paired, depth = depths
    sizes = {"alpha": alpha, "beta": beta, "norm": norm}
    dim_in, dim = dim, dim * _EXPANSION
    for name, number, stride in zip(("s2", "s3", "s4"), paired, (2, 2, 1), strict=True):
        modules[name] = Stage([{"pair": blocks_pair(dim_in, dim, number, stride=stride, **sizes)}])
        dim_in, dim = dim, 2 * dim
    blocks: dict[str, nn.Module] = {"odd": OddFrames()}
    blocks["res0"] = Block(dim_in, dim, stride=2, has_tam=True, norm=norm)
    for index in range(1, depth):
        blocks[f"res{index}"] = Block(dim, dim, has_tam=True, norm=norm)
    return {**modules, "s5": Stage([blocks])}


@register_rule("MODEL", "RESNET", "DATA.NUM_FRAMES", "ADAPTIVE")
def check_blvnet(
    model: ConfigNode, resnet: ConfigNode, num_frames: int, adaptive: ConfigNode
) -> Iterator[str]:
    """Check that frames come in pairs and that blocks are those of the network."""
    if model.MODEL_NAME != _NAME:
        return
    if num_frames % 2:
        yield f"DATA.NUM_FRAMES: {num_frames} must be even for {_NAME}, which takes pairs of frames"
    frames = adaptive_frames(adaptive)
    if adaptive.ENABLE and any(type(number) is int and number % 2 for number in frames):
        yield f"ADAPTIVE.FRAMES: {frames} must be even for {_NAME}, as in ADAPTIVE.POINTS"
    if model.DROPCONNECT_RATE:
        yield f"MODEL.DROPCONNECT_RATE: {model.DROPCONNECT_RATE} must be 0 for {_NAME}"
    fixed = {"TRANS_FUNC": "bottleneck_transform", "NUM_GROUPS": 1, "STRIDE_1X1": False}
    for key, value in fixed.items():
        if resnet[key] != value:
            yield f"RESNET.{key}: {resnet[key]!r} must be {value!r} for {_NAME}"
    if resnet.DEPTH not in _DEPTHS:
        yield f"RESNET.DEPTH: {resnet.DEPTH} must be one of {sorted(_DEPTHS)} for {_NAME}"


def build_blvnet(cfg: ConfigNode) -> VideoNetwork:
    """bLVNet-TAM of RESNET.DEPTH layers."""
    refuse_nonlocal(cfg.NONLOCAL.LOCATION, model=_NAME)
    dim, depths = cfg.RESNET.WIDTH_PER_GROUP, _DEPTHS[cfg.RESNET.DEPTH]
    stages = blvnet_stages(
        single_pathway_channels(cfg.DATA.INPUT_CHANNEL_NUM, model=_NAME),
        dim,
        depths,
        alpha=cfg.BLVNET.ALPHA,
        beta=cfg.BLVNET.BETA,
        norm=build_norm(cfg),
    )
    return assemble(stages, build_consensus_head(cfg, dim * 32), build_init(cfg))
