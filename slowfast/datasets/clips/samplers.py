"""Frames of a clip: orders to show them in, and samplers that choose them.

Each kind of dataset has a sampler of its own; the index mathematics is in `frame_math`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, cast

import numpy as np

from slowfast.config.node import ConfigNode
from slowfast.datasets.clips import frame_math
from slowfast.datasets.decoding.packets import VideoIndex
from slowfast.datasets.decoding.video import UnreadableVideo
from slowfast.datasets.records import KeyFrame
from slowfast.utils.clip_shapes import evenly_spaced

# The frames of Charades that everybody uses were cut at this rate, and its recipes count in them.
_CHARADES_FPS = 24.0
# (frame numbers of a clip, generator) -> as many frame numbers
FrameOrder = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def forwards(frames: np.ndarray, _rng: np.random.Generator) -> np.ndarray:
    """As they were filmed."""
    return frames


def backwards(frames: np.ndarray, _rng: np.random.Generator) -> np.ndarray:
    """The last one first."""
    return frames[::-1]


def shuffled(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """In an order drawn anew for each clip."""
    return rng.permutation(frames)


def middle_repeated(frames: np.ndarray, _rng: np.random.Generator) -> np.ndarray:
    """The one in the middle, over and over: a still picture."""
    return np.full_like(frames, frames[len(frames) // 2])


class ClipSampler(Protocol):
    """Chooses the frames of clips of `num_frames` frames."""

    @property
    def num_frames(self) -> int:
        """Frames of a clip."""

    def random(self, rng: np.random.Generator, index: VideoIndex, /) -> np.ndarray:
        """Frame numbers of a clip for training."""

    def uniform(self, index: VideoIndex, clip: int, num_clips: int, /) -> np.ndarray:
        """Frame numbers of test clip `clip` of `num_clips`."""

    def resized(self, num_frames: int, /) -> "ClipSampler":
        """The same kind of clips with `num_frames` frames, for multigrid training."""

    def stretched(self, factor: float, /) -> "ClipSampler":
        """The same kind of clips, their frames `factor` times as far apart.

        ValueError where the length of the video says how far apart they lie.
        """

    def span(self, fps: float | None, /) -> float:
        """Frames of a video under one clip."""


class KeyFrameSampler(ClipSampler, Protocol):
    """Makes the sampler of the clip around a key frame, before it can be asked for any."""

    def at(self, key: KeyFrame, /) -> ClipSampler:
        """The sampler of the clip around this key frame."""


@dataclass(frozen=True)
class _RatedSampler:
    """Clips whose frames lie `sampling_rate` frames at `target_fps` apart.

    A video without a frame rate has that one. max_rate: in training the rate is drawn up to here,
    where that is larger, in whole steps.
    """

    num_frames: int
    sampling_rate: float
    target_fps: float
    max_rate: float = 0

    def resized(self, num_frames: int):
        """With fewer frames the rate is drawn, up to where the clip spans as much as before."""
        max_rate = self.sampling_rate * max(1, self.num_frames // num_frames)
        return replace(self, num_frames=num_frames, max_rate=max_rate)

    def stretched(self, factor: float):
        return replace(self, sampling_rate=self.sampling_rate * factor)

    def _drawn(self, rng: np.random.Generator):
        """The same with the rate drawn; a range of one number takes nothing from the generator."""
        room = max(self.max_rate - self.sampling_rate, 0)
        steps = int(rng.integers(0, int(room), endpoint=True))
        return replace(self, sampling_rate=self.sampling_rate + steps)


@dataclass(frozen=True)
class SpanSampler(_RatedSampler):
    """Frames spread evenly over a span of time (Kinetics); reach_end: see `uniform_start`."""

    reach_end: bool = False

    def random(self, rng: np.random.Generator, index: VideoIndex) -> np.ndarray:
        span = self._drawn(rng).span(index.fps)
        start = frame_math.random_start(rng, index.num_frames, span)
        return frame_math.clip_indices(start, span, self.num_frames, index.num_frames)

    def uniform(self, index: VideoIndex, clip: int, num_clips: int) -> np.ndarray:
        span, length = self.span(index.fps), index.num_frames
        start = frame_math.uniform_start(length, span, clip, num_clips, reach_end=self.reach_end)
        return frame_math.clip_indices(start, span, self.num_frames, length)

    def span(self, fps: float | None) -> float:
        return frame_math.clip_span(
            self.num_frames,
            self.sampling_rate,
            fps=fps or self.target_fps,
            target_fps=self.target_fps,
        )


@dataclass(frozen=True)
class SegmentSampler:
    """One frame from each of equal segments of the whole video (Something-Something)."""

    num_frames: int

    def random(self, rng: np.random.Generator, index: VideoIndex) -> np.ndarray:
        return frame_math.random_segment_indices(rng, index.num_frames, self.num_frames)

    def uniform(self, index: VideoIndex, clip: int, num_clips: int) -> np.ndarray:
        length = index.num_frames
        return frame_math.uniform_segment_indices(length, self.num_frames, clip, num_clips)

    def resized(self, num_frames: int) -> "SegmentSampler":
        return replace(self, num_frames=num_frames)

    def stretched(self, _factor: float) -> "SegmentSampler":
        raise ValueError(
            "a clip that takes one frame from each of equal segments of the whole video (ssv1, "
            "ssv2, DATA.SAMPLING segments) has no sampling stride that could change"
        )

    def span(self, _fps: float | None) -> float:
        return self.num_frames


@dataclass(frozen=True)
class SparseSampler(SegmentSampler):
    """The same with the segments of TSN, TSM and their relatives (DATA.SAMPLING segments)."""

    def random(self, rng: np.random.Generator, index: VideoIndex) -> np.ndarray:
        return frame_math.random_sparse_indices(rng, index.num_frames, self.num_frames)

    def uniform(self, index: VideoIndex, clip: int, num_clips: int) -> np.ndarray:
        length = index.num_frames
        return frame_math.uniform_sparse_indices(length, self.num_frames, clip, num_clips)


@dataclass(frozen=True)
class WindowSampler:
    """Frames `sampling_rate` frames of the video apart, whatever its rate (TSM's dense sampling).

    A shorter video goes on with its beginning.
    """

    num_frames: int
    sampling_rate: float

    def random(self, rng: np.random.Generator, index: VideoIndex) -> np.ndarray:
        start = frame_math.random_window_start(rng, index.num_frames, self.span(index.fps))
        return self._indices(start, index)

    def uniform(self, index: VideoIndex, clip: int, num_clips: int) -> np.ndarray:
        span = self.span(index.fps)
        start = frame_math.uniform_window_start(index.num_frames, span, clip, num_clips)
        return self._indices(start, index)

    def resized(self, num_frames: int) -> "WindowSampler":
        """With fewer frames the window stays as long."""
        rate = self.sampling_rate * max(1, self.num_frames // num_frames)
        return WindowSampler(num_frames, rate)

    def stretched(self, factor: float) -> "WindowSampler":
        return replace(self, sampling_rate=self.sampling_rate * factor)

    def span(self, _fps: float | None) -> float:
        return self.num_frames * self.sampling_rate

    def _indices(self, start: int, index: VideoIndex) -> np.ndarray:
        rate, length = self.sampling_rate, index.num_frames
        return frame_math.window_indices(start, rate, self.num_frames, length)


@dataclass(frozen=True)
class WholeVideoSampler:
    """The whole video frame by frame as a clip of `num_frames`, as I3D and S3D are tested.

    A shorter video is repeated from its start (I3D, arXiv 1705.07750: "looped"); of a longer one
    the clip is the middle, for a network has learned its stride.
    """

    num_frames: int

    def random(self, _rng: np.random.Generator, index: VideoIndex) -> np.ndarray:
        return self.uniform(index, 0, 1)

    def uniform(self, index: VideoIndex, _clip: int, _num_clips: int) -> np.ndarray:
        return frame_math.looped_indices(index.num_frames, self.num_frames)

    def resized(self, num_frames: int) -> "WholeVideoSampler":
        return replace(self, num_frames=num_frames)

    def stretched(self, _factor: float) -> "WholeVideoSampler":
        raise ValueError("TEST.WHOLE_VIDEO: a clip of all frames has no stride that could change")

    def span(self, _fps: float | None) -> float:
        return self.num_frames


@dataclass(frozen=True)
class StrideSampler(_RatedSampler):
    """Frames a fixed step apart, from a frame on (Charades)."""

    def random(self, rng: np.random.Generator, index: VideoIndex) -> np.ndarray:
        drawn = self._drawn(rng)
        start = frame_math.random_stride_start(rng, index.num_frames, drawn.span(index.fps))
        return drawn._indices(index, start)

    def uniform(self, index: VideoIndex, clip: int, num_clips: int) -> np.ndarray:
        span = self.span(index.fps)
        start = frame_math.uniform_stride_start(index.num_frames, span, clip, num_clips)
        return self._indices(index, start)

    def span(self, fps: float | None) -> int:
        return frame_math.stride_span(self.num_frames, self._step(fps))

    def _indices(self, index: VideoIndex, start: int) -> np.ndarray:
        step = self._step(index.fps)
        return frame_math.stride_indices(start, step, self.num_frames, index.num_frames)

    def _step(self, fps: float | None) -> float:
        return self.sampling_rate * (fps or self.target_fps) / self.target_fps


@dataclass(frozen=True)
class CenterSampler(StrideSampler):
    """The clip around a key frame (AVA); there is only this one, nothing is drawn.

    Lists and files disagree by some frames: up to a second past the end, the last frame stands for
    the key frame. UnreadableVideo for one further out.
    """

    key: KeyFrame | None = None

    def at(self, key: KeyFrame) -> "CenterSampler":
        """The sampler of the clip around this key frame."""
        return replace(self, key=key)

    def random(self, _rng: np.random.Generator, index: VideoIndex) -> np.ndarray:
        return self.uniform(index, 0, 1)

    def uniform(self, index: VideoIndex, _clip: int, _num_clips: int) -> np.ndarray:
        start = frame_math.center_start(self._center(index), self._step(index.fps), self.num_frames)
        return self._indices(index, start)

    def _center(self, index: VideoIndex) -> int:
        """Number of the key frame."""
        assert self.key is not None, "`at` comes first"
        key, fps = self.key, index.fps or self.target_fps
        center = round(key.place * (fps if key.in_seconds else 1))
        if 0 <= center < index.num_frames + fps:
            return min(center, index.num_frames - 1)
        if key.in_seconds:
            place, length = f"second {key.place:g}", f"{index.num_frames / fps:.1f} s"
            hint = "; does AVA.VIDEO_START_SECOND say where the files begin?"
        else:
            place, length, hint = f"frame {center}", f"{index.num_frames} frames", ""
        raise UnreadableVideo(f"NoKeyFrame: {key.key} is {place} of a file of {length}{hint}")


@dataclass(frozen=True)
class ThinnedSampler:
    """Evenly spaced `num_frames` of the frames of `sampler`'s clips, from the first to the last.

    An adaptive network keeps these of the whole clip; here the others are not even read.
    """

    sampler: ClipSampler
    num_frames: int

    def at(self, key: KeyFrame) -> "ThinnedSampler":
        """The sampler of the clip around this key frame."""
        return replace(self, sampler=cast(KeyFrameSampler, self.sampler).at(key))

    def random(self, rng: np.random.Generator, index: VideoIndex) -> np.ndarray:
        return self._thin(self.sampler.random(rng, index))

    def uniform(self, index: VideoIndex, clip: int, num_clips: int) -> np.ndarray:
        return self._thin(self.sampler.uniform(index, clip, num_clips))

    def resized(self, num_frames: int) -> "ThinnedSampler":
        return replace(self, num_frames=num_frames)

    def stretched(self, factor: float) -> "ThinnedSampler":
        return replace(self, sampler=self.sampler.stretched(factor))

    def span(self, fps: float | None) -> float:
        return self.sampler.span(fps)

    def _thin(self, indices: np.ndarray) -> np.ndarray:
        return indices[evenly_spaced(len(indices), self.num_frames)]


def build_span_sampler(cfg: ConfigNode) -> SpanSampler:
    """Kinetics and the like."""
    data = cfg.DATA
    return SpanSampler(
        data.NUM_FRAMES,
        data.SAMPLING_RATE,
        data.TARGET_FPS,
        reach_end=data.USE_OFFSET_SAMPLING,
    )


def build_segment_sampler(cfg: ConfigNode) -> SegmentSampler:
    """Something-Something."""
    return SegmentSampler(cfg.DATA.NUM_FRAMES)


def build_sparse_sampler(cfg: ConfigNode) -> SparseSampler:
    """DATA.SAMPLING segments, of any dataset."""
    return SparseSampler(cfg.DATA.NUM_FRAMES)


def build_window_sampler(cfg: ConfigNode) -> WindowSampler:
    """DATA.SAMPLING window, of any dataset."""
    return WindowSampler(cfg.DATA.NUM_FRAMES, cfg.DATA.SAMPLING_RATE)


def build_stride_sampler(cfg: ConfigNode) -> StrideSampler:
    """Charades."""
    return StrideSampler(cfg.DATA.NUM_FRAMES, cfg.DATA.SAMPLING_RATE, _CHARADES_FPS)


def build_center_sampler(cfg: ConfigNode) -> CenterSampler:
    """Detection."""
    return CenterSampler(cfg.DATA.NUM_FRAMES, cfg.DATA.SAMPLING_RATE, cfg.DATA.TARGET_FPS)
