"""Names of networks that see frame by frame -> ours: BNInception, TRN, ECO-Lite, TEA, bLVNet-TAM.

The authors of TSN, TRN, ECO and TEA say base_model, new_fc and consensus, those of bLVNet-TAM
baseline_model; mmaction2 says backbone and cls_head, and in the head of TRN what the authors do.
Batch norms of the Caffe conversion of BNInception have a first dimension of 1.
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


_ECO_LAYER = re.compile(r"(?:base_model\.)?res([345])([ab])_((?:[12]|down)?(?:_?bn)?)\.(\w+)")
_ECO_3C = {"branch2_reduce": "reduce3c", "branch2_first": "conv3c"}
_MIXED_3C = re.compile(r"s3\.pathway0_mixed3c\.(branch2_\w+)\.")


def from_eco(state: State) -> State:
    """The weights of ECO-Lite under our names."""
    return from_bninception(rename(state, eco_name))


def eco_name(name: str) -> str:
    """Our name; a name of another pattern stays."""
    if name.startswith("new_fc."):
        return name.replace("new_fc.", "head.projection.")
    if match := _ECO_LAYER.fullmatch(name):
        stage, block, layer, kind = match.groups()
        # The first block of the first stage is a convolution alone.
        is_alone = (stage, block, layer) == ("3", "a", "2")
        part = "down" if is_alone or layer == "down" else f"{block}{layer}".replace("abn", "a_bn")
        return f"s{stage}.pathway0_blocks.{part.replace('bbn', 'b_bn')}.{kind}"
    ours = bninception_name(name)
    return _MIXED_3C.sub(lambda match: f"s3.pathway0_{_ECO_3C.get(match[1], match[1])}.", ours)


_BLVNET_FIRST = {
    "conv1": "stem.conv",
    "bn1": "stem.bn",
    "b_conv0": "pair.big.conv",
    "bn_b0": "pair.big.bn",
    "l_conv0": "pair.little.0.conv",
    "bn_l0": "pair.little.0.bn",
    "l_conv1": "pair.little.1.conv",
    "bn_l1": "pair.little.1.bn",
    "l_conv2": "pair.widen.conv",
    "bn_l2": "pair.widen.bn",
    "bl_init": "pair.fusion.conv",
    "bn_bl_init": "pair.fusion.bn",
    "tam": "pair.tam",
}
_BLVNET_PLACES = [
    (re.compile(r"layer([123])\.(big|little)\.(\d+)\."), r"pair.\2.\3."),
    (re.compile(r"layer([123])\.little_e\.0\."), r"pair.widen.conv."),
    (re.compile(r"layer([123])\.little_e\.1\."), r"pair.widen.bn."),
    (re.compile(r"layer([123])\.fusion\.0\."), r"pair.fusion."),
    (re.compile(r"layer([123])\.tam\."), r"pair.tam."),
    (re.compile(r"layer(4)\.(\d+)\."), r"res\2."),
]
_BLOCK_LAYER = re.compile(r"(conv|bn)([123])$")
_TAM = re.compile(r"(.+\.tam)\.curr\.weight")


def from_blvnet(state: State) -> State:
    """The weights of bLVNet-TAM, or of the bLNet that it starts from, under our names.

    The three depthwise 1x1 of a TAM become one 3x1x1.
    """
    plain = {name.removeprefix("baseline_model."): value for name, value in state.items()}
    for name in [name for name in plain if _TAM.fullmatch(name) or name == "tam.curr.weight"]:
        taps = [plain.pop(name.replace("curr", tap)) for tap in ("prev", "next")]
        plain[name.replace("curr", "conv")] = torch.stack([taps[0], plain.pop(name), taps[1]], 2)
    return {blvnet_name(name, is_conv=value.ndim == 4): value for name, value in plain.items()}


def blvnet_name(name: str, *, is_conv: bool) -> str:
    """Our name; a name of another pattern stays.

    `is_conv`: whether it is the weight of a convolution, which numbers do not say in a shortcut.
    """
    layer, _, kind = name.rpartition(".")
    first, _, rest = layer.partition(".")
    if first in ("new_fc", "fc"):
        return f"head.projection.{kind}"
    if first in _BLVNET_FIRST:
        return ".".join(filter(None, ["s1", f"pathway0_{_BLVNET_FIRST[first]}", rest, kind]))
    for pattern, place in _BLVNET_PLACES:
        if match := pattern.match(name):
            part = layer[match.end() :] if match.end() <= len(layer) else ""
            part = re.sub(r"downsample\.\d", "branch1" if is_conv else "branch1_bn", part)
            part = _BLOCK_LAYER.sub(_branch_layer, part)
            stage = f"s{int(match[1]) + 1}.pathway0_"
            return stage + match.expand(place) + (f"{part}." if part else "") + kind
    return name


def _branch_layer(match: re.Match) -> str:
    letter = "abc"[int(match[2]) - 1]
    return f"branch2.{letter}" if match[1] == "conv" else f"branch2.{letter}_bn"
