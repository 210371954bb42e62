"""The pieces of work whose time is the latency of a network."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from slowfast.config.node import ConfigNode
from slowfast.models.build import build_meta_inputs
from slowfast.runtime.device import build_device, build_test_autocast, clip_layout

HEADER = ("plain ms", "ours ms", "ratio")


@dataclass(frozen=True)
class Timing:
    """Seconds of one piece of work in several rounds, both ways."""

    what: str
    plain: Sequence[float]
    ours: Sequence[float]

    @property
    def ratio(self) -> float:
        """Median of the plain way over median of ours."""
        return statistics.median(self.plain) / statistics.median(self.ours)

    def row(self) -> list[str]:
        """Name, medians in milliseconds and their ratio, for a table under `HEADER`."""
        medians = [f"{1e3 * statistics.median(times):.1f}" for times in (self.plain, self.ours)]
        return [self.what, *medians, f"{self.ratio:.2f} x"]


def time_in_turns(*works: Callable[[], object], repeats: int) -> list[list[float]]:
    """Seconds of each piece of work in each of `repeats` rounds; they take turns."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(repeats):
        for work, seconds in zip(works, times, strict=True):
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
    return times


def build_inferences(cfg: ConfigNode, networks: Sequence[nn.Module]) -> list[Callable[[], None]]:
    """For each network (on the device): scores one whole random test clip, the same for all."""
    device, autocast = build_device(cfg), build_test_autocast(cfg, build_device(cfg))
    crop, num_frames = cfg.DATA.TEST_CROP_SIZE, cfg.TEST.WHOLE_VIDEO
    layout = clip_layout(device, cfg.MEMORY_FORMAT)
    clips = [
        torch.randn(clip.shape, device=device).contiguous(memory_format=layout)
        for clip in build_meta_inputs(cfg, crop, num_frames=num_frames)[0]
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
