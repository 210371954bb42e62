"""Names of torchvision's S3D and of its GoogLeNet (Inception-V1, for images) -> ours.

GoogLeNet's weights fit every variant of S3D: `convert.inflate` gives 2D kernels the frames that a
3D convolution has; a separable one takes them as its spatial half, and `identities_over_time` makes
the temporal half. There is no way from I3D to separable convolutions, nor back.

GoogLeNet's max-pools begin at the first pixel and ours, which are those of torchvision's S3D, half
a window before it, so its maps come out shifted. Its published weights expect pixels in -1 ... 1:
DATA.MEAN and DATA.STD [0.5, 0.5, 0.5].
"""

import re
from collections.abc import Mapping

import torch

from slowfast.checkpoint.convert import State, rename

# Batch norm of all these networks.
_BN_EPS = 1e-3

_STEM, _CONV2B, _CONV2C = "s1.pathway0_stem", "s2.pathway0_conv2b", "s2.pathway0_conv2c"

# torchvision's S3D: number of the layer -> ours.
_FEATURES = {
    **{"0": _STEM, "2": _CONV2B, "3": _CONV2C},
    **{"5": "s3.pathway0_mixed3b", "6": "s3.pathway0_mixed3c", "8": "s4.pathway0_mixed4b"},
    **{"9": "s4.pathway0_mixed4c", "10": "s4.pathway0_mixed4d", "11": "s4.pathway0_mixed4e"},
    **{"12": "s4.pathway0_mixed4f", "14": "s5.pathway0_mixed5b", "15": "s5.pathway0_mixed5c"},
}
# What it holds: a convolution and its batch norm, or one of space and one of time.
_PLAIN = {"0": "conv", "1": "bn"}
_SEPARABLE = {"0.0": "conv", "0.1": "bn", "1.0": "conv_t", "1.1": "bn_t"}
_BRANCHES = [
    ("branch0", "branch0", _PLAIN),
    ("branch1.0", "branch1_reduce", _PLAIN),
    ("branch1.1", "branch1", _SEPARABLE),
    ("branch2.0", "branch2_reduce", _PLAIN),
    ("branch2.1", "branch2", _SEPARABLE),
    ("branch3.1", "branch3", _PLAIN),
]
_PARTS = {
    **_PLAIN,
    **_SEPARABLE,
    **{
        f"{theirs}.{number}": f"{ours}.{layer}"
        for theirs, ours, layers in _BRANCHES
        for number, layer in layers.items()
    },
}
_FEATURE = re.compile(r"features\.(\d+)\.(.+)\.(\w+)")

# GoogLeNet: its blocks 3a, 3b, ... are the papers' 3b, 3c, ...
_LAYERS_2D = {"conv1": _STEM, "conv2": _CONV2B, "conv3": _CONV2C}
_BRANCHES_2D = {
    **{"branch1": "branch0", "branch2.0": "branch1_reduce", "branch2.1": "branch1"},
    **{"branch3.0": "branch2_reduce", "branch3.1": "branch2", "branch4.1": "branch3"},
}
_UNIT_2D = re.compile(r"(.+)\.((?:conv|bn)\.\w+)")
_BLOCK_2D = re.compile(r"inception(\d)([a-e])\.(.+)")
_AUXILIARY = re.compile(r"aux\d\.")


def from_torchvision_s3d(state: State) -> State:
    """The weights under our names; the classifier, a 1x1x1 convolution there, is linear here."""
    renamed = rename(state, s3d_name)
    classifier = renamed.get("head.projection.weight")
    if classifier is not None and classifier.ndim == 5:
        renamed["head.projection.weight"] = classifier.flatten(1)
    return renamed


def from_googlenet(state: State) -> State:
    """The weights under our names, without the auxiliary classifiers."""
    return rename({n: v for n, v in state.items() if not _AUXILIARY.match(n)}, googlenet_name)


def s3d_name(name: str) -> str:
    """Our name; a name of another pattern stays."""
    if name.startswith("classifier.1."):
        return name.replace("classifier.1.", "head.projection.", 1)
    match = _FEATURE.fullmatch(name)
    if match is None or match[1] not in _FEATURES or match[2] not in _PARTS:
        return name
    return f"{_FEATURES[match[1]]}.{_PARTS[match[2]]}.{match[3]}"


def googlenet_name(name: str) -> str:
    """Our name; a name of another pattern stays."""
    if name.startswith("fc."):
        return f"head.projection.{name.removeprefix('fc.')}"
    unit = _UNIT_2D.fullmatch(name)
    if unit is None:
        return name
    if unit[1] in _LAYERS_2D:
        return f"{_LAYERS_2D[unit[1]]}.{unit[2]}"
    block = _BLOCK_2D.fullmatch(unit[1])
    if block is None or block[3] not in _BRANCHES_2D:
        return name
    stage, letter = block[1], chr(ord(block[2]) + 1)
    return f"s{stage}.pathway0_mixed{stage}{letter}.{_BRANCHES_2D[block[3]]}.{unit[2]}"


def without_spatial_halves(state: State, shapes: Mapping[str, torch.Size]) -> tuple[State, int]:
    """`state` without spatial halves of separable convolutions where `shapes` ask for 3D ones.

    A half repeated over time would see time in another way than the two together. Where `shapes`
    ask for 2D convolutions it stays; returns for how many of them the temporal half has no place.
    """
    dropped, num_2d = set(), 0
    for name in state:
        unit = name.removesuffix(".conv_t.weight")
        shape = shapes.get(f"{unit}.conv.weight")
        if unit == name or name in shapes or shape is None:
            continue
        if len(shape) == 5 and shape[2] > 1:
            dropped |= {f"{unit}.conv.", f"{unit}.bn."}
        else:
            num_2d += 1
    kept = {n: v for n, v in state.items() if n[: n.rfind(".") + 1] not in dropped}
    return kept, num_2d


def identities_over_time(state: State, shapes: Mapping[str, torch.Size]) -> State:
    """Temporal halves of separable convolutions that `state` lacks, for the spatial ones it has.

    They copy each frame: 1 in the middle of the diagonal, and a batch norm that changes nothing in
    evaluation. A spatial half of another shape gets none.
    """
    added: State = {}
    for name, shape in shapes.items():
        unit = name.removesuffix(".conv_t.weight")
        spatial = state.get(f"{unit}.conv.weight")
        if unit == name or name in state or spatial is None:
            continue
        if spatial.shape != shapes[f"{unit}.conv.weight"]:
            continue
        dim, middle = shape[0], shape[2] // 2
        kernel = torch.zeros(shape, dtype=spatial.dtype)
        kernel[:, :, middle, 0, 0] = torch.eye(dim, dtype=spatial.dtype)
        ones = torch.ones(dim, dtype=spatial.dtype)
        added |= {
            name: kernel,
            f"{unit}.bn_t.weight": ones,
            f"{unit}.bn_t.bias": torch.zeros_like(ones),
            f"{unit}.bn_t.running_mean": torch.zeros_like(ones),
            f"{unit}.bn_t.running_var": ones - _BN_EPS,
        }
    return added
