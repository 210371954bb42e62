"""Exported networks against torch: agreement, size and latency of each backend on one test clip."""

import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tabulate import tabulate
from torch import nn

from slowfast.config.cli import load_cfg
from slowfast.config.node import ConfigNode
from slowfast.export.clips import build_random_clip
from slowfast.export.formats import FORMATS
from slowfast.export.readers import read_exported
from slowfast.export.write import build_facts, largest_difference, write_checked
from slowfast.models import build_model
from slowfast.models.build import build_meta_inputs
from slowfast.models.fold import fold_batch_norm
from slowfast.runtime.device import place_model

logger = logging.getLogger(__name__)

_HEADER = ["network", "way", "differs by", "MB", "ms", "min", "max", "torch / it"]


@dataclass(frozen=True)
class Way:
    """One way to the scores of a clip; num_bytes: of its files."""

    name: str
    run: Callable[[Sequence[torch.Tensor]], torch.Tensor]
    difference: float
    num_bytes: int


def process_times(works: Sequence[Callable[[], object]], *, repeats: int) -> list[list[float]]:
    """Seconds of processor time of each piece of work in each round; they take turns."""
    times: list[list[float]] = [[] for _ in works]
    for round_number in range(repeats + 1):
        for work, found in zip(works, times, strict=True):
            start = time.process_time()
            work()
            if round_number:  # the first one warms up
                found.append(time.process_time() - start)
    return times


def make_ways(network: nn.Module, facts: dict, clips: list, folder: Path) -> list[Way]:
    """The folded network in torch, and in the file of each format; OpenVINO in bfloat16, too."""
    num_bytes = sum(x.nbytes for x in network.state_dict().values())
    ways = {"torch": Way("torch", network, 0.0, num_bytes)}
    for to, row in FORMATS.items():
        path = folder / f"net{row.suffix}"
        written = write_checked(network, facts, path, to=to, clips=[clips])
        ways[to] = Way(to, written.network, written.difference, written.num_bytes)
    fast = read_exported(folder / "net.xml", "openvino", precision="bfloat16")
    difference = largest_difference(fast, network, [clips], [1])
    fast_way = Way("openvino bfloat16", fast, difference, ways["openvino"].num_bytes)
    return [*ways.values(), fast_way]


@torch.no_grad()
def measure(ways: Sequence[Way], clips: list, *, name: str, repeats: int) -> list[list]:
    """Rows of the table, one for each way."""
    works = [lambda way=way: way.run(clips) for way in ways]
    times = process_times(works, repeats=repeats)
    plain = statistics.median(times[0])
    return [
        [
            *(name, way.name, f"{way.difference:.0e}", f"{way.num_bytes / 1e6:.1f}"),
            *(f"{1e3 * value:.0f}" for value in (statistics.median(t), min(t), max(t))),
            f"{plain / statistics.median(t):.2f}",
        ]
        for way, t in zip(ways, times, strict=True)
    ]


def build_folded(cfg: ConfigNode) -> nn.Module:
    """The network as tests run it, with random weights and statistics."""
    torch.manual_seed(0)
    model = place_model(build_model(cfg).eval(), torch.device("cpu"))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.5)  # no branch that starts at zero stays out
            nn.init.normal_(module.running_mean, std=0.1)
    return fold_batch_norm(model, *build_meta_inputs(cfg, cfg.DATA.TEST_CROP_SIZE))


def run_export(*, cfg: Sequence[str], overrides: Sequence, repeats: int) -> str:
    """A table of all networks of YAML files, at the sizes of their tests."""
    rows = []
    for path in cfg:
        config = load_cfg(path, [*overrides, "NUM_GPUS", 0, "MODEL.HEAD_ACT", "none"])
        network, clips = build_folded(config), build_random_clip(config)
        facts = build_facts(config, "", None, 1)
        with tempfile.TemporaryDirectory() as folder:
            ways = make_ways(network, facts, clips, Path(folder))
            rows += measure(ways, clips, name=Path(path).stem, repeats=repeats)
        logger.info("%s is done", path)
    align = ("left", "left", *("right",) * 6)
    return tabulate(rows, headers=_HEADER, disable_numparse=True, colalign=align)
