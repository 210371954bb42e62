"""Names of networks that see frame by frame -> ours: BNInception, TRN on it or on a ResNet, TEA.

The authors of TSN, TRN and TEA say base_model, new_fc and consensus; mmaction2 says backbone and
cls_head, and in the head of TRN what the authors do. Batch norms of the Caffe conversion of
BNInception have a first dimension of 1.
"""

import re

import torch

from slowfast.checkpoint.convert import State, rename
from slowfast.checkpoint.torchvision import mmaction2_name, torchvision_name

_BNINCEPTION_LAYER = re.compile(
    r"(?:base_model\.)?"
    r"(conv1_7x7_s2|conv2_3x3_reduce|conv2_3x3|inception_(\d[a-e])_\w+?)(_bn)?\.(\w+)"
)
_FIRST = {
    "conv1_7x7_s2": "s1.pathway0_stem",
    "conv2_3x3_reduce": "s2.pathway0_reduce",
    "conv2_3x3": "s2.pathway0_conv2",
}
_BRANCHES = {
    "1x1": "branch0",
    "3x3_reduce": "branch1_reduce",
    "3x3": "branch1",
    "double_3x3_reduce": "branch2_reduce",
    "double_3x3_1": "branch2_first",
    "double_3x3_2": "branch2",
    "pool_proj": "branch3",
}
_CONSENSUS = re.compile(
    r"(?:cls_head\.)?consensus\.(?:classifier|fc_fusion_scales\.(\d+))\.([13])\.(\w+)"
)
_EMBED = re.compile(r"(?:new_fc|cls_head\.fc_cls)\.(\w+)")


def from_bninception(state: State) -> State:
    """The weights under our names."""
    return {
        name: value.flatten() if is_row(value) and ".bn." in name else value
        for name, value in rename(state, bninception_name).items()
    }


def is_row(value: torch.Tensor) -> bool:
    """Whether a tensor is a vector with a dimension of 1 before it."""
    return value.ndim == 2 and value.shape[0] == 1


def bninception_name(name: str) -> str:
    """Our name; a name of another pattern stays."""
    match = _BNINCEPTION_LAYER.fullmatch(name)
    if match is None:
        return name
    layer, block, norm, kind = match.groups()
    part = "bn" if norm else "conv"
    if layer in _FIRST:
        return f"{_FIRST[layer]}.{part}.{kind}"
    branch = _BRANCHES.get(layer.removeprefix(f"inception_{block}_"))
    return f"s{block[0]}.pathway0_mixed{block}.{branch}.{part}.{kind}" if branch else name


def from_trn(state: State) -> State:
    """The weights of TRN under our names."""
    return from_bninception(rename(state, trn_name))


def trn_name(name: str) -> str:
    """Our name of the head's layers and of a ResNet's; a name of another pattern stays."""
    if match := _CONSENSUS.fullmatch(name):
        scale, layer, kind = match.groups()
        part = "relations" if layer == "1" else "projection"
        return f"head.{part}.{scale or 0}.{kind}"
    if match := _EMBED.fullmatch(name):
        return f"head.embed.{match[1]}"
    if name.startswith("backbone."):
        return mmaction2_name(name)
    return torchvision_name(name.removeprefix("base_model.")) if "layer" in name else name


_TEA_LAYER = re.compile(r"(?:base_model\.)?layer(\d)\.(\d+)\.(.+)\.(\w+)")
_TEA_PARTS = {
    "me.conv1": "me.squeeze",
    "me.bn1": "me.squeeze_bn",
    "me.conv2": "me.spatial",
    "me.conv3": "me.expand",
    "me.bn3": "me.expand_bn",
    "conv1": "a",
    "bn1": "a_bn",
    "conv3": "c",
    "bn3": "c_bn",
    **{f"convs.{group}": f"convs.{group}" for group in range(3)},
    **{f"bns.{group}": f"bns.{group}" for group in range(3)},
    **{f"shifts.{group}.conv": f"times.{group}.conv" for group in range(4)},
}


def from_tea(state: State) -> State:
    """The weights of TEA, or of the Res2Net that it starts from, under our names."""
    return {
        name: value[..., None, None] if value.ndim == 3 else value
        for name, value in rename(state, tea_name).items()
    }


def tea_name(name: str) -> str:
    """Our name; a name of another pattern stays."""
    if name.startswith("new_fc."):
        return name.replace("new_fc.", "head.projection.")
    match = _TEA_LAYER.fullmatch(name)
    if match and match[3] in _TEA_PARTS:
        stage, block, part, kind = match.groups()
        return f"s{int(stage) + 1}.pathway0_res{block}.branch2.{_TEA_PARTS[part]}.{kind}"
    return torchvision_name(name.removeprefix("base_model."))
