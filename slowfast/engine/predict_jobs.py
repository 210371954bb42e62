"""Work of tools/predict.py beyond single clips: timelines, overlays, boxes, live streams."""

import csv
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import torch

from slowfast.engine.predict import Prediction, Predictor, printable
from slowfast.engine.predict_boxes import (
    BoxPredictor,
    KeyFrameResult,
    box_texts,
    write_box_results,
)
from slowfast.streams.boxes import ListedBoxes, load_person_detector
from slowfast.streams.captions import box_captions, timeline_captions, timeline_strip
from slowfast.streams.live import LiveReader, LiveScores, watch
from slowfast.streams.overlay import check_overlay_file, write_overlay
from slowfast.streams.source import VideoSource
from slowfast.streams.timeline import Timeline, find_segments
from slowfast.streams.timeline_files import (
    check_timeline_file,
    write_features,
    write_timelines,
)
from slowfast.streams.windows import WindowPlan

logger = logging.getLogger(__name__)

DETECTOR = "detector"  # in place of a file of boxes


@dataclass(frozen=True)
class TimelineSettings:
    """Windows in seconds, and how their scores become segments (see `find_segments`)."""

    window: float = 2.0
    stride: float = 1.0
    smooth: int = 3
    threshold: float = 0.0
    shortest: float = 0.0


@dataclass(frozen=True)
class OutputFiles:
    """Files to write, by their suffixes; none where empty."""

    tables: Sequence[str] = ()
    overlay: str = ""
    features: str = ""

    def check(self, num_videos: int, *, has_boxes: bool) -> None:
        """ValueError, before any work, for what could not be written after it."""
        for path in self.tables:
            if has_boxes and Path(path).suffix.lower() not in (".csv", ".json"):
                raise ValueError(f"{path}: boxes are written as .csv, .json")
            check_timeline_file(path)
        if self.overlay:
            check_overlay_file(self.overlay)
        if self.overlay and num_videos > 1:
            raise ValueError(f"--overlay: is one video, but {num_videos} are given")
        if self.features and Path(self.features).suffix != ".npz":
            raise ValueError(f"--features: {self.features} must end in .npz")
        if self.features and has_boxes:
            raise ValueError("--features: are of whole windows; leave it or --boxes out")


def predict_timelines(
    predictor: Predictor,
    videos: Sequence[str | Path],
    settings: TimelineSettings,
    outputs: OutputFiles,
    *,
    about: dict[str, Any],
    is_stopped: Callable[[], object] = bool,
) -> list[Timeline]:
    """Timelines with segments of the readable videos, written to the files; others are named."""
    timelines = []
    for video in videos:
        try:
            timeline = _predict_one(predictor, video, settings, outputs, is_stopped)
        except ValueError as error:
            logger.warning("%s", error)
            continue
        timelines.append(timeline)
        if is_stopped():
            break
    if not timelines:
        return []
    for path in outputs.tables:
        write_timelines(path, timelines, about)
    if outputs.features:
        write_features(outputs.features, timelines)
    if outputs.overlay and not is_stopped():
        caption_at, strip = timeline_captions(timelines[0]), timeline_strip(timelines[0])
        _overlay(str(videos[0]), outputs.overlay, caption_at, strip)
    return timelines


def _predict_one(
    predictor: Predictor,
    video: str | Path,
    settings: TimelineSettings,
    outputs: OutputFiles,
    is_stopped: Callable[[], object],
) -> Timeline:
    start = time.perf_counter()
    timeline = predictor.timeline(
        video,
        window=settings.window,
        stride=settings.stride,
        has_features=bool(outputs.features),
        is_stopped=is_stopped,
    )
    seconds, length = time.perf_counter() - start, float(timeline.bounds[-1])
    logger.info(
        "%s: %.1f s in %d windows, %.1f s, %.1f times real time",
        *(timeline.path, length, len(timeline.spans), seconds, length / seconds),
    )
    segments = find_segments(
        timeline,
        width=settings.smooth,
        threshold=settings.threshold,
        shortest=settings.shortest,
    )
    return replace(timeline, segments=segments)


def _overlay(video: str, path: str, *captions: Any) -> None:
    start = time.perf_counter()
    count = write_overlay(video, path, *captions)
    logger.info("overlay: %s, %d frames, %.1f s", path, count, time.perf_counter() - start)


def predict_boxes(
    predictor: BoxPredictor,
    video: str,
    boxes: str,
    settings: TimelineSettings,
    outputs: OutputFiles,
    *,
    detector_weights: str | None = None,
    is_stopped: Callable[[], object] = bool,
) -> list[KeyFrameResult]:
    """Scores of the people of one video. boxes: a csv, or DETECTOR to find them every stride."""
    is_found = boxes == DETECTOR
    find = load_person_detector(detector_weights) if is_found else ListedBoxes(boxes, video)
    times = None if is_found else find.times
    results = list(
        predictor.key_frames(
            video, find, times=times, stride=settings.stride, is_stopped=is_stopped
        )
    )
    if times and len(results) < len(times) and not is_stopped():
        logger.warning(
            "%s: ends before %d of the %d times of %s",
            *(video, len(times) - len(results), len(times), boxes),
        )
    names, threshold = predictor.class_names, settings.threshold
    for path in outputs.tables:
        write_box_results(path, printable(video), results, names, threshold=threshold)
    if outputs.overlay and not is_stopped():
        texts = box_texts(results, names, threshold)
        captions = box_captions(
            [r.time for r in results],
            [r.boxes for r in results],
            texts,
            reach=settings.stride / 2 + 1e-6,
        )
        _overlay(video, outputs.overlay, captions)
    return results


def predict_live(
    predictor: Predictor,
    source: VideoSource,
    settings: TimelineSettings,
    *,
    path: str = "",
    seconds: float | None = None,
    is_stopped: Callable[[], object] = bool,
) -> Iterator[tuple[LiveScores, tuple[Prediction, ...]]]:
    """Scores of a stream's newest window with its best classes, as they come.

    path: a csv to which each window is written at once. The stream is left after so many seconds.
    """
    end = None if seconds is None else time.monotonic() + seconds
    plan = WindowPlan(settings.window, settings.stride)
    reader = LiveReader(source, plan.length)
    reader.start()

    def is_over() -> bool:
        return bool(is_stopped()) or (end is not None and time.monotonic() >= end)

    opened = open(path, "w", encoding="utf-8", newline="") if path else nullcontext()
    with source, opened as file:
        rows = _LiveRows(file) if file else None
        for found in watch(reader, plan, predictor.scorer, is_stopped=is_over):
            best = predictor.best(torch.from_numpy(found.scores), 5)
            if rows:
                rows.write(found, best)
            yield found, best
        reader.join(timeout=5)


class _LiveRows:
    """Lines of a csv that are on the disk at once."""

    def __init__(self, file: IO[str]):
        self._file, self._writer = file, csv.writer(file)
        header = "start end rank class name score delay frames_per_second dropped"
        self._writer.writerow(header.split())

    def write(self, found: LiveScores, best: Sequence[Prediction]) -> None:
        span, state = [found.start, found.end], [found.delay, found.rate]
        for rank, p in enumerate(best, start=1):
            cells = [rank, p.label, p.name, p.score]
            rounded = [round(value, 3) for value in state]
            self._writer.writerow(
                [*(round(t, 3) for t in span), *cells, *rounded, found.num_dropped]
            )
        self._file.flush()
