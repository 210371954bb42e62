"""Scores over time become smooth, then segments, then files."""

import csv
import json

import numpy as np
import pytest

from slowfast.streams.captions import timeline_captions
from slowfast.streams.timeline import NOTHING, Segment, Timeline, find_segments, smooth
from slowfast.streams.timeline_files import write_features, write_timelines


def timeline(labels, names=("a", "b", "c"), score=1.0, **settings):
    """Windows of 2 s every second, of which each is sure of a class (None: of nothing)."""
    scores = np.zeros((len(labels), len(names)), np.float32)
    for row, label in zip(scores, labels, strict=True):
        if label is not None:
            row[label] = score
    spans = np.array([(n, n + 2.0) for n in range(len(labels))])
    counts = settings.pop("counts", [len(names)])
    return Timeline("v.mp4", spans, scores, names, counts, **settings)


def labels_of(segments):
    return [(s.label, s.start, s.end) for s in segments]


def test_smoothing_is_a_mean_of_neighbours():
    found = smooth(np.array([[0.0], [3.0], [0.0], [6.0]]), 3)
    np.testing.assert_allclose(found[:, 0], [1.5, 1, 3, 3])


@pytest.mark.parametrize("width", [0, 2])
def test_smoothing_takes_odd_widths(width):
    with pytest.raises(ValueError, match="odd number"):
        smooth(np.zeros((3, 1)), width)


def test_segments_cover_the_video_and_meet_between_the_middles():
    found = find_segments(timeline([0, 0, 1, 1, 1]), width=1)
    assert labels_of(found) == [(0, 0, 2.5), (1, 2.5, 6)]


def test_a_single_window_vanishes_by_smoothing():
    assert len(find_segments(timeline([0, 0, 1, 0, 0]), width=3)) == 1


def test_below_the_threshold_there_is_nothing():
    found = find_segments(timeline([0, None, 0]), width=1, threshold=0.5)
    assert [s.label for s in found] == [0, NOTHING, 0]


def test_a_short_segment_joins_its_neighbour():
    found = find_segments(timeline([0, 0, 1, 0, 0]), width=1, shortest=1.5)
    assert labels_of(found) == [(0, 0, 6)]


def test_classes_that_do_not_exclude_each_other_overlap():
    scores = np.array([[0.9, 0.1], [0.9, 0.9], [0.1, 0.9]], np.float32)
    spans = np.array([(n, n + 1.0) for n in range(3)])
    found = find_segments(
        Timeline("v", spans, scores, "ab", [2], has_many=True), width=1, threshold=0.5
    )
    assert labels_of(found) == [(0, 0, 2), (1, 1, 3)]


def test_each_of_several_targets_has_segments():
    found = find_segments(timeline([0, 0], names="abcd", counts=[2, 2]), width=1)
    assert [s.label for s in found] == [0, 2]


def test_files_hold_windows_segments_and_features(tmp_path):
    whole = timeline([0, 0, 1, 1], features=np.ones((4, 5), np.float32))
    whole.segments.extend(find_segments(whole, width=1))
    for name in ("t.csv", "t.json", "t.png"):
        write_timelines(tmp_path / name, [whole], {"config": "x"})
    write_features(tmp_path / "f.npz", [whole, whole])
    with open(tmp_path / "t_segments.csv") as file:
        rows = list(csv.DictReader(file))
    assert [(r["name"], r["start"], r["end"]) for r in rows] == [
        ("a", "0.0", "2.5"),
        ("b", "2.5", "5.0"),
    ]
    (video,) = json.loads((tmp_path / "t.json").read_text())["videos"]
    assert len(video["windows"]) == 4 and video["segments"][1]["name"] == "b"
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")
    with np.load(tmp_path / "f.npz") as found:
        assert found["features"].shape == (8, 5) and found["start"][5] == 1
        assert list(found["class_names"]) == ["a", "b", "c"] and found["paths"][7] == "v.mp4"


def test_a_caption_names_the_segment_of_its_time():
    whole = timeline([0, 0, 1, 1])
    whole.segments.extend([Segment(0, 2.5, 0, 1), Segment(2.5, 5, NOTHING, 0)])
    caption_at = timeline_captions(whole)
    assert [caption_at(t).title for t in (0, 2.4, 2.5, 9)] == ["a", "a", "nothing", "nothing"]
    assert caption_at(0.1) is caption_at(0.2)
    assert caption_at(0).bars[0] == ("a", 1.0)
