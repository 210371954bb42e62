"""The comparison of several runs: one page."""

import math
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from slowfast.analysis.compare.costs import Costs
from slowfast.analysis.compare.statistics import (
    LEVEL,
    Estimate,
    bootstrap_interval,
    holm,
    mcnemar,
    paired_bootstrap,
    seed_interval,
    welch_test,
)
from slowfast.analysis.compare.tested_runs import Comparison, Group, compare
from slowfast.analysis.pages.charts import Axis, Chart, Series, line_chart
from slowfast.analysis.pages.page import Column, Table, write_page
from slowfast.analysis.report.curves import epoch_of
from slowfast.analysis.report.numbers import wilson_interval
from slowfast.analysis.report.run_folder import number
from slowfast.analysis.report.sections import Gallery, Picture, Section, foot_line
from slowfast.analysis.report.strips import film_strip
from slowfast.datasets.build import build_dataset

_NUM_STRIPS = 6
_CURVES = {
    "Training loss": ("train_epoch", "loss"),
    "Training top-1 (%)": ("train_epoch", "top1_acc"),
    "Validation loss": ("val_epoch", "loss"),
    "Validation top-1 (%)": ("val_epoch", "top1_acc"),
}
_NOTE = (
    "Intervals are of 95 %. Over videos: Wilson's for a single run, bootstrap for a mean of seeds, "
    "with what all of them say about a video kept together (Wilson's where all say the same of "
    "every video). Over seeds: Student's t, where they differ."
)


def write_comparison(words: Sequence[str | Path], output: str | Path) -> Path:
    """Write the page of the runs (OUTPUT_DIRs); ValueError unless tested on the same videos."""
    found = compare(words)
    sections = [
        result_section(found),
        test_section(found),
        cost_section(found),
        class_section(found),
        *curve_section(found),
        *example_section(found),
        config_section(found),
    ]
    left_out = f", {found.num_left_out} left out: unreadable in some run"
    videos = f"{len(found.labels)} videos{left_out if found.num_left_out else ''}"
    time = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    return write_page(
        output,
        "report/report.html",
        title=" against ".join(group.name for group in found.groups[:4]),
        state=f"{len(found.runs)} runs of {len(found.groups)} configs, {videos}.",
        sections=[("result", "Top-1"), *((section.id, section.title) for section in sections)],
        is_tested=True,
        tiles=[_tile(group) for group in found.groups],
        notes=[_NOTE],
        more=sections,
        has_matrix=False,
        foot=foot_line(time),
    )


def video_estimate(group: Group) -> Estimate:
    """Accuracy in percent, with its interval over videos.

    Wilson's for one run, and where all videos are alike, of which resampling makes a point.
    """
    shares = group.shares
    if len(group.runs) > 1 and np.ptp(shares) > 0:
        return bootstrap_interval(shares).times(100)
    ends = wilson_interval(round(float(shares.sum())), len(shares))
    return Estimate(float(shares.mean()), *ends).times(100)


def _tile(group: Group) -> tuple[str, str, str]:
    found = video_estimate(group)
    return group.title, f"{found.mean:.2f} %", f"{found.low:.2f} to {found.high:.2f}"


def result_section(found: Comparison) -> Section:
    """Accuracy of each config and of each run."""
    rows = []
    for group in found.groups:
        videos, seeds = video_estimate(group), seed_interval(group.accuracies).times(100)
        near = 100 * float(np.mean([run.is_near for run in group.runs]))
        ends = [videos.low, videos.high, max(seeds.low, 0.0), min(seeds.high, 100.0)]
        rows.append([group.name, len(group.runs), videos.mean, *ends, near])
    titles = ["top-1 (%)", "videos: from", "to", "seeds: from", "to", "top-5 (%)"]
    columns = [Column("config"), Column("runs", 0), *(Column(title, 2) for title in titles)]
    means = [row[2] for row in rows]
    best = [place for place, mean in enumerate(means) if mean == max(means)]
    runs = [
        [run.name, group.name, 100 * float(run.is_right.mean())]
        for group in found.groups
        for run in group.runs
    ]
    each = Table("Each run", [Column("run"), Column("config"), Column("top-1 (%)", 2)], runs)
    return Section("accuracy", "Accuracy", tables=[Table("Configs", columns, rows, best), each])


def test_section(found: Comparison) -> Section:
    """Paired tests of all configs and of all runs of different configs."""
    pairs = [(a, b) for n, a in enumerate(found.groups) for b in found.groups[n + 1 :]]
    rows, runs = [], []
    for a, b in pairs:
        difference, p = paired_bootstrap(a.shares, b.shares)
        change = difference.times(100)
        welch = welch_test(a.accuracies, b.accuracies)
        rows.append([a.name, b.name, change.mean, change.low, change.high, p, welch])
        for one in a.runs:
            for other in b.runs:
                m = mcnemar(one.is_right, other.is_right)
                counts = [m.only_first, m.only_second, m.exact, m.statistic, m.corrected]
                runs.append([one.name, other.name, *counts])
    adjusted = [holm([row[place] for row in values]) for values, place in ((rows, 5), (runs, 4))]
    rows = [[*row, value] for row, value in zip(rows, adjusted[0], strict=True)]
    runs = [[*row, value] for row, value in zip(runs, adjusted[1], strict=True)]
    names = [Column("first"), Column("second")]
    change = [Column("second - first (points)", 2), Column("from", 2), Column("to", 2)]
    ps = [Column("p, bootstrap", 4), Column("p, Welch", 4), Column("p, Holm", 4)]
    counts = [Column("only first right", 0), Column("only second right", 0)]
    tests = [Column("p, exact", 4), Column("chi²", 3), Column("p, corrected", 4)]
    texts = [verdict(row) for row in rows]
    texts += [
        "Holm: p of the bootstrap, or of the exact test, adjusted for the number of rows. Welch "
        "takes seeds as the sample, the others take videos."
    ]
    tables = [
        Table("Paired bootstrap over videos", [*names, *change, *ps], rows),
        Table("McNemar, run by run", [*names, *counts, *tests, Column("p, Holm", 4)], runs),
    ]
    return Section("tests", "Is the difference real?", texts, tables=tables)


def verdict(row: Sequence) -> str:
    """Sentence on a row of the paired bootstrap, by the p that counts the number of pairs."""
    first, second, *points, _, _, p = row
    shown = f"p = {p:.2g}" if p >= 0.001 else "p < 0.001"
    if p >= 1 - LEVEL:
        mean, low, high = (f"{round(value, 1) + 0.0:.1f}" for value in points)  # no -0.0
        difference = f"{second} - {first} is {mean} points ({low} to {high})"
        return f"No difference is shown: {difference}, {shown} (paired bootstrap)."
    if points[0] < 0:
        first, second, points = second, first, [-points[0], -points[2], -points[1]]
    mean, low, high = (f"{round(value, 1) + 0.0:.1f}" for value in points)
    difference = f"{second} is better than {first} by {mean} points ({low} to {high})"
    return f"{difference}, {shown} (paired bootstrap)."


def cost_section(found: Comparison) -> Section:
    """Accuracy over arithmetic, and what the runs cost."""
    costs, rows, places = Costs(), [], []
    for group in found.groups:
        each = [costs.of(run.folder) for run in group.runs]
        cost = each[0]
        seconds = float(np.mean([one.seconds for one in each]))
        sizes = [cost.params, cost.gmacs, cost.num_views, cost.video_gmacs, cost.epochs, seconds]
        rows.append([group.name, *sizes])
        places.append((group.name, cost.video_gmacs, video_estimate(group)))
    titles = [("parameters (M)", 3), ("GMACs of a clip", 4), ("views", 0), ("GMACs of a video", 4)]
    titles += [("epochs", 0), ("seconds of training", 0)]
    columns = [Column("config"), *(Column(title, digits) for title, digits in titles)]
    chart = interval_chart("Accuracy over cost", places, "GMACs of a video", "top-1 (%)")
    return Section("cost", "Cost", charts=[chart], tables=[Table("Costs", columns, rows)])


def interval_chart(
    title: str, points: Sequence[tuple[str, float, Estimate]], x: str, y: str
) -> Chart:
    """Chart of named points (name, x, interval of y), each a short curve from low to high.

    A point of unknown x is left out.
    """
    known = [(n, point) for n, point in enumerate(points) if math.isfinite(point[1])]
    series = [
        Series(
            *(name, [at] * 3, [value.low, value.mean, value.high]), has_markers=True, colour=place
        )
        for place, (name, at, value) in known
    ]
    widest = max((at for _, (_, at, _) in known), default=1.0)
    caption = "Mean and interval over videos: further left is cheaper, further up is better."
    return line_chart(title, series, Axis(x, 0, 1.1 * widest), Axis(y), caption=caption)


def class_section(found: Comparison) -> Section:
    """Accuracy of each class, and what the others gain on the first config."""
    rows = []
    for number_, name in enumerate(found.class_names):
        own = found.labels == number_
        if own.any():
            values = [100 * float(group.shares[own].mean()) for group in found.groups]
            gains = [value - values[0] for value in values[1:]]
            rows.append([name, int(own.sum()), *values, *gains])
    has_gains = len(found.groups) > 1
    rows.sort(key=lambda row: -row[len(found.groups) + 2 if has_gains else 2])
    columns = [Column("class"), Column("videos", 0)]
    columns += [Column(f"{group.name} (%)", 1) for group in found.groups]
    columns += [Column(f"gain of {group.name}", 1) for group in found.groups[1:]]
    name = found.groups[0].name
    title = f"Gains in points on {name}" if has_gains else f"Accuracy of {name}"
    return Section("classes", "Classes that gain and lose", tables=[Table(title, columns, rows)])


def curve_section(found: Comparison) -> list[Section]:
    """Curves of the configs over each other, means of the seeds and their range."""
    charts = [chart for title in _CURVES if (chart := _curves(found, title))]
    return [Section("curves", "Curves", charts=charts)] if charts else []


def _curves(found: Comparison, title: str) -> Chart | None:
    kind, key = _CURVES[title]
    series = []
    for place, group in enumerate(found.groups):
        values: dict[float, list[float]] = {}
        for run in group.runs:
            lines = [row for row in run.folder.lines_of(kind) if key in row]
            for epoch, value in {epoch_of(row): number(row[key]) for row in lines}.items():
                values.setdefault(epoch, []).append(value)
        if values:
            epochs = sorted(values)
            of = [values[epoch] for epoch in epochs]
            ends = (list(map(min, of)), list(map(max, of))) if len(group.runs) > 1 else (None, None)
            means = [float(np.mean(v)) for v in of]
            few = len(epochs) < 6
            series.append(Series(group.title, epochs, means, *ends, has_markers=few, colour=place))
    caption = "Mean of the seeds, and their range." if any(s.low for s in series) else ""
    return line_chart(title, series, Axis("epoch"), Axis(""), caption=caption) if series else None


def example_section(found: Comparison) -> list[Section]:
    """Film strips of videos on which the first config and another one differ most."""
    try:
        dataset = build_dataset(found.runs[0].folder.config, "test")
    except (OSError, ValueError, RuntimeError) as error:
        return [Section("videos", "Videos", [f"The videos cannot be read here: {error}"])]
    records = {record.name: record for record in dataset.records}
    galleries, first = [], found.groups[0]
    for other in found.groups[1:]:
        for winner, loser in ((first, other), (other, first)):
            lead = winner.shares - loser.shares
            chosen = [n for n in np.argsort(-lead, kind="stable")[:_NUM_STRIPS] if lead[n] > 0]
            pictures = []
            for n in chosen:
                record = records.get(found.paths[n])
                source = film_strip(record, dataset.open_record) if record is not None else None
                if source is not None:
                    words = _say(found, int(n), (winner, loser))
                    pictures.append(Picture(source, f"Six frames of {words}", words))
            if pictures:
                title = f"{winner.name} is right more often than {loser.name}"
                galleries.append(Gallery(title, pictures))
    text = [] if galleries else ["The configs differ on no video that can be read here."]
    return [Section("videos", "Videos on which they differ", text, galleries=galleries)]


def _say(found: Comparison, video: int, groups: Sequence[Group]) -> str:
    answers = []
    for group in groups:
        said = [found.class_names[run.predictions[video]] for run in group.runs]
        answers.append(f"{group.name} says {', '.join(dict.fromkeys(said))}")
    name = Path(found.paths[video]).name
    return f"{name}, true {found.class_names[found.labels[video]]}: {'; '.join(answers)}"


def config_section(found: Comparison) -> Section:
    """Keys of the config that differ."""
    keys = dict.fromkeys(key for group in found.groups for key in group.settings)
    rows = []
    for key in keys:
        values = [str(group.settings.get(key, "–")) for group in found.groups]
        if len(set(values)) > 1:
            rows.append([key, *(value or '""' for value in values)])
    columns = [Column("key"), *(Column(group.name, is_long=True) for group in found.groups)]
    table = Table("Config keys that differ", columns, sorted(rows))
    return Section("config", "Configs", tables=[table])
