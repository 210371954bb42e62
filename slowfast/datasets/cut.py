"""What views cut from a video: its clips, where they come from and, in detection, their boxes."""

from typing import NamedTuple

import numpy as np
import torch


class Cut(NamedTuple):
    """Clips C,T,H,W of one video, values 0..255.

    frames: frame numbers of the first clip. boxes: n,4 float32 x1,y1,x2,y2 in pixels of the clip.
    box_numbers: n int64, which of the record's key.boxes they are. Both None without detection.
    """

    clips: list[torch.Tensor]
    frames: np.ndarray
    is_flipped: bool = False
    boxes: torch.Tensor | None = None
    box_numbers: torch.Tensor | None = None
