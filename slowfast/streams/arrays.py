"""Videos that a program holds: arrays, tensors, the bytes of a file, or frames as they come."""

import io
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch

from slowfast.datasets.decoding.open import OpenVideo
from slowfast.datasets.decoding.video import open_video
from slowfast.streams.source import TimedFrame
from slowfast.streams.windows import HeldFrames

# T,H,W,3 or T,3,H,W, values 0..255 as uint8 or 0..1 as floats.
Frames = np.ndarray | torch.Tensor
# A file by its name, the bytes of one, or frames.
AnyVideo = str | Path | bytes | bytearray | memoryview | Frames


def is_in_memory(video: object) -> bool:
    """True for what `open_held` opens."""
    return isinstance(video, bytes | bytearray | memoryview | np.ndarray | torch.Tensor)


def open_held(
    video: bytes | bytearray | memoryview | Frames, *, fps: float | None, max_pixels: int
) -> AbstractContextManager[OpenVideo]:
    """The frames of a video in memory, for views. fps: of frames; bytes say it themselves."""
    if isinstance(video, bytes | bytearray | memoryview):
        return open_video(io.BytesIO(video), max_pixels=max_pixels)
    return nullcontext(HeldFrames([TimedFrame(0.0, f) for f in as_pictures(video)], fps))


def as_pictures(frames: Frames) -> np.ndarray:
    """Frames T,H,W,3 as uint8; ValueError for other shapes or values."""
    array = frames.detach().cpu().numpy() if isinstance(frames, torch.Tensor) else frames
    if array.ndim == 4 and array.shape[-1] != 3 and array.shape[1] == 3:
        array = array.transpose(0, 2, 3, 1)  # T,3,H,W -> T,H,W,3
    if array.ndim != 4 or array.shape[-1] != 3 or not array.size:
        raise ValueError(f"frames of shape {tuple(array.shape)}: take T,H,W,3 or T,3,H,W, RGB")
    if np.issubdtype(array.dtype, np.floating):
        if not (array.min() >= 0 and array.max() <= 1):
            raise ValueError("frames of floats: values must lie in 0..1 (uint8: 0..255)")
        array = (array * 255).round().astype(np.uint8)
    if array.dtype != np.uint8:
        raise ValueError(f"frames of {array.dtype}: take uint8 (0..255) or floats (0..1)")
    return array


def timed(frames: Iterable[Frames], fps: float) -> Iterator[TimedFrame]:
    """Single frames H,W,3 or 3,H,W, one after another, with their times."""
    if not fps > 0:
        raise ValueError(f"fps: {fps} must be above 0")
    for number, frame in enumerate(frames):
        yield TimedFrame(number / fps, as_pictures(frame[None])[0])
