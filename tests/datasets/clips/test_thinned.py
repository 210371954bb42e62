"""Clips of which only evenly spread frames are read."""

import numpy as np
import pytest
import torch

from slowfast.config.defaults import get_cfg
from slowfast.datasets.build import build_views
from slowfast.datasets.clips.samplers import SegmentSampler, SpanSampler, ThinnedSampler
from slowfast.datasets.decoding.packets import VideoIndex
from slowfast.models.operating_point import OperatingPoint, reduce_clips
from slowfast.utils.spread import evenly_spaced


@pytest.mark.parametrize("num_frames", range(1, 33))
def test_places_are_those_that_an_adaptive_network_keeps(num_frames):
    clip = torch.arange(num_frames).float().view(1, 1, -1, 1, 1)
    for count in range(1, num_frames + 1):
        (kept,) = reduce_clips([clip], OperatingPoint(1.0, count, 1), mode="area", fast_crop=1)
        assert kept.flatten().tolist() == evenly_spaced(num_frames, count)


@pytest.fixture
def index():
    """An index of 100 frames at 30 per second."""
    return VideoIndex(num_frames=100, fps=30.0)


@pytest.mark.parametrize("whole", [SpanSampler(8, 4, 30), SegmentSampler(8)])
def test_frames_are_a_part_of_the_whole_clips(whole, index):
    thinned, places = ThinnedSampler(whole, 3), [0, 3, 7]
    np.testing.assert_array_equal(thinned.uniform(index, 1, 3), whole.uniform(index, 1, 3)[places])
    drawn, rngs = [], [np.random.default_rng(5) for _ in range(2)]
    for sampler, rng in zip((thinned, whole), rngs, strict=True):
        drawn.append(sampler.random(rng, index))
    np.testing.assert_array_equal(drawn[0], drawn[1][places])
    assert thinned.span(30.0) == whole.span(30.0)
    assert thinned.resized(2).random(rngs[0], index).shape == (2,)


@pytest.mark.parametrize("dataset", ["kinetics", "ssv2"])
def test_the_config_key_thins_all_splits(dataset, index):
    cfg = get_cfg()
    cfg.merge_from_list(["TEST.DATASET", dataset, "TRAIN.DATASET", dataset])
    whole = [build_views(cfg, split).sampler for split in ("train", "val", "test")]
    cfg.merge_from_list(["DATA.NUM_FRAMES", 5, "DATA.SAMPLED_FRAMES", 8])
    for split, full in zip(("train", "val", "test"), whole, strict=True):
        found = build_views(cfg, split).sampler.uniform(index, 0, 2)
        expected = full.uniform(index, 0, 2)
        np.testing.assert_array_equal(found, expected[[0, 1, 3, 5, 7]])
