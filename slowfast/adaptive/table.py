"""How accurate an adaptive network is at every configuration, beside what each of them costs."""

from collections.abc import Sequence
from pathlib import Path

from slowfast.adaptive.budget import BudgetTable, TableRow, build_settings, timing_device_name
from slowfast.adaptive.calibrate import build_calibration_settings
from slowfast.adaptive.calibration_file import file_hash
from slowfast.adaptive.costs import build_costs, build_latencies
from slowfast.adaptive.scores import build_sub_network_scorer, build_sub_networks
from slowfast.config.cli import load_cfg
from slowfast.datasets.build import build_loader
from slowfast.models.operating_point import build_points
from slowfast.runtime.launch import single_process
from slowfast.runtime.stop import StopRequest


def measure_table(
    config: str | Path,
    checkpoint: str | Path,
    options: Sequence = (),
    *,
    repeats: int,
    stop: StopRequest,
) -> BudgetTable:
    """The table of all configurations of ADAPTIVE, in one process.

    Statistics that the calibration lacks are measured first. `repeats` clips are timed, 0 leaves
    the latencies out. A stop request gives the table of the videos so far; ValueError if there are
    none.
    """
    cfg = single_process(load_cfg(config, options))
    if not cfg.ADAPTIVE.ENABLE:
        raise ValueError("ADAPTIVE.ENABLE: False; the table is for adaptive networks")
    parent, configurations = file_hash(checkpoint), build_points(cfg)
    networks = build_sub_networks(cfg, checkpoint, configurations)
    loader = build_loader(cfg, "test")
    costs = build_costs(cfg, configurations)
    latencies = [float("nan")] * len(configurations)
    if repeats:
        model = networks[configurations[0]].model
        latencies = build_latencies(cfg, model, configurations, repeats=repeats)
    counts, unreadable = build_sub_network_scorer(cfg, networks)(loader, stop=stop)
    rows = [
        TableRow(configuration, cost.gmacs, cost.params, latency, *counts.accuracies(configuration))
        for configuration, cost, latency in zip(configurations, costs, latencies, strict=True)
    ]
    about = {
        "config": str(config),
        "checkpoint": str(checkpoint),
        "device": timing_device_name(cfg),
        "views": f"{cfg.TEST.NUM_ENSEMBLE_VIEWS} x {cfg.TEST.NUM_SPATIAL_CROPS}",
        "num_videos": counts.num_videos,
        "num_test_videos": len(loader.dataset),
        "unreadable": unreadable.reasons,
    }
    calibration = build_calibration_settings(cfg)
    return BudgetTable(parent, build_settings(cfg), calibration, about, tuple(rows))
