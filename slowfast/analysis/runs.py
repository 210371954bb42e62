"""Trained networks to be analysed: where their files are, and what they score on the test split."""

import copy
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from slowfast.checkpoint.initialize import load_for_test
from slowfast.config.cli import load_cfg
from slowfast.config.node import ConfigNode
from slowfast.datasets.build import build_dataset
from slowfast.datasets.clip_dataset import ClipDataset, Views
from slowfast.datasets.clips.views import EvalViews, JointViews
from slowfast.datasets.loader import ShardedBatchSampler, make_loader
from slowfast.engine.scorer import build_scorer
from slowfast.engine.test import find_weights
from slowfast.evaluation.mean_ap import average_precisions
from slowfast.evaluation.topk import class_accuracies
from slowfast.models import build_model
from slowfast.runtime.launch import single_process
from slowfast.tasks.video_task import ViewTask

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


@dataclass(frozen=True)
class Judgement:
    """What scores are worth: the task's metric, and per class accuracy or AP, all in percent.

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
    if path.is_dir():
        config, folder = path / "config.yaml", path
    else:
        config, folder = path, None
    for needed in (config, *([Path(weights)] if weights else [])):
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


class TrainedRun:
    """A network with its weights and the test split of its config, on one device.

    options: overrides KEY, VALUE, ... of the config. num_videos: so many, drawn by the config's
    seed; None takes all. metric: what the task is judged by, as a user reads it.
    """

    def __init__(self, files: RunFiles, options: Sequence[Any], *, num_videos: int | None = None):
        cfg = load_run_cfg(files, options)
        self.name, self.slug, self.config = files.name, files.slug, files.config
        self.weights = build_weights_path(cfg, files)
        self.sampling_rate, self.num_classes = cfg.DATA.SAMPLING_RATE, cfg.MODEL.NUM_CLASSES
        self.dataset = build_subset(cfg, num_videos)
        self.scorer, report = build_scorer(cfg, self.weights)
        self.is_multi_label, self.modality = cfg.DATA.MULTI_LABEL, cfg.DATA.MODALITY
        self.metric = self.task.titles[self.task.metric(self.dataset)]
        names = self.dataset.class_names or report.class_names or []
        fits = len(names) == self.num_classes
        self.class_names = list(names) if fits else [f"class {n}" for n in range(self.num_classes)]
        self.seed, self._num_workers = cfg.RNG_SEED, cfg.DATA_LOADER.NUM_WORKERS

    @property
    def task(self) -> ViewTask:
        """That of the config."""
        return self.scorer.task

    @property
    def views(self) -> EvalViews:
        """Those of a test."""
        return self.dataset.views

    def loader(self, views: Views) -> DataLoader:
        """All videos, in order, cut into these views."""
        dataset = copy.copy(self.dataset)
        dataset.views = views
        return make_loader(
            dataset,
            ShardedBatchSampler(
                len(dataset), max(self.scorer.max_clips // views.num_views, 1), shuffle=False
            ),
            num_workers=min(self._num_workers, os.cpu_count() or 1, len(dataset)),
            pin_memory=self.scorer.device.type == "cuda",
        )

    def judge(self, parts: Sequence[EvalViews]) -> tuple[list[Judgement], int]:
        """What the network scores in each kind of views, and how many videos count.

        A video is decoded once for as many of them as fit into memory. Unreadable videos and those
        of unknown class do not count; ValueError where there are no others.
        """
        labels = self.task.labels(self.dataset)
        is_known = torch.ones(len(labels), dtype=torch.bool) if labels.ndim == 2 else labels >= 0
        at_once = max(_MAX_VIEWS // max(part.num_views for part in parts), 1)
        judgements, num_videos = [], 0
        for start in range(0, len(parts), at_once):
            views = JointViews(parts[start : start + at_once])
            scores, unreadable = self.scorer(self.loader(views), title=self.name)
            for numbers in views.numbers():
                values, seen = self.task.join(scores, numbers)
                seen &= is_known
                num_videos = int(seen.sum())
                if not num_videos:
                    first = dict(list(unreadable.reasons.items())[:3])
                    raise ValueError(f"no test video with a known class; unreadable: {first}")
                judgements.append(self._judge(values[seen], labels[seen]))
        return judgements, num_videos

    def _judge(self, values: torch.Tensor, labels: torch.Tensor) -> Judgement:
        if self.is_multi_label:
            per_class = 100 * average_precisions(values.numpy(), labels.numpy())
        else:
            per_class = class_accuracies(values, labels)[0].numpy()
        metric = self.task.metric(self.dataset)
        return Judgement(self.task.judge(values, labels)[metric], per_class)

    def about(self) -> dict[str, Any]:
        """What a JSON says of a run."""
        return {
            "run": self.name,
            "config": str(self.config),
            "weights": str(self.weights),
            "views": f"{self.views.num_clips} x {len(self.views.crops)}",
        }


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
            run = TrainedRun(files, options, num_videos=num_videos)
        yield run


@contextmanager
def _naming(files: RunFiles) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{files.name}: {error}") from error


def load_run_cfg(files: RunFiles, options: Sequence[Any]) -> ConfigNode:
    """The config of a run that can be analysed, for one process; its weights exist."""
    cfg = single_process(load_cfg(files.config, options))
    if cfg.DETECTION.ENABLE:
        raise ValueError("DETECTION.ENABLE: True; only networks of whole videos are analysed")
    weights = build_weights_path(cfg, files)
    if not weights.is_file():
        raise ValueError(f"there is no file {weights}, its weights")
    return cfg


def build_weights(cfg: ConfigNode, files: RunFiles) -> nn.Module:
    """The network of a run with its weights as they were trained, on the CPU."""
    model = build_model(cfg)
    patterns = cfg.TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN
    load_for_test(model, build_weights_path(cfg, files), clear_name_patterns=patterns)
    return model


def build_weights_path(cfg: ConfigNode, files: RunFiles) -> Path:
    """The file that was named, else what a test of the run would take."""
    return files.weights or find_weights(
        files.folder or Path(cfg.OUTPUT_DIR),
        cfg.TEST.CHECKPOINT_FILE_PATH,
        cfg.TRAIN.CHECKPOINT_FILE_PATH,
    )


def build_subset(cfg: ConfigNode, num_videos: int | None) -> ClipDataset:
    """The test split, or `num_videos` of it, drawn by RNG_SEED and in the order of the split."""
    dataset = build_dataset(cfg, "test")
    if num_videos is not None and num_videos < len(dataset):
        drawn = np.random.default_rng(cfg.RNG_SEED).permutation(len(dataset))[:num_videos]
        dataset.records = [dataset.records[index] for index in sorted(drawn.tolist())]
    return dataset
