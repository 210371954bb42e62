"""Accuracy against cost of several runs, and which of them no other one beats."""

import csv
import math
import shlex
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path

import numpy as np
from tabulate import tabulate

from slowfast.adaptive.budget import pareto_front
from slowfast.adaptive.network import cut_network
from slowfast.adaptive.table import build_costs
from slowfast.analysis.report.numbers import wilson_interval
from slowfast.analysis.runs import RunFiles, parse_runs
from slowfast.config.cli import load_cfg
from slowfast.config.node import ConfigNode
from slowfast.evaluation.summary import read_metrics
from slowfast.evaluation.video_sets import check_same_set
from slowfast.models import build_model
from slowfast.models.build import build_meta_inputs
from slowfast.models.complexity import build_complexity
from slowfast.models.fold import fold_batch_norm
from slowfast.models.operating_point import OperatingPoint, build_reduce
from slowfast.runtime.device import (
    build_device,
    device_name,
    place_model,
)
from slowfast.runtime.latency import build_inferences, time_in_turns
from slowfast.runtime.launch import single_process
from slowfast.utils.io import read_json, write_csv, write_json
from slowfast.utils.plots import new_figure, save_figure, shorten, style, tidy

COSTS = {
    "gmacs": "GMACs per clip at the test crop",
    "params": "parameters (millions)",
    "latency_ms": "median latency (ms per clip)",
}
_MOST_WRITTEN = 30  # points with their values beside them
_NEEDED = ("name", "gmacs", "params", "top1")


@dataclass(frozen=True)
class Point:
    """A network. gmacs: of one clip at the test crop; params in millions; accuracy in percent.

    latency_ms: median of one clip, NaN where it was not measured. num_views: of a video, which the
    accuracy took; NaN where it is not known. is_ours: not from a csv. num_videos: of the accuracy,
    where it is a share of them; 0 where it is not, or not known.
    """

    name: str
    gmacs: float
    params: float
    accuracy: float
    latency_ms: float = math.nan
    num_views: float = math.nan
    is_ours: bool = True
    num_videos: int = 0

    @property
    def error(self) -> list[list[float]] | None:
        """Below and above the accuracy, its interval (Wilson, 95 %); None for unknown videos."""
        if not self.num_videos:
            return None
        hits = round(self.accuracy * self.num_videos / 100)
        low, high = wilson_interval(hits, self.num_videos)
        return [[max(self.accuracy - 100 * low, 0)], [max(100 * high - self.accuracy, 0)]]


def read_points(path: Path) -> list[Point]:
    """Points of a csv with a header: name,gmacs,params,top1 and perhaps latency_ms."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = [name for name in _NEEDED if name not in (reader.fieldnames or [])]
        if missing:
            raise ValueError(f"{path}: its header lacks {missing} of {list(_NEEDED)}")
        points = []
        for row in reader:
            try:
                numbers = [float(row[name]) for name in _NEEDED[1:]]
                latency = float(row.get("latency_ms") or "nan")
            except (TypeError, ValueError):
                raise ValueError(f"{path}:{reader.line_num}: {row} are not all numbers") from None
            points.append(Point(row["name"], *numbers, latency, is_ours=False))
    return points


def tested_point(folder: Path) -> OperatingPoint | None:
    """The choice of TEST.BUDGET when the run of this folder was tested; None: whole network."""
    results = read_json(folder / "test_results.json")
    text = results.get("configuration")
    return None if text is None else OperatingPoint.parse(text)


def build_cost(cfg: ConfigNode, at: OperatingPoint | None) -> tuple[float, float]:
    """(GMACs of one clip at the test crop, millions of parameters); None: of the whole network."""
    if at is not None:
        (cost,) = build_costs(cfg, [at])
        return cost.gmacs, cost.params
    complexity = build_complexity(cfg)
    return complexity.macs_test / 1e9, complexity.params / 1e6


def build_inference(cfg: ConfigNode, at: OperatingPoint | None) -> Callable[[], None]:
    """Scores one whole clip as a test does, with random weights; returns when the device is done.

    `at` is the choice of TEST.BUDGET; None is the whole network.
    """
    model = place_model(build_model(cfg), build_device(cfg), cfg.MEMORY_FORMAT)
    if at is not None:
        model = cut_network(model, at, None, build_reduce(cfg))
    folded = fold_batch_norm(model, *build_meta_inputs(cfg, cfg.DATA.TEST_CROP_SIZE))
    (infer,) = build_inferences(cfg, [folded])
    return infer


def read_accuracy(files: RunFiles, metric: str) -> float:
    """A metric of a tested run, in percent."""
    if files.folder is None:
        raise ValueError(f"{files.name}: accuracy comes from a run's OUTPUT_DIR; name that")
    metrics = read_metrics(files.folder)
    if metric not in metrics:
        raise ValueError(f"{files.folder}: no metric {metric!r} among {sorted(metrics)}")
    return metrics[metric]


def _num_videos(folder: Path, metric: str) -> int:
    """Number of videos of which the metric is a share; 0 for another kind of metric."""
    is_share = metric in ("top1_acc", "top5_acc")
    return int(read_json(folder / "test_results.json").get("num_videos", 0)) if is_share else 0


def measure_points(
    runs: Sequence[RunFiles], options: Sequence, *, metric: str, repeats: int
) -> tuple[list[Point], str]:
    """A point for each tested run, and the device of the latencies; runs take turns in timing."""
    points, works, device = [], [], ""
    for files in runs:
        accuracy = read_accuracy(files, metric)
        cfg = single_process(load_cfg(files.config, options))
        if cfg.DETECTION.ENABLE:
            raise ValueError(f"{files.name}: DETECTION.ENABLE: True has no cost per clip")
        tested, at = load_cfg(files.config), tested_point(files.folder)
        cost = build_cost(tested, at)
        is_other = cfg.TEST.BUDGET != tested.TEST.BUDGET
        if is_other or (options and build_cost(cfg, at) != cost):
            raise ValueError(
                f"{files.name}: --opts {shlex.join(map(str, options))} changes what a clip costs, "
                "but the accuracy is that of the run as it was tested; test it so and name that run"
            )
        num_views = tested.TEST.NUM_ENSEMBLE_VIEWS * tested.TEST.NUM_SPATIAL_CROPS
        num_videos = _num_videos(files.folder, metric)
        more = {"num_views": num_views, "num_videos": num_videos}
        points.append(Point(files.name, *cost, accuracy, **more))
        if repeats > 0:
            works.append(build_inference(cfg, at))
            device = device_name(build_device(cfg))
    if works:
        time_in_turns(*works, repeats=2)  # warm up
        times = time_in_turns(*works, repeats=repeats)
        medians = [1e3 * statistics.median(seconds) for seconds in times]
        points = [replace(p, latency_ms=ms) for p, ms in zip(points, medians, strict=True)]
    return points, device


def draw_pareto(path: Path, points: Sequence[Point], *, metric: str, device: str) -> None:
    """A panel for each known cost; points of files are hollow, those of the front ringed."""
    costs = [name for name in COSTS if any(not math.isnan(getattr(p, name)) for p in points)]
    height = max(4.8, 0.25 * len(points) + 1)
    counts = sorted({point.num_videos for point in points if point.num_videos})
    videos = " or ".join(map(str, counts))
    bars = f"\nbars: 95 % intervals (Wilson) of {videos} test videos" if counts else ""
    figure = new_figure(4.3 * len(costs) + 2.8, height, f"Accuracy against cost{bars}")
    grid = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
    for axes, cost in zip(grid, costs, strict=True):
        _draw_panel(axes, points, [getattr(point, cost) for point in points])
        suffix = f"\n{shorten(device, 60)}" if cost == "latency_ms" and device else ""
        axes.set_xlabel(COSTS[cost] + suffix)
        tidy(axes)
    grid[0].set_ylabel(metric)
    if not all(point.is_ours for point in points):
        grid[0].scatter([], [], facecolor="none", edgecolor="grey", label="hollow: from a file")
    handles, texts = grid[0].get_legend_handles_labels()
    legend = figure.legend(handles, texts, loc="outside right center", fontsize=9)
    for text in legend.get_texts():
        text.set_parse_math(False)
    save_figure(figure, path)


def _draw_panel(axes, points: Sequence[Point], values: Sequence[float]) -> None:
    """The points at these costs, and their front."""
    on_front = pareto_front(values, [point.accuracy for point in points])
    pairs = [(value, point.accuracy) for value, point in zip(values, points, strict=True)]
    front = np.array(sorted(set(compress(pairs, on_front)))).reshape(-1, 2)
    axes.plot(*front.T, "--o", color="black", lw=1, mfc="none", ms=15, label="Pareto front")
    for number, (point, value) in enumerate(zip(points, values, strict=True)):
        look = style(number)
        color, marker = look["color"], look["marker"]
        face = color if point.is_ours else "none"
        look = {"marker": marker, "facecolor": face, "edgecolor": color, "linewidth": 1.6}
        label = shorten(point.name, 34)
        axes.scatter(value, point.accuracy, s=70, **look, label=label, zorder=2)
        axes.errorbar(value, point.accuracy, point.error, ecolor=color, alpha=0.5, capsize=3)
        if len(points) <= _MOST_WRITTEN:
            place = {"xytext": (9, -4), "textcoords": "offset points", "va": "top"}
            axes.annotate(f"{point.accuracy:.1f}", (value, point.accuracy), fontsize=8, **place)
    _scale(axes, [value for value in values if value > 0])


def _scale(axes, known: Sequence[float]) -> None:
    """Logarithmic where the costs differ much, else from 0."""
    from matplotlib.ticker import LogLocator, NullLocator

    if known and max(known) > 10 * min(known):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.set_xlim(0, 1.12 * max(known, default=1.0))


def as_rows(points: Sequence[Point], metric: str) -> tuple[list[str], list[list]]:
    """Header and rows of the table of all points; NaN where a value is not known."""
    accuracies, costs = [point.accuracy for point in points], list(COSTS)
    fronts = [pareto_front([getattr(p, cost) for p in points], accuracies) for cost in costs]
    rows = []
    for number, point in enumerate(points):
        known = [point.accuracy, point.num_views, int(point.is_ours)]
        is_on = [int(front[number]) for front in fronts]
        rows.append([point.name, *(getattr(point, cost) for cost in costs), *known, *is_on])
    on_fronts = [f"is_on_front_{cost}" for cost in costs]
    return ["name", *costs, metric, "views", "is_ours", *on_fronts], rows


def run_pareto(
    runs: Sequence[str],
    overrides: Sequence,
    *,
    output: str | Path,
    points: Sequence[Path],
    metric: str,
    mixed_sets: bool,
    repeats: int,
) -> str:
    """Collect all points, write tables and the plot into the folder `output`, return a table.

    points: csv files of published ones. metric: of test_results.json. mixed_sets: runs may have
    been tested on different videos. repeats: timed clips.
    """
    files = parse_runs(runs)
    folders = [one.folder for one in files if one.folder is not None]
    check_same_set(folders, across_splits=False, may_differ=mixed_sets)
    measured, device = measure_points(files, overrides, metric=metric, repeats=repeats)
    measured += [point for path in points for point in read_points(path)]
    header, rows, folder = *as_rows(measured, metric), Path(output)
    cells = [["" if cell != cell else cell for cell in row] for row in rows]  # NaN stays empty
    write_csv(folder / "pareto.csv", header, cells)
    content = [dict(zip(header, row, strict=True)) for row in rows]
    write_json(folder / "pareto.json", {"device": device, "points": content})
    title = "top-1 (%)" if metric == "top1_acc" else f"{metric} (%)"
    draw_pareto(folder / "pareto.png", measured, metric=title, device=device)
    marks = [[*row[:5], " ".join(compress(COSTS, row[-len(COSTS) :]))] for row in rows]
    return tabulate(marks, ["name", *COSTS, metric, "on the front of"], floatfmt=".3f")
