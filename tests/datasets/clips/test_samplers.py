import json

import numpy as np
import pytest
import torch

from slowfast.config.defaults import get_cfg
from slowfast.datasets.build import build_views
from slowfast.datasets.clips import frame_math
from slowfast.datasets.clips.samplers import (
    CenterSampler,
    SegmentSampler,
    SpanSampler,
    SparseSampler,
    StrideSampler,
    ThinnedSampler,
    WholeVideoSampler,
    WindowSampler,
)
from slowfast.datasets.decoding.packets import VideoIndex
from slowfast.datasets.decoding.video import UnreadableVideo
from slowfast.datasets.records import KeyFrame
from slowfast.models.operating_point import OperatingPoint, reduce_clips
from slowfast.utils.clip_shapes import evenly_spaced
from tests.helpers.paths import GOLDENS

GOLDEN = json.loads((GOLDENS / "sampling.json").read_text())
SAMPLERS = [cls(8, 4, 30.0) for cls in (SpanSampler, StrideSampler)]
SAMPLERS += [SegmentSampler(8), SparseSampler(8), WindowSampler(8, 4)]


def video(num_frames, fps=None):
    return VideoIndex(num_frames=num_frames, fps=fps, pts=(), keyframes=())


def uniform(sampler, index, num_clips):
    return [sampler.uniform(index, clip, num_clips).tolist() for clip in range(num_clips)]


def draw(sampler, index, count=200):
    rng = np.random.default_rng(0)
    return [sampler.random(rng, index).tolist() for _ in range(count)]


def key(place, in_seconds=False):
    return KeyFrame("a,0902", place, np.zeros((0, 4)), (), in_seconds)


@pytest.mark.parametrize("fps", [None, 24.0])
def test_charades_views_as_in_the_golden_table(fps):
    for num_frames, clip_length, rate, _, two, ten in GOLDEN["charades"]:
        sampler = StrideSampler(clip_length, rate, 24.0)
        assert uniform(sampler, video(num_frames, fps), 2) == two
        assert uniform(sampler, video(num_frames, fps), 10) == ten


def test_a_charades_training_clip_of_the_golden_table_can_be_drawn():
    for num_frames, clip_length, rate, clip, *_ in GOLDEN["charades"]:
        room = num_frames - ((clip_length - 1) * rate + 1)
        possible = [
            frame_math.stride_indices(start, rate, clip_length, num_frames).tolist()
            for start in range(min(room, 0), max(room, 0) + 1)
        ]
        drawn = draw(StrideSampler(clip_length, rate, 24.0), video(num_frames))
        assert clip in possible and all(each in possible for each in drawn)


@pytest.mark.parametrize(
    "num_frames, both_ends",
    [
        (12, ([0, 2, 4, 6], [5, 7, 9, 11])),
        # Too short by 4 frames: the clip begins up to 4 frames before the video.
        (3, ([0, 0, 0, 2], [0, 2, 2, 2])),
    ],
)
def test_charades_training_clips_reach_both_ends(num_frames, both_ends):
    drawn = draw(StrideSampler(4, 2, 24.0), video(num_frames))
    assert {tuple(clip) for clip in both_ends} <= {tuple(clip) for clip in drawn}


def test_a_single_charades_view_is_the_middle():
    assert uniform(StrideSampler(4, 2, 24.0), video(13), 1) == [[3, 5, 7, 9]]
    assert uniform(StrideSampler(4, 2, 24.0), video(3), 1) == [[0, 2, 2, 2]]


def test_stride_follows_the_frame_rate():
    assert uniform(StrideSampler(4, 2, 24.0), video(20, 48.0), 2)[0] == [0, 4, 8, 12]


@pytest.mark.parametrize("fps", [None, 30.0])
def test_clips_around_a_key_frame_as_in_the_golden_table(fps):
    for clip_length, rate, center, num_frames, clip in GOLDEN["ava"]:
        sampler = CenterSampler(clip_length, rate, 30.0)
        for frame in (key(center), key(center / 30, in_seconds=True)):
            assert uniform(sampler.at(frame), video(num_frames, fps), 1) == [clip]


@pytest.mark.parametrize("frame", [key(49), key(1.64, in_seconds=True)], ids=["frame", "second"])
def test_a_key_frame_less_than_a_second_past_the_end_is_the_last_frame(frame):
    sampler = CenterSampler(4, 2, 30.0)
    assert uniform(sampler.at(frame), video(20), 1) == uniform(sampler.at(key(19)), video(20), 1)


@pytest.mark.parametrize(
    "frame, reason",
    [
        (key(50), "NoKeyFrame: a,0902 is frame 50 of a file of 20 frames$"),
        (key(-1), "NoKeyFrame: a,0902 is frame -1"),
        (key(2, in_seconds=True), "is second 2 of a file of 0.7 s.*AVA.VIDEO_START_SECOND"),
        (key(-2, in_seconds=True), "is second -2 .*AVA.VIDEO_START_SECOND"),
    ],
)
def test_a_key_frame_that_the_file_does_not_have_makes_it_unreadable(frame, reason):
    with pytest.raises(UnreadableVideo, match=reason):
        uniform(CenterSampler(4, 2, 30.0).at(frame), video(20), 1)


def test_nothing_is_drawn_around_a_key_frame():
    drawn = draw(CenterSampler(4, 2, 30.0).at(key(9)), video(20), 3)
    assert drawn == [[5, 7, 9, 11]] * 3


def test_segments_stay_in_order_in_training():
    assert all(clip == sorted(clip) for clip in draw(SegmentSampler(8), video(40)))


@pytest.mark.parametrize("num_frames, clip_length, _", GOLDEN["segments"])
def test_segment_views_are_distinct_where_the_segments_are_long_enough(num_frames, clip_length, _):
    first, last = frame_math.segment_bounds(num_frames, clip_length)
    views = np.array(uniform(SegmentSampler(clip_length), video(num_frames), 3))
    assert (np.diff(views, axis=0)[:, last - first >= 3] > 0).all()
    assert (views >= first).all() and (views <= last).all()


def test_two_clips_of_segments_are_their_middles_and_their_beginnings():
    for length in (3, 8, 9, 37, 300):
        tick = length / 8.0
        middles = [int(tick / 2.0 + tick * x) for x in range(8)]
        beginnings = [int(tick * x) for x in range(8)]
        assert uniform(SparseSampler(8), video(length), 2) == [middles, beginnings]
        assert uniform(SparseSampler(8), video(length), 1) == [middles]


def test_training_draws_each_frame_of_a_segment():
    drawn = np.array(draw(SparseSampler(4), video(15)))
    assert [sorted(set(column)) for column in drawn.T.tolist()] == [
        [first, first + 1, first + 2] for first in (0, 3, 6, 9)
    ]


def test_training_on_a_video_shorter_than_the_clip_shows_its_first_frame():
    assert draw(SparseSampler(8), video(7), 2) == [[0] * 8] * 2


def test_windows_of_a_test_reach_the_end():
    starts = [clip[0] for clip in uniform(WindowSampler(8, 8), video(300), 10)]
    assert starts == np.linspace(0, 300 - 64, 10, dtype=int).tolist()


def test_a_window_starts_anywhere_but_at_the_last_place():
    assert {clip[0] for clip in draw(WindowSampler(8, 8), video(67))} == {0, 1, 2}


def test_a_window_of_a_shorter_video_goes_on_with_its_beginning():
    assert draw(WindowSampler(4, 5), video(12), 2) == [[0, 5, 10, 3]] * 2


def test_a_smaller_window_is_as_long():
    assert WindowSampler(8, 8).resized(4).span(None) == 64


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: type(sampler).__name__)
@pytest.mark.parametrize("num_frames", [1, 3, 100])
def test_clips_have_their_length_and_stay_inside(sampler, num_frames):
    index = video(num_frames, 30.0)
    for clip in draw(sampler, index, 20) + uniform(sampler, index, 3):
        assert len(clip) == 8 and 0 <= min(clip) <= max(clip) < num_frames


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: type(sampler).__name__)
def test_without_a_frame_rate_it_is_the_target(sampler):
    assert uniform(sampler, video(99), 3) == uniform(sampler, video(99, 30.0), 3)


def test_shorter_clips_cover_up_to_the_span_of_whole_ones():
    drawn = draw(StrideSampler(8, 2, 24.0).resized(2), video(50))
    assert {last - first for first, last in drawn} == set(range(2, 9))


@pytest.mark.parametrize("sampler", [SpanSampler(8, 2.5, 30.0), StrideSampler(8, 2.5, 24.0)])
def test_frames_may_lie_a_fraction_apart(sampler):
    (frames,) = uniform(sampler, video(300), 1)
    assert set(np.diff(frames)) == {2, 3}
    assert all(2 <= step <= 4 for clip in draw(sampler, video(300), 50) for step in np.diff(clip))


def test_shorter_clips_of_fractional_steps_take_whole_steps_more():
    sampler, rng = SpanSampler(4, 2.5, 30.0).resized(2), np.random.default_rng(0)
    assert {sampler._drawn(rng).sampling_rate for _ in range(50)} == {2.5, 3.5, 4.5}


def test_a_whole_step_is_drawn_as_it_always_was():
    sampler = SpanSampler(8, 2, 30.0).resized(2)
    rngs = [np.random.default_rng(3) for _ in range(2)]
    drawn = [sampler._drawn(rngs[0]).sampling_rate for _ in range(50)]
    assert drawn == rngs[1].integers(2, 8, endpoint=True, size=50).tolist()


def test_the_whole_video_is_looped_or_its_middle():
    sampler = WholeVideoSampler(6)
    found = [uniform(sampler, video(length, 25.0), 1)[0] for length in (4, 6, 9)]
    assert found == [[0, 1, 2, 3, 0, 1], [0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6]]
    with pytest.raises(ValueError, match="TEST.WHOLE_VIDEO.*no stride"):
        sampler.stretched(2.0)


def test_span_is_what_a_clip_covers():
    assert SpanSampler(8, 4, 30.0).span(15.0) == 16
    assert StrideSampler(8, 4, 24.0).span(None) == 29
    assert SegmentSampler(8).span(30.0) == 8


@pytest.mark.parametrize("sampler", SAMPLERS[:2])
def test_stretched_frames_lie_as_much_further_apart(sampler):
    (frames,) = uniform(sampler.stretched(1.75), video(300), 1)
    assert set(np.diff(frames)) <= {7, 8} and len(frames) == 8
    assert uniform(sampler.stretched(1.0), video(300), 3) == uniform(sampler, video(300), 3)


def test_segments_of_a_whole_video_cannot_be_stretched():
    with pytest.raises(ValueError, match="no sampling stride"):
        SegmentSampler(8).stretched(2.0)


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


def test_thinned_clips_can_be_stretched_and_lie_around_a_key_frame(index):
    whole, places = StrideSampler(8, 2, 30.0), [0, 3, 7]
    (stretched,) = uniform(ThinnedSampler(whole, 3).stretched(2.0), index, 1)
    assert stretched == np.array(uniform(whole.stretched(2.0), index, 1)[0])[places].tolist()
    whole = CenterSampler(8, 2, 30.0)
    (around,) = uniform(ThinnedSampler(whole, 3).at(key(50)), index, 1)
    assert around == np.array(uniform(whole.at(key(50)), index, 1)[0])[places].tolist()


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
