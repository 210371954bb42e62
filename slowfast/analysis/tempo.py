"""Accuracy as actions get faster: the sampling stride grows (arXiv 2012.00317, Fig. 4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tabulate import tabulate

from slowfast.analysis.report.numbers import wilson_errors
from slowfast.analysis.runs import TrainedRun, load_runs
from slowfast.datasets.decoding.video import UnreadableVideo
from slowfast.utils.io import write_csv, write_json
from slowfast.utils.plots import new_figure, save_figure, shorten, style, tidy

_NUM_MEASURED = 100  # videos whose lengths are looked at
_HEADER = ["run", "factor", "stride", "metric", "videos", "cut_short"]


@dataclass(frozen=True)
class TempoPoint:
    """A run's metric (percent) at `factor` times its stride; `stride` is that of the point.

    cut_short: share of the videos (0..1) that are shorter than a clip, which then shows their last
    frame several times.
    """

    factor: float
    stride: float
    value: float
    num_videos: int
    cut_short: float

    @property
    def is_short(self) -> bool:
        """Whether more than 5 % of the videos are cut short."""
        return self.cut_short > 0.05


def measure_tempo(run: TrainedRun, factors: Sequence[float]) -> list[TempoPoint]:
    """Scores the test split at each stride; ValueError where clips have no stride."""
    parts = [run.views.stretched(factor) for factor in factors]
    judgements, num_videos = run.judge(parts)
    shares = shares_cut_short(run, [part.sampler for part in parts])
    return [
        TempoPoint(factor, round(factor * run.sampling_rate, 6), judgement.value, num_videos, share)
        for factor, judgement, share in zip(factors, judgements, shares, strict=True)
    ]


def shares_cut_short(run: TrainedRun, samplers: Sequence) -> list[float]:
    """Share of the videos shorter than a clip of each sampler, from up to 100 of them."""
    records = run.dataset.records
    places = np.linspace(0, len(records) - 1, min(len(records), _NUM_MEASURED)).round().astype(int)
    lengths = []
    for place in places.tolist():
        try:
            with run.dataset.open_record(records[place]) as video:
                lengths.append((video.index.num_frames, video.index.fps))
        except UnreadableVideo:  # has been named before
            continue
    return [
        float(np.mean([sampler.span(fps) > num_frames for num_frames, fps in lengths or [(0, 1)]]))
        for sampler in samplers
    ]


def draw_tempo(
    path: Path, runs: dict[str, list[TempoPoint]], metric: str, *, data: str, is_share: bool
) -> None:
    """The metric, and what is lost against the first stride; a line for each run.

    data: names of the test sets. is_share: the metric is a share of videos, which has an interval.
    """
    figure = new_figure(12.5, max(4.6, 0.24 * len(runs) + 1), f"Robustness to tempo, {data}")
    left, right = figure.subplots(1, 2)
    for number, (name, points) in enumerate(runs.items()):
        look, first = style(number), points[0]
        _draw_line(left, points, 0.0, look)
        if is_share:
            _draw_intervals(left, points, look["color"])
        _draw_line(right, points, first.value, look)
        label = f"{shorten(name, 26)}, stride {first.stride / first.factor:g}"
        left.plot([], [], **look, lw=1.8, ms=7, label=label)
    every = [point for points in runs.values() for point in points]
    if any(point.is_short for point in every):
        label = "hollow: > 5 % of videos\nshorter than a clip"
        left.plot([], [], "o", color="grey", mfc="white", label=label)
    intervals = ", with 95 % intervals (Wilson)" if is_share else ""
    left.set_ylabel(f"{metric} (%){intervals}")
    right.set_ylabel(f"{metric}, change (points)")
    right.axhline(0, color="black", lw=0.8)
    for axes in (left, right):
        axes.set_xlabel("sampling stride, multiples of the run's own")
        axes.set_xticks(sorted({point.factor for point in every}))
        tidy(axes)
    figure.legend(loc="outside right center", fontsize=9)
    save_figure(figure, path)


def _draw_intervals(axes, points: Sequence[TempoPoint], color: str) -> None:
    values = [point.value for point in points]
    errors = wilson_errors(values, [point.num_videos for point in points])
    places = [point.factor for point in points]
    axes.errorbar(places, values, yerr=errors, fmt="none", ecolor=color, lw=1, capsize=3)


def _draw_line(axes, points: Sequence[TempoPoint], base: float, look: dict) -> None:
    """Values above `base`; points of videos that are too short are hollow."""
    values = [point.value - base for point in points]
    axes.plot([point.factor for point in points], values, color=look["color"], lw=1.8)
    for point, value in zip(points, values, strict=True):
        face = "white" if point.is_short else look["color"]
        axes.plot(point.factor, value, **look, ms=7, markerfacecolor=face)


def run_tempo(
    runs: Sequence[str],
    overrides: Sequence,
    *,
    output: str | Path,
    videos: int | None,
    factors: Sequence[float],
) -> str:
    """Measure all runs, write tables and the plot into the folder `output`, return a table.

    factors: of DATA.SAMPLING_RATE.
    """
    factors = sorted(set(factors))
    measured, about, metrics, data, is_share = {}, [], [], [], True
    for run in load_runs(runs, overrides, num_videos=videos):
        try:
            points = measured[run.name] = measure_tempo(run, factors)
        except ValueError as error:
            raise ValueError(f"{run.name}: {error}") from error
        metrics.append(run.metric)
        data.append(run.data)
        is_share = is_share and not run.is_multi_label
        about.append({**run.about(), "metric": run.metric, "points": [vars(p) for p in points]})
    folder, metric = Path(output), " or ".join(dict.fromkeys(metrics))
    rows = [
        [name, p.factor, p.stride, p.value, p.num_videos, p.cut_short]
        for name, points in measured.items()
        for p in points
    ]
    write_csv(folder / "tempo.csv", _HEADER, rows)
    write_json(folder / "tempo.json", {"factors": factors, "runs": about})
    names = " or ".join(dict.fromkeys(data))
    draw_tempo(folder / "tempo.png", measured, metric, data=names, is_share=is_share)
    table = [[name, *(point.value for point in points)] for name, points in measured.items()]
    return tabulate(table, [f"{metric} %", *(f"x {f:g}" for f in factors)], floatfmt=".2f")
