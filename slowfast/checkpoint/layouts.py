"""Table of the names that other projects gave to the networks of here: a row a layout.

A converter is a pure function from tensors under their names to tensors under ours; names that it
does not know stay. Several networks have names of one pattern (`layer1.0.conv1.weight`), so a file
is converted by the row whose result has the most names of the model that is to be filled.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

from slowfast.checkpoint.caffe2 import from_caffe2
from slowfast.checkpoint.convert import State, rename
from slowfast.checkpoint.frame_networks import (
    from_blvnet,
    from_bninception,
    from_eco,
    from_tea,
    from_trn,
)
from slowfast.checkpoint.networks_3d import (
    from_mfnet,
    from_mmaction2_csn,
    from_mmaction2_r2plus1d,
    from_pytorchvideo_csn,
    from_r2plus1d,
    from_vmz_csn,
)
from slowfast.checkpoint.pytorchvideo import from_pytorchvideo
from slowfast.checkpoint.segments import from_tpn, from_tsn
from slowfast.checkpoint.torchvision import (
    from_googlenet,
    from_mmaction2,
    from_torchvision,
    from_torchvision_s3d,
)
from slowfast.checkpoint.transformers import from_pytorchvideo_mvit, from_torchvision_mvit

OURS = "PySlowFast"
UNKNOWN = "unknown"
LIBRARY = "library"  # a network of MODEL.FACTORY keeps the names of its library
_OURS = re.compile(r"s\d+\.pathway\d+_|patch_embed\.proj\.")


@dataclass(frozen=True)
class Layout:
    """Names of one project: how one of its names begins, and the function to our names.

    convert: ValueError for a network that cannot be expressed in ours. only_for: a part of one of
    the model's names, without which the row does not count; None: any model.
    """

    name: str
    begins: re.Pattern
    convert: Callable[[State], State]
    only_for: re.Pattern | None = None

    def is_of(self, state: State, wanted: Collection[str]) -> bool:
        """Whether the file has such names, and the model to be filled may take them."""
        if self.only_for and not any(map(self.only_for.search, wanted)):
            return False
        return any(map(self.begins.match, state))


_SPLIT = re.compile(r"branch2\.a\.conv_t\.")
_SEPARATED = re.compile(r"branch2\.b\.depthwise\.")
LAYOUTS = [
    Layout("Caffe2", re.compile(r"(?:t_)?res\d_\d+_branch\d"), from_caffe2),
    Layout("pytorchvideo", re.compile(r"blocks\.\d+\."), from_pytorchvideo),
    Layout("torchvision", re.compile(r"layer\d\.\d+\."), from_torchvision),
    Layout(
        "mmaction2",
        re.compile(r"backbone\.(?:(?:slow|fast)_path\.)?layer\d\.\d+\.(?:conv\d|downsample)\."),
        from_mmaction2,
    ),
    Layout("TPN", re.compile(r"backbone\.layer\d\.\d+\.(?:conv\d\.|downsample\.\d)"), from_tpn),
    Layout("TSN", re.compile(r"base_model\.layer\d\.\d+\."), from_tsn),
    Layout("torchvision S3D", re.compile(r"features\.\d+\.branch\d\."), from_torchvision_s3d),
    Layout("BNInception", re.compile(r"(?:base_model\.)?inception_\d[a-e]_"), from_bninception),
    Layout("bLVNet-TAM", re.compile(r"(?:baseline_model\.)?b_conv0\."), from_blvnet),
    Layout("ECO", re.compile(r"(?:base_model\.)?res3a_2\."), from_eco),
    Layout("TEA", re.compile(r"(?:base_model\.)?layer\d\.\d+\.convs\.\d"), from_tea),
    Layout("TRN", re.compile(r"(?:cls_head\.)?consensus\."), from_trn),
    Layout("torchvision MViT", re.compile(r"pos_encoding\."), from_torchvision_mvit),
    Layout("pytorchvideo MViT", re.compile(r"cls_positional_encoding\."), from_pytorchvideo_mvit),
    Layout("torchvision GoogLeNet", re.compile(r"inception\d[a-e]\.branch\d\."), from_googlenet),
    Layout("torchvision R(2+1)D", re.compile(r"layer\d\.\d+\."), from_r2plus1d, _SPLIT),
    Layout("VMZ CSN", re.compile(r"layer\d\.\d+\."), from_vmz_csn, _SEPARATED),
    Layout(
        "mmaction2 R(2+1)D",
        re.compile(r"backbone\.layer\d\.\d+\.conv1\.conv\.conv_s\."),
        from_mmaction2_r2plus1d,
        _SPLIT,
    ),
    Layout(
        "mmaction2 CSN",
        re.compile(r"backbone\.layer\d\.\d+\.conv2\.0\."),
        from_mmaction2_csn,
        _SEPARATED,
    ),
    Layout(
        "pytorchvideo CSN",
        re.compile(r"blocks\.\d+\.res_blocks\."),
        from_pytorchvideo_csn,
        _SEPARATED,
    ),
    Layout("MF-Net", re.compile(r"conv\d\.B\d+\.conv_i1\."), from_mfnet),
]


def detect_and_rename(state: State, wanted: Collection[str] = ()) -> tuple[State, str]:
    """The weights under our names, and the name of the layout that they had.

    wanted: the names of the model to be filled, which decide between layouts of one pattern. An
    unknown layout is left as it is. ValueError where all that is known of the file's names is that
    no network here has such weights.
    """
    wanted = set(wanted)
    if any(map(_OURS.match, state)) and (not wanted or wanted & state.keys()):
        return state, OURS
    found = [(state, UNKNOWN)]
    refusals = []
    for layout in LAYOUTS:
        if layout.is_of(state, wanted):
            try:
                found.append((layout.convert(state), layout.name))
            except ValueError as error:
                refusals.append(error)
    found.append((rename(state, lambda name: f"network.{name}"), LIBRARY))
    # Of equals the first one in the table.
    counts = [
        (len(wanted & renamed.keys()), name not in (UNKNOWN, LIBRARY)) for renamed, name in found
    ]
    best = max(counts)
    if refusals and not best[0]:
        raise refusals[0]
    renamed, name = found[counts.index(best)]
    return renamed, OURS if name == UNKNOWN and best[0] else name
