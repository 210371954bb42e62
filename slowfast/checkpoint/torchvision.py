"""Names of torchvision's networks -> ours: ResNets, S3D, and GoogLeNet (Inception-V1, for images).

Its r3d_18 and mc3_18 are our R3D and MC3. They also start our ResNet, which stays what it is: it
pools after the stem, never strides time, and where a kernel is 3x3x3 there but 1x3x3 here (the
second of our basic block), it is not loaded. R(2+1)D is in networks_3d.

GoogLeNet's weights fit every variant of S3D: `convert.inflate` gives 2D kernels the frames that a
3D convolution has; a separable one takes them as its spatial half, and the model makes the temporal
half (`adapt_weights` in models/families/s3d.py). There is no way from I3D to separable
convolutions, nor back.

GoogLeNet's max-pools begin at the first pixel and ours, which are those of torchvision's S3D, half
a window before it, so its maps come out shifted. Its published weights expect pixels in -1 ... 1:
DATA.MEAN and DATA.STD [0.5, 0.5, 0.5].

mmaction2's ResNets (TSN, SlowOnly, C2D, I3D) have torchvision's names with a unit around each
convolution and its batch norm. In TSM, the module that shifts channels stands around the first
convolution of a block: a `net` in its name.
"""

import re

from slowfast.checkpoint.convert import State, rename

_BLOCK = re.compile(r"layer(\d)\.(\d+)\.(.+)")
_SPLIT = re.compile(r"layer\d\.\d+\.conv\d\.0\.\d\..+")
# In the video networks each convolution and its batch norm form a Sequential.
_SHORTCUT = {"downsample.0": "branch1", "downsample.1": "branch1_bn"}
for _number, _letter in enumerate("abc", start=1):
    _SHORTCUT |= dict.fromkeys((f"conv{_number}", f"conv{_number}.0"), f"branch2.{_letter}")
    _SHORTCUT |= dict.fromkeys((f"bn{_number}", f"conv{_number}.1"), f"branch2.{_letter}_bn")
_RESNET_OTHERS = {
    **dict.fromkeys(("conv1", "stem.0"), "s1.pathway0_stem.conv"),
    **dict.fromkeys(("bn1", "stem.1"), "s1.pathway0_stem.bn"),
    **dict.fromkeys(("fc", "cls_head.fc_cls"), "head.projection"),
}


def from_torchvision(state: State) -> State:
    """The weights under our names; ValueError for R(2+1)D and ip-CSN."""
    if any(map(_SPLIT.fullmatch, state)):
        is_csn = any(".conv2.0.2." in name for name in state)
        raise ValueError(
            "this is VMZ's ip-CSN, whose 3x3x3 convolutions are a 1x1x1 and a depthwise one; its "
            "weights fit MODEL.MODEL_NAME CSN alone"
            if is_csn
            else "this is torchvision's R(2+1)D: each of its convolutions is a 1x3x3 and a 3x1x1 "
            "with a batch norm and a ReLU in between; its weights fit MODEL.MODEL_NAME R2Plus1D "
            "alone (R2PLUS1D.VARIANT torchvision, or vmz)"
        )
    return rename(state, torchvision_name)


def torchvision_name(name: str) -> str:
    """Our name; a name of another pattern stays."""
    layer, _, kind = name.rpartition(".")
    if layer in _RESNET_OTHERS:
        return f"{_RESNET_OTHERS[layer]}.{kind}"
    match = _BLOCK.fullmatch(layer)
    if match is None or match[3] not in _SHORTCUT:
        return name
    return f"s{int(match[1]) + 1}.pathway0_res{match[2]}.{_SHORTCUT[match[3]]}.{kind}"


_MM_UNIT = re.compile(
    r"backbone\.((?:layer\d\.\d+\.)?)(conv\d|downsample)\.(conv|bn)\.(?:net\.)?(\w+)"
)
_MM_OTHERS = {
    r"backbone\.(slow|fast)_path\.": "SlowFast, whose fusion has no batch norm and no ReLU",
    r"backbone\.conv1_[st]\.": "X3D; pytorchvideo has the same weights under names that are read",
}


# The model's name, where these are not a ResNet's.
_MM_MODELS = {
    r".*\.conv2\.[01]\.conv\.": ("CSN", "CSN, whose middle convolution is split by channels"),
    r".*\.conv_[st]\.": (
        "R2Plus1D",
        "R(2+1)D, which has batch norms and ReLUs between space and time",
    ),
}


def from_mmaction2(state: State) -> State:
    """The weights under our names; ValueError for networks that are not ResNets of here."""
    for pattern, (model, network) in _MM_MODELS.items():
        if any(re.match(pattern, name) for name in state):
            raise ValueError(
                f"this is mmaction2's {network}; its weights fit MODEL.MODEL_NAME {model} alone"
            )
    for pattern, network in _MM_OTHERS.items():
        if any(re.match(pattern, name) for name in state):
            raise ValueError(f"this is mmaction2's {network}: no model here has its weights")
    return rename(state, mmaction2_name)


def mmaction2_name(name: str) -> str:
    """Our name; a name of another pattern stays."""
    if name.startswith("cls_head.fc_cls."):
        return name.replace("cls_head.fc_cls.", "head.projection.")
    match = _MM_UNIT.fullmatch(name)
    if match is None:
        return name
    block, unit, part, kind = match.groups()
    if unit == "downsample":
        unit = "downsample.0" if part == "conv" else "downsample.1"
    elif part == "bn":
        unit = unit.replace("conv", "bn")
    return torchvision_name(f"{block}{unit}.{kind}")


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
