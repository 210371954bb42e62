"""Table of the cost and accuracy of every operating point, from which a budget chooses."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torch import nn
from tqdm import tqdm

from slowfast.adaptive.budget import TABLE_KEYS, BudgetTable, TableRow, timing_device_name
from slowfast.adaptive.calibrate import CALIBRATION_KEYS
from slowfast.adaptive.calibration_file import build_settings, file_hash
from slowfast.adaptive.network import cut_network
from slowfast.adaptive.scores import NO_TRAINING, build_sub_networks, score_sub_networks
from slowfast.config.cli import load_cfg
from slowfast.config.derived import precision_of_tests
from slowfast.config.node import ConfigNode
from slowfast.datasets.build import build_frame_sizes, build_loader
from slowfast.models import build_model
from slowfast.models.build import build_meta_inputs
from slowfast.models.complexity import count_macs, count_parameters
from slowfast.models.fold import fold_batch_norm
from slowfast.models.operating_point import (
    OperatingPoint,
    ReducedNetwork,
    build_points,
    build_reduce,
)
from slowfast.models.slimmable import make_slimmable, narrow, width
from slowfast.runtime.latency import build_inferences, time_in_turns
from slowfast.runtime.launch import single_process
from slowfast.runtime.stop import StopRequest
from slowfast.tasks.evaluate import build_evaluation_loop
from slowfast.utils import distributed

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


def measure_table(
    config: str | Path,
    checkpoint: str | Path,
    options: Sequence = (),
    *,
    repeats: int,
    stop: StopRequest,
) -> BudgetTable:
    """The table of all points of ADAPTIVE; the numbers are the main process's in a group of them.

    Statistics that the calibration lacks are measured first. `repeats` clips are timed, 0 leaves
    the latencies out. A stop request gives the table of the videos so far; ValueError if there are
    none.
    """
    cfg = single_process(load_cfg(config, [*options, *NO_TRAINING]))
    if not cfg.ADAPTIVE.ENABLE:
        raise ValueError("ADAPTIVE.ENABLE: False; the table is for adaptive networks")
    parent, points = file_hash(checkpoint), build_points(cfg)
    loader, loop = build_loader(cfg, "test"), build_evaluation_loop(cfg)
    class_names = loader.dataset.class_names
    networks = build_sub_networks(cfg, checkpoint, points, class_names=class_names)
    costs = build_costs(cfg, points)
    model = networks[points[0]].model  # all have the same
    with distributed.main_process_alone() as is_main:
        latencies = build_latencies(cfg, model, points, repeats=repeats if is_main else 0)
    ensemble = cfg.DATA.ENSEMBLE_METHOD
    accuracies, counts = score_sub_networks(networks, loader, loop, ensemble=ensemble, stop=stop)
    rows = [
        TableRow(at, cost.gmacs, cost.params, ms, *accuracies[at])
        for at, cost, ms in zip(points, costs, latencies, strict=True)
    ]
    precision = precision_of_tests(cfg.TEST.PRECISION, cfg.TRAIN)
    about = {
        "config": str(config),
        "checkpoint": str(checkpoint),
        "device": timing_device_name(loop.device, precision),
        **loop.check.facts(),
        "views": f"{cfg.TEST.NUM_ENSEMBLE_VIEWS} x {cfg.TEST.NUM_SPATIAL_CROPS}",
        "short_side": build_frame_sizes(cfg, "test").short_side,
        **counts,
    }
    settings, calibration = (build_settings(cfg, keys) for keys in (TABLE_KEYS, CALIBRATION_KEYS))
    return BudgetTable(parent, settings, calibration, about, tuple(rows))
