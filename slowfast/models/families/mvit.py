"""MViT (arXiv 2104.11227) and MViTv2 (arXiv 2112.01526): transformers of several scales.

MViTv2-S on clips of 3 x 16 x 224 x 224 (C x T x H x W). A block is attention and an MLP, each with
a layer norm before and a shortcut around it; keys and values are pooled to 8 x 7 x 7 everywhere:

    stage    layers                                  width  heads  output
    patches  3x7x7, stride 2x4x4; class token           96         8 x 56 x 56
    scale 1  block x 1                                   96      1  8 x 56 x 56
    scale 2  block x 2, queries of the first pooled     192      2  8 x 28 x 28
    scale 3  block x 11, the same                       384      4  8 x 14 x 14
    scale 4  block x 2, the same                        768      8  8 x 7 x 7
    head     layer norm; linear                         768         class token

MViT-B has positions of space and of time added to its first tokens, where MViTv2 has tables of
relative positions in every attention; its blocks widen in the MLP, those of MViTv2 in attention,
which also adds its queries to its output.

Names fixed by released weights: cls_token, pos_embed or pos_embed_spatial, pos_embed_temporal and
pos_embed_class, patch_embed.proj, norm_stem, blocks.{i}, norm, head.projection.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from slowfast.config.node import ConfigNode
from slowfast.models.conv import Triple, conv3d
from slowfast.models.families.mvit_attention import (
    AttentionKind,
    PooledAttention,
    TokenPool,
    layer_norm,
    pool_tokens,
)
from slowfast.models.heads import AveragePool, BasicHead, build_classifier, build_pool
from slowfast.models.layers import OverlappingMaxPool3d, drop_connect, round_width
from slowfast.models.network import refuse_nonlocal, single_pathway_channels

_ONE = (1, 1, 1)


class Mlp(nn.Module):
    """Two linear layers with a GELU between them.

    Names fixed by released weights: fc1, fc2.
    """

    def __init__(self, dim_in: int, dim_inner: int, dim_out: int, *, dropout_rate: float):
        super().__init__()
        self.fc1 = nn.Linear(dim_in, dim_inner)
        self.fc2 = nn.Linear(dim_inner, dim_out)
        self.dropout_rate = dropout_rate

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(F.gelu(self.fc1(x)), self.dropout_rate, self.training)
        return F.dropout(self.fc2(x), self.dropout_rate, self.training)


@dataclass(frozen=True, slots=True)
class MViTBlockSpec:
    """A block: its widths, heads, the grid T,H,W of its tokens, its poolings.

    widens_first: in attention; else in the MLP.
    """

    dim_in: int
    dim_out: int
    num_heads: int
    grid: Triple
    pool_q: TokenPool
    pool_kv: TokenPool
    widens_first: bool
    drop_path_rate: float = 0.0

    @property
    def dim_attention(self) -> int:
        return self.dim_out if self.widens_first else self.dim_in


class MViTBlock(nn.Module):
    """Attention, whose shortcut is max-pooled as its queries are, then an MLP.

    A linear layer changes the width of the shortcut where the block widens.
    Names fixed by released weights: norm1, attn, norm2, mlp, proj.
    """

    def __init__(self, block: MViTBlockSpec, kind: AttentionKind, *, mlp_ratio: float):
        super().__init__()
        dim, self.block = block.dim_attention, block
        self.num_class_tokens = int(kind.has_class_token)
        self.norm1 = layer_norm(block.dim_in)
        self.attn = PooledAttention(
            block.dim_in,
            dim,
            num_heads=block.num_heads,
            grid=block.grid,
            pool_q=block.pool_q,
            pool_kv=block.pool_kv,
            kind=kind,
        )
        self.norm2 = layer_norm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio), block.dim_out, dropout_rate=kind.dropout_rate)
        self.proj = None
        if block.dim_in != block.dim_out:
            self.proj = nn.Linear(block.dim_in, block.dim_out)
        self.pool_skip = None
        stride = block.pool_q.stride
        if stride != _ONE:
            kernel = tuple(s + 1 if s > 1 else s for s in stride)
            self.pool_skip = OverlappingMaxPool3d(kernel, stride=stride)

    def forward(self, x: Tensor, grid: Triple) -> tuple[Tensor, Triple]:
        """Tokens N,L,C and their grid T,H,W."""
        normed = self.norm1(x)
        branch, new_grid = self.attn(normed, grid)
        if self.proj is not None and self.block.widens_first:
            x = self.proj(normed)
        x = self._pooled(x, grid) + self._dropped(branch)
        normed = self.norm2(x)
        branch = self._dropped(self.mlp(normed))
        if self.proj is not None and not self.block.widens_first:
            x = self.proj(normed)
        return x + branch, new_grid

    def _pooled(self, x: Tensor, grid: Triple) -> Tensor:
        if self.pool_skip is None:
            return x
        pooled, _ = pool_tokens(
            x[:, None], grid, self.pool_skip, num_class_tokens=self.num_class_tokens
        )
        return pooled[:, 0]

    def _dropped(self, branch: Tensor) -> Tensor:
        rate = self.block.drop_path_rate
        return drop_connect(branch, rate) if self.training and rate else branch


class PatchEmbed(nn.Module):
    """A convolution from the clip to the first map.

    Names fixed by released weights: proj.
    """

    def __init__(self, dim_in: int, dim_out: int, *, kernel: Triple, stride: Triple, pad: Triple):
        super().__init__()
        self.proj = conv3d(dim_in, dim_out, kernel, stride=stride, padding=pad, bias=True)

    def forward(self, clip: Tensor) -> Tensor:
        return self.proj(clip)


@dataclass(frozen=True, slots=True)
class TokenSpec:
    """The first tokens: T,H,W of their map, width, class token, and what is added to them.

    positions: "" for none, joint (a vector for each token), separate (one for each place and one
    for each frame) or fixed (sines).
    """

    grid: Triple
    dim: int
    has_class_token: bool
    positions: str


class MViT(nn.Module):
    """Patches as tokens, blocks on them, a head that reads `output`.

    output: class_token, mean (of the normalised tokens of the map), norm_of_mean, or map for
    detection. recomputes_blocks: in the backward pass, which takes less memory. decays_positions:
    positions and class token have weight decay.
    """

    def __init__(
        self,
        tokens: TokenSpec,
        patch_embed: nn.Module,
        blocks: Sequence[MViTBlock],
        head: nn.Module,
        *,
        output: str,
        has_stem_norm: bool,
        dropout_rate: float,
    ):
        super().__init__()
        self.tokens, self.output = tokens, output
        self.dropout_rate = dropout_rate
        self.recomputes_blocks, self.decays_positions = False, True
        _add_tokens(self, tokens)
        self.patch_embed = patch_embed
        self.norm_stem = layer_norm(tokens.dim) if has_stem_norm else None
        self.blocks = nn.ModuleList(blocks)
        self.norm = layer_norm(blocks[-1].block.dim_out)
        self.head = head

    def forward_features(self, clips: list[Tensor]) -> list[Tensor]:
        """The normalised map of the last block, N,C,T,H,W, without the class token."""
        return [self._as_map(*self._encode(clips))]

    def forward(self, clips: list[Tensor], boxes: Tensor | None = None) -> Tensor:
        """Logits, in evaluation scores, of clips N,C,T,H,W (in a list of one): N,classes.

        A detection network takes boxes M,5 (number of the clip, x1, y1, x2, y2 in its pixels) and
        gives M,classes; every other takes none.
        """
        x, grid = self._encode(clips)
        if self.output == "map":
            return self.head([self._as_map(x, grid)], boxes)
        if self.output == "class_token":
            x = self.norm(x[:, 0])
        elif self.output == "norm_of_mean":
            x = self.norm(self._without_class_token(x).mean(1))
        else:
            x = self.norm(x).mean(1)
        return self.head([x[..., None, None, None]], boxes)  # N,C -> N,C,1,1,1

    def _encode(self, clips: list[Tensor]) -> tuple[Tensor, Triple]:
        (clip,) = clips
        maps = self.patch_embed(clip)
        grid = tuple(maps.shape[2:])
        x = maps.permute(0, 2, 3, 4, 1).flatten(1, 3)  # N,C,T,H,W -> N,L,C
        if self.tokens.has_class_token:
            x = torch.cat([self.cls_token.to(x.dtype).expand(x.shape[0], -1, -1), x], 1)
        if self.tokens.positions:
            x = x + self._positions(grid)
        x = F.dropout(x, self.dropout_rate, self.training)
        if self.norm_stem is not None:
            x = self.norm_stem(x)
        for block in self.blocks:
            if self.recomputes_blocks and self.training:
                x, grid = checkpoint(block, x, grid, use_reentrant=False)
            else:
                x, grid = block(x, grid)
        return x, grid

    def _positions(self, grid: Triple) -> Tensor:
        """Vectors for the tokens of a map T,H,W, 1,L,C; interpolated for another map than ours."""
        num_class_tokens = int(self.tokens.has_class_token)
        if self.tokens.positions == "separate":
            whole = self.pos_embed_temporal[:, :, None] + self.pos_embed_spatial[:, None]
            whole = whole.flatten(1, 2)
            of_class = self.pos_embed_class if num_class_tokens else whole[:, :0]
        else:
            of_class = self.pos_embed[:, :num_class_tokens]
            whole = self.pos_embed[:, num_class_tokens:]
        if grid != self.tokens.grid:
            maps = whole.unflatten(1, self.tokens.grid).permute(0, 4, 1, 2, 3)
            whole = F.interpolate(maps, grid, mode="trilinear").flatten(2).transpose(1, 2)
        positions = torch.cat([of_class, whole], 1)
        # The reference adds fixed ones to the patches, and once more to all tokens.
        return 2 * positions if self.tokens.positions == "fixed" else positions

    def _without_class_token(self, x: Tensor) -> Tensor:
        return x[:, int(self.tokens.has_class_token) :]

    def _as_map(self, x: Tensor, grid: Triple) -> Tensor:
        x = self.norm(self._without_class_token(x))
        return x.unflatten(1, grid).permute(0, 4, 1, 2, 3)  # N,L,C -> N,C,T,H,W

    def undecayed(self) -> set[str]:
        """Names of the parameters that weight decay is not for."""
        words = ("pos_embed", "rel_pos", "cls_token")
        names = (name for name, _ in self.named_parameters())
        return set() if self.decays_positions else {n for n in names if any(w in n for w in words)}

    def layer_number(self, name: str) -> int:
        """Depth of a parameter for SOLVER.LAYER_DECAY: 0 the tokens, the blocks, the head last."""
        if name.startswith(("cls_token", "pos_embed", "patch_embed")):
            return 0
        parts = name.split(".")
        return int(parts[1]) + 1 if parts[0] == "blocks" else len(self.blocks) + 1

    def adapt_weights(self, state: Mapping[str, Tensor], prefix: str) -> tuple[dict, str]:
        """Changes to weights of another crop or number of frames (see checkpoint.initialize)."""
        num_t, num_h, num_w = self.tokens.grid
        changes = {}
        for name, size in (
            ("pos_embed_temporal", (num_t,)),
            ("pos_embed_spatial", (num_h, num_w)),
            ("pos_embed", self.tokens.grid),
        ):
            value = state.get(prefix + name)
            own = getattr(self, name, None)
            if value is None or own is None or value.shape == own.shape or value.ndim != 3:
                continue
            first = int(name == "pos_embed" and self.tokens.has_class_token)
            resized = _resize_positions(value, size, num_class_tokens=first)
            if resized is not None:
                changes[prefix + name] = resized
        return changes, "network had its positions resized" if changes else ""


def _resize_positions(
    value: Tensor, size: Sequence[int], *, num_class_tokens: int
) -> Tensor | None:
    """Positions 1,L,C for a map of T, H,W or T,H,W = `size`; None where no square map has L."""
    dtype, value = value.dtype, value.float()
    first, value = value[:, :num_class_tokens], value[:, num_class_tokens:]
    old = _map_size(value.shape[1], size)
    if old is None:
        return None
    modes = {1: "linear", 2: "bicubic", 3: "trilinear"}
    maps = value.unflatten(1, old).movedim(-1, 1)
    maps = F.interpolate(maps, tuple(size), mode=modes[len(size)])
    return torch.cat([first, maps.flatten(2).transpose(1, 2)], 1).to(dtype)


def _map_size(length: int, size: Sequence[int]) -> tuple[int, ...] | None:
    """T, H,W or T,H,W of `length` positions on a square map: the one that is nearest to `size`."""
    if len(size) == 1:
        return (length,)
    found = []
    for frames in range(1, length + 1) if len(size) == 3 else (1,):
        side = math.isqrt(length // frames)
        if frames * side * side == length:
            old = (frames, side, side)[3 - len(size) :]
            stretch = sum(abs(math.log(a / b)) for a, b in zip(old, size, strict=True))
            found.append((stretch, old))
    return min(found)[1] if found else None


def _add_tokens(model: MViT, tokens: TokenSpec) -> None:
    """Give the network its class token and its positions."""
    num_t, num_h, num_w = tokens.grid
    num_class_tokens, patches = int(tokens.has_class_token), num_t * num_h * num_w
    lengths = {"cls_token": 1} if tokens.has_class_token else {}
    if tokens.positions == "separate":
        lengths |= {"pos_embed_spatial": num_h * num_w, "pos_embed_temporal": num_t}
        lengths |= {"pos_embed_class": 1} if tokens.has_class_token else {}
    elif tokens.positions:
        lengths |= {"pos_embed": num_class_tokens + patches}
    for name, length in lengths.items():
        parameter = nn.Parameter(torch.zeros(1, length, tokens.dim))
        model.register_parameter(name, nn.init.trunc_normal_(parameter, std=0.02))
    if tokens.positions == "fixed":
        values = torch.zeros(1, num_class_tokens + patches, tokens.dim)
        values[:, num_class_tokens:] = sine_positions(tokens.grid, tokens.dim)
        model.pos_embed = nn.Parameter(values, requires_grad=False)


def sine_positions(grid: Triple, dim: int) -> Tensor:
    """Sines and cosines of the place of each token, T*H*W,dim: time, columns, rows.

    A quarter of the channels tells the frame, the rest the place (arXiv 2205.09113).
    """
    if dim % 16:
        raise ValueError(
            f"MVIT.EMBED_DIM: {dim} must be a multiple of 16 with MVIT.USE_FIXED_SINCOS_POS True"
        )
    time, rows, columns = torch.meshgrid(*map(torch.arange, grid), indexing="ij")
    dim_time = dim // 4
    dims = ((time, dim_time), (columns, (dim - dim_time) // 2), (rows, (dim - dim_time) // 2))
    return torch.cat([_sines(place.flatten(), part) for place, part in dims], 1).float()


def _sines(places: Tensor, dim: int) -> Tensor:
    rates = 10_000.0 ** -(torch.arange(dim // 2, dtype=torch.float64) / (dim / 2))
    angles = places.double()[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], 1)


def init_mvit_weights(model: nn.Module, *, head_scale: float) -> None:
    """Draw weights from a normal of deviation 0.02, cut off at 2; biases start at 0.02, in place.

    Those of convolutions as PyTorch draws them. The classifier's are multiplied by `head_scale`.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv3d):
            nn.init.trunc_normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear | nn.LayerNorm) and module.bias is not None:
            nn.init.constant_(module.bias, 0.02)
    with torch.no_grad():
        for parameter in model.head.projection.parameters():
            parameter.mul_(head_scale)


def block_table(
    first: MViTBlockSpec,
    depth: int,
    *,
    dim_factors: Mapping[int, float],
    head_factors: Mapping[int, float],
    pools_q: Mapping[int, TokenPool],
    pools_kv: Mapping[int, TokenPool],
) -> list[MViTBlockSpec]:
    """The blocks of a network, from what changes at the blocks of these numbers.

    first: widths, heads and grid before the first block; its drop-path rate is the last block's.
    """
    table, rest, rate = [], first, first.drop_path_rate
    for index in range(depth):
        heads = round_width(rest.num_heads, head_factors.get(index, 1.0), divisor=1)
        widened = index if first.widens_first else index + 1
        divisor = round_width(heads, head_factors.get(widened, 1.0), divisor=1)
        block = replace(
            rest,
            num_heads=heads,
            dim_out=round_width(rest.dim_in, dim_factors.get(widened, 1.0), divisor=divisor),
            pool_q=pools_q.get(index, TokenPool(_ONE, _ONE)),
            pool_kv=pools_kv.get(index, TokenPool(_ONE, _ONE)),
            drop_path_rate=rate * index / max(depth - 1, 1),
        )
        if block.dim_attention % heads or (block.dim_in % heads and not first.widens_first):
            raise ValueError(
                f"MVIT.HEAD_MUL: block {index} would share {block.dim_attention} channels among "
                f"{heads} heads; MVIT.EMBED_DIM, NUM_HEADS, DIM_MUL and HEAD_MUL must fit"
            )
        table.append(block)
        stride = block.pool_q.stride
        grid = tuple(max(size // step, 1) for size, step in zip(rest.grid, stride, strict=True))
        rest = replace(rest, dim_in=block.dim_out, num_heads=heads, grid=grid)
    return table


def pools_of(strides: Mapping[int, Sequence[int]], kernel: Sequence[int]) -> dict[int, TokenPool]:
    """Poolings of these strides by number of the block; an empty kernel is one above the stride."""
    return {
        index: TokenPool(tuple(kernel or (s + 1 if s > 1 else s for s in stride)), tuple(stride))
        for index, stride in strides.items()
    }


def adaptive_strides(
    first: Sequence[int], strides_q: Mapping[int, Sequence[int]], depth: int
) -> dict[int, tuple[int, ...]]:
    """Strides of keys and values that leave them one size: smaller where queries are pooled."""
    found, stride = {}, tuple(first)
    for index in range(depth):
        steps = strides_q.get(index, _ONE)
        stride = tuple(max(size // step, 1) for size, step in zip(stride, steps, strict=True))
        found[index] = stride
    return found


def _by_block(entries: Sequence[Sequence]) -> dict[int, Sequence]:
    """[[block, value, ...], ...] as block -> values."""
    return {index: tuple(values) for index, *values in entries}


def position_kind(*, is_added: bool, is_separate: bool, is_fixed: bool) -> str:
    """The `positions` of a TokenSpec."""
    if not is_added:
        return ""
    if is_separate:
        return "separate"
    return "fixed" if is_fixed else "joint"


def output_kind(*, is_detection: bool, is_mean: bool, has_class_token: bool) -> str:
    """The `output` of MViT."""
    if is_detection:
        return "map"
    if is_mean:
        return "norm_of_mean"
    return "class_token" if has_class_token else "mean"


def build_block_table(cfg: ConfigNode, grid: Triple) -> list[MViTBlockSpec]:
    """The blocks of the config, for a first map T,H,W = `grid`."""
    mvit, none = cfg.MVIT, TokenPool(_ONE, _ONE)
    strides_q = _by_block(mvit.POOL_Q_STRIDE)
    strides_kv = _by_block(mvit.POOL_KV_STRIDE)
    if mvit.POOL_KV_STRIDE_ADAPTIVE:
        strides_kv = adaptive_strides(mvit.POOL_KV_STRIDE_ADAPTIVE, strides_q, mvit.DEPTH)
    dims = (mvit.EMBED_DIM, mvit.EMBED_DIM, mvit.NUM_HEADS)
    return block_table(
        MViTBlockSpec(*dims, grid, none, none, mvit.DIM_MUL_IN_ATT, mvit.DROPPATH_RATE),
        mvit.DEPTH,
        dim_factors={index: factor for index, (factor,) in _by_block(mvit.DIM_MUL).items()},
        head_factors={index: factor for index, (factor,) in _by_block(mvit.HEAD_MUL).items()},
        pools_q=pools_of(strides_q, mvit.POOL_KVQ_KERNEL),
        pools_kv=pools_of(strides_kv, mvit.POOL_KVQ_KERNEL),
    )


def build_blocks(cfg: ConfigNode, table: Sequence[MViTBlockSpec]) -> list[MViTBlock]:
    """The modules of a table."""
    mvit = cfg.MVIT
    kind = AttentionKind(
        mode=mvit.MODE,
        has_class_token=mvit.CLS_EMBED_ON,
        pools_first=mvit.POOL_FIRST,
        is_separate=mvit.SEPARATE_QKV,
        has_bias=mvit.QKV_BIAS,
        adds_queries=mvit.RESIDUAL_POOLING,
        has_space=mvit.REL_POS_SPATIAL,
        has_time=mvit.REL_POS_TEMPORAL,
        starts_at_zero=mvit.REL_POS_ZERO_INIT,
        dropout_rate=mvit.DROPOUT_RATE,
    )
    return [MViTBlock(block, kind, mlp_ratio=mvit.MLP_RATIO) for block in table]


def build_mvit(cfg: ConfigNode) -> MViT:
    """MViT as section MVIT of the config describes it, for clips of training."""
    mvit, data = cfg.MVIT, cfg.DATA
    refuse_nonlocal(cfg.NONLOCAL.LOCATION, model="MViT")
    channels = single_pathway_channels(data.INPUT_CHANNEL_NUM, model="MViT")
    kernel, stride = tuple(mvit.PATCH_KERNEL), tuple(mvit.PATCH_STRIDE)
    clip = (data.NUM_FRAMES, data.TRAIN_CROP_SIZE, data.TRAIN_CROP_SIZE)
    grid = tuple(max(size // step, 1) for size, step in zip(clip, stride, strict=True))
    positions = position_kind(
        is_added=mvit.USE_ABS_POS,
        is_separate=mvit.SEP_POS_EMBED,
        is_fixed=mvit.USE_FIXED_SINCOS_POS,
    )
    table = build_block_table(cfg, grid)
    map_stride = math.prod([stride[1], *(block.pool_q.stride[1] for block in table)])
    pool = build_pool(cfg, AveragePool(None), map_stride=map_stride)
    model = MViT(
        TokenSpec(grid, mvit.EMBED_DIM, mvit.CLS_EMBED_ON, positions),
        PatchEmbed(
            channels, mvit.EMBED_DIM, kernel=kernel, stride=stride, pad=tuple(mvit.PATCH_PADDING)
        ),
        build_blocks(cfg, table),
        BasicHead([pool], build_classifier(cfg, table[-1].dim_out)),
        output=output_kind(
            is_detection=cfg.DETECTION.ENABLE,
            is_mean=mvit.USE_MEAN_POOLING,
            has_class_token=mvit.CLS_EMBED_ON,
        ),
        has_stem_norm=mvit.NORM_STEM,
        dropout_rate=mvit.DROPOUT_RATE,
    )
    model.recomputes_blocks = cfg.MODEL.ACT_CHECKPOINT
    model.decays_positions = not mvit.ZERO_DECAY_POS_CLS
    init_mvit_weights(model, head_scale=mvit.HEAD_INIT_SCALE)
    return model
