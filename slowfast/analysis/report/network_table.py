"""The network of a run drawn as its table: parts, parameters, multiply-adds, outputs."""

from dataclasses import dataclass

import torch
from torch import nn

from slowfast.config.node import ConfigNode
from slowfast.models import build_model
from slowfast.models.build import build_meta_inputs
from slowfast.models.complexity import count_macs, count_parameters


@dataclass(frozen=True)
class Part:
    """Top module of a network; output: its size, such as 24x8x16x16 of C,T,H,W."""

    name: str
    kind: str
    output: str
    params: int
    macs: int


@dataclass(frozen=True)
class NetworkTable:
    """Parts in their order, and the size of a clip of each pathway, at the test crop."""

    parts: list[Part]
    inputs: list[str]

    @property
    def params(self) -> int:
        """Of the whole network."""
        return sum(part.params for part in self.parts)

    @property
    def macs(self) -> int:
        """Of the whole network, for one clip."""
        return sum(part.macs for part in self.parts)


def tabulate_network(
    model: nn.Module, clips: list[torch.Tensor], boxes: torch.Tensor | None
) -> NetworkTable:
    """Sizes from one pass, on the meta device."""
    outputs: dict[str, str] = {}

    def note(name: str):
        def hook(_module, _args, output) -> None:
            outputs[name] = _size(output)

        return hook

    children = dict(model.named_children())
    handles = [child.register_forward_hook(note(name)) for name, child in children.items()]
    try:
        macs = count_macs(model, clips, boxes)
    finally:
        for handle in handles:
            handle.remove()
    parts = [
        Part(
            *(name, type(children[name]).__name__ if name in children else "Parameter"),
            *(outputs.get(name, ""), count, macs.get(name, 0)),
        )
        for name, count in count_parameters(model).items()
        if count or name in outputs
    ]
    return NetworkTable(parts, [_size(clip) for clip in clips])


def _size(output: object) -> str:
    """Sizes of tensors without their first axis; of several pathways with a plus between."""
    if isinstance(output, torch.Tensor):
        return "x".join(map(str, output.shape[1:]))
    if isinstance(output, list | tuple):
        return " + ".join(filter(None, map(_size, output)))
    return ""


def build_network_table(cfg: ConfigNode) -> NetworkTable:
    """Takes no memory for weights or clips."""
    with torch.device("meta"):
        model = build_model(cfg)
    inputs = build_meta_inputs(cfg, cfg.DATA.TEST_CROP_SIZE, num_frames=cfg.TEST.WHOLE_VIDEO)
    return tabulate_network(model, *inputs)
