"""Pictures for TensorBoard by PySlowFast's keys: confusion, histograms, wrong videos, maps."""

import dataclasses
import io
import logging
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from zipfile import is_zipfile

import numpy as np
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from slowfast.analysis.why.activation import activate, find_layer
from slowfast.analysis.why.grids import chosen_maps, first_kernels, maps_of
from slowfast.analysis.why.pictures import check_colormap, compose, enlarge, grid_figure
from slowfast.analysis.why.subject import ShownClip, Subject, build_subject
from slowfast.checkpoint.pickled import read_pickle
from slowfast.config.derived import LayerMaps, parse_layer_maps
from slowfast.config.node import ConfigNode
from slowfast.datasets.annotations.class_names import load_class_names
from slowfast.datasets.records import Record
from slowfast.engine.test import find_weights
from slowfast.evaluation.video_scores import VideoScores
from slowfast.runtime.launch import single_process
from slowfast.utils.io import read_json, read_small_text
from slowfast.utils.plots import new_figure, shorten

logger = logging.getLogger(__name__)

_MAX_VIDEOS = 16


@dataclass(frozen=True)
class Judged:
    """Scores (videos,classes) of a test, and the videos' classes and paths."""

    scores: np.ndarray
    labels: np.ndarray
    paths: list[str]

    @property
    def guesses(self) -> np.ndarray:
        """The likeliest class of each video."""
        return self.scores.argmax(1)


def read_judged(path: Path, method: str) -> Judged:
    """The scores of a test in its npz, joined over the views by DATA.ENSEMBLE_METHOD.

    Or in PySlowFast's pickle, which has no paths.
    """
    if not path.is_file():
        raise ValueError(
            f"TENSORBOARD.PREDICTIONS_PATH: there is no file {path}; it is the npz that a test "
            "writes (TEST.SAVE_RESULTS_PATH)"
        )
    if not is_zipfile(path):
        return _read_pickled(path)
    found, paths, labels = VideoScores.load_npz(path)
    values, is_seen = found.ensemble(method)
    seen, known = is_seen.numpy(), np.asarray(labels)
    if known.ndim > 1:
        raise ValueError(f"TENSORBOARD: {path} has several labels a video, which have no confusion")
    keep = seen & (known >= 0)
    kept = [path for path, is_kept in zip(paths, keep.tolist(), strict=True) if is_kept]
    return Judged(values.numpy()[keep], known[keep], kept)


def _read_pickled(path: Path) -> Judged:
    """Scores and labels of [scores videos,classes; labels], tensors or arrays; runs no code."""
    try:
        scores, labels = (np.asarray(part) for part in read_pickle(path).content)
    except Exception as error:  # a damaged file fails in any way
        raise ValueError(
            f"TENSORBOARD.PREDICTIONS_PATH: {path} is neither the npz of a test nor PySlowFast's "
            f"pickle of [scores, labels] ({type(error).__name__}); leave the key empty for the "
            "test of this run"
        ) from error
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise ValueError(
            f"TENSORBOARD.PREDICTIONS_PATH: {path} has scores {scores.shape} and labels "
            f"{labels.shape}; only videos x classes with one label a video can be shown"
        )
    return Judged(scores, labels.astype(int), [])


def _check_judged(judged: Judged, path: Path, num_classes: int, *, needs_paths: bool) -> None:
    if judged.scores.shape[1] != num_classes:
        raise ValueError(
            f"TENSORBOARD.PREDICTIONS_PATH: {path} has scores of {judged.scores.shape[1]} classes, "
            f"the data has {num_classes}"
        )
    if needs_paths and not judged.paths:
        raise ValueError(
            f"TENSORBOARD.WRONG_PRED_VIS.ENABLE: {path} does not say of which videos it is; leave "
            "TENSORBOARD.PREDICTIONS_PATH empty for the test of this run"
        )


def read_subset(path: str, names: Sequence[str], key: str) -> list[int]:
    """Numbers of the classes that a file names, one a line; all, for an empty path."""
    if not path:
        return list(range(len(names)))
    return _numbers(read_small_text(Path(path)).splitlines(), names, key)


def _numbers(words: Sequence[str], names: Sequence[str], key: str) -> list[int]:
    words = [word.strip() for word in words if word.strip()]
    unknown = [word for word in words if word not in names]
    if unknown:
        raise ValueError(f"{key}: {unknown[:3]} are none of the {len(names)} classes")
    return [list(names).index(word) for word in words]


def confusion_figure(judged: Judged, names: Sequence[str], chosen: Sequence[int], size, title: str):
    """Rows: the chosen true classes; columns: the share of their videos in each of these."""
    counts = np.zeros((len(names), len(names)))
    np.add.at(counts, (judged.labels, judged.guesses), 1)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure = new_figure(*size, title)
    axes = figure.add_subplot()
    drawn = axes.imshow(shares[np.ix_(chosen, chosen)], cmap="Blues", vmin=0, vmax=1)
    if len(chosen) <= 40:
        ticks = [shorten(names[number], 20) for number in chosen]
        axes.set_xticks(range(len(chosen)), ticks, rotation=90, fontsize=7)
        axes.set_yticks(range(len(chosen)), ticks, fontsize=7)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    figure.colorbar(drawn, ax=axes, label="share of the class's videos")
    return figure


def histogram_figure(judged: Judged, names: Sequence[str], label: int, topk: int, size):
    """The `topk` classes that videos of class `label` are taken for most, as bars."""
    guesses = judged.guesses[judged.labels == label]
    counts = np.bincount(guesses, minlength=len(names))
    order = counts.argsort(kind="stable")[::-1][:topk]
    figure = new_figure(*size, f"{names[label]}: {len(guesses)} videos")
    axes = figure.add_subplot()
    axes.barh(range(len(order)), counts[order])
    axes.set_yticks(range(len(order)), [shorten(names[number], 24) for number in order])
    axes.invert_yaxis()
    axes.set_xlabel("videos")
    return figure


def add_animation(writer: SummaryWriter, tag: str, pictures: np.ndarray) -> None:
    """Pictures T,H,W,3 uint8 as an animated picture, which needs no further package."""
    from PIL import Image
    from tensorboard.compat.proto.summary_pb2 import Summary

    frames, file = [Image.fromarray(picture) for picture in pictures], io.BytesIO()
    frames[0].save(
        file, format="GIF", save_all=True, append_images=frames[1:], duration=160, loop=0
    )
    height, width = pictures.shape[1:3]
    image = Summary.Image(height=height, width=width, colorspace=3)
    image.encoded_image_string = file.getvalue()
    writer.file_writer.add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), 0)


def add_scores(writer: SummaryWriter, board: ConfigNode, judged: Judged, names: list[str]) -> None:
    """Confusion matrices, of parent categories too, and histograms."""
    if board.CONFUSION_MATRIX.ENABLE:
        matrix, key = board.CONFUSION_MATRIX, "TENSORBOARD.CONFUSION_MATRIX.SUBSET_PATH"
        groups = {"all": read_subset(matrix.SUBSET_PATH, names, key)}
        if board.CATEGORIES_PATH:
            parents: Mapping[str, list[str]] = read_json(Path(board.CATEGORIES_PATH))
            for parent, children in parents.items():
                groups[parent] = _numbers(children, names, "TENSORBOARD.CATEGORIES_PATH")
        for title, chosen in groups.items():
            figure = confusion_figure(judged, names, chosen, matrix.FIGSIZE, title)
            writer.add_figure(f"confusion_matrix/{title}", figure)
    if board.HISTOGRAM.ENABLE:
        bars, key = board.HISTOGRAM, "TENSORBOARD.HISTOGRAM.SUBSET_PATH"
        for label in read_subset(bars.SUBSET_PATH, names, key):
            figure = histogram_figure(judged, names, label, bars.TOPK, bars.FIGSIZE)
            writer.add_figure(f"histogram/{names[label]}", figure)


def add_weights(writer: SummaryWriter, subject: Subject) -> None:
    """The kernels of the first convolution of each pathway."""
    for name, kernels in first_kernels(subject.model).items():
        rows = max(round(len(kernels) ** 0.5), 1)
        colormap = None if kernels.ndim == 4 else "viridis"
        figure = grid_figure(name, kernels, rows=rows, colormap=colormap)
        writer.add_figure(f"weights/{name}", figure)


def add_maps(
    writer: SummaryWriter,
    found: Mapping[str, Tensor],
    shown: Sequence[LayerMaps],
    vis: ConfigNode,
    tag: str,
) -> None:
    """The maps of layers, a row a channel; of chosen frames one row."""
    for each in shown:
        for name, maps in found.items():
            if name.split()[0] == each.layer:
                pictures, rows = chosen_maps(maps, each)
                places = [",".join(map(str, part)) for part in (each.channels, each.frames) if part]
                title = " ".join([name, ";".join(places)]).strip()
                figure = grid_figure(title, pictures, rows=rows, colormap=vis.COLORMAP)
                writer.add_figure(f"{tag}/{title}", figure)


def add_clip(writer: SummaryWriter, vis: ConfigNode, subject: Subject, clip: ShownClip, tag: str):
    """The clip, under its activation where that is asked for, and the maps of layers."""
    frames, inputs, cam = clip.frames(), subject.inputs([clip.clip]), vis.GRAD_CAM
    scores = subject.scores_of(subject.logits_of([clip.clip])[0])
    best = scores.argsort()[::-1][: vis.TOPK_PREDS]
    text = ", ".join(f"{subject.class_names[n]} {scores[n]:.2f}" for n in best)
    if vis.INPUT_VIDEO:
        add_animation(writer, f"{tag}/input", enlarge(frames))
    if cam.ENABLE:
        layers = [parse_layer_maps(word).layer for word in cam.LAYER_LIST]
        layers = layers or [find_layer(subject.model, inputs)]
        label = clip.label if cam.USE_TRUE_LABEL and clip.label >= 0 else None
        together, parts = activate(subject.model, inputs, layers, label=label).on_clip(clip.grid)
        for number, maps in enumerate([together, *(parts if len(parts) > 1 else [])]):
            name = f"grad_cam pathway {number - 1}" if number else "grad_cam"
            add_animation(writer, f"{tag}/{name}", compose(frames, maps, text, cam.COLORMAP))
    if vis.ACTIVATIONS:
        shown = list(map(parse_layer_maps, vis.LAYER_LIST))
        shown = shown or [LayerMaps(find_layer(subject.model, inputs))]
        add_maps(writer, maps_of(subject.model, inputs, [s.layer for s in shown]), shown, vis, tag)


def add_wrong(
    writer: SummaryWriter, tag: str, subject: Subject, judged: Judged, chosen: Sequence[int]
) -> None:
    """Wrongly classified videos of the chosen classes, the surest first, at most 16."""
    is_wrong = (judged.guesses != judged.labels) & np.isin(judged.labels, chosen)
    order = [n for n in judged.scores.max(1).argsort()[::-1].tolist() if is_wrong[n]]
    files = [n for n in order if Path(judged.paths[n]).is_file()][:_MAX_VIDEOS]
    records = [Record(judged.paths[number], int(judged.labels[number])) for number in files]
    clips = dataclasses.replace(subject, records=records).clips()
    for number, clip in zip(files, clips, strict=True):
        true, guess = (subject.class_names[int(n[number])] for n in (judged.labels, judged.guesses))
        name = f"{tag}/{Path(clip.path).stem}: {true}, not {guess}"
        add_animation(writer, name, enlarge(clip.frames()))


def visualise(cfg: ConfigNode) -> None:
    """Write into TensorBoard what the keys of TENSORBOARD ask for; after the test of a run."""
    board, output_dir = cfg.TENSORBOARD, Path(cfg.OUTPUT_DIR)
    vis, wrong = board.MODEL_VIS, board.WRONG_PRED_VIS
    needs_scores = board.CONFUSION_MATRIX.ENABLE or board.HISTOGRAM.ENABLE or wrong.ENABLE
    if not board.ENABLE or not (needs_scores or vis.ENABLE):
        return
    check_colormap(vis.COLORMAP, "TENSORBOARD.MODEL_VIS.COLORMAP")
    check_colormap(vis.GRAD_CAM.COLORMAP, "TENSORBOARD.MODEL_VIS.GRAD_CAM.COLORMAP")
    paths = (cfg.TEST.CHECKPOINT_FILE_PATH, cfg.TRAIN.CHECKPOINT_FILE_PATH)
    weights = find_weights(output_dir, *paths)
    subject = build_subject(single_process(cfg), weights, num_videos=_MAX_VIDEOS)
    names = subject.class_names
    if board.CLASS_NAMES_PATH:
        names = load_class_names(board.CLASS_NAMES_PATH, len(names))
    with closing(SummaryWriter(str(output_dir / (board.LOG_DIR or "tensorboard")))) as writer:
        if needs_scores:
            own = output_dir / (cfg.TEST.SAVE_RESULTS_PATH or "test_scores.npz")
            path = Path(board.PREDICTIONS_PATH or own)
            judged = read_judged(path, cfg.DATA.ENSEMBLE_METHOD)
            _check_judged(judged, path, len(names), needs_paths=wrong.ENABLE)
            add_scores(writer, board, judged, names)
            if wrong.ENABLE:
                key = "TENSORBOARD.WRONG_PRED_VIS.SUBSET_PATH"
                chosen = read_subset(wrong.SUBSET_PATH, names, key)
                add_wrong(writer, wrong.TAG, subject, judged, chosen)
        if vis.ENABLE and vis.MODEL_WEIGHTS:
            add_weights(writer, subject)
        if vis.ENABLE:
            for number, clip in enumerate(subject.clips()):
                add_clip(writer, vis, subject, clip, f"video {number}")
    logger.info("TensorBoard: pictures in %s", output_dir / (board.LOG_DIR or "tensorboard"))
