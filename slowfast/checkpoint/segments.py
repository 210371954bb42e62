"""Names of networks on segments in their authors' code -> ours.

TSN, TSM (mit-han-lab) and GST (chenxuluo): `base_model` is a ResNet with torchvision's names.
The module that shifts channels stands around the first convolution of a block, a `net` in its name;
GST's 3x3x3 is `Tconv`; `new_fc` classifies.

TPN (decisionforce, and mmaction2): `backbone`, the neck (`necks` or `neck`), which also has the
auxiliary head, and `cls_head`.
"""

import re

from slowfast.checkpoint.convert import State, rename
from slowfast.checkpoint.torchvision import mmaction2_name, torchvision_name

_TCONV = re.compile(r"(layer\d\.\d+)\.Tconv\.(\w+)")


def from_tsn(state: State) -> State:
    """The weights under our names."""
    return rename(state, tsn_name)


def tsn_name(name: str) -> str:
    """Our name; a name of another pattern stays."""
    if name.startswith("new_fc."):
        return name.replace("new_fc.", "head.projection.", 1)
    if not name.startswith("base_model."):
        return name
    name = name.removeprefix("base_model.").replace(".conv1.net.", ".conv1.")
    if match := _TCONV.fullmatch(name):
        return torchvision_name(f"{match[1]}.conv2.{match[2]}").replace(".b.", ".b_t.")
    return torchvision_name(name)


# Parts of the neck -> ours.
_FUSION = {"ops.0": "lower", "ops.1": "upper", "fusion_conv": "join"}
_MM_FUSION = {"downsamples.0.conv": "lower", "downsamples.1.conv": "upper", "fusion_conv": "join"}
_PARTS = {
    "spatial_modulation.spatial_modulation.0.0": "neck.spatial",
    "temporal_modulation_ops.0": "neck.temporal4",
    "temporal_modulation_ops.1": "neck.temporal5",
    "downsampling_ops.0.conv": "neck.down",
    "pyramid_fusion_op": "neck.join",
    "aux_head.convs": "head.auxiliary.unit",
    "aux_head.fc": "head.auxiliary.projection",
    **{f"level_fusion_op2.{theirs}": f"neck.top_down.{ours}" for theirs, ours in _FUSION.items()},
    **{f"level_fusion_op.{theirs}": f"neck.bottom_up.{ours}" for theirs, ours in _FUSION.items()},
}
_MM_PARTS = {
    "spatial_modulation.spatial_modulation.0.0": "neck.spatial",
    "temporal_modulation_ops.0.conv": "neck.temporal4",
    "temporal_modulation_ops.1.conv": "neck.temporal5",
    "downsample_ops.0.conv.conv": "neck.down",
    "pyramid_fusion": "neck.join",
    "aux_head.conv": "head.auxiliary.unit",
    "aux_head.fc": "head.auxiliary.projection",
    **{f"level_fusion_1.{theirs}": f"neck.top_down.{ours}" for theirs, ours in _MM_FUSION.items()},
    **{f"level_fusion_2.{theirs}": f"neck.bottom_up.{ours}" for theirs, ours in _MM_FUSION.items()},
}
_NECKS = [
    (re.compile(rf"{prefix}\.({'|'.join(map(re.escape, parts))})\.(.+)"), parts)
    for prefix, parts in (("necks", _PARTS), ("neck", _MM_PARTS))
]
_UNIT = {"0": "conv", "1": "bn", "norm": "bn"}


def from_tpn(state: State) -> State:
    """The weights under our names."""
    return rename(state, tpn_name)


def tpn_name(name: str) -> str:
    """Our name; a name of another pattern stays."""
    for pattern, parts in _NECKS:
        if match := pattern.fullmatch(name):
            layer, _, kind = match[2].rpartition(".")
            return ".".join(filter(None, (parts[match[1]], _UNIT.get(layer, layer), kind)))
    ours = mmaction2_name(name)
    if ours == name and name.startswith("backbone."):
        return torchvision_name(name.removeprefix("backbone."))
    return ours
