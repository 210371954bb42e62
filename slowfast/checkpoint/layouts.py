"""The table of other programs' names for our networks, told apart by the names themselves."""

import re
from collections.abc import Callable

from slowfast.checkpoint.caffe2 import from_caffe2
from slowfast.checkpoint.convert import State
from slowfast.checkpoint.inception import from_googlenet, from_torchvision_s3d
from slowfast.checkpoint.pytorchvideo import from_pytorchvideo
from slowfast.checkpoint.torchvision import from_torchvision

OURS = "PySlowFast"
UNKNOWN = "unknown"

# Layout -> how the names of the blocks begin, and the function to our names.
_FOREIGN: dict[str, tuple[re.Pattern, Callable[[State], State]]] = {
    "Caffe2": (re.compile(r"(?:t_)?res\d_\d+_branch\d"), from_caffe2),
    "pytorchvideo": (re.compile(r"blocks\.\d+\."), from_pytorchvideo),
    "torchvision": (re.compile(r"layer\d\.\d+\."), from_torchvision),
    "torchvision S3D": (re.compile(r"features\.\d+\.branch\d\."), from_torchvision_s3d),
    "torchvision GoogLeNet": (re.compile(r"inception\d[a-e]\.branch\d\."), from_googlenet),
}
_OURS = re.compile(r"s\d+\.pathway\d+_")


def detect_and_rename(state: State) -> tuple[State, str]:
    """The weights under our names, and the name of the layout that they had.

    An unknown layout is left as it is. ValueError for a network that cannot be expressed in ours.
    """
    if any(map(_OURS.match, state)):
        return state, OURS
    for layout, (pattern, convert) in _FOREIGN.items():
        if any(map(pattern.match, state)):
            return convert(state), layout
    return state, UNKNOWN
