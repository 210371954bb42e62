"""Costs of operating points: multiply-adds, parameters, time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import torch
from torch import nn
from tqdm import tqdm

from slowfast.adaptive.network import cut_network
from slowfast.config.node import ConfigNode
from slowfast.models import build_model
from slowfast.models.build import build_meta_inputs
from slowfast.models.complexity import count_macs, count_parameters
from slowfast.models.fold import fold_batch_norm
from slowfast.models.operating_point import OperatingPoint, ReducedNetwork, build_reduce
from slowfast.models.slimmable import make_slimmable, narrow, width
from slowfast.runtime.latency import build_inferences, time_in_turns

_WARM_UP = 2  # rounds that are not timed
_DIGITS = 5  # of a cost: what is printed and stored is what a budget is compared with


@dataclass(frozen=True)
class Cost:
    """gmacs: of one clip; params: in millions."""

    gmacs: float
    params: float


def build_costs(cfg: ConfigNode, points: Sequence[OperatingPoint]) -> list[Cost]:
    """The costs of each point, counted on the meta device."""
    with torch.device("meta"):
        model = make_slimmable(build_model(cfg))
    clips, _ = build_meta_inputs(cfg, cfg.DATA.TEST_CROP_SIZE)
    reduce, costs = build_reduce(cfg), []
    for point in points:
        with width(model, point.width):
            macs = count_macs(model, reduce(clips, point))
        params = count_parameters(narrow(model, point.width))
        costs.append(Cost(_rounded(sum(macs.values()) / 1e9), _rounded(sum(params.values()) / 1e6)))
    return costs


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def build_latencies(
    cfg: ConfigNode, model: nn.Module, points: Sequence[OperatingPoint], *, repeats: int
) -> list[float]:
    """Median milliseconds of each point, from one whole clip on the device to its scores.

    That is the time to reduce the clip, and of the network cut out of `model`, batch norms folded,
    as TEST.BUDGET runs it. All points take turns, so that other work on the machine
    slows all of them. NaN with no `repeats`.
    """
    if not repeats:
        return [math.nan] * len(points)
    reduce, inputs = build_reduce(cfg), build_meta_inputs(cfg, cfg.DATA.TEST_CROP_SIZE)
    networks: dict[float, nn.Module] = {}  # by width: crops and frames share a network
    for one in points:
        if one.width not in networks:
            cut = cut_network(model, one, None, reduce)
            networks[one.width] = fold_batch_norm(cut, *inputs).network
    works = build_inferences(
        cfg, [ReducedNetwork(networks[one.width], one, reduce) for one in points]
    )
    times: list[list[float]] = [[] for _ in works]
    rounds = tqdm(range(_WARM_UP + repeats), desc="latency", unit="round", leave=False)
    for number in rounds:
        for seconds, (latest,) in zip(times, time_in_turns(*works, repeats=1), strict=True):
            seconds += [latest] * (number >= _WARM_UP)
    return [_rounded(1e3 * median(seconds)) for seconds in times]
