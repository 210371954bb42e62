"""Late fusion: the scores of several runs on the same videos, added up (arXiv 1406.2199)."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate

from slowfast.evaluation.metrics import topk_accuracies
from slowfast.evaluation.video_scores import VideoScores
from slowfast.utils.io import read_json, write_csv, write_json
from slowfast.utils.video_names import without_suffix

_NUM_SHOWN = 5
_Key = tuple[str, int]  # last parts of a path, and how many had the same ones before it


@dataclass(frozen=True)
class RunScores:
    """Scores of a tested run (videos,classes), joined over views; seen (videos), bool.

    Labels are class numbers. is_probability: the scores of each video add up to 1.
    """

    name: str
    scores: np.ndarray
    seen: np.ndarray
    paths: list[str]
    labels: np.ndarray
    is_probability: bool


@dataclass(frozen=True)
class Fusion:
    """rows: for each run and the fused scores at last, {"run", "weight", metrics in percent}.

    num_left_out: videos that some run could not read, which count nowhere.
    """

    rows: list[dict]
    num_videos: int
    num_left_out: int


def read_scores(run: str | Path) -> RunScores:
    """The scores in a run's folder (test_scores.npz), or in a file of this kind.

    Views are joined as in the test (test_results.json beside them), else by their mean.
    """
    path = Path(run)
    path = path / "test_scores.npz" if path.is_dir() else path
    try:
        views, paths, labels = VideoScores.load_npz(path)
    except FileNotFoundError:
        raise ValueError(f"{path}: no scores here; the run has not been tested") from None
    except (ValueError, KeyError, OSError) as error:
        raise ValueError(f"{path}: is not a file of scores ({error})") from error
    labels = np.array(labels)
    if labels.ndim != 1:
        raise ValueError(
            f"{path}: has several labels or targets per video; fusion is for one label"
        )
    method = _ensemble(path.with_name("test_results.json"))
    scores, seen = (values.numpy() for values in views.join(method))
    is_probability = method == "sum" and _are_probabilities(scores[seen])
    return RunScores(str(run), scores, seen, paths, labels, is_probability)


def _ensemble(path: Path) -> str:
    try:
        return read_json(path).get("ensemble", "sum")
    except (OSError, ValueError, AttributeError):
        return "sum"


def _are_probabilities(scores: np.ndarray) -> bool:
    # bfloat16 has three digits.
    return bool((scores >= 0).all() and np.allclose(scores.sum(1), 1, atol=0.02))


def match_videos(runs: Sequence[Sequence[str]]) -> list[list[int]]:
    """For each list of paths, the places of the videos of the first one, in its order.

    Paths agree in as many last parts as it takes to tell a list's videos apart, the suffix of a
    video left out: flow/x/a is x/a.mp4. Repetitions are matched in their order. ValueError names
    what has no partner.
    """
    depth = _depth(runs)
    places = [{key: i for i, key in enumerate(_keys(paths, depth))} for paths in runs]
    for number, place in enumerate(places[1:], start=2):
        for lack in (_lack(f"run {number}", places[0], place), _lack("run 1", place, places[0])):
            if lack:
                raise ValueError(
                    f"{lack}; run 1 has for example {runs[0][0]!r}, "
                    f"run {number} {runs[number - 1][0]!r}"
                )
    return [[place[key] for key in places[0]] for place in places]


def video_keys(paths: Sequence[str]) -> list[str]:
    """Names that tell the videos of a list apart, the same wherever their folder lies."""
    return [f"{tail}#{number}" for tail, number in _keys(paths, _depth([paths]))]


def _lack(run: str, others: Collection[_Key], own: Collection[_Key]) -> str:
    """Remark on videos of `others` that a run lacks; "" if it has all."""
    lacking = [key[0] for key in others if key not in own]
    more = ", ..." if len(lacking) > _NUM_SHOWN else ""
    named = f"{', '.join(lacking[:_NUM_SHOWN])}{more}"
    return f"{run} lacks {len(lacking)} of {len(others)} videos: {named}" if lacking else ""


def _depth(runs: Sequence[Sequence[str]]) -> int:
    """Last parts of the paths that tell the videos of each list apart."""
    parts = [[Path(without_suffix(path)).parts for path in dict.fromkeys(paths)] for paths in runs]
    longest = max((len(one) for paths in parts for one in paths), default=1)
    for depth in range(1, longest):
        if all(len({one[-depth:] for one in paths}) == len(paths) for paths in parts):
            return depth
    return longest


def _keys(paths: Sequence[str], depth: int) -> list[_Key]:
    seen: Counter[str] = Counter()
    keys = []
    for path in paths:
        tail = "/".join(Path(without_suffix(path)).parts[-depth:])
        keys.append((tail, seen[tail]))
        seen[tail] += 1
    return keys


def fuse(runs: Sequence[RunScores], weights: Sequence[float]) -> Fusion:
    """Accuracies of each run and of the weighted mean of their scores, on what all could read.

    ValueError if the runs do not have the same videos, labels and classes, or if only some have
    probabilities, which cannot be added to other scores.
    """
    _check(runs, weights)
    order = match_videos([run.paths for run in runs])
    labels = matched_labels(runs, order)
    seen = np.all([run.seen[places] for run, places in zip(runs, order, strict=True)], axis=0)
    if not seen.any():
        raise ValueError("no video was read by all of the runs")
    truth = torch.from_numpy(labels[seen])
    scores = [run.scores[places][seen] for run, places in zip(runs, order, strict=True)]
    fused = sum(weight * one for weight, one in zip(weights, scores, strict=True)) / sum(weights)
    rows = [
        _row(run.name, weight, one, truth)
        for run, weight, one in zip(runs, weights, scores, strict=True)
    ]
    rows.append(_row("fused", sum(weights), fused, truth))
    return Fusion(rows, int(seen.sum()), int((~seen).sum()))


def _row(name: str, weight: float, scores: np.ndarray, truth: torch.Tensor) -> dict:
    return {"run": name, "weight": weight, **topk_accuracies(torch.from_numpy(scores), truth)}


def check_weights(weights: Sequence[float], num_runs: int) -> None:
    """ValueError unless each run has a weight, and some count."""
    if len(weights) != num_runs:
        raise ValueError(f"--weights: {list(weights)} are {len(weights)} for {num_runs} runs")
    if not all(np.isfinite(weight) and weight >= 0 for weight in weights) or sum(weights) == 0:
        raise ValueError(f"--weights: {list(weights)} must be 0 or more, and not all 0")


def _check(runs: Sequence[RunScores], weights: Sequence[float]) -> None:
    check_weights(weights, len(runs))
    classes = [run.scores.shape[1] for run in runs]
    if len(set(classes)) > 1:
        raise ValueError(f"the runs differ in their number of classes: {classes}")
    others = [run.name for run in runs if not run.is_probability]
    if 0 < len(others) < len(runs):
        raise ValueError(
            f"{', '.join(others)}: the scores are no probabilities, those of the others are "
            "(MODEL.HEAD_ACT, DATA.ENSEMBLE_METHOD); they cannot be added"
        )


def matched_labels(runs: Sequence[RunScores], order: Sequence[Sequence[int]]) -> np.ndarray:
    """Labels of the videos of the first run; order: see `match_videos`.

    ValueError names a video that has another label in another run.
    """
    labels = [run.labels[places] for run, places in zip(runs, order, strict=True)]
    for run, other in zip(runs[1:], labels[1:], strict=True):
        different = np.flatnonzero(labels[0] != other)
        if len(different):
            place = different[0]
            raise ValueError(
                f"{run.name}: {len(different)} videos have another label than in {runs[0].name}, "
                f"such as {runs[0].paths[order[0][place]]}: {other[place]} and {labels[0][place]}"
            )
    return labels[0]


def as_table(fusion: Fusion) -> str:
    """A line per run, the fused scores last."""
    rows = [list(row.values()) for row in fusion.rows]
    return tabulate(
        rows, headers=["run", "weight", "top-1 %", "top-5 %"], floatfmt=("", "g", ".2f", ".2f")
    )


def write_fusion(path: str | Path, fusion: Fusion) -> None:
    """Write a .json or a .csv file, atomically."""
    fused = fusion.rows[-1]
    accuracies = {name: value for name, value in fused.items() if name.endswith("_acc")}
    counts = {"num_videos": fusion.num_videos, "num_left_out": fusion.num_left_out}
    write_table(path, fusion.rows, {**accuracies, **counts})


def write_table(path: str | Path, rows: Sequence[dict], results: dict) -> None:
    """Write the rows as .csv, or the results and the rows of the runs as .json, atomically."""
    if Path(path).suffix == ".csv":
        write_csv(path, list(rows[0]), [list(row.values()) for row in rows])
    elif Path(path).suffix == ".json":
        write_json(path, {**results, "runs": list(rows[:-1])})
    else:
        raise ValueError(f"{path}: the file of results must end in .json or .csv")
