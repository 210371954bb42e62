"""Names of R(2+1)D, CSN and MF-Net in torchvision, VMZ, mmaction2 and others -> ours.

A convolution there is a Sequential, whose parts are numbered. R(2+1)D of torchvision and VMZ:
conv1.0.0, 0.1, 0.3 (1x3x3, batch norm, 3x1x1), conv1.1 (batch norm). VMZ's CSN: conv2.0 is the
depthwise convolution, or with conv2.0.2 as this, conv2.0.0 is a 1x1x1 and conv2.0.1 its batch norm.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial

from slowfast.checkpoint.convert import State, rename
from slowfast.checkpoint.pytorchvideo import from_pytorchvideo
from slowfast.checkpoint.torchvision import mmaction2_name, torchvision_name

_LAYER = re.compile(r"(?:backbone\.)?layer(\d)\.(\d+)\.(.+)\.(\w+)")
_STEM = "s1.pathway0_stem"
_SPLIT = {"0": "conv", "1": "bn", "3": "conv_t"}
_MM_SPLIT = {"conv_s": "conv", "bn_s": "bn", "conv_t": "conv_t"}
_LETTERS = {"conv1": "a", "conv2": "b"}

# Parts of a block of R(2+1)D -> ours.
_R2PLUS1D = {
    **{f"{n}.0.{i}": f"branch2.{c}.{to}" for n, c in _LETTERS.items() for i, to in _SPLIT.items()},
    **{f"{name}.1": f"branch2.{letter}_bn" for name, letter in _LETTERS.items()},
}
_R2PLUS1D_STEM = {"stem.0": "conv.conv", "stem.1": "conv.bn", "stem.3": "conv.conv_t"} | {
    "stem.4": "bn"
}
_MM_R2PLUS1D = {
    **{
        f"{name}.conv.{part}": f"branch2.{letter}.{to}"
        for name, letter in _LETTERS.items()
        for part, to in _MM_SPLIT.items()
    },
    **{f"{name}.bn": f"branch2.{letter}_bn" for name, letter in _LETTERS.items()},
    **{f"downsample.conv.{part}": f"branch1.{to}" for part, to in _MM_SPLIT.items()},
    "downsample.bn": "branch1_bn",
}
_MM_R2PLUS1D_STEM = {
    **{f"backbone.conv1.conv.{part}": f"conv.{to}" for part, to in _MM_SPLIT.items()},
    "backbone.conv1.bn": "bn",
}

# The middle of a block of CSN -> ours: interaction-reduced, interaction-preserved.
_POINT, _DEPTHWISE, _NORM = "branch2.b.point", "branch2.b.depthwise", "branch2.b_bn"
_IR = {"conv2.0": _DEPTHWISE, "conv2.1": _NORM}
_IP = {
    **{"conv2.0.0": _POINT, "conv2.0.1": f"{_POINT}_bn", "conv2.0.2": _DEPTHWISE},
    "conv2.1": _NORM,
}
_MM_IR = {"conv2.0.conv": _DEPTHWISE, "conv2.0.bn": _NORM}
_MM_IP = {
    **{"conv2.0.conv": _POINT, "conv2.0.bn": f"{_POINT}_bn"},
    **{"conv2.1.conv": _DEPTHWISE, "conv2.1.bn": _NORM},
}

_MFNET_UNIT = re.compile(r"conv(\d)\.B(\d+)\.conv_(\w\d)\.(.+)")
_MFNET_OTHERS = {
    **{"conv1.": f"{_STEM}.", "tail.": "s5.pathway0_tail.", "classifier.": "head.projection."},
}


def from_r2plus1d(state: State) -> State:
    """Weights of torchvision's and VMZ's R(2+1)D under our names."""
    return _renamed(state, _R2PLUS1D, torchvision_name, stem=_R2PLUS1D_STEM)


def from_mmaction2_r2plus1d(state: State) -> State:
    """Weights of mmaction2's R(2+1)D under our names."""
    return _renamed(state, _MM_R2PLUS1D, mmaction2_name, stem=_MM_R2PLUS1D_STEM)


def from_vmz_csn(state: State) -> State:
    """Weights of VMZ's CSN under our names."""
    is_preserved = any(".conv2.0.2." in name for name in state)
    return _renamed(state, _IP if is_preserved else _IR, torchvision_name)


def from_mmaction2_csn(state: State) -> State:
    """Weights of mmaction2's CSN under our names."""
    is_preserved = any(".conv2.1.conv." in name for name in state)
    return _renamed(state, _MM_IP if is_preserved else _MM_IR, mmaction2_name)


def from_pytorchvideo_csn(state: State) -> State:
    """Weights of pytorchvideo's CSN under our names."""
    middle = re.compile(r"(branch2\.b)(\.\w+)$")
    return rename(from_pytorchvideo(state), partial(middle.sub, r"\1.depthwise\2"))


def from_mfnet(state: State) -> State:
    """Weights of MF-Net under our names."""
    return rename(state, mfnet_name)


def mfnet_name(name: str) -> str:
    """Our name; a name of another pattern stays."""
    if match := _MFNET_UNIT.fullmatch(name):
        stage, unit, layer, rest = match.groups()
        return f"s{stage}.pathway0_res{int(unit) - 1}.{layer}.{rest}"
    for theirs, ours in _MFNET_OTHERS.items():
        if name.startswith(theirs):
            return name.replace(theirs, ours, 1)
    return name


def _renamed(
    state: State,
    parts: Mapping[str, str],
    other_name: Callable[[str], str],
    *,
    stem: Mapping[str, str] | None = None,
) -> State:
    """Names of these parts of blocks, and of the stem; all else is renamed by `other_name`."""

    def new_name(name: str) -> str:
        layer, _, kind = name.rpartition(".")
        if stem and layer in stem:
            return f"{_STEM}.{stem[layer]}.{kind}"
        match = _LAYER.fullmatch(name)
        if match is None or match[3] not in parts:
            return other_name(name)
        return f"s{int(match[1]) + 1}.pathway0_res{match[2]}.{parts[match[3]]}.{kind}"

    return rename(state, new_name)
