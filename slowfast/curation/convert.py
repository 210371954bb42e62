"""One video -> a small one with a keyframe every few frames, or a folder of image files."""

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

from slowfast.curation.workers import Failure
from slowfast.datasets.decoding.images import import_opencv
from slowfast.datasets.decoding.packets import VideoIndex
from slowfast.datasets.decoding.video import MAX_PIXELS, UnreadableVideo, VideoReader, open_video

# Ticks per second of a file whose frame rate varies.
_TICKS = 90000
# Seconds; a frame that is off by less, as in containers that round, is where its number says.
_SLACK = 0.002


@dataclass(frozen=True)
class PrepareSettings:
    """short_side: in pixels; larger videos are scaled down to it, 0 keeps every size.

    gop: largest distance of keyframes. crf: x264's quality, smaller is better. as_images: a folder
    of JPEG files instead of a video, `fps` of them per second (0: every frame). max_pixels: of a
    frame that is read.
    """

    short_side: int = 256
    gop: int = 12
    crf: int = 20
    as_images: bool = False
    fps: float = 0
    max_pixels: int = MAX_PIXELS

    def __post_init__(self):
        for name, least in (
            ("short_side", 0),
            ("gop", 1),
            ("crf", 0),
            ("fps", 0),
            ("max_pixels", 1),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: {getattr(self, name)} is not at least {least}")
        if 0 < self.short_side < 2:
            raise ValueError(f"short_side: {self.short_side} is not 0 or at least 2")


class Prepared(NamedTuple):
    """Result of a conversion. target: file, or folder of images, below the output folder."""

    target: str
    num_frames: int
    num_bytes: int
    damage: str = ""


class Job(NamedTuple):
    source: str
    target: str


def convert(
    job: Job, *, output: Path, partial_folder: Path, settings: PrepareSettings
) -> Prepared | Failure:
    """One video, under a temporary name until it is whole."""
    target = output / job.target
    made = partial_folder / f"{os.getpid()}{target.suffix}"
    write = _write_images if settings.as_images else _write_video
    try:
        with open_video(job.source, max_pixels=settings.max_pixels) as video:
            num_frames = write(video, made, settings, name=target.name)
            damage = ""
            if video.num_broken:
                damage = f"{video.num_broken} of {video.index.num_frames} frames damaged or lost"
    except UnreadableVideo as error:
        return Failure(str(error))
    size = num_bytes(made)
    _install(made, target)
    return Prepared(job.target, num_frames, size, damage)


def _install(made: Path, target: Path) -> None:
    """Give it its name, also while another machine, without --shard, makes the same one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for is_last in (False,) * 9 + (True,):
        if target.is_dir():
            shutil.rmtree(target, ignore_errors=True)
        try:
            return os.replace(made, target)
        except OSError as error:
            if is_last or error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise


def _write_video(video: VideoReader, path: Path, settings: PrepareSettings, *, name: str) -> int:
    """H.264 without sound; frames keep their times."""
    times, rate, is_regular = frame_times(video.index)
    if is_regular:
        time_base, ticks = 1 / rate, range(len(times))
    else:
        time_base, ticks = Fraction(1, _TICKS), [round(time * _TICKS) for time in times]
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        options = {"crf": str(settings.crf), "preset": "fast"}
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.time_base = stream.codec_context.time_base = time_base
        stream.pix_fmt, stream.gop_size, stream.thread_count = "yuv420p", settings.gop, 1
        for tick, picture in zip(ticks, _scaled_frames(video, settings), strict=True):
            if not stream.codec_context.is_open:
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = tick, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return len(times)


def _write_images(video: VideoReader, path: Path, settings: PrepareSettings, *, name: str) -> int:
    """<path>/<name>_000001.jpg and so on."""
    cv2 = import_opencv()
    path.mkdir()
    times, _, _ = frame_times(video.index)
    copies = [1] * len(times)
    if settings.fps:
        copies = resampled(times, settings.fps, step=1 / video.index.fps)
    number = 0
    for picture, count in zip(_scaled_frames(video, settings), copies, strict=True):
        if not count:
            continue
        _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
        for _ in range(count):
            number += 1
            (path / image_name(name, number)).write_bytes(data)
    return number


def image_name(name: str, number: int) -> str:
    """Name of image `number`, counted from 1."""
    return f"{name}_{number:06d}.jpg"


def frame_times(index: VideoIndex) -> tuple[list[float], Fraction, bool]:
    """Seconds of each frame from the first one on, the frame rate, and whether they keep to it."""
    rate = Fraction(index.fps).limit_denominator(1001)
    regular = [float(number / rate) for number in range(index.num_frames)]
    if not index.pts:
        return regular, rate, True
    times = [(pts - index.pts[0]) * index.time_base for pts in index.pts]
    return times, rate, max(map(abs, np.subtract(times, regular))) < _SLACK


def resampled(times: Sequence[float], fps: float, *, step: float) -> list[int]:
    """Number of times that each frame is shown at a steady `fps`; the last lasts `step` seconds."""
    count = max(1, round((times[-1] + step) * fps))
    shown = np.searchsorted(times, np.arange(count) / fps + 1e-6, side="right") - 1
    return np.bincount(shown, minlength=len(times)).tolist()


def _scaled_frames(video: VideoReader, settings: PrepareSettings) -> Iterator[np.ndarray]:
    """All frames with even sides, which yuv420p needs; never larger than they are."""
    height, width, _ = next(video.frames()).shape
    short = min(height, width)
    scale = min(settings.short_side or short, short) / short
    return video.frames(
        (max(2, round(height * scale / 2) * 2), max(2, round(width * scale / 2) * 2))
    )


def num_bytes(path: Path) -> int:
    """Size of a file, or of the files in a folder; -1 where there is neither."""
    try:
        if path.is_dir():
            return sum(entry.stat().st_size for entry in os.scandir(path))
        return path.stat().st_size
    except FileNotFoundError:
        return -1
