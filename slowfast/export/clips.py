"""Clips to check and to calibrate an exported network with, as tests give them to the network."""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from slowfast.config.derived import pathway_strides
from slowfast.config.node import ConfigNode
from slowfast.datasets.build import build_clip_pack, build_dataset, build_views
from slowfast.datasets.clip_dataset import ClipDataset
from slowfast.datasets.decoding.open import open_frames
from slowfast.datasets.labels import ClassLabel
from slowfast.datasets.records import Annotations, Record
from slowfast.datasets.transforms.spatial import normalize
from slowfast.utils.clip_shapes import evenly_spaced

logger = logging.getLogger(__name__)

_MOST_TRIES = 4  # videos for each that is wanted: some are unreadable


def read_clips(
    dataset: ClipDataset, count: int, mean: Sequence[float], std: Sequence[float]
) -> list[list[Tensor]]:
    """The first view, normalised 1,C,T,H,W of each pathway, of `count` videos spread over the set.

    Fewer where many videos are unreadable; ValueError where all are.
    """
    found, reason = [], ""
    for index in evenly_spaced(len(dataset), min(count * _MOST_TRIES, len(dataset))):
        if len(found) == count:
            break
        sample = dataset[index]
        if sample.clips:
            found.append([normalize(views[:1], mean, std) for views in sample.clips])
        else:
            reason = f"{dataset.records[index].name}: unreadable ({sample.failures[0][1]})"
    if not found:
        raise ValueError(f"{reason}; name another video with --video")
    return found


def build_video(cfg: ConfigNode, path: str | Path) -> ClipDataset:
    """One video, cut as tests cut it."""
    return ClipDataset(
        Annotations([Record(str(path))]),
        build_views(cfg, "test"),
        label=ClassLabel(),
        pack=build_clip_pack(cfg, "test"),
        replace_unreadable=False,
        seed=0,
        open_record=partial(open_frames, max_pixels=cfg.DATA.MAX_PIXELS),
    )


def build_like_test(cfg: ConfigNode, split: str) -> ClipDataset | None:
    """The videos of a split, cut as tests cut them; None, with a warning, where it has no list."""
    try:
        dataset = build_dataset(cfg, split)
    except (ValueError, OSError) as error:
        logger.warning("no videos of the %s set: %s", split, str(error).partition("\n")[0])
        return None
    dataset.views, dataset.replace_unreadable = build_views(cfg, "test"), False
    return dataset


def build_random_clip(cfg: ConfigNode) -> list[Tensor]:
    """A clip of random pixels, normalised 1,C,T,H,W of each pathway; its frames all differ."""
    length, size = cfg.TEST.WHOLE_VIDEO or cfg.DATA.NUM_FRAMES, cfg.DATA.TEST_CROP_SIZE
    shape = (1, cfg.DATA.INPUT_CHANNEL_NUM[0], length, size, size)
    clip = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0))
    clip = normalize(clip.to(torch.uint8), cfg.DATA.MEAN, cfg.DATA.STD)
    return [clip[:, :, ::stride] for stride in pathway_strides(cfg)]


def build_check_clips(cfg: ConfigNode, video: str | Path | None) -> tuple[list[list[Tensor]], str]:
    """Normalised clips 1,C,T,H,W of each pathway, and words that say of what.

    Those of the video, else of the first and the last test video, else one of random pixels.
    """
    mean_std = cfg.DATA.MEAN, cfg.DATA.STD
    if video is not None:
        return read_clips(build_video(cfg, video), 1, *mean_std), str(video)
    dataset = build_like_test(cfg, "test")
    if dataset is None:
        return [build_random_clip(cfg)], "a synthetic clip of random pixels (no --video)"
    clips = read_clips(dataset, 2, *mean_std)
    return clips, f"{len(clips)} clips of the test set"
