"""Predictions of networks that classify boxes, on new videos: what each person does, and when."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from slowfast.datasets.annotations.class_names import read_label_map
from slowfast.datasets.decoding.video import UnreadableVideo
from slowfast.datasets.records import KeyFrame
from slowfast.engine.predict import Predictor
from slowfast.streams.boxes import FindBoxes
from slowfast.streams.source import TimedFrame, open_source
from slowfast.streams.windows import HeldFrames
from slowfast.utils.io import write_csv, write_json

_SLACK = 0.1  # seconds of frames beside those that a clip needs
_TOP = 5


@dataclass(frozen=True)
class KeyFrameResult:
    """Boxes n,4 (x1,y1,x2,y2 in shares of the frame) at a time, and their scores n,classes."""

    time: float
    boxes: np.ndarray
    scores: np.ndarray


class BoxPredictor(Predictor):
    """Says what people in boxes do: a Predictor for configs of DETECTION.ENABLE.

    `classes` may be a label map of AVA (.pbtxt), too. Made as a Predictor.
    """

    def __init__(self, config: str | Path | None, checkpoint: str | Path, **settings: Any):
        path = settings.get("classes")
        is_map = path is not None and Path(path).suffix == ".pbtxt"
        super().__init__(config, checkpoint, **settings | ({"classes": None} if is_map else {}))
        if is_map:
            count = len(self.class_names)
            self._rename(read_label_map(Path(path), num_classes=count))

    def _check_kind(self, has_boxes: bool, proposals: str) -> None:
        if not has_boxes:
            raise ValueError("--boxes: this network classifies whole videos (DETECTION.ENABLE)")
        if proposals == "rpn":
            raise ValueError("--boxes: a network of DETECTION.PROPOSALS rpn finds its own")

    def _rename(self, names: dict[int, str]) -> None:
        self.class_names = [names.get(label, name) for label, name in enumerate(self.class_names)]

    def key_frames(
        self,
        video: str | Path,
        find_boxes: FindBoxes,
        *,
        times: Sequence[float] | None = None,
        stride: float = 1.0,
        is_stopped: Callable[[], object] = bool,
    ) -> Iterator[KeyFrameResult]:
        """Scores of the boxes at some times in seconds, None: in the middle of every `stride`.

        Each frame is decoded once, and no more are kept than a clip spans. ValueError for a video
        that cannot be read.
        """
        wanted = iter(times) if times is not None else ((n + 0.5) * stride for n in count())
        scorer, converters = self.scorer, {}
        with open_source(str(video), keep_all=True) as source:
            fps = source.fps or 30.0
            reach = self.views_span(fps) / fps / 2 + _SLACK
            try:
                for time, frames in around(source.frames(), wanted, reach=reach, step=1 / fps):
                    held = HeldFrames(frames, source.fps, converters)
                    yield self._judge(scorer, held, frames, time, find_boxes)
                    if is_stopped():
                        break
            except UnreadableVideo as error:
                raise ValueError(f"{video}: unreadable ({error})") from error

    def views_span(self, fps: float) -> float:
        """Frames of a video under one clip."""
        views = getattr(self.views, "whole", self.views)
        return views.sampler.span(fps)

    @staticmethod
    def _judge(
        scorer: Any,
        held: HeldFrames,
        frames: Sequence[TimedFrame],
        time: float,
        find_boxes: FindBoxes,
    ) -> KeyFrameResult:
        place = int(np.abs([frame.time - time for frame in frames]).argmin())
        boxes = find_boxes(time, lambda: held.read([place])[0]).reshape(-1, 4)
        key = KeyFrame(f"{time:g}", place, boxes, ((),) * len(boxes))
        if not len(boxes):
            return KeyFrameResult(time, boxes, np.zeros((0, scorer.num_classes), np.float32))
        scores, numbers = scorer.score_boxes(held, key)
        return KeyFrameResult(time, boxes[numbers], scores)


def around(
    frames: Iterator[TimedFrame], times: Iterator[float], *, reach: float, step: float
) -> Iterator[tuple[float, list[TimedFrame]]]:
    """Each of the rising `times` with the frames up to `reach` seconds away, to the video's end."""
    held: deque[TimedFrame] = deque()
    time = next(times, None)
    for frame in frames:
        while time is not None and frame.time > time + reach:
            if held:
                yield time, list(held)
            time = next(times, None)
            while held and time is not None and held[0].time < time - reach:
                held.popleft()
        if time is None:
            return
        if frame.time >= time - reach:
            held.append(frame)
    while held and time is not None and time < held[-1].time + step:
        yield time, [frame for frame in held if frame.time >= time - reach] or list(held)
        time = next(times, None)


def best_of_box(scores: np.ndarray, threshold: float) -> list[tuple[int, float]]:
    """(class, score) of the likeliest classes of a box, of at least `threshold`."""
    best = np.argsort(-scores, kind="stable")[:_TOP]
    return [(int(label), float(scores[label])) for label in best if scores[label] >= threshold]


def box_texts(
    results: Sequence[KeyFrameResult], names: Sequence[str], threshold: float
) -> list[list[list[str]]]:
    """Lines "name score" for each box of each key frame."""
    return [
        [
            [f"{names[k]} {score:.2f}" for k, score in best_of_box(row, threshold)]
            for row in r.scores
        ]
        for r in results
    ]


def write_box_results(
    path: str | Path,
    video: str,
    results: Sequence[KeyFrameResult],
    names: Sequence[str],
    *,
    threshold: float,
) -> None:
    """Write a line for each box and class as .csv, or all as .json; ValueError for others."""
    keys = ("path", "second", "x1", "y1", "x2", "y2", "class", "name", "score")
    rows = [
        [video, round(r.time, 6), *np.round(box, 4).tolist(), label, names[label], score]
        for r in results
        for box, scores in zip(r.boxes.astype(float), r.scores, strict=True)
        for label, score in best_of_box(scores, threshold)
    ]
    if Path(path).suffix.lower() == ".csv":
        write_csv(path, keys, rows)
    elif Path(path).suffix.lower() == ".json":
        write_json(path, {"boxes": [dict(zip(keys, row, strict=True)) for row in rows]})
    else:
        raise ValueError(f"{path}: the file of boxes must end in .csv or .json")
