"""Names of pytorchvideo's released X3D, SlowFast, Slow, C2D, I3D and R(2+1)D weights -> ours."""

import re

import torch

from slowfast.checkpoint.convert import State, rename

_STAGE = re.compile(r"blocks\.(\d+)\.(?:multipathway_blocks\.\d\.)?res_blocks\..+")
_NAME = re.compile(
    r"blocks\.(?P<index>\d+)\.(?:multipathway_blocks\.(?P<pathway>\d)\.)?"
    r"(?:res_blocks\.(?P<block>\d+)\.)?(?P<part>.+)\.(?P<kind>\w+)"
)
# X3D's stem calls its spatial convolution conv_t and its temporal one conv_xy.
_STEM = {"conv": "conv", "norm": "bn", "conv.conv_t": "conv_xy", "conv.conv_xy": "conv"}
_BLOCK = {
    "branch1_conv": "branch1",
    "branch1_norm": "branch1_bn",
    **{f"branch2.conv_{letter}": f"branch2.{letter}" for letter in "abc"},
    **{f"branch2.norm_{letter}": f"branch2.{letter}_bn" for letter in "abc"},
    "branch2.norm_b.0": "branch2.b_bn",
    # R(2+1)D
    "branch2.conv_b.conv_xy": "branch2.b.conv",
    "branch2.conv_b.norm": "branch2.b.bn",
    "branch2.conv_b.conv_t": "branch2.b.conv_t",
    "branch2.norm_b.1.block.0": "branch2.se.fc1",
    "branch2.norm_b.1.block.2": "branch2.se.fc2",
}
_FUSION = {"multipathway_fusion.conv_fast_to_slow": "conv_f2s", "multipathway_fusion.norm": "bn"}
_HEAD = {
    "pool.pre_conv": "conv_5",
    "pool.pre_norm": "conv_5_bn",
    "pool.post_conv": "lin_5",
    "pool.post_norm": "lin_5_bn",
    "proj": "projection",
}
_BN_EPS = 1e-5


def from_pytorchvideo(state: State) -> State:
    """The weights under our names.

    Its X3D has no batch norm after the shortcut's convolution where the width stays (first block of
    res2), ours has: it gets one that changes nothing in evaluation.
    """
    # Poolings without weights are numbered among the blocks, so the stages are counted.
    stages = sorted({int(match[1]) for match in map(_STAGE.fullmatch, state) if match})
    numbers = {0: 1, **{index: number for number, index in enumerate(stages, start=2)}}
    return _with_shortcut_norms(rename(state, lambda name: _our_name(name, numbers)))


def _our_name(name: str, numbers: dict[int, int]) -> str:
    match = _NAME.fullmatch(name)
    if match is None:
        return name
    part, kind, number = match["part"], match["kind"], numbers.get(int(match["index"]))
    pathway = match["pathway"] or 0
    if number is None:
        return f"head.{_HEAD[part]}.{kind}" if part in _HEAD else name
    if part in _FUSION:
        return f"s{number}_fuse.{_FUSION[part]}.{kind}"
    if match["block"] is None:
        is_stem = number == 1 and part in _STEM
        return f"s1.pathway{pathway}_stem.{_STEM[part]}.{kind}" if is_stem else name
    if part not in _BLOCK:
        return name
    return f"s{number}.pathway{pathway}_res{match['block']}.{_BLOCK[part]}.{kind}"


def _with_shortcut_norms(state: State) -> State:
    added: State = {}
    for name, value in state.items():
        layer = name.removesuffix(".weight")
        if layer.endswith(".branch1") and f"{layer}_bn.weight" not in state:
            ones = torch.ones(value.shape[0], dtype=value.dtype)
            added[f"{layer}_bn.weight"], added[f"{layer}_bn.bias"] = ones, torch.zeros_like(ones)
            added[f"{layer}_bn.running_mean"] = torch.zeros_like(ones)
            added[f"{layer}_bn.running_var"] = ones - _BN_EPS
    return {**added, **state}
