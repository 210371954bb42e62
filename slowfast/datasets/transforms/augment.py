"""Changes of colour and random erasing of a clip, mixup and cutmix of a batch.

A clip is C,T,H,W with values 0..255; what is drawn is drawn once and done to all its frames.
All randomness comes from the generator passed in.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from slowfast.config.derived import class_counts
from slowfast.config.node import ConfigNode
from slowfast.datasets.transforms.rand_augment import (
    RandAugment,
    clip_to_frames,
    frames_to_clip,
    parse_rand_augment,
)


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
        drawn = self.vectors @ (self.values * rng.normal(0, self.std, 3))
        color = torch.from_numpy(255 * drawn).to(torch.float32).view(3, 1, 1, 1)
        lit = (clip + color).clamp_(0, 255)
        return lit if clip.is_floating_point() else lit.round_().to(clip.dtype)


class ColorJitter:
    """Brightness, contrast and saturation in random order, factors within 1 +- strength."""

    def __init__(self, strength: float):
        self.low = max(0.0, 1 - strength)
        self.high = 1 + strength

    def __call__(self, clip: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        from torchvision.transforms.v2 import functional as tv

        adjust = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation)
        frames = clip_to_frames(clip)
        for index in rng.permutation(3):
            frames = adjust[index](frames, rng.uniform(self.low, self.high))
        return frames_to_clip(frames)


def random_box(
    rng: np.random.Generator, height: int, width: int, area: tuple[float, float]
) -> tuple[int, int, int, int] | None:
    """(y, x, height, width) of a box smaller than the frame, or None when ten draws gave none.

    `area` is the range of its share of the frame; the aspect ratio is log-uniform in 0.3..1/0.3.
    """
    for _ in range(10):
        target = rng.uniform(*area) * height * width
        aspect = math.exp(rng.uniform(math.log(0.3), -math.log(0.3)))
        box_h, box_w = round(math.sqrt(target * aspect)), round(math.sqrt(target / aspect))
        if 0 < box_h < height and 0 < box_w < width:
            y = int(rng.integers(0, height - box_h + 1))
            x = int(rng.integers(0, width - box_w + 1))
            return y, x, box_h, box_w
    return None


class RandomErasing:
    """Fill boxes, the same in all frames, with noise or a colour (arXiv 1708.04896).

    Args:
        probability: of erasing anything in a clip.
        mode: pixel (noise per pixel and frame), rand (one colour per box) or const (the mean).
        count: boxes; each covers 2% to 33% of the frame, divided by `count`.
        mean, std: of the pixels, in 0..1; noise and colours are drawn from this normal.
    """

    def __init__(
        self,
        probability: float,
        mode: str,
        *,
        count: int,
        mean: Sequence[float],
        std: Sequence[float],
    ):
        self.probability = probability
        self.mode = mode
        self.area = (0.02 / count, 1 / 3 / count)
        self.count = count
        self.mean = np.asarray(mean).reshape(-1, 1, 1, 1)
        self.std = np.asarray(std).reshape(-1, 1, 1, 1)

    def __call__(self, clip: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        if rng.uniform() >= self.probability:
            return clip
        clip = clip.clone()
        for _ in range(self.count):
            box = random_box(rng, *clip.shape[-2:], self.area)
            if box is not None:
                y, x, h, w = box
                clip[..., y : y + h, x : x + w] = self._fill(rng, (*clip.shape[:2], h, w)).to(clip)
        return clip

    def _fill(self, rng: np.random.Generator, shape: tuple[int, ...]) -> torch.Tensor:
        """Values 0..255 that broadcast to C,T,h,w."""
        if self.mode == "pixel":
            noise = rng.standard_normal(shape, dtype=np.float32)
        elif self.mode == "rand":
            noise = rng.standard_normal((shape[0], 1, 1, 1))
        else:
            noise = np.zeros((1, 1, 1, 1))
        return torch.from_numpy(np.clip(255 * (self.mean + self.std * noise), 0, 255).round())


def smooth_labels(labels: torch.Tensor, num_classes: int, smoothing: float) -> torch.Tensor:
    """(N, classes): `smoothing` spread over all classes, the rest on the label."""
    targets = torch.full((len(labels), num_classes), smoothing / num_classes, device=labels.device)
    return targets.scatter_(1, labels[:, None], 1 - smoothing + smoothing / num_classes)


def soft_targets(
    labels: torch.Tensor, class_counts: Sequence[int], smoothing: float
) -> torch.Tensor:
    """(N, classes) smoothed labels of N, or of N,targets side by side, classes of each target."""
    columns = labels.reshape(len(labels), -1).unbind(1)  # N or N,targets -> N each
    pairs = zip(columns, class_counts, strict=True)
    return torch.cat([smooth_labels(column, count, smoothing) for column, count in pairs], dim=1)


def cutmix_box(
    rng: np.random.Generator, height: int, width: int, share: float
) -> tuple[tuple[int, int, int, int], float]:
    """(y0, y1, x0, x1) of a box for the partner, and the share of the frame that stays.

    The box has the frame's shape and the area 1 - `share` before it is cut off at the border.
    """
    side = math.sqrt(1 - share)
    half_h, half_w = int(height * side) // 2, int(width * side) // 2
    y, x = int(rng.integers(0, height)), int(rng.integers(0, width))
    y0, y1 = max(y - half_h, 0), min(y + half_h, height)
    x0, x1 = max(x - half_w, 0), min(x + half_w, width)
    return (y0, y1, x0, x1), 1 - (y1 - y0) * (x1 - x0) / (height * width)


def _paste(
    clip: torch.Tensor, partner: torch.Tensor, box: tuple[int, int, int, int]
) -> torch.Tensor:
    y0, y1, x0, x1 = box
    clip = clip.clone()
    clip[..., y0:y1, x0:x1] = partner[..., y0:y1, x0:x1]
    return clip


@dataclass(frozen=True)
class BatchMix:
    """Mixes each clip with the one at its mirror position in the batch; labels become soft.

    Mixup (arXiv 1710.09412) blends the clips (float tensors), cutmix (arXiv 1905.04899) pastes a
    box of the partner into all frames. One draw holds for the batch and for all pathways.

    Args:
        class_counts: classes of each target, of which there is mostly one.
        alpha, cutmix_alpha: Beta parameters; 0 leaves that kind out.
        prob: probability of mixing at all.
        switch_prob: probability of cutmix when both kinds are on.
        smoothing: label smoothing, also of batches that are not mixed.
    """

    class_counts: Sequence[int]
    alpha: float
    cutmix_alpha: float
    prob: float
    switch_prob: float
    smoothing: float

    def __call__(
        self, clips: list[torch.Tensor], labels: torch.Tensor, rng: np.random.Generator
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """The clips, one N,C,T,H,W tensor per pathway, and N,classes targets for the labels."""
        targets = soft_targets(labels, self.class_counts, self.smoothing)
        if rng.uniform() >= self.prob:
            return clips, targets
        is_cutmix = self.cutmix_alpha > 0 and (self.alpha == 0 or rng.uniform() < self.switch_prob)
        if is_cutmix:
            share = rng.beta(self.cutmix_alpha, self.cutmix_alpha)
            box, share = cutmix_box(rng, *clips[0].shape[-2:], share)
            clips = [_paste(clip, clip.flip(0), box) for clip in clips]
        else:
            share = rng.beta(self.alpha, self.alpha)
            clips = [torch.lerp(clip.flip(0), clip, share) for clip in clips]
        return clips, torch.lerp(targets.flip(0), targets, share)


def build_augmentations(cfg: ConfigNode) -> list[Callable]:
    """The steps `(clip, rng) -> clip` of section AUG, in order; none when AUG.ENABLE is off."""
    aug, mean, std = cfg.AUG, cfg.DATA.MEAN, cfg.DATA.STD
    if not aug.ENABLE:
        return []
    steps: list[Callable] = []
    if aug.AA_TYPE:
        fill = [255 * value for value in mean]
        settings = parse_rand_augment(aug.AA_TYPE)
        steps.append(RandAugment(**settings, interpolation=aug.INTERPOLATION, fill=fill))
    elif aug.COLOR_JITTER:
        steps.append(ColorJitter(aug.COLOR_JITTER))
    if aug.RE_PROB:
        steps.append(
            RandomErasing(aug.RE_PROB, aug.RE_MODE, count=aug.RE_COUNT, mean=mean, std=std)
        )
    return steps


def build_mix(cfg: ConfigNode) -> BatchMix | None:
    """The mixing of section MIXUP; None when it is off."""
    mixup = cfg.MIXUP
    if not mixup.ENABLE:
        return None
    return BatchMix(
        class_counts=class_counts(cfg.MODEL.NUM_CLASSES),
        alpha=mixup.ALPHA,
        cutmix_alpha=mixup.CUTMIX_ALPHA,
        prob=mixup.PROB,
        switch_prob=mixup.SWITCH_PROB,
        smoothing=mixup.LABEL_SMOOTH_VALUE,
    )
