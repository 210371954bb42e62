"""Attention over the positions of a clip whose queries, keys and values are pooled (MViT).

Tokens are N,L,C: those of the T x H x W positions of a map in its order, before them a class token
where there is one. Inside of attention they are N,heads,L,C.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slowfast.models.conv import Triple, conv3d
from slowfast.models.layers import OverlappingMaxPool3d

# MVIT.MODE -> how tokens are pooled.
MODES = ("conv", "conv_unshared", "avg", "max")
_TABLES = ("rel_pos_h", "rel_pos_w", "rel_pos_t")
layer_norm = partial(nn.LayerNorm, eps=1e-6)


@dataclass(frozen=True, slots=True)
class TokenPool:
    """Kernel and stride T,H,W of a pooling."""

    kernel: Triple
    stride: Triple

    @property
    def is_needed(self) -> bool:
        """Whether it changes anything."""
        return any(value != 1 for value in (*self.kernel, *self.stride))


@dataclass(frozen=True, slots=True)
class AttentionKind:
    """Settings that the attentions of a network share.

    mode: one of MODES; conv has one kernel for all heads. pools_first: before the linear layers.
    is_separate: three linear layers, not one, give queries, keys and values. adds_queries: to the
    output (residual pooling, arXiv 2112.01526). has_space, has_time: relative positions, which
    start at zero with `starts_at_zero`.
    """

    mode: str = "conv"
    has_class_token: bool = True
    pools_first: bool = False
    is_separate: bool = False
    has_bias: bool = True
    adds_queries: bool = False
    has_space: bool = False
    has_time: bool = False
    starts_at_zero: bool = False
    dropout_rate: float = 0.0


def pool_tokens(
    x: Tensor, grid: Triple, pool: nn.Module, *, num_class_tokens: int
) -> tuple[Tensor, Triple]:
    """Tokens N,heads,L,C pooled as maps T,H,W = `grid`, and the new grid; class tokens stay."""
    num_clips, num_heads, _, dim = x.shape
    maps = x[:, :, num_class_tokens:].reshape(num_clips * num_heads, *grid, dim)
    maps = pool(maps.permute(0, 4, 1, 2, 3))  # N,T,H,W,C -> N,C,T,H,W
    tokens = maps.permute(0, 2, 3, 4, 1).reshape(num_clips, num_heads, -1, dim)
    if num_class_tokens:
        tokens = torch.cat([x[:, :, :num_class_tokens], tokens], 2)
    return tokens, tuple(maps.shape[2:])


def relative_positions(table: Tensor, num_queries: int, num_keys: int) -> Tensor:
    """Rows of a table of relative positions for each pair: queries,keys,C.

    The table is resized where it has not one row for each distance.
    """
    rows = 2 * max(num_queries, num_keys) - 1
    if len(table) != rows:
        table = resize_rows(table, rows)
    queries = torch.arange(num_queries, device=table.device)[:, None]
    keys = torch.arange(num_keys, device=table.device)[None, :]
    step_q, step_k = max(num_keys / num_queries, 1.0), max(num_queries / num_keys, 1.0)
    distance = queries * step_q - keys * step_k + (num_keys - 1) * step_k
    return table[distance.long()]


def resize_rows(table: Tensor, rows: int) -> Tensor:
    """A table rows,C with another number of rows, interpolated between them."""
    return F.interpolate(table.T[None], size=rows, mode="linear")[0].T


class PooledAttention(nn.Module):
    """Attention of pooled queries to pooled keys, and one linear layer (arXiv 2104.11227, 3.1).

    The positions of queries relative to keys count, too, one axis at a time (arXiv 2112.01526,
    section 4.1), where the kind has them. pool_q, pool_kv: see TokenPool. grid: T,H,W of the tokens
    that come in, by which the tables of relative positions are made; others resize them.
    Names fixed by released weights: rel_pos_h, rel_pos_w, rel_pos_t, qkv (or q, k, v), proj,
    pool_q, norm_q, pool_k, norm_k, pool_v, norm_v.
    """

    def __init__(
        self,
        dim_in: int,
        dim_out: int,
        *,
        num_heads: int,
        grid: Triple,
        pool_q: TokenPool,
        pool_kv: TokenPool,
        kind: AttentionKind,
    ):
        super().__init__()
        self.num_heads, self.kind = num_heads, kind
        self.num_class_tokens = int(kind.has_class_token)
        dim_head = dim_out // num_heads
        self._add_tables(dim_head, grid, pool_q.stride, pool_kv.stride)
        if kind.pools_first or kind.is_separate:
            for name in "qkv":
                self.add_module(name, nn.Linear(dim_in, dim_out, bias=kind.has_bias))
        else:
            self.qkv = nn.Linear(dim_in, 3 * dim_out, bias=kind.has_bias)
        self.proj = nn.Linear(dim_out, dim_out)
        dim = dim_in if kind.pools_first else dim_out
        for name, pool in (("q", pool_q), ("k", pool_kv), ("v", pool_kv)):
            self._add_pool(name, dim if kind.mode == "conv_unshared" else dim // num_heads, pool)

    def _add_tables(self, dim: int, grid: Triple, stride_q: Triple, stride_kv: Triple) -> None:
        size = max(grid[1] // stride_q[1], grid[1] // stride_kv[1])
        lengths = [size, size] if self.kind.has_space else []
        lengths += [grid[0]] if self.kind.has_time else []
        names = (_TABLES if self.kind.has_space else _TABLES[2:])[: len(lengths)]
        for name, length in zip(names, lengths, strict=True):
            table = nn.Parameter(torch.zeros(2 * length - 1, dim))
            if not self.kind.starts_at_zero:
                nn.init.trunc_normal_(table, std=0.02)
            self.register_parameter(name, table)

    def _add_pool(self, name: str, dim: int, pool: TokenPool) -> None:
        layer = norm = None
        if pool.is_needed:
            layer = _pool_layer(self.kind.mode, dim, pool)
            norm = layer_norm(dim) if self.kind.mode.startswith("conv") else None
        self.add_module(f"pool_{name}", layer)
        self.add_module(f"norm_{name}", norm)

    def forward(self, x: Tensor, grid: Triple) -> tuple[Tensor, Triple]:
        """Tokens N,L,C and their grid T,H,W to those of the pooled queries."""
        (q, grid_q), (k, grid_k), (v, _) = self._pooled(x, grid)
        bias = self._position_bias(q, grid_q, grid_k)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        if self.kind.adds_queries:  # but for the class token
            start = self.num_class_tokens
            out = out + F.pad(q[:, :, start:], (0, 0, start, 0))
        out = self.proj(out.transpose(1, 2).flatten(2))  # N,heads,L,C -> N,L,heads*C
        return F.dropout(out, self.kind.dropout_rate, self.training), grid_q

    def _pooled(self, x: Tensor, grid: Triple) -> list[tuple[Tensor, Triple]]:
        if not self.kind.pools_first:
            heads = zip("qkv", self._projected(x), strict=True)
            return [self._pool(name, tokens, grid) for name, tokens in heads]
        is_unshared = self.kind.mode == "conv_unshared"
        x = self._split(x, 1 if is_unshared else self.num_heads)
        found = []
        for name in "qkv":
            tokens, new_grid = self._pool(name, x, grid)
            tokens = getattr(self, name)(tokens.transpose(1, 2).flatten(2))
            found.append((self._split(tokens, self.num_heads), new_grid))
        return found

    def _projected(self, x: Tensor) -> Sequence[Tensor]:
        """Queries, keys and values, N,heads,L,C."""
        if self.kind.is_separate:
            parts = [getattr(self, name)(x) for name in "qkv"]
        else:
            parts = self.qkv(x).chunk(3, -1)
        return [self._split(part, self.num_heads) for part in parts]

    def _split(self, x: Tensor, num_heads: int) -> Tensor:
        return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)  # N,L,heads*C -> N,heads,L,C

    def _pool(self, name: str, tokens: Tensor, grid: Triple) -> tuple[Tensor, Triple]:
        pool, norm = getattr(self, f"pool_{name}"), getattr(self, f"norm_{name}")
        if pool is None:
            return tokens, grid
        tokens, grid = pool_tokens(tokens, grid, pool, num_class_tokens=self.num_class_tokens)
        return (tokens if norm is None else norm(tokens)), grid

    def _position_bias(self, q: Tensor, grid_q: Triple, grid_k: Triple) -> Tensor | None:
        """Sum of relative positions, N,heads,queries,keys, for the weights before the softmax."""
        if not (self.kind.has_space or self.kind.has_time):
            return None
        q = q[:, :, self.num_class_tokens :].unflatten(2, grid_q)  # n, y heads, t, h, w, channels
        terms = []
        if self.kind.has_space:
            rows = relative_positions(self.rel_pos_h, grid_q[1], grid_k[1])
            columns = relative_positions(self.rel_pos_w, grid_q[2], grid_k[2])
            terms.append(torch.einsum("nythwc,hkc->nythwk", q, rows)[..., None, :, None])
            terms.append(torch.einsum("nythwc,wkc->nythwk", q, columns)[..., None, None, :])
        if self.kind.has_time:
            frames = relative_positions(self.rel_pos_t, grid_q[0], grid_k[0])
            terms.append(torch.einsum("nythwc,tkc->nythwk", q, frames)[..., :, None, None])
        bias = sum(terms[1:], terms[0]).expand(*(-1,) * 5, *grid_k)
        start = self.num_class_tokens
        return F.pad(bias.flatten(5).flatten(2, 4), (start, 0, start, 0))

    def adapt_weights(self, state: Mapping[str, Tensor], prefix: str) -> tuple[dict, str]:
        """Changes to weights of another crop or number of frames (see checkpoint.initialize)."""
        changes = {}
        for name in filter(partial(hasattr, self), _TABLES):
            table, rows = state.get(prefix + name), len(getattr(self, name))
            if table is not None and table.ndim == 2 and len(table) != rows:
                changes[prefix + name] = resize_rows(table.float(), rows).to(table.dtype)
        return changes, "attentions had their relative positions resized" if changes else ""


def _pool_layer(mode: str, dim: int, pool: TokenPool) -> nn.Module:
    make: dict[str, Callable[[], nn.Module]] = {
        "max": lambda: OverlappingMaxPool3d(pool.kernel, stride=pool.stride),
        "avg": lambda: nn.AvgPool3d(pool.kernel, pool.stride, [k // 2 for k in pool.kernel]),
    }
    if mode in make:
        return make[mode]()
    return conv3d(dim, dim, pool.kernel, stride=pool.stride, groups=dim)
