"""Gain of adaptive networks at small operating points over others of the same architecture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tabulate import tabulate

from slowfast.adaptive.scores import NO_TRAINING, SubNetwork, build_sub_networks, score_sub_networks
from slowfast.adaptive.table import build_costs
from slowfast.checkpoint import files
from slowfast.checkpoint.files import was_adaptive
from slowfast.config.cli import load_cfg
from slowfast.datasets.build import build_loader
from slowfast.evaluation.summary import MetricSummary, summarize_values
from slowfast.models.operating_point import (
    OperatingPoint,
    build_full_point,
    build_points,
)
from slowfast.runtime.launch import single_process
from slowfast.runtime.stop import StopRequest
from slowfast.tasks.evaluate import build_evaluation_loop
from slowfast.utils.io import write_csv, write_json

# What is compared: networks trained with ADAPTIVE or alone, with batch-norm statistics measured for
# the point or with those of their weights, which belong to the whole network.
KINDS = {
    "adaptive": "adaptive",
    "adaptive_uncalibrated": "adaptive, uncalibrated",
    "alone": "alone",
    "alone_uncalibrated": "alone, uncalibrated",
}

_UNCALIBRATED = {"adaptive": "adaptive_uncalibrated", "alone": "alone_uncalibrated"}

Key = tuple[str, str, OperatingPoint]  # kind, checkpoint, point


@dataclass(frozen=True)
class ComparedRow:
    """Top-1 (percent) of the KINDS at an operating point; networks trained alone have no widths."""

    point: OperatingPoint
    gmacs: float
    top1_acc: dict[str, MetricSummary]


@dataclass(frozen=True)
class Comparison:
    """about: how it was made, with the keys config, checkpoints, num_videos, num_test_videos,
    unreadable, num_damaged and damaged."""

    about: dict
    rows: tuple[ComparedRow, ...]

    @property
    def kinds(self) -> list[str]:
        """The KINDS that were scored."""
        return [kind for kind in KINDS if any(kind in row.top1_acc for row in self.rows)]


def compare(
    config: str | Path,
    adaptive: Sequence[str | Path],
    alone: Sequence[str | Path],
    options: Sequence = (),
    *,
    points: Sequence[OperatingPoint] = (),
    stop: StopRequest,
) -> Comparison:
    """Score checkpoints trained with and without ADAPTIVE at the same points.

    All of them by default. Each test video is read once for all; a stop request gives what the
    videos so far say.
    """
    cfg = single_process(load_cfg(config, [*options, *NO_TRAINING]))
    if not cfg.ADAPTIVE.ENABLE:
        raise ValueError("ADAPTIVE.ENABLE: False; name the config of the adaptive networks")
    _check_checkpoints(adaptive, alone)
    full = build_full_point(cfg, cfg.DATA.TEST_CROP_SIZE)
    for one in points:
        one.check_within(full, min_width=cfg.ADAPTIVE.MIN_WIDTH)
    points = sorted(set(points)) or build_points(cfg)
    at = {"adaptive": points, "alone": [c for c in points if c.width == 1.0]}
    loader, loop = build_loader(cfg, "test"), build_evaluation_loop(cfg)
    networks: dict[Key, SubNetwork] = {}
    for kind, paths in (("adaptive", adaptive), ("alone", alone)):
        for path in map(str, paths):
            found = build_sub_networks(cfg, path, at[kind], class_names=loader.dataset.class_names)
            networks |= _with_uncalibrated(kind, path, found)
    ensemble = cfg.DATA.ENSEMBLE_METHOD
    accuracies, counts = score_sub_networks(networks, loader, loop, ensemble=ensemble, stop=stop)
    summaries = _summaries({key: top1_acc for key, (top1_acc, _) in accuracies.items()}, full)
    costs = build_costs(cfg, points)
    about = {
        "config": str(config),
        "checkpoints": {"adaptive": list(map(str, adaptive)), "alone": list(map(str, alone))},
        **counts,
    }
    rows = zip(points, costs, strict=True)
    return Comparison(about, tuple(ComparedRow(c, cost.gmacs, summaries[c]) for c, cost in rows))


def _with_uncalibrated(
    kind: str, path: str, networks: Mapping[OperatingPoint, SubNetwork]
) -> dict[Key, SubNetwork]:
    """The networks of a checkpoint, and those with measured statistics without them, too."""
    found = {}
    for at, network in networks.items():
        found[kind, path, at] = network
        if network.statistics is not None:
            found[_UNCALIBRATED[kind], path, at] = replace(network, statistics=None)
    return found


def _summaries(
    top1_acc: Mapping[Key, float], full: OperatingPoint
) -> dict[OperatingPoint, dict[str, MetricSummary]]:
    """For each point and kind, the accuracies of the checkpoints in their order."""
    values: dict[OperatingPoint, dict[str, list[float]]] = {}
    for (kind, _, at), value in top1_acc.items():
        kinds = [kind]
        if at == full and kind in _UNCALIBRATED:  # the whole network needs no calibration
            kinds.append(_UNCALIBRATED[kind])
        for one in kinds:
            values.setdefault(at, {}).setdefault(one, []).append(value)
    return {
        at: {kind: summarize_values(kind, found) for kind, found in kinds.items()}
        for at, kinds in values.items()
    }


def _check_checkpoints(adaptive: Sequence[str | Path], alone: Sequence[str | Path]) -> None:
    """Files that are there, each once, and trained as it is said, where they hold their config."""
    paths = [(Path(path), True) for path in adaptive] + [(Path(path), False) for path in alone]
    resolved = [path.resolve() for path, _ in paths]
    for path, is_adaptive in paths:
        if resolved.count(path.resolve()) > 1:
            raise ValueError(f"{path}: this checkpoint is given twice")
        found = was_adaptive(files.load(path), path)
        if found is not None and found != is_adaptive:
            raise ValueError(
                f"{path}: was trained with ADAPTIVE.ENABLE {found}, so it belongs to "
                f"{'--adaptive' if found else '--alone'}"
            )


def comparison_text(comparison: Comparison) -> str:
    """A line per point: mean and sample deviation over the checkpoints of each kind."""
    kinds = comparison.kinds
    rows = [
        [str(row.point), f"{row.gmacs:g}", *(_cell(row.top1_acc.get(k)) for k in kinds)]
        for row in comparison.rows
    ]
    titles = ["width,frames,crop", "GMACs", *(KINDS[kind] for kind in kinds)]
    return tabulate(rows, headers=titles, disable_numparse=True)


def _cell(summary: MetricSummary | None) -> str:
    if summary is None:
        return ""
    deviation = f" ± {summary.std:.2f}" if len(summary.values) > 1 else ""
    return f"{summary.mean:.2f}{deviation}"


def write_comparison(path: str | Path, comparison: Comparison) -> None:
    """Write `path` (.json), and means and deviations as .csv beside it."""
    path, kinds = Path(path), comparison.kinds
    rows = [_row_as_dict(row) for row in comparison.rows]
    write_json(path, {**comparison.about, "configurations": rows})
    cells = []
    for row in comparison.rows:
        found = [row.top1_acc.get(kind) for kind in kinds]
        pairs = [(one.mean, one.std) if one else ("", "") for one in found]
        cells.append([str(row.point), row.gmacs, *(value for p in pairs for value in p)])
    header = [f"{kind}_{value}" for kind in kinds for value in ("mean", "std")]
    write_csv(path.with_suffix(".csv"), ["configuration", "gmacs", *header], cells)


def _row_as_dict(row: ComparedRow) -> dict[str, Any]:
    accuracies = {kind: one.as_dict() for kind, one in row.top1_acc.items()}
    return {"configuration": str(row.point), "gmacs": row.gmacs, "top1_acc": accuracies}
