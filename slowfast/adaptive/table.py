"""The accuracy of an adaptive network at every operating point, and what each of them costs."""

from collections.abc import Sequence
from pathlib import Path

from slowfast.adaptive.budget import TABLE_KEYS, BudgetTable, TableRow, timing_device_name
from slowfast.adaptive.calibrate import CALIBRATION_KEYS
from slowfast.adaptive.calibration_file import build_settings, file_hash
from slowfast.adaptive.costs import build_costs, build_latencies
from slowfast.adaptive.scores import build_sub_networks, score_sub_networks
from slowfast.config.cli import load_cfg
from slowfast.datasets.build import build_loader
from slowfast.models.operating_point import build_points
from slowfast.runtime.launch import single_process
from slowfast.runtime.stop import StopRequest
from slowfast.tasks.evaluate import build_evaluation_loop


def measure_table(
    config: str | Path,
    checkpoint: str | Path,
    options: Sequence = (),
    *,
    repeats: int,
    stop: StopRequest,
) -> BudgetTable:
    """The table of all points of ADAPTIVE, in one process.

    Statistics that the calibration lacks are measured first. `repeats` clips are timed, 0 leaves
    the latencies out. A stop request gives the table of the videos so far; ValueError if there are
    none.
    """
    cfg = single_process(load_cfg(config, options))
    if not cfg.ADAPTIVE.ENABLE:
        raise ValueError("ADAPTIVE.ENABLE: False; the table is for adaptive networks")
    parent, points = file_hash(checkpoint), build_points(cfg)
    networks = build_sub_networks(cfg, checkpoint, points)
    loader, loop = build_loader(cfg, "test"), build_evaluation_loop(cfg)
    costs = build_costs(cfg, points)
    model = networks[points[0]].model  # all have the same
    latencies = build_latencies(cfg, model, points, repeats=repeats)
    ensemble = cfg.DATA.ENSEMBLE_METHOD
    accuracies, counts = score_sub_networks(networks, loader, loop, ensemble=ensemble, stop=stop)
    rows = [
        TableRow(at, cost.gmacs, cost.params, ms, *accuracies[at])
        for at, cost, ms in zip(points, costs, latencies, strict=True)
    ]
    amp_dtype = cfg.TRAIN.AMP_DTYPE if cfg.TRAIN.MIXED_PRECISION else None
    about = {
        "config": str(config),
        "checkpoint": str(checkpoint),
        "device": timing_device_name(loop.device, amp_dtype),
        "views": f"{cfg.TEST.NUM_ENSEMBLE_VIEWS} x {cfg.TEST.NUM_SPATIAL_CROPS}",
        **counts,
    }
    settings, calibration = (build_settings(cfg, keys) for keys in (TABLE_KEYS, CALIBRATION_KEYS))
    return BudgetTable(parent, settings, calibration, about, tuple(rows))
