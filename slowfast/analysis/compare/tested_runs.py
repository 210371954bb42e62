"""Tested runs on the same videos, those of one config together."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from slowfast.analysis.report.run_folder import RunFolder, find_run
from slowfast.config.node import flatten
from slowfast.evaluation.box_fusion import holds_boxes
from slowfast.evaluation.fusion import RunScores, match_videos, matched_labels, read_scores
from slowfast.evaluation.metrics import topk_hits
from slowfast.evaluation.video_sets import differences, read_facts

# Keys that say nothing on what is compared.
OWN_KEYS = ("RNG_SEED", "OUTPUT_DIR")


@dataclass(frozen=True)
class NamedFolder:
    """OUTPUT_DIR of a run, how it is called, and how its config was called: "" if it was not."""

    label: str
    group: str
    folder: RunFolder

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Full key -> value of its config without seed and folder."""
        return {k: v for k, v in flatten(self.folder.config) if k not in OWN_KEYS}


@dataclass(frozen=True)
class TestedRun:
    """A run. is_right, is_near: whether a video's label is its best, or among its 5 best scores.

    predictions: class numbers (videos).
    """

    name: str
    folder: RunFolder
    is_right: np.ndarray
    is_near: np.ndarray
    predictions: np.ndarray


@dataclass(frozen=True)
class Group:
    """Runs of one config, which differ in their seed."""

    name: str
    settings: dict[str, Any]
    runs: Sequence[TestedRun]

    @cached_property
    def shares(self) -> np.ndarray:
        """Share of the runs that have a video right (videos)."""
        return np.mean([run.is_right for run in self.runs], axis=0)

    @property
    def accuracies(self) -> list[float]:
        """Top-1 of each run, 0..1."""
        return [float(run.is_right.mean()) for run in self.runs]

    @property
    def title(self) -> str:
        """Name, and the number of runs where there are several."""
        count = f" ({len(self.runs)} seeds)" if len(self.runs) > 1 else ""
        return f"{self.name}{count}"


@dataclass(frozen=True)
class Comparison:
    """Groups on the same videos. class_names: of all classes; num_left_out: unreadable in a run."""

    groups: Sequence[Group]
    paths: Sequence[str]
    labels: np.ndarray
    class_names: Sequence[str]
    num_left_out: int

    @property
    def runs(self) -> list[TestedRun]:
        """All runs, in the order of the groups."""
        return [run for group in self.groups for run in group.runs]


def name_folders(words: Sequence[str | Path]) -> list[NamedFolder]:
    """The runs FOLDER or NAME=FOLDER, where NAME may be that of several seeds.

    Others are called by as many last folders as it takes to tell them apart.
    """
    pairs = [_split(str(word)) for word in words]
    folders = [find_run(place) for _, place in pairs]
    parts = [folder.path.resolve().parts for folder in folders]
    for number, own in enumerate(parts):
        if own in parts[:number]:
            raise ValueError(f"{folders[number].path}: this run is given twice")
    depth = next(n for n in range(1, 99) if len({own[-n:] for own in parts}) == len(parts))
    labels = ["/".join(own[-depth:]) for own in parts]
    found = zip(labels, pairs, folders, strict=True)
    return [NamedFolder(label, name, folder) for label, (name, _), folder in found]


def _split(word: str) -> tuple[str, str]:
    name, equals, place = word.partition("=")
    return (name, place) if equals and "/" not in name and not Path(word).exists() else ("", word)


def group_folders(runs: Sequence[NamedFolder]) -> list[list[int]]:
    """Numbers of the runs of each config, in the order of their first one.

    ValueError where one name was given to two configs.
    """
    groups: list[list[int]] = []
    for number, run in enumerate(runs):
        same = [g for g in groups if runs[g[0]].settings == run.settings]
        if same:
            same[0].append(number)
        else:
            groups.append([number])
    names = [{runs[n].group for n in group} - {""} for group in groups]
    for number, own in enumerate(names):
        shared = own & set().union(*names[:number])
        if shared:
            raise ValueError(f"{sorted(shared)[0]}: names two configs; seeds of one share a name")
    return groups


def group_name(runs: Sequence[NamedFolder]) -> str:
    """Name that was given, else of the folder that holds all runs of a config."""
    named = [run.group for run in runs if run.group]
    if named:
        return named[0]
    parents = {run.folder.path.resolve().parent for run in runs}
    if len(runs) > 1 and len(parents) == 1:
        return parents.pop().name
    return runs[0].label


def compare(words: Sequence[str | Path]) -> Comparison:
    """Read the scores of all runs; ValueError unless they were tested on the same videos."""
    named = name_folders(words)
    if len(named) < 2:
        raise ValueError(f"RUN: {len(named)} given; a comparison is of two or more runs")
    read = [_read(run) for run in named]
    _check_classes(named, read)
    try:
        order = match_videos([run.paths for run in read])
        labels = matched_labels(read, order)
    except ValueError as error:
        names = ", ".join(f"run {n} is {run.label}" for n, run in enumerate(named, start=1))
        raise ValueError(f"not tested on the same videos: {error} ({names})") from error
    seen = np.all([run.seen[places] for run, places in zip(read, order, strict=True)], axis=0)
    if not seen.any():
        raise ValueError("no video was read by all of the runs")
    tested = [
        _judge(one, run.scores[places][seen], labels[seen])
        for one, run, places in zip(named, read, order, strict=True)
    ]
    return Comparison(
        _make_groups(named, tested),
        [read[0].paths[place] for place in np.flatnonzero(seen)],
        labels[seen],
        _class_names([run.folder for run in named], read[0].scores.shape[1]),
        int((~seen).sum()),
    )


def _make_groups(named: Sequence[NamedFolder], tested: Sequence[TestedRun]) -> list[Group]:
    groups = group_folders(named)
    names = [group_name([named[n] for n in group]) for group in groups]
    for place, group in enumerate(groups):
        if names.count(names[place]) > 1:
            names[place] = named[group[0]].label
    return [
        Group(name, named[group[0]].settings, [tested[n] for n in group])
        for name, group in zip(names, groups, strict=True)
    ]


def _read(run: NamedFolder) -> RunScores:
    path = run.folder.path
    if (path / "test_scores.npz").is_file() and holds_boxes(path):
        raise ValueError(
            f"{path}: has scores of boxes; runs on whole videos are compared, and "
            "tools/report.py --table FOLDER puts the metrics of all runs side by side"
        )
    return read_scores(path)


def _check_classes(named: Sequence[NamedFolder], read: Sequence[RunScores]) -> None:
    facts = {run.label: read_facts(run.folder.path)[0] for run in named}
    of_classes = {
        label: {key: value for key, value in one.items() if key in ("num_classes", "classes")}
        for label, one in facts.items()
    }
    for run, one in zip(named, read, strict=True):
        of_classes[run.label]["num_classes"] = one.scores.shape[1]
    lines = differences(of_classes, across_splits=False)
    if lines:
        raise ValueError("not tested on the same classes: " + "; ".join(lines))


def _judge(run: NamedFolder, scores: np.ndarray, labels: np.ndarray) -> TestedRun:
    """Compare the scores (videos,classes) with the labels (videos)."""
    tensors = torch.from_numpy(scores), torch.from_numpy(labels)
    right, near = (topk_hits(*tensors, k).numpy() for k in (1, 5))
    return TestedRun(run.label, run.folder, right, near, scores.argmax(1))


def _class_names(folders: Sequence[RunFolder], num_classes: int) -> list[str]:
    """Names as some run's tables have them, else numbers."""
    names = [str(number) for number in range(num_classes)]
    for folder in reversed(folders):
        for row in folder.csv_rows("test_results_per_class.csv"):
            number, name = row.get("class", ""), row.get("name", "")
            if number.isdecimal() and int(number) < num_classes and name:
                names[int(number)] = name
    return names
