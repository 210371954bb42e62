import json

import numpy as np
import pytest

from slowfast.datasets.clips import frame_math
from slowfast.datasets.decoding.video import open_video
from slowfast.datasets.synthetic import write_video
from tests.helpers.paths import GOLDENS

GOLDEN = json.loads((GOLDENS / "sampling.json").read_text())


def kinetics_indices(row, clip, num_clips, *, reach_end=False):
    num_frames, fps, clip_length, rate = row[:4]
    span = frame_math.clip_span(clip_length, rate, fps=fps, target_fps=30)
    start = frame_math.uniform_start(num_frames, span, clip, num_clips, reach_end=reach_end)
    return start, frame_math.clip_indices(start, span, clip_length, num_frames).tolist()


def test_span_in_frames_of_the_video():
    for num_frames, fps, clip_length, rate, span, _ in GOLDEN["kinetics"]:
        assert frame_math.clip_span(clip_length, rate, fps=fps, target_fps=30) == span, num_frames


def test_uniform_clips_as_in_the_golden_table():
    for row in GOLDEN["kinetics"]:
        for clip, start, indices, *_ in row[5]:
            if clip >= 0:
                assert kinetics_indices(row, clip, 10) == (start, indices)


def test_offset_sampling_as_in_the_golden_table():
    for row in GOLDEN["kinetics"]:
        for clip, _, _, *offset in row[5]:
            if clip >= 0:
                assert kinetics_indices(row, clip, 10, reach_end=True) == tuple(offset)


def test_training_clip_from_a_given_start_as_in_the_golden_table():
    for num_frames, _, clip_length, _, span, clips in GOLDEN["kinetics"]:
        for clip, start, indices, *_ in clips:
            if clip == -1:
                found = frame_math.clip_indices(start, span, clip_length, num_frames)
                assert found.tolist() == indices


def test_a_single_clip_lies_in_the_middle():
    for row in GOLDEN["one_clip"]:
        assert kinetics_indices(row, 0, 1) == (row[4], row[5])


def test_random_start_covers_all_places_and_no_more():
    rng = np.random.default_rng(0)
    starts = [frame_math.random_start(rng, 20, 8.0) for _ in range(500)]
    assert 0 <= min(starts) < 0.5 and 11.5 < max(starts) <= 12


def test_random_start_of_a_short_video_is_its_beginning():
    assert frame_math.random_start(np.random.default_rng(0), 5, 8.0) == 0


def test_a_video_of_one_frame_repeats_it():
    assert frame_math.clip_indices(0.0, 64.0, 8, 1).tolist() == [0] * 8


def test_segment_bounds_as_in_the_golden_table():
    for num_frames, clip_length, bounds in GOLDEN["segments"]:
        first, last = frame_math.segment_bounds(num_frames, clip_length)
        assert np.stack([first, last], 1).tolist() == bounds


def test_random_segment_frames_reach_both_ends_of_each_segment():
    first, last = frame_math.segment_bounds(40, 8)
    rng = np.random.default_rng(0)
    drawn = np.stack([frame_math.random_segment_indices(rng, 40, 8) for _ in range(300)])
    assert (drawn.min(0) == first).all() and (drawn.max(0) == last).all()


def test_a_single_segment_view_is_the_middle():
    # Segments of 0..39 in 8: [0, 5], [5, 10], [10, 15], [15, 20], [20, 24], ...
    indices = frame_math.uniform_segment_indices(40, 8, 0, 1)
    assert indices.tolist() == [3, 8, 13, 18, 22, 27, 32, 37]


def test_segment_views_are_distinct_and_inside():
    first, last = frame_math.segment_bounds(120, 8)
    views = np.stack([frame_math.uniform_segment_indices(120, 8, view, 3) for view in range(3)])
    assert (np.diff(views, axis=0) > 0).all()
    assert (views >= first).all() and (views <= last).all()
    assert views[:, 0].tolist() == [3, 8, 13]  # segment [0, 15]: 2.5, 7.5 and 12.5 rounded up


@pytest.mark.parametrize("num_frames", [30, 64])
def test_frames_of_a_real_video_are_those_of_the_golden_table(
    num_frames, tmp_path, numbered_frames, frame_number
):
    rows = [row for row in GOLDEN["kinetics"] if row[:2] == [num_frames, 25]]
    assert rows
    path = tmp_path / "numbered.mp4"
    write_video(path, numbered_frames(num_frames), codec="mpeg4", fps=25)
    with open_video(path) as video:
        assert (video.index.num_frames, video.index.fps) == (num_frames, 25)
        for row in rows:
            for _, _, indices, *_ in row[5]:
                assert [frame_number(frame) for frame in video.read(indices)] == indices
