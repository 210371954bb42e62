"""Study of several networks: each trained with several seeds, tested forwards and backwards.

Files in the folder of a study, from which it goes on after any interruption:

    x3d_motion/seed_0.yaml, seed_0/    a run, as run_net.py takes it, and its OUTPUT_DIR
    x3d_motion/seed_0.log              all that it printed
    x3d_motion/seed_0/orders.json      its accuracy on normal, reversed, shuffled, frozen clips
    study.csv, study.md, study.png     one row a network, mean and spread over the seeds
"""

import logging
import statistics
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slowfast.adaptive.network import load_for_evaluation
from slowfast.analysis.arrow import ORDERS, measure_arrow
from slowfast.analysis.jobs import Job, run_jobs
from slowfast.analysis.planned_runs import build_planned_run
from slowfast.analysis.report.numbers import wilson_errors
from slowfast.analysis.runs import RunFiles, data_name, load_run, load_run_cfg
from slowfast.config.cli import load_cfg
from slowfast.config.node import ConfigNode
from slowfast.models.complexity import build_complexity
from slowfast.runtime.device import build_device
from slowfast.runtime.latency import build_inferences, time_in_turns
from slowfast.runtime.lock import only_run_in
from slowfast.utils.io import read_json, write_csv, write_json, write_lines
from slowfast.utils.plots import new_figure, save_figure, style, tidy

logger = logging.getLogger(__name__)

_HEADER = ["network", "parameters (M)", "GMACs", "latency (ms)"]
_SHOWN = ("normal", "reversed", "single_frame")


@dataclass(frozen=True)
class Row:
    """A network: its size, its latency in ms, and its accuracies in percent, one a seed.

    num_videos: of the test, 0 where it is unknown.
    """

    name: str
    params: float
    gmacs: float
    latency: float
    accuracy: Mapping[str, Sequence[float]]
    num_videos: int = 0

    def error(self, order: str) -> np.ndarray:
        """Error bars of its mean, (2, 1): deviation over seeds, of one the 95 % interval."""
        values = self.accuracy[order]
        if len(values) > 1:
            return np.full((2, 1), statistics.stdev(values))
        return wilson_errors(values, [self.num_videos]) if self.num_videos else np.zeros((2, 1))

    def cells(self) -> list[str]:
        """Its row in the table."""
        sizes = [f"{self.params:.3g}", f"{self.gmacs:.3g}", f"{self.latency:.1f}"]
        return [self.name, *sizes, *(spread(self.accuracy[order]) for order in _SHOWN)]


def spread(values: Sequence[float]) -> str:
    """Mean and sample standard deviation, of one value itself."""
    if len(values) == 1:
        return f"{values[0]:.1f}"
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}"


@dataclass(frozen=True)
class Study:
    """Networks, by the names of their YAMLs, with their seeds, in one folder."""

    folder: Path
    configs: Mapping[str, Path]
    seeds: Sequence[int]

    def output_dir(self, name: str, seed: int) -> Path:
        """OUTPUT_DIR of a run."""
        return self.folder / name / f"seed_{seed}"

    def yaml(self, name: str, seed: int) -> Path:
        """YAML of a run."""
        return self.output_dir(name, seed).with_suffix(".yaml")

    def write(self, overrides: Sequence) -> list[Job]:
        """Write the YAMLs of all runs; the runs that are not done.

        ValueError where one was begun with another config.
        """
        runs = []
        for seed in self.seeds:
            for name, path in self.configs.items():
                own = ["RNG_SEED", seed, "OUTPUT_DIR", str(self.output_dir(name, seed))]
                cfg = load_cfg(path, [*overrides, *own])
                runs.append(build_planned_run(f"{name}, seed {seed}", cfg))
                runs[-1].check_unchanged()
        for run in runs:
            run.write()
        return [run.job for run in runs if not run.is_done]

    def orders(self, name: str, seed: int) -> dict[str, float]:
        """Accuracy of a run in each order of the frames; measured once."""
        path = self.output_dir(name, seed) / "orders.json"
        if not path.exists():
            files = RunFiles(name, self.yaml(name, seed), self.output_dir(name, seed), None)
            write_json(path, measure_arrow(load_run(files, [])).total)
        return read_json(path)

    def num_videos(self, name: str) -> int:
        """Test videos of the run of the first seed; 0 where these are no shares of videos."""
        if self.first_cfg(name)[0].DATA.MULTI_LABEL:
            return 0
        return read_json(self.output_dir(name, self.seeds[0]) / "test_results.json")["num_videos"]

    def accuracies(self, name: str) -> dict[str, list[float]]:
        """Accuracies of all seeds."""
        found = [self.orders(name, seed) for seed in self.seeds]
        return {order: [totals[order] for totals in found] for order in ORDERS}

    def first_cfg(self, name: str) -> tuple[ConfigNode, Path]:
        """Config and weights of the run of the first seed."""
        folder = self.output_dir(name, self.seeds[0])
        return load_run_cfg(RunFiles(name, self.yaml(name, self.seeds[0]), folder, None), [])


def build_latencies(cfgs: Sequence[tuple[ConfigNode, Path]], *, repeats: int) -> list[float]:
    """Median milliseconds of one test clip through each network; they take turns."""
    works = []
    for cfg, weights in cfgs:
        network = load_for_evaluation(cfg, weights, build_device(cfg)).model
        works += build_inferences(cfg, [network])
    time_in_turns(*works, repeats=3)  # warm up
    return [1e3 * statistics.median(times) for times in time_in_turns(*works, repeats=repeats)]


def measure(study: Study, *, repeats: int) -> list[Row]:
    """A row for each network, the cheapest first."""
    accuracies = {name: study.accuracies(name) for name in study.configs}
    cfgs = {name: study.first_cfg(name) for name in study.configs}
    latencies = build_latencies(list(cfgs.values()), repeats=repeats)
    rows = []
    for (name, (cfg, _)), latency in zip(cfgs.items(), latencies, strict=True):
        size = build_complexity(cfg)
        sizes = (size.params / 1e6, size.macs_test / 1e9, latency)
        rows.append(Row(name, *sizes, accuracies[name], study.num_videos(name)))
    return sorted(rows, key=lambda row: row.gmacs)


def table(rows: Sequence[Row]) -> list[str]:
    """Lines of a Markdown table."""
    header = [*_HEADER, *(f"{order.replace('_', ' ')} (%)" for order in _SHOWN)]
    lines = ["| " + " | ".join(header) + " |", "|---" + "|---:" * (len(header) - 1) + "|"]
    return lines + ["| " + " | ".join(row.cells()) + " |" for row in rows]


def draw(path: Path, rows: Sequence[Row], data: str = "") -> None:
    """Accuracy over cost: filled forwards, hollow backwards; data: the test set."""
    from matplotlib.ticker import LogLocator, NullFormatter

    num_seeds = max(len(row.accuracy["normal"]) for row in rows)
    bars = f"deviation of {num_seeds} seeds" if num_seeds > 1 else "95 % intervals (Wilson)"
    on_data = f", {data}" if data else ""
    figure = new_figure(8, 5.2, f"Accuracy over cost{on_data}; bars: {bars}")
    axes = figure.subplots()
    for number, row in enumerate(rows):
        look = style(number)
        for order, filling in (("normal", look["color"]), ("reversed", "none")):
            values = row.accuracy[order]
            axes.errorbar(
                [row.gmacs],
                [statistics.mean(values)],
                yerr=row.error(order),
                **{**look, "linestyle": "none", "markerfacecolor": filling},
                label=row.name if order == "normal" else None,
            )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("GMACs of a clip")
    axes.set_ylabel("top-1 (%), filled forwards, hollow backwards")
    axes.set_ylim(-4, 104)
    tidy(axes)
    figure.legend(loc="outside right upper", fontsize=9)
    save_figure(figure, path)


def write_report(folder: Path, rows: Sequence[Row], data: str = "") -> str:
    """Write study.csv, study.md and study.png; the text of the table."""
    orders = [f"{order}_{kind}" for order in ORDERS for kind in ("mean", "std")]
    lines = []
    for row in rows:
        values = [row.name, row.params, row.gmacs, row.latency]
        for order in ORDERS:
            found = row.accuracy[order]
            values += [statistics.mean(found), statistics.stdev(found) if len(found) > 1 else ""]
        lines.append(values)
    write_csv(folder / "study.csv", ["network", "params_m", "gmacs", "latency_ms", *orders], lines)
    write_lines(folder / "study.md", table(rows))
    draw(folder / "study.png", rows, data)
    return "\n".join(table(rows))


def run_study(
    paths: Sequence[str | Path],
    overrides: Sequence,
    *,
    output: str | Path,
    num_seeds: int,
    num_jobs: int,
    repeats: int,
) -> str:
    """Train, test, measure and write all; the table as text. It goes on where it was cut off."""
    configs = {Path(path).stem: Path(path) for path in paths}
    if len(configs) < len(paths):
        raise ValueError(f"--cfg: the files' names {[Path(p).stem for p in paths]} must differ")
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    with only_run_in(folder, "study"):
        study = Study(folder, configs, range(num_seeds))
        jobs = study.write(overrides)
        cfgs = [load_cfg(path, overrides) for path in configs.values()]
        num_gpus = max(cfg.NUM_GPUS for cfg in cfgs)
        data = dict.fromkeys(data_name(cfg.TEST.DATASET, cfg.DATA.PATH_TO_DATA_DIR) for cfg in cfgs)
        with closing(run_jobs(jobs, num_jobs, num_gpus=num_gpus)) as ended:
            for number, job in enumerate(ended, start=1):
                logger.info("%d of %d: %s is trained and tested", number, len(jobs), job.name)
        return write_report(folder, measure(study, repeats=repeats), " or ".join(data))
