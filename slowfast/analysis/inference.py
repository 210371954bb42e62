"""The pieces of work whose time is the latency of a network."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from slowfast.config.node import ConfigNode
from slowfast.engine.device import build_autocast, build_device, clip_layout
from slowfast.models.meta import build_meta_inputs


def build_inferences(cfg: ConfigNode, networks: Sequence[nn.Module]) -> list[Callable[[], None]]:
    """For each network (on the device): scores one whole random test clip, the same for all."""
    device, autocast = build_device(cfg), build_autocast(cfg, build_device(cfg))
    clips = [
        torch.randn(clip.shape, device=device).contiguous(memory_format=clip_layout(device))
        for clip in build_meta_inputs(cfg, cfg.DATA.TEST_CROP_SIZE)[0]
    ]
    return [_inference(network, clips, autocast) for network in networks]


def _inference(
    network: nn.Module, clips: list[Tensor], autocast: torch.autocast
) -> Callable[[], None]:
    """Returns when the device is done."""

    @torch.no_grad()
    def infer() -> None:
        with autocast:
            network(clips)
        if clips[0].is_cuda:
            torch.cuda.synchronize(clips[0].device)

    return infer
