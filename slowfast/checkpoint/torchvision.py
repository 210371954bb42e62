"""Names of torchvision's ResNets, for images and for videos -> ours.

The network stays ours: r3d_18 and mc3_18 have no pooling after the stem, r3d_18 also strides time,
and where a kernel is 3x3x3 there but 1x3x3 here (the second of our basic block), it is not loaded.
"""

import re

from slowfast.checkpoint.convert import State, rename

_BLOCK = re.compile(r"layer(\d)\.(\d+)\.(.+)")
_R2PLUS1D = re.compile(r"layer\d\.\d+\.conv\d\.0\.\d\..+")
# In the video networks each convolution and its batch norm form a Sequential.
_PARTS = {"downsample.0": "branch1", "downsample.1": "branch1_bn"}
for _number, _letter in enumerate("abc", start=1):
    _PARTS |= dict.fromkeys((f"conv{_number}", f"conv{_number}.0"), f"branch2.{_letter}")
    _PARTS |= dict.fromkeys((f"bn{_number}", f"conv{_number}.1"), f"branch2.{_letter}_bn")
_OTHERS = {
    **dict.fromkeys(("conv1", "stem.0"), "s1.pathway0_stem.conv"),
    **dict.fromkeys(("bn1", "stem.1"), "s1.pathway0_stem.bn"),
    "fc": "head.projection",
}


def from_torchvision(state: State) -> State:
    """The weights under our names; ValueError for R(2+1)D."""
    if any(map(_R2PLUS1D.fullmatch, state)):
        raise ValueError(
            "this is torchvision's R(2+1)D: each of its convolutions is a 1x3x3 and a 3x1x1 with "
            "a batch norm and a ReLU in between, which no model here has, so its weights fit none"
        )
    return rename(state, torchvision_name)


def torchvision_name(name: str) -> str:
    """Our name; a name of another pattern stays."""
    layer, _, kind = name.rpartition(".")
    if layer in _OTHERS:
        return f"{_OTHERS[layer]}.{kind}"
    match = _BLOCK.fullmatch(layer)
    if match is None or match[3] not in _PARTS:
        return name
    return f"s{int(match[1]) + 1}.pathway0_res{match[2]}.{_PARTS[match[3]]}.{kind}"
