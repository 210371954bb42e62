"""The frame of networks: pathways filled stage by stage with blocks, a head, initial weights.

A family's `build_x(cfg)` makes the stages and the head and gives them to `assemble`. Tables of the
config with a value per stage are read by `per_stage`.
"""

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from slowfast.config.node import ConfigNode
from slowfast.models.blocks import BlockSpec, ResBlock
from slowfast.models.norm import Norm, statistics_kept
from slowfast.models.widths import Dims, FixedWidth


@dataclass(frozen=True, slots=True)
class StageSpec:
    """One row of an architecture's table; the first block has the strides.

    `stride` and `dilation`, of all blocks, are spatial, `stride_t` is temporal.
    """

    depth: int
    dim_inner: int
    dim_out: int
    stride: int = 2
    dilation: int = 1
    stride_t: int = 1


class Stage(nn.Module):
    """Runs the modules of each pathway, in order, on that pathway's tensor.

    Names fixed by released weights: pathway{p}_{key}, e.g. pathway0_stem or pathway1_res2.
    """

    def __init__(self, pathways: Sequence[Mapping[str, nn.Module]]):
        super().__init__()
        self._names = [[f"pathway{p}_{key}" for key in path] for p, path in enumerate(pathways)]
        for names, path in zip(self._names, pathways, strict=True):
            for name, module in zip(names, path.values(), strict=True):
                self.add_module(name, module)

    def forward(self, maps: list[torch.Tensor]) -> list[torch.Tensor]:
        return [self._run(names, x) for names, x in zip(self._names, maps, strict=True)]

    def _run(self, names: list[str], x: torch.Tensor) -> torch.Tensor:
        for name in names:
            x = getattr(self, name)(x)
        return x


class VideoNetwork(nn.Module):
    """Stages in the order of `stages` (name -> module on lists of maps), then the head.

    Names fixed by released weights: s1 (stem), s2 ... s5, head; head.projection is the classifier.
    With `recomputes_stages` a training step keeps what goes into each stage, and computes the rest
    again in the backward pass.
    """

    recomputes_stages = False

    def __init__(self, stages: Mapping[str, nn.Module], head: nn.Module):
        super().__init__()
        self._stage_names = tuple(stages)
        for name, stage in stages.items():
            self.add_module(name, stage)
        self.head = head

    def forward_features(self, clips: list[torch.Tensor]) -> list[torch.Tensor]:
        """Maps of the last stage, N,C,T,H,W for each pathway."""
        maps = clips
        for name in self._stage_names:
            maps = self._run_stage(name, maps)
        return maps

    def _run_stage(self, name: str, maps: list[torch.Tensor]) -> list[torch.Tensor]:
        stage = getattr(self, name)
        if not (self.recomputes_stages and self.training and torch.is_grad_enabled()):
            return stage(maps)
        return checkpoint(
            stage,
            maps,
            use_reentrant=False,
            # The second time the clips must not count in the running statistics again.
            context_fn=lambda: (contextlib.nullcontext(), statistics_kept(stage)),
        )

    def forward(self, clips: list[torch.Tensor], boxes: torch.Tensor | None = None) -> torch.Tensor:
        """Logits, in evaluation scores, of clips N,C,T,H,W (one tensor per pathway): N,classes.

        A detection network takes boxes M,5 (number of the clip, x1, y1, x2, y2 in its pixels) and
        gives M,classes; every other takes none.
        """
        return self.head(self.forward_features(clips), boxes)


def drop_connect_rates(depths: Sequence[int], rate: float) -> list[list[float]]:
    """Rate of each block of each stage: linear in the block's number, `rate` in the last one."""
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"MODEL.DROPCONNECT_RATE: {rate} must be at least 0 and below 1")
    total = sum(depths)
    rates = iter([rate * (block + 1) / total for block in range(total)])
    return [[next(rates) for _ in range(depth)] for depth in depths]


def residual_blocks(
    dim_in: Dims,
    stage: StageSpec,
    *,
    make_branch: Callable[[BlockSpec], nn.Module],
    norm: Norm,
    rates: Sequence[float],
    make_block: Callable[..., ResBlock] = ResBlock,
) -> dict[str, ResBlock]:
    """Blocks res0, res1, ... of one pathway; the first changes width and resolution.

    `rates` are the blocks' drop-connect rates. `make_block` takes the arguments of a ResBlock.
    """
    widths = (dim_in, stage.dim_inner, stage.dim_out)
    first = BlockSpec(0, *widths, stage.stride, stage.dilation, stage.stride_t)
    later = replace(first, dim_in=stage.dim_out, stride=1, stride_t=1)
    blocks = {}
    for index, rate in enumerate(rates):
        block = replace(later, index=index) if index else first
        branch = make_branch(block)
        blocks[f"res{index}"] = make_block(block, branch, norm=norm, drop_connect_rate=rate)
    return blocks


def network_stages(
    stem: nn.Module,
    dims: Sequence[int],
    table: Sequence[Sequence[StageSpec]],
    make_blocks: Callable[..., Mapping[str, nn.Module]],
    *,
    drop_connect_rate: float,
    make_lateral: Callable[[Sequence[int]], nn.Module] | None = None,
) -> dict[str, nn.Module]:
    """The modules s1 (the stem, from which maps of `dims` channels come), s2, s3, ... by name.

    Row k of `table` holds stage k + 2 of each pathway; all pathways of a row have one depth.
    `make_blocks(dim_in, stage, rates=...)` gives the modules of one pathway. `make_lateral(dims)`
    gives what joins the pathways after each stage but the last, under the names s1_fuse, ...; its
    attribute `dims_out` holds the channels that it leaves, of a concatenation those of its parts.
    """
    modules = {"s1": stem}
    rates = drop_connect_rates([row[0].depth for row in table], drop_connect_rate)
    for number, (row, stage_rates) in enumerate(zip(table, rates, strict=True), start=2):
        if make_lateral is not None:
            lateral = make_lateral(dims)
            modules[f"s{number - 1}_fuse"] = lateral
            dims = lateral.dims_out
        pairs = zip(dims, row, strict=True)
        blocks = [make_blocks(dim_in, stage, rates=stage_rates) for dim_in, stage in pairs]
        modules[f"s{number}"] = Stage(blocks)
        dims = [stage.dim_out for stage in row]
    return modules


def init_weights(
    model: nn.Module, *, fc_std: float, zero_final_norm: bool, zero_final_conv: bool
) -> None:
    """Draw convolutions N(0, 2 / (out * kt * kh * kw)) and linear layers N(0, fc_std^2), in place.

    `out` counts all output channels, also in grouped convolutions. Biases start at 0, gammas at 1.
    `zero_final_norm`: gammas start at 0 where a module calls a batch norm its `final_norm`, the
    last one of a residual branch or a Non-local block (arXiv 1706.02677). `zero_final_conv`: so
    does the last convolution of each residual branch, its `final_conv`.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv3d):
            fan_out = module.out_channels * math.prod(module.kernel_size)
            nn.init.normal_(module.weight, std=math.sqrt(2.0 / fan_out))
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=fc_std)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    for module in model.modules():
        if hasattr(module, "draw_weights"):
            module.draw_weights()
    if zero_final_norm:
        _zero_weights(model, "final_norm")
    if zero_final_conv:
        _zero_weights(model, "final_conv")


def _zero_weights(model: nn.Module, attribute: str) -> None:
    """Zero the weight of every layer that a module calls `attribute`."""
    for module in model.modules():
        layer = getattr(module, attribute, None)
        if layer is not None:
            nn.init.zeros_(layer.weight)


def assemble(
    stages: Mapping[str, nn.Module], head: nn.Module, init: Callable[[nn.Module], None]
) -> VideoNetwork:
    """The network of these parts, with the initial weights that `init` draws."""
    model = VideoNetwork(stages, head)
    init(model)
    return model


def single_pathway_channels(input_channels: Sequence[int], *, model: str) -> int:
    """Input channels of a model with one pathway, from DATA.INPUT_CHANNEL_NUM."""
    if len(input_channels) != 1:
        raise ValueError(
            f"DATA.INPUT_CHANNEL_NUM: {list(input_channels)} has {len(input_channels)} entries; "
            f"MODEL.MODEL_NAME {model} has one pathway and takes one entry, e.g. [3]"
        )
    return FixedWidth(input_channels[0])


def refuse_nonlocal(locations: Sequence[Sequence], *, model: str) -> None:
    """ValueError where NONLOCAL.LOCATION asks for blocks in a model that has none."""
    if any(path for stage in locations for path in stage):
        raise ValueError(
            f"NONLOCAL.LOCATION: {locations} asks for Non-local blocks, which {model} does not have"
        )


def per_stage(key: str, table: Sequence[Any], pathway: int) -> list[Any]:
    """The four stages' values for a pathway, from a table [[of slow, of fast], ...].

    An entry with one value holds for all pathways. ValueError when a value is not one for `key`.
    """
    if len(table) != 4 or not all(isinstance(row, list | tuple) and row for row in table):
        raise ValueError(f"{key}: {table!r} must be four lists, one per stage")
    if any(1 < len(row) <= pathway for row in table):
        raise ValueError(f"{key}: {table!r} has no value for pathway {pathway} in some stage")
    values = [row[0] if len(row) == 1 else row[pathway] for row in table]
    is_valid, allowed = _TABLES[key]
    for value in values:
        if not is_valid(value):
            raise ValueError(f"{key}: {value!r} in {table!r} must be {allowed}")
    return values


def _is_count(value: Any) -> bool:
    return type(value) is int and 1 <= value <= 1000


def _is_number(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_locations(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_number, value))


def _is_size(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 3 and all(map(_is_count, value))


# Key of a table -> test of its values, and what they must be.
_TABLES = {
    "RESNET.SPATIAL_STRIDES": (_is_count, "a whole number of at least 1 and at most 1000"),
    "RESNET.SPATIAL_DILATIONS": (_is_count, "a whole number of at least 1 and at most 1000"),
    "RESNET.NUM_BLOCK_TEMP_KERNEL": (_is_number, "a number of blocks"),
    "NONLOCAL.LOCATION": (_is_locations, "a list of numbers of blocks, e.g. [1, 3], or []"),
    "NONLOCAL.GROUP": (_is_count, "a whole number of at least 1 and at most 1000"),
    "NONLOCAL.POOL": (_is_size, "three whole numbers T, H, W of at least 1 and at most 1000"),
}


def build_init(cfg: ConfigNode) -> Callable[[nn.Module], None]:
    """The `init_weights` of the config."""
    return partial(
        init_weights,
        fc_std=cfg.MODEL.FC_INIT_STD,
        zero_final_norm=cfg.RESNET.ZERO_INIT_FINAL_BN,
        zero_final_conv=cfg.RESNET.ZERO_INIT_FINAL_CONV,
    )
