"""Prediction: a config, weights and video files give the likeliest classes by name."""

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from slowfast.adaptive.network import LoadedNetwork, load_for_evaluation
from slowfast.checkpoint import files
from slowfast.checkpoint.classes import ClassList, match_classes
from slowfast.config.cli import load_cfg, load_cfg_of_values
from slowfast.config.derived import class_counts
from slowfast.config.node import ConfigNode
from slowfast.datasets.annotations.class_names import load_class_names
from slowfast.datasets.build import build_clip_pack, build_views
from slowfast.datasets.clip_dataset import ClipDataset
from slowfast.datasets.decoding.open import open_frames
from slowfast.datasets.decoding.video import UnreadableVideo
from slowfast.datasets.labels import ClassLabel
from slowfast.datasets.loader import ShardedBatchSampler, make_loader
from slowfast.datasets.reading import WatchedLoader
from slowfast.datasets.records import Annotations, Record
from slowfast.evaluation.video_evaluator import ViewEvaluator
from slowfast.export.readers import ExportedNetwork, build_exported, is_exported, read_exported
from slowfast.runtime.launch import single_process
from slowfast.runtime.stop import StopRequest, agreed
from slowfast.runtime.unreadable import Damage
from slowfast.streams.arrays import AnyVideo, Frames, is_in_memory, open_held, timed
from slowfast.streams.notebook import html_bars
from slowfast.streams.score_windows import score_source, score_windows
from slowfast.streams.scorer import Scorer
from slowfast.streams.source import open_source
from slowfast.streams.timeline import Timeline
from slowfast.streams.windows import WindowPlan
from slowfast.tasks.evaluate import build_evaluation_loop
from slowfast.utils import distributed
from slowfast.utils.io import write_csv, write_json
from slowfast.utils.video_names import SUFFIXES
from slowfast.utils.walk import walk_videos
from slowfast.zoo.weights import named_weights

logger = logging.getLogger(__name__)

# Batches for each loader process: fewer would leave the network waiting for the first one.
_BATCHES_PER_WORKER = 4
_CODE_KEYS = ("IMPORTS", "MODEL.FACTORY")


@dataclass(frozen=True, slots=True)
class Prediction:
    """One class of a video: its number, its name, its score.

    target: of several, the number of the one that it is a class of, from 1.
    """

    label: int
    name: str
    score: float
    target: int | None = None


class Answer(list[tuple[str, float]]):
    """(name, score) of the likeliest classes, best first: a list that a notebook shows as bars."""

    def _repr_html_(self) -> str:
        return html_bars(self)


@dataclass(frozen=True, slots=True)
class VideoResult:
    """The likeliest classes of a video, best first; none, and the reason, if it is unreadable.

    Of several targets those of the first, then those of the second, ... damage: of a video that is
    readable all the same.
    """

    path: str
    predictions: tuple[Prediction, ...]
    error: str | None = None
    damage: Damage | None = None

    def _repr_html_(self) -> str:
        head = f"<p><code>{escape(self.path)}</code></p>"
        return head + (f"<p>{escape(self.error)}</p>" if self.error else _bars(self.predictions))


@dataclass(frozen=True, slots=True)
class WindowResult:
    """The likeliest classes of a stretch of a video, in seconds from its first frame."""

    start: float
    end: float
    predictions: tuple[Prediction, ...]

    def _repr_html_(self) -> str:
        return f"<p>{self.start:.2f} to {self.end:.2f} s</p>" + _bars(self.predictions)


def _bars(predictions: Sequence[Prediction]) -> str:
    return html_bars((one.name, one.score) for one in predictions)


class Predictor:
    """Names what happens in videos: `Predictor("X3D_M.yaml", "weights.pyth")("video.mp4")`.

    - `config` is a YAML file or the name of a recipe. None takes the config in the checkpoint;
      `from_run` finds both.
    - `checkpoint` is a file of weights, a name (zoo:X3D_S), or a file of `slowfast export`, which
      `backend` (one of BACKENDS) runs on the CPU.
    - `classes` is a file as for `load_class_names`. Without it names come from the checkpoint, or
      else are "class 7".
    - `options` are overrides KEY, VALUE, ... Views are as in a test (TEST.NUM_ENSEMBLE_VIEWS x
      TEST.NUM_SPATIAL_CROPS).
    - `row` is the point of an adaptive network that TEST.BUDGET chose, None without it.

    It runs on one GPU if the config asks for any and there is one, else on the CPU; in a group of
    processes as `launch` places it. Mistakes raise ValueError.
    """

    def __init__(
        self,
        config: str | Path | None,
        checkpoint: str | Path,
        *,
        classes: str | Path | None = None,
        options: Sequence[Any] = (),
        backend: str = "torch",
    ):
        exported = backend != "torch" or is_exported(checkpoint)
        if exported:  # they are float32, on the CPU
            options = [*options, "NUM_GPUS", 0, "TRAIN.MIXED_PRECISION", False]
        cfg = single_process(load_predicted(config, checkpoint, options, backend=backend))
        self._check_kind(cfg.DETECTION.ENABLE, cfg.DETECTION.PROPOSALS)
        if cfg.DATA.MODALITY != "rgb":
            raise ValueError(
                "DATA.MODALITY: 'flow' is not computed from video files here; tools/flow.py "
                "computes it, and tools/run_net.py with TRAIN.ENABLE False tests on it"
            )
        self._counts = class_counts(cfg.MODEL.NUM_CLASSES)
        names = load_class_names(classes, sum(self._counts)) if classes else None
        self.views, self._pack = build_views(cfg, "test"), build_clip_pack(cfg, "test")
        self._open_record = partial(open_frames, max_pixels=cfg.DATA.MAX_PIXELS)
        self._loop = build_evaluation_loop(cfg)
        loaded: ExportedNetwork | LoadedNetwork
        if exported:
            loaded = build_exported(cfg, checkpoint, backend)
            self._loop = replace(self._loop, check=None)  # autocast changes nothing there
        else:
            loaded = load_for_evaluation(cfg, checkpoint, self._loop.device)
        self.row, self._model = loaded.row, loaded.model
        own = loaded.class_names
        ordered = own if names is None else names_in_order(names, own, self._counts)
        self.class_names = names_or_numbers(ordered, self._counts)
        self._read_timeout = cfg.DATA.READ_TIMEOUT
        self._max_workers, self._ensemble = cfg.DATA_LOADER.NUM_WORKERS, cfg.DATA.ENSEMBLE_METHOD
        self._max_pixels, self.has_many = cfg.DATA.MAX_PIXELS, cfg.DATA.MULTI_LABEL

    @classmethod
    def from_run(cls, folder: str | Path, **settings: Any) -> "Predictor":
        """The predictor of a finished run: its config, and its best checkpoint or else its last."""
        return cls(*find_run(folder), **settings)

    def _check_kind(self, has_boxes: bool, _proposals: str) -> None:
        if has_boxes:
            raise ValueError(
                "DETECTION.ENABLE: True needs boxes; only whole videos are predicted, unless "
                "tools/predict.py gets --boxes"
            )

    @property
    def scorer(self) -> Scorer:
        """Scores of videos that are in memory, in the views of testing."""
        return Scorer(
            self.views, self._pack, self._loop, self._model, sum(self._counts), self._ensemble
        )

    @property
    def precision(self) -> dict[str, Any]:
        """The number type of the latest scores, and how much it changed (see PrecisionCheck).

        Of an exported network {}: its file decides.
        """
        return {} if self._loop.check is None else self._loop.check.facts()

    def __call__(self, video: AnyVideo, *, topk: int = 5, fps: float | None = None) -> Answer:
        """(name, score) of the `topk` likeliest classes, best first; ValueError if unreadable.

        A video is the name of a file, the bytes of one, or frames T,H,W,3 or T,3,H,W (an array or a
        tensor, RGB, uint8 or floats of 0..1) of `fps`, None for the rate of training.
        """
        if is_in_memory(video):
            predictions = self.best(self._score_held(video, fps), topk)
        else:
            (result,) = self.predict([cast(str | Path, video)], topk=topk)
            if result.error:
                raise ValueError(f"{result.path}: unreadable ({result.error})")
            predictions = result.predictions
        return Answer((prediction.name, prediction.score) for prediction in predictions)

    def _score_held(self, video: Any, fps: float | None) -> torch.Tensor:
        try:
            with open_held(video, fps=fps, max_pixels=self._max_pixels) as held:
                return torch.from_numpy(self.scorer([held])[0])
        except UnreadableVideo as error:
            raise ValueError(f"unreadable ({error})") from error

    def stream(
        self,
        frames: Iterable[Frames],
        *,
        fps: float,
        window: float = 2.0,
        stride: float = 1.0,
        topk: int = 5,
    ) -> Iterator[WindowResult]:
        """The likeliest classes of each window of seconds, as soon as its last frame is there.

        frames: H,W,3 or 3,H,W, arrays or tensors as for a call, `fps` a second; no more than a
        window of them is kept. Each window is scored as a video of its own.
        """
        plan = WindowPlan(window, stride)
        found = score_windows(timed(frames, fps), plan, self.scorer, fps=fps, num_at_once=1)
        for part in found:
            best = self.best(torch.from_numpy(part.scores), topk)
            yield WindowResult(part.start, part.end, best)

    def timeline(
        self,
        video: str | Path,
        *,
        window: float = 2.0,
        stride: float = 1.0,
        has_features: bool = False,
        is_stopped: Callable[[], object] = bool,
    ) -> Timeline:
        """Scores of windows of seconds over a video of any length, each frame decoded once.

        `find_segments` joins them. The end of the video comes sooner where `is_stopped` says so.
        ValueError if it is unreadable.
        """
        source = open_source(os.fspath(video), keep_all=True)
        found = []
        for part in score_source(
            source, WindowPlan(window, stride), self.scorer, has_features=has_features
        ):
            found.append(part)
            if is_stopped():
                break
        return Timeline(
            printable(source.name),
            np.array([(part.start, part.end) for part in found]),
            np.stack([part.scores for part in found]),
            self.class_names,
            self._counts,
            has_many=self.has_many,
            features=np.stack([np.asarray(part.features) for part in found])
            if has_features
            else None,
        )

    def predict(
        self, videos: Iterable[str | Path], *, topk: int = 5, stop: StopRequest | None = None
    ) -> list[VideoResult]:
        """Results in the order of the files; after a stop request, of those that were finished.

        In a group of processes each reads its share of the same files; the main process has the
        results, the others [].
        """
        _check_topk(topk)
        loader = self._make_loader([os.fspath(video) for video in videos])
        num_videos, num_classes = len(loader.dataset), sum(self._counts)
        evaluator = ViewEvaluator(
            num_videos, self.views.num_views, num_classes, ensemble=self._ensemble
        )
        unreadable = self._loop.run(loader, [(self._model, evaluator)], title="predict", stop=stop)
        if stop is not None:
            agreed(stop, self._loop.device)
        if not distributed.is_main_process():
            return []
        values, seen = evaluator.join()
        results = []
        for record, row, is_seen in zip(loader.dataset.records, values, seen.tolist(), strict=True):
            if is_seen:
                damage = unreadable.damaged.get(record.path)
                results.append(VideoResult(record.path, self.best(row, topk), damage=damage))
            elif record.path in unreadable.reasons:
                results.append(VideoResult(record.path, (), unreadable.reasons[record.path]))
        return results

    def best(self, row: torch.Tensor, topk: int) -> tuple[Prediction, ...]:
        """The `topk` likeliest classes of scores (classes,), of each target."""
        _check_topk(topk)
        found, start, has_targets = [], 0, len(self._counts) > 1
        for target, part in enumerate(row.split(self._counts), start=1):
            best, number = part.topk(min(topk, len(part))), target if has_targets else None
            for score, label in zip(*(values.tolist() for values in best), strict=True):
                found.append(Prediction(label, self.class_names[start + label], score, number))
            start += len(part)
        return tuple(found)

    def _make_loader(self, paths: list[str]) -> WatchedLoader:
        """A lone video is read in this process, more by up to one other process per core."""
        if not paths:
            raise ValueError("no videos to predict")
        world_size = distributed.world_size()
        share = -(-len(paths) // world_size)
        num_workers = min(self._max_workers, os.cpu_count() or 1, share)
        num_workers = num_workers if len(paths) > 1 else 0
        at_once = (self._loop.max_clips or 1) // self.views.num_views
        batch_size = min(at_once, share // (_BATCHES_PER_WORKER * max(num_workers, 1)))
        dataset = ClipDataset(
            Annotations([Record(path) for path in paths]),
            self.views,
            label=ClassLabel(),
            pack=self._pack,
            replace_unreadable=False,
            seed=0,
            open_record=self._open_record,
        )
        return make_loader(
            dataset,
            ShardedBatchSampler(
                len(paths),
                max(batch_size, 1),
                shuffle=False,
                rank=distributed.rank(),
                world_size=world_size,
            ),
            num_workers=num_workers,
            pin_memory=self._loop.device.type == "cuda",
            read_timeout=self._read_timeout,
        )


def _check_topk(topk: int) -> None:
    if topk < 1:
        raise ValueError(f"topk: {topk} must be at least 1")


def find_run(folder: str | Path) -> tuple[Path, Path]:
    """Config and checkpoint of a run: the best of validation, else the last.

    ValueError names what is missing.
    """
    folder = Path(folder)
    config, best = folder / "config.yaml", files.best_path(folder)
    if not config.is_file():
        raise ValueError(f"{folder}: is no OUTPUT_DIR of a run: it has no config.yaml")
    checkpoint = best if best.is_file() else files.last_checkpoint(folder)
    if checkpoint is None:
        raise ValueError(f"{folder}: has no checkpoint in {best.parent}")
    return config, checkpoint


def load_predicted(
    config: str | Path | None,
    checkpoint: str | Path,
    options: Sequence[Any] = (),
    *,
    backend: str = "torch",
) -> ConfigNode:
    """The config of a YAML file; None: of the training that made the checkpoint, or of zoo:NAME.

    ValueError where the checkpoint holds none, or one that names code: weights may be a stranger's.
    """
    if config is not None:
        return load_cfg(config, options)
    if published := named_weights(checkpoint):
        return load_cfg(published.trained_recipe(), [*published.overrides, *options])
    if is_exported(checkpoint) or backend != "torch":
        values = read_exported(checkpoint, backend).facts["config"]
    else:
        values = files.read_config(files.load(checkpoint).get("cfg"))
    if not values:
        raise ValueError(f"{checkpoint}: holds no config: give one by --cfg")
    if code := {key: values[key] for key in _CODE_KEYS if values.get(key)}:
        raise ValueError(
            f"{checkpoint}: its config would run code that it names: {code}. If you trust it, give "
            "the config yourself, by --cfg"
        )
    return load_cfg_of_values(values, f"config in {checkpoint}", options)


def names_in_order(
    names: Sequence[str], own: Sequence[str] | None, counts: Sequence[int]
) -> Sequence[str]:
    """The given names, in the order of the weights' `own` where these are the same.

    counts: classes of each target. Others, such as a translation, are taken by their numbers; the
    log says so.
    """
    if not own or len(own) != len(names):
        return names
    match = match_classes(names, ClassList(own, counts))
    if match.order is None:
        logger.warning(
            "--classes: its names are shown in place of the weights' own, by number; %d of %d are "
            "among these",
            *(match.num_shared, len(own)),
        )
        return names
    if match.num_moved:
        logger.warning(
            "--classes: %d of %d names have another number in the weights, which counts",
            *(match.num_moved, len(own)),
        )
    return [names[row] for row in match.order]


def names_or_numbers(names: Sequence[str] | None, counts: Sequence[int]) -> list[str]:
    """A name for each class: the given ones if there are so many, else "class 7".

    Those of several targets, which have `counts` classes, one after another.
    """
    if names is not None and len(names) == sum(counts):
        return list(names)
    return [f"class {number}" for count in counts for number in range(count)]


def find_videos(paths: Iterable[str | Path]) -> list[Path]:
    """The files, and of folders all videos below them in alphabetical order; each file once.

    ValueError names a folder without videos. Files need not exist: reading them tells.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        inside = [path]
        if path.is_dir():
            inside = [Path(file) for file in walk_videos(path)]
            if not inside:
                raise ValueError(f"{path}: no video in this folder (looked for {sorted(SUFFIXES)})")
        found.update(dict.fromkeys(inside))
    return list(found)


def write_results(path: str | Path, results: Sequence[VideoResult], about: dict[str, Any]) -> None:
    """Write results to a .json file, below the values of `about`, or to a .csv file, atomically.

    The csv has a line per video and class, and one with the reason for an unreadable video; of
    several targets also a column with the number of the target.
    """
    check_output(path)
    if Path(path).suffix.lower() == ".json":
        write_json(path, {**about, "videos": [_as_dict(result) for result in results]})
    else:
        rows = [row for result in results for row in _as_rows(result)]
        header = ["path", "rank", "class", "name", "score", "error"]
        if any(p.target for result in results for p in result.predictions):
            write_csv(path, [*header, "target"], rows)
        else:
            write_csv(path, header, [row[:-1] for row in rows])


def _as_dict(result: VideoResult) -> dict[str, Any]:
    shown = {"path": printable(result.path)}
    if result.error:
        return {**shown, "error": result.error}
    predictions = [
        {
            **({"target": p.target} if p.target else {}),
            **{"class": p.label, "name": p.name, "score": p.score},
        }
        for p in result.predictions
    ]
    damage = {"damage": result.damage._asdict()} if result.damage else {}
    return {**shown, **damage, "predictions": predictions}


def _as_rows(result: VideoResult) -> list[list]:
    shown = printable(result.path)
    if result.error:
        return [[shown, "", "", "", "", result.error, ""]]
    ranks: Counter[int | None] = Counter()
    rows = []
    for p in result.predictions:
        ranks[p.target] += 1
        rows.append([shown, ranks[p.target], p.label, p.name, p.score, "", p.target])
    return rows


def check_output(path: str | Path) -> None:
    """ValueError unless `write_results` knows the format."""
    if Path(path).suffix.lower() not in (".json", ".csv"):
        raise ValueError(f"{path}: the file of results must end in .json or .csv")


def printable(path: str) -> str:
    """The path with escapes in place of bytes that are not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
