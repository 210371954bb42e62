"""Index mathematics: the frames that make a clip.

`num_frames` is the length of the video, `clip_length` the number of frames of a clip, and the span
of a clip is the stretch of the video, in frames of that video, from which they are taken.
"""

import math

import numpy as np
import torch


def clip_span(clip_length: int, sampling_rate: float, *, fps: float, target_fps: float) -> float:
    """Frames of the video under a clip whose `sampling_rate` refers to `target_fps`; at least 1."""
    return max(1.0, sampling_rate * clip_length / target_fps * fps)


def random_start(rng: np.random.Generator, num_frames: int, span: float) -> float:
    """Start of a training clip, uniform over all places where the span fits; 0 where none does."""
    return rng.uniform(0.0, max(num_frames - span, 0.0))


def uniform_start(
    num_frames: int, span: float, clip: int, num_clips: int, *, reach_end: bool = False
) -> float:
    """Start of test clip number `clip` of `num_clips`; a single clip lies in the middle.

    The reference's rule stops one step before the end of the video. `reach_end`
    (USE_OFFSET_SAMPLING) makes the last clip reach it, up to the whole-frame step that the
    reference takes.
    """
    room = max(num_frames - span, 0.0)
    if num_clips == 1:
        return room / 2
    if reach_end:
        return float(clip * math.floor(room / (num_clips - 1)))
    return room * clip / num_clips


def clip_indices(start: float, span: float, clip_length: int, num_frames: int) -> np.ndarray:
    """Frame numbers of a clip: evenly spaced over the span, truncated, kept inside the video.

    float32 as in the reference, whose truncation of 41.999996 to 41 decides which frame is shown.
    The step is (span - 1) / (clip_length - 1), a little more than the sampling rate.
    """
    places = torch.linspace(start, start + span - 1, clip_length)
    return places.clamp(0, num_frames - 1).long().numpy()


def segment_bounds(num_frames: int, clip_length: int) -> tuple[np.ndarray, np.ndarray]:
    """First and last frame of each of `clip_length` equal segments (Something-Something).

    Neighbours share a frame; halves are rounded to even.
    """
    edges = np.round((num_frames - 1) / clip_length * np.arange(clip_length + 1)).astype(np.int64)
    return edges[:-1], edges[1:]


def random_segment_indices(
    rng: np.random.Generator, num_frames: int, clip_length: int
) -> np.ndarray:
    """One frame drawn from each segment, its first and last frame included."""
    first, last = segment_bounds(num_frames, clip_length)
    return rng.integers(first, last, endpoint=True)


def uniform_segment_indices(
    num_frames: int, clip_length: int, clip: int, num_clips: int
) -> np.ndarray:
    """Test clip number `clip` of `num_clips`: one frame per segment, the middle for a single clip.

    Ours for several clips: the reference draws them without a seed or repeats the same clip. They
    are distinct where the segments are long enough.
    """
    first, last = segment_bounds(num_frames, clip_length)
    share = (2 * clip + 1) / (2 * num_clips)
    return first + np.floor((last - first) * share + 0.5).astype(np.int64)


def random_sparse_indices(
    rng: np.random.Generator, num_frames: int, clip_length: int
) -> np.ndarray:
    """One frame drawn from each of equal runs of whole frames, as the code of TSN and TSM does.

    Frames behind the last run are never drawn. A video that is shorter than the clip is its first
    frame, over and over.
    """
    length = num_frames // clip_length
    if length == 0:
        return np.zeros(clip_length, dtype=np.int64)
    return length * np.arange(clip_length) + rng.integers(0, length, size=clip_length)


def uniform_sparse_indices(
    num_frames: int, clip_length: int, clip: int, num_clips: int
) -> np.ndarray:
    """Test clip number `clip` of `num_clips`: the same place of each of equal parts of the video.

    The first clip takes their middles, the second of two their beginnings (TSM's "twice sample").
    More clips lie evenly spaced, which is ours.
    """
    step = num_frames / clip_length
    share = (0.5 + clip / num_clips) % 1.0
    places = np.floor(step * share + step * np.arange(clip_length)).astype(np.int64)
    return places.clip(0, num_frames - 1)


def window_indices(start: int, rate: float, clip_length: int, num_frames: int) -> np.ndarray:
    """`clip_length` frames from `start` on, `rate` apart; the video begins anew at its end."""
    return (start + np.floor(rate * np.arange(clip_length)).astype(np.int64)) % num_frames


def random_window_start(rng: np.random.Generator, num_frames: int, span: float) -> int:
    """Start of a window of `span` frames; 0 in a shorter video, whose rest is its beginning."""
    room = math.floor(num_frames - span)
    return int(rng.integers(0, room)) if room > 0 else 0


def uniform_window_start(num_frames: int, span: float, clip: int, num_clips: int) -> int:
    """Start of test window `clip` of `num_clips`, up to the end; a single one lies in the middle.

    The latter is ours: the code of TSM draws it.
    """
    room = max(math.floor(num_frames - span), 0)
    return int(np.linspace(0, room, num_clips)[clip]) if num_clips > 1 else room // 2


def looped_indices(num_frames: int, clip_length: int) -> np.ndarray:
    """One frame after another, the first again after the last; of a longer video its middle."""
    start = max(num_frames - clip_length, 0) // 2
    return (start + np.arange(clip_length)) % num_frames


def stride_span(clip_length: int, step: float) -> int:
    """Frames from the first to the last of a clip whose frames are `step` apart."""
    return math.floor(step * (clip_length - 1) + 0.5) + 1


def stride_indices(start: int, step: float, clip_length: int, num_frames: int) -> np.ndarray:
    """`clip_length` frames from `start` on, `step` apart, rounded, kept inside the video."""
    places = start + np.floor(step * np.arange(clip_length) + 0.5).astype(np.int64)
    return places.clip(0, num_frames - 1)


def random_stride_start(rng: np.random.Generator, num_frames: int, span: int) -> int:
    """Any start inside the video; a clip that is too long may begin before it, up to its end."""
    room = num_frames - span
    return int(rng.integers(min(room, 0), max(room, 0), endpoint=True))


def uniform_stride_start(num_frames: int, span: int, clip: int, num_clips: int) -> int:
    """Start of test clip number `clip`; the last ends with the video, a single one is central.

    The reference divides by zero for a single clip.
    """
    room = max(num_frames - span, 0)
    return round(room * clip / (num_clips - 1)) if num_clips > 1 else room // 2


def center_start(center: int, step: float, clip_length: int) -> int:
    """Start of the clip around frame `center`, half of it before that frame (AVA)."""
    return center - math.floor(step * clip_length + 0.5) // 2
