"""Names of networks on segments in their authors' code -> ours.

TSN and TSM (mit-han-lab): `base_model` is torchvision's ResNet, and the module that shifts channels
stands around the first convolution of a block, a `net` in its name; `new_fc` classifies.
"""

from slowfast.checkpoint.convert import State, rename
from slowfast.checkpoint.torchvision import torchvision_name


def from_tsn(state: State) -> State:
    """The weights under our names."""
    return rename(state, tsn_name)


def tsn_name(name: str) -> str:
    """Our name; a name of another pattern stays."""
    if name.startswith("new_fc."):
        return name.replace("new_fc.", "head.projection.", 1)
    if not name.startswith("base_model."):
        return name
    return torchvision_name(name.removeprefix("base_model.").replace(".conv1.net.", ".conv1."))
