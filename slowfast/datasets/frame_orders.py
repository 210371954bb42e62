"""In which order the frames of a test clip are shown: what does their order contribute?"""

from collections.abc import Callable

import numpy as np

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
