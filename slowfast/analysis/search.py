"""The search of X3D (arXiv 2004.04730, Fig. 2): expand, train all candidates, keep the best, go on.

Files in the folder of a search, from which it goes on after any interruption:

    search.json, start.yaml          what was asked for, and the config of the start
    step_02/candidates.json          the networks of a step: axis, shape, GMACs
    step_02/gamma_t.yaml, gamma_t/   a candidate, as run_net.py takes it, and its run
    step_02/gamma_t.log              all that its run printed
    expansion.csv, .md, .png         all results so far

A candidate is done when its run has test_results.json; one that was cut off goes on from its last
checkpoint. The lock of the folder keeps a second search out.
"""

import json
import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from slowfast.analysis.candidates import CONTRACTED, Candidate, Networks, cost_text, describe
from slowfast.analysis.expansion import AXES, TOLERANCE, Shape
from slowfast.analysis.expansion_report import Result, draw, write_tables
from slowfast.analysis.jobs import Job, run_jobs
from slowfast.analysis.runs import data_name
from slowfast.config.cli import load_cfg
from slowfast.config.node import flatten
from slowfast.evaluation.summary import read_metrics
from slowfast.runtime.lock import only_run_in
from slowfast.utils.io import read_json, write_json, write_lines

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """A search. axes: those of each step. metric: of test_results.json, larger is better.

    has_rules: the paper's rules for training hold, else all are trained as the config says.
    """

    axes: tuple[str, ...] = AXES
    metric: str = "top1_acc"
    has_rules: bool = True


class Search:
    """A search and its folder."""

    def __init__(self, folder: Path, networks: Networks, settings: Settings):
        self.folder, self.networks, self.settings = folder, networks, settings

    def run_folder(self, candidate: Candidate) -> Path:
        """OUTPUT_DIR of its run."""
        return self.folder / candidate.sub_folder / candidate.run

    def accuracy(self, candidate: Candidate) -> float:
        """The metric of its run, in percent; NaN where it is not done."""
        folder = self.run_folder(candidate)
        if not (folder / "test_results.json").exists():
            return math.nan
        metrics, metric = read_metrics(folder), self.settings.metric
        if math.isnan(value := metrics.get(metric, math.nan)):
            raise ValueError(
                f"--metric: {metric!r} has no value among {sorted(metrics)} of {folder}"
            )
        return value

    def best(self, candidates: Sequence[Candidate]) -> Candidate | None:
        """The most accurate one, of equal ones the cheapest; None before all are done."""
        scores = [self.accuracy(one) for one in candidates]
        if any(map(math.isnan, scores)):
            return None
        ranks = [(score, -one.gmacs) for score, one in zip(scores, candidates, strict=True)]
        return candidates[ranks.index(max(ranks))]

    def plan(self, step: int, previous: Candidate | None) -> list[Candidate]:
        """The candidates of a step, from its file where it was planned before."""
        path = self.folder / f"step_{step:02d}" / "candidates.json"
        if path.exists():
            return _read_candidates(path)
        if previous is None:
            planned = [self.networks.first()]
        else:
            logger.info("step %d: looking for networks of twice the cost", step)
            planned = self.networks.candidates(step, previous.shape, self.settings.axes)
        if not planned:
            raise ValueError(f"--axes: {' '.join(self.settings.axes)}: none of them can grow more")
        self.write(path, planned)
        return planned

    def write(self, path: Path, candidates: Sequence[Candidate]) -> None:
        """Write the file of a step, after the YAMLs of its runs."""
        for candidate in candidates:
            if candidate.run == candidate.name:
                self.write_yaml(candidate)
        write_json(path, [asdict(one) for one in candidates])

    def write_yaml(self, candidate: Candidate) -> None:
        """Write the YAML of a candidate."""
        keys = self.networks.keys(candidate, has_rules=self.settings.has_rules)
        keys["OUTPUT_DIR"] = str(self.run_folder(candidate))
        title = f"step {candidate.step}, {candidate.name}"
        lines = [f"# Expansion, {title}: {describe(candidate.shape)}."]
        lines += [f"# {candidate.params:.3f} M parameters, {cost_text(candidate.gmacs)}."]
        content = yaml.safe_dump(_nested(keys), default_flow_style=None)
        lines += ["_BASE_: ../start.yaml", content.rstrip("\n")]
        write_lines(self.yaml(candidate), lines)

    def yaml(self, candidate: Candidate) -> Path:
        """Path of the YAML of its run."""
        return self.folder / candidate.sub_folder / f"{candidate.run}.yaml"

    def train(self, candidates: Sequence[Candidate], num_jobs: int) -> None:
        """Train and test all that are not done; ValueError names those that fail."""
        waiting = {one.run: one for one in candidates if math.isnan(self.accuracy(one))}
        jobs = [
            Job(name, self.yaml(one), self.yaml(one).with_suffix(".log"))
            for name, one in waiting.items()
        ]
        left, start = len(jobs), time.monotonic()
        num_gpus = self.networks.start.NUM_GPUS
        with closing(run_jobs(jobs, num_jobs, num_gpus=num_gpus)) as ended:
            for job in ended:
                candidate, left = waiting[job.name], left - 1
                seconds = (time.monotonic() - start) / (len(jobs) - left)
                logger.info(*("step %d: %s: %s", candidate.step, job.name, self._result(candidate)))
                if left:
                    logger.info("%d to go, one in %.0f s", left, seconds)
                self.report(has_plot=left == 0)

    def steps(self) -> Iterator[list[Candidate]]:
        """The candidates of all steps that were planned."""
        for path in sorted(self.folder.glob("step_*/candidates.json")):
            yield _read_candidates(path)
        path = self.folder / CONTRACTED / "candidates.json"
        if path.exists():
            yield _read_candidates(path)

    def report(self, *, has_plot: bool) -> None:
        """Write the tables of all that is done, and the plot, too."""
        results = []
        for candidates in self.steps():
            best = self.best(candidates)
            results += [Result(one, self.accuracy(one), one == best) for one in candidates]
        write_tables(self.folder, results, metric=self.settings.metric)
        if has_plot:
            tested = [result for result in results if not math.isnan(result.accuracy)]
            cfg = self.networks.start
            data = data_name(cfg.TEST.DATASET, cfg.DATA.PATH_TO_DATA_DIR)
            picture = self.folder / "expansion.png"
            draw(picture, tested, metric=self.settings.metric, data=data)

    def run(self, *, num_steps: int | None, target: float | None, num_jobs: int) -> Candidate:
        """Search so many steps, or up to a target in GMACs; the last network."""
        step, best, before = 0, None, None
        while True:
            candidates = self.plan(step, best)
            if step == 0 and target and candidates[0].gmacs > TOLERANCE * target:
                raise ValueError(
                    f"--target: the start has {cost_text(candidates[0].gmacs)}, and the target is "
                    f"{cost_text(target)}"
                )
            self.train(candidates, num_jobs)
            before, best = best, self.best(candidates)
            assert best is not None, "all candidates are done"
            logger.info("step %d: %s is the best: %s", step, best.name, self._result(best))
            if step == num_steps or (target and best.gmacs * TOLERANCE >= target):
                break
            step += 1
        if target and before and best.gmacs > TOLERANCE * target:
            best = self._contract(before, best, target, num_jobs)
        self.report(has_plot=True)
        return best

    def _contract(
        self, before: Candidate, last: Candidate, target: float, num_jobs: int
    ) -> Candidate:
        smaller = self.networks.contracted(before.shape, last, target)
        if smaller.shape == before.shape:
            logger.info("%s: the network of step %d is nearest", cost_text(target), before.step)
            return before
        path = self.folder / CONTRACTED / "candidates.json"
        if path.exists() and _read_candidates(path) != [smaller]:
            raise ValueError(
                f"--target: {self.folder} holds a network contracted to another target; move its "
                f"folder {CONTRACTED} away"
            )
        self.write(path, [smaller])
        self.train([smaller], num_jobs)
        logger.info("contracted %s: %s", last.name, self._result(smaller))
        return smaller

    def _result(self, candidate: Candidate) -> str:
        return (
            f"{describe(candidate.shape)}, {cost_text(candidate.gmacs)}: "
            f"{self.accuracy(candidate):.2f} %"
        )


def _read_candidates(path: Path) -> list[Candidate]:
    return [Candidate(**{**one, "shape": Shape(**one["shape"])}) for one in read_json(path)]


def _nested(keys: dict[str, Any]) -> dict[str, Any]:
    """Keys A.B as sections."""
    sections: dict[str, Any] = {}
    for key, value in keys.items():
        section, _, name = key.rpartition(".")
        (sections.setdefault(section, {}) if section else sections)[name] = value
    return sections


def open_search(path: str | Path, overrides: Sequence, folder: Path, settings: Settings) -> Search:
    """Begin a search in a new folder, or go on with that of the folder.

    ValueError where the search there has trained something with other settings.
    """
    start, config = folder / "start.yaml", load_cfg(path, overrides)
    asked = json.loads(json.dumps(asdict(settings)))
    changes = _changes(folder, {**asked, **dict(flatten(config))})
    if changes and any(folder.glob("step_*/*/checkpoints/*")):
        raise ValueError(
            f"--output: {folder} holds a search with other settings ({'; '.join(changes[:5])}); "
            "give them as they were, or another folder"
        )
    if changes == []:
        logger.info("%s: goes on with the search there", folder)
    else:
        for plan in folder.glob("step_*/candidates.json"):  # nothing was trained
            plan.unlink()
        write_lines(start, ["# The start of the search.", config.dump().rstrip("\n")])
        write_json(folder / "search.json", asked)
    return Search(folder, Networks(start), settings)


def _changes(folder: Path, wanted: dict[str, Any]) -> list[str] | None:
    """Settings that differ from those that the search of the folder has; None: there is none."""
    if not (folder / "search.json").exists():
        return None
    begun = {**read_json(folder / "search.json")}
    begun |= dict(flatten(load_cfg(folder / "start.yaml")))
    return [
        f"{key} {begun[key]} -> {wanted.get(key)}" for key in begun if begun[key] != wanted.get(key)
    ]


def run_search(
    path: str | Path,
    overrides: Sequence,
    output: str,
    settings: Settings,
    *,
    num_steps: int | None,
    target: float | None,
    num_jobs: int,
) -> Path:
    """Search in the folder `output`; the YAML of the network that it ends with."""
    folder = Path(output)
    with only_run_in(folder, "search"):
        search = open_search(path, overrides, folder, settings)
        last = search.run(num_steps=num_steps, target=target, num_jobs=num_jobs)
        return search.yaml(last)
