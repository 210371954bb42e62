"""Trained networks to be analysed: their files, and their scores on the test split."""

import copy
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from slowfast.adaptive.network import load_for_evaluation
from slowfast.config.cli import load_cfg
from slowfast.config.derived import class_counts
from slowfast.config.node import ConfigNode
from slowfast.datasets.build import build_dataset
from slowfast.datasets.clip_dataset import ClipDataset, Views
from slowfast.datasets.clips.views import EvalViews, JointViews
from slowfast.datasets.loader import ShardedBatchSampler, make_loader
from slowfast.datasets.reading import WatchedLoader
from slowfast.engine.predict import names_or_numbers
from slowfast.engine.test import find_weights
from slowfast.evaluation.evaluator import Evaluation, Evaluator
from slowfast.evaluation.video_evaluator import MultiLabelEvaluator, VideoEvaluator
from slowfast.runtime.launch import single_process
from slowfast.shipped import find_recipe
from slowfast.tasks import build_evaluator
from slowfast.tasks.evaluate import EvaluationLoop, build_evaluation_loop
from slowfast.zoo.names import local_file

# Clips of a video that are in memory at once, in each of several batches that wait.
_MAX_VIEWS = 64


@dataclass(frozen=True)
class RunFiles:
    """A network on disk. folder: its OUTPUT_DIR, weights: a file; either may be None."""

    name: str
    config: Path
    folder: Path | None
    weights: Path | None

    @property
    def slug(self) -> str:
        """The name as a part of the name of a file."""
        return re.sub(r"[^\w.+-]+", "_", self.name)

    def find_weights(self, output_dir: str, test_path: str, train_path: str) -> Path:
        """The file that was named, else what a test of the run would take (see `find_weights`)."""
        return self.weights or find_weights(self.folder or Path(output_dir), test_path, train_path)


@dataclass(frozen=True)
class Judgement:
    """Worth of scores: the metric of the run, and per class accuracy or AP, all in percent.

    per_class: (classes,), NaN for a class without videos.
    """

    value: float
    per_class: np.ndarray


def parse_run(word: str) -> RunFiles:
    """`FOLDER` (an OUTPUT_DIR), `CONFIG.yaml` or `CONFIG.yaml,WEIGHTS`, each after `NAME=` or not.

    Without weights they are found as in a test. ValueError where there are no such files.
    """
    name, equals, rest = word.partition("=")
    if not equals or "/" in name or Path(word).exists():
        name, rest = "", word
    place, _, weights = (rest, "", "") if Path(rest).exists() else rest.rpartition(",")
    path = Path(place or rest)
    path = path if path.exists() else find_recipe(place or rest) or path
    config, folder = (path / "config.yaml", path) if path.is_dir() else (path, None)
    for needed in (config, *([local_file(weights)] if weights else [])):
        if not needed.is_file():
            raise ValueError(
                f"{word}: there is no file {needed}; a run is an OUTPUT_DIR (with config.yaml and "
                "checkpoints), or CONFIG.yaml,WEIGHTS"
            )
    name = name or (folder.resolve().name if folder else config.stem)
    return RunFiles(name, config, folder, Path(weights) if weights else None)


def parse_runs(words: Sequence[str]) -> list[RunFiles]:
    """One per word; ValueError unless their names differ."""
    runs = [parse_run(word) for word in words]
    if len({run.slug for run in runs}) < len(runs):
        names = [run.name for run in runs]
        raise ValueError(f"runs: {names} are not all different; write NAME=RUN")
    return runs


@dataclass
class TrainedRun:
    """A network with its weights and the test split of its config, on one device.

    weights: their file. make_evaluator: from the dataset, whose views may have changed, to the
    judge of its scores. data: name of the test set in plots. modality, sampling_rate:
    DATA.MODALITY, DATA.SAMPLING_RATE; read_timeout: DATA.READ_TIMEOUT.
    """

    files: RunFiles
    weights: Path
    model: nn.Module
    dataset: ClipDataset
    loop: EvaluationLoop
    make_evaluator: Callable[[ClipDataset], VideoEvaluator]
    class_names: list[str]
    data: str
    modality: str
    sampling_rate: float
    num_workers: int
    read_timeout: float

    @property
    def name(self) -> str:
        """Its name in tables and plots."""
        return self.files.name

    @property
    def views(self) -> EvalViews:
        """The views of a test."""
        return self.dataset.views

    @property
    def num_classes(self) -> int:
        """Number of scores of a clip."""
        return len(self.class_names)

    @property
    def is_multi_label(self) -> bool:
        """Whether a video has any number of labels."""
        return isinstance(self.make_evaluator(self.dataset), MultiLabelEvaluator)

    @property
    def metric(self) -> str:
        """Title of the metric by which the run is judged."""
        evaluator = self.make_evaluator(self.dataset)
        return evaluator.titles[evaluator.metric]

    def loader(self, views: Views) -> WatchedLoader:
        """All videos, in order, cut into these views."""
        dataset = copy.copy(self.dataset)
        dataset.views = views
        return make_loader(
            dataset,
            ShardedBatchSampler(
                len(dataset), max(self.loop.max_clips // views.num_views, 1), shuffle=False
            ),
            num_workers=min(self.num_workers, os.cpu_count() or 1, len(dataset)),
            pin_memory=self.loop.device.type == "cuda",
            read_timeout=self.read_timeout,
        )

    def judge(self, parts: Sequence[EvalViews]) -> tuple[list[Judgement], int]:
        """Score each kind of views, and count the videos that were judged.

        A video is decoded once for as many of them as fit into memory. Unreadable videos and those
        of unknown class do not count; ValueError where there are no others.
        """
        at_once = max(_MAX_VIEWS // max(part.num_views for part in parts), 1)
        judgements, num_videos = [], 0
        for start in range(0, len(parts), at_once):
            views = JointViews(parts[start : start + at_once])
            loader = self.loader(views)
            evaluator = self.make_evaluator(loader.dataset)
            unreadable = self.loop.run(loader, [(self.model, evaluator)], title=self.name)
            for numbers in views.numbers():
                evaluation = evaluator.evaluate(numbers)
                if evaluation is None:
                    first = dict(list(unreadable.reasons.items())[:3])
                    raise ValueError(f"no test video with a known class; unreadable: {first}")
                num_videos = evaluation.metrics["num_videos"]
                judgements.append(_judgement(evaluation, evaluator))
        return judgements, num_videos

    def about(self) -> dict[str, Any]:
        """Say for a JSON which run this is."""
        return {
            "run": self.name,
            "config": str(self.files.config),
            "weights": str(self.weights),
            "views": f"{self.views.num_clips} x {len(self.views.crops)}",
        }


def _judgement(evaluation: Evaluation, evaluator: VideoEvaluator) -> Judgement:
    per_class = evaluation.per_class[evaluator.class_metric].values()
    return Judgement(evaluation.metrics[evaluator.metric], np.array(list(per_class)))


def load_runs(
    words: Sequence[str], options: Sequence[Any], *, num_videos: int | None = None
) -> Iterator[TrainedRun]:
    """The runs of the words, each when it is needed; mistakes of one name it.

    All configs are loaded, and all weights looked for, before the first run is built.
    """
    runs = parse_runs(words)
    for files in runs:
        with _naming(files):
            load_run_cfg(files, options)
    for files in runs:
        with _naming(files):
            run = load_run(files, options, num_videos=num_videos)
        yield run


@contextmanager
def _naming(files: RunFiles) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{files.name}: {error}") from error


def load_run_cfg(files: RunFiles, options: Sequence[Any]) -> tuple[ConfigNode, Path]:
    """The config of a run that can be analysed, for one process, and the file of its weights."""
    cfg = single_process(load_cfg(files.config, options))
    if cfg.DETECTION.ENABLE:
        raise ValueError("DETECTION.ENABLE: True; only networks of whole videos are analysed")
    if len(class_counts(cfg.MODEL.NUM_CLASSES)) > 1:
        raise ValueError(
            f"MODEL.NUM_CLASSES: {cfg.MODEL.NUM_CLASSES}; only networks of one target are analysed"
        )
    weights = files.find_weights(
        cfg.OUTPUT_DIR, cfg.TEST.CHECKPOINT_FILE_PATH, cfg.TRAIN.CHECKPOINT_FILE_PATH
    )
    if not local_file(weights).is_file():
        raise ValueError(f"there is no file {weights}, its weights")
    return cfg, weights


def load_run(
    files: RunFiles, options: Sequence[Any], *, num_videos: int | None = None
) -> TrainedRun:
    """The network of a run, ready to be scored.

    options: overrides KEY, VALUE, ... of the config. num_videos: as for `draw_videos`.
    """
    cfg, weights = load_run_cfg(files, options)
    dataset, loop = build_dataset(cfg, "test"), build_evaluation_loop(cfg)
    draw_videos(dataset, num_videos, seed=cfg.RNG_SEED)
    _check_evaluator(build_evaluator(cfg, dataset), cfg.TASK)
    network = load_for_evaluation(cfg, weights, loop.device, class_names=dataset.class_names)
    names = dataset.class_names or network.report.class_names
    return TrainedRun(
        *(files, weights, network.model, dataset, loop, partial(build_evaluator, cfg)),
        class_names=names_or_numbers(names, class_counts(cfg.MODEL.NUM_CLASSES)),
        data=data_name(cfg.TEST.DATASET, cfg.DATA.PATH_TO_DATA_DIR),
        modality=cfg.DATA.MODALITY,
        sampling_rate=cfg.DATA.SAMPLING_RATE,
        num_workers=cfg.DATA_LOADER.NUM_WORKERS,
        read_timeout=cfg.DATA.READ_TIMEOUT,
    )


def data_name(dataset: str, folder: str) -> str:
    """Dataset and folder, as lists of anything are in Kinetics' format."""
    name = Path(folder).resolve().name if folder else ""
    return f"{dataset}: {name}" if name and name.lower() != dataset else dataset


def _check_evaluator(evaluator: Evaluator, task: str) -> None:
    """ValueError for an evaluator of a user's own that cannot judge some views alone."""
    if not isinstance(evaluator, VideoEvaluator):
        raise ValueError(
            f"TASK: {task!r} is judged by {type(evaluator).__name__}, which is no VideoEvaluator "
            "(slowfast.evaluation.video_evaluator); only scores of whole videos are analysed"
        )


def draw_videos(dataset: ClipDataset, num_videos: int | None, *, seed: int) -> None:
    """Keep `num_videos` of a split, in its order; None keeps all."""
    if num_videos is not None and num_videos < len(dataset):
        drawn = np.random.default_rng(seed).permutation(len(dataset))[:num_videos]
        dataset.records = [dataset.records[index] for index in sorted(drawn.tolist())]
