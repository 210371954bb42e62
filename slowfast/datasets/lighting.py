"""Colour jitter along the principal components of the colours of photographs (AlexNet, 4.1)."""

from collections.abc import Sequence

import numpy as np
import torch


class PcaJitter:
    """Add one random colour to a whole clip, drawn along principal components.

    values: the 3 eigenvalues, for pixels in 0..1. vectors: eigenvectors in columns, rows R, G, B.
    The clip is RGB with values 0..255, and stays within them.
    """

    def __init__(
        self, values: Sequence[float], vectors: Sequence[Sequence[float]], *, std: float = 0.1
    ):
        self.values, self.vectors, self.std = np.asarray(values), np.asarray(vectors), std

    def __call__(self, clip: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        color = self.vectors @ (self.values * rng.normal(0, self.std, 3))
        color = torch.from_numpy(255 * color).to(torch.float32).view(3, 1, 1, 1)
        lit = (clip + color).clamp_(0, 255)
        return lit if clip.is_floating_point() else lit.round_().to(clip.dtype)
