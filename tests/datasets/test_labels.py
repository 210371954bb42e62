import numpy as np
import pytest
import torch

from slowfast.datasets.labels import (
    BoxLabels,
    ClassLabel,
    ClipLabels,
    TargetLabels,
    VideoLabels,
    choose_label_rule,
)
from slowfast.datasets.records import KeyFrame, Record, SampledClips, TimedLabels

# Class 1 holds in frames 0 to 4, class 3 in frames 5 to 9, class 0 all the time.
SPANS = TimedLabels(((1, 0, 4), (3, 5, 9), (0, 0, 9)))


def cut(*frames, is_flipped=False, kept=()):
    return SampledClips(
        [], np.array(frames), is_flipped, box_numbers=torch.tensor(kept, dtype=torch.int64)
    )


@pytest.mark.parametrize(
    "frames, expected",
    [
        ((0, 2, 4), [1, 1, 0, 0]),
        ((5, 7, 9), [1, 0, 0, 1]),
        ((8, 6, 4), [1, 1, 0, 1]),
        ((9, 20, 31), [1, 0, 0, 1]),
        ((30, 31), [0, 0, 0, 0]),
    ],
)
def test_training_labels_are_those_of_the_sampled_frames(frames, expected):
    hot = ClipLabels(4)(Record("a", spans=SPANS), cut(*frames), None)
    assert hot.tolist() == expected and hot.dtype == torch.float32


def test_labels_between_two_sampled_frames_count():
    record = Record("a", spans=TimedLabels(((2, 3, 4),)))
    assert ClipLabels(4)(record, cut(0, 8), None).tolist() == [0, 0, 1, 0]


def test_seconds_go_by_the_frame_rate():
    record = Record("a", spans=TimedLabels(((1, 1.0, 1.5),), in_seconds=True))
    rule = ClipLabels(2)
    assert rule(record, cut(16, 20), 10.0).tolist() == [0, 0]
    assert rule(record, cut(16, 20), 20.0).tolist() == [0, 1]


def test_evaluation_labels_are_those_of_the_whole_video():
    assert VideoLabels(4)(Record("a", spans=SPANS), cut(0), None).tolist() == [1, 1, 0, 1]


@pytest.mark.parametrize("rule", [ClipLabels(4), VideoLabels(4)])
def test_labels_without_times_hold_all_the_time(rule):
    assert rule(Record("a", labels=(3, 1)), cut(5), None).tolist() == [0, 1, 0, 1]
    assert rule(Record("a", 2), cut(5), None).tolist() == [0, 0, 1, 0]


def test_each_target_has_its_class():
    labels = TargetLabels()(Record("a", labels=(96, 3)), cut(0), None)
    assert labels.tolist() == [96, 3] and labels.dtype == torch.int64


def test_a_mirrored_clip_gets_the_mirrored_class():
    rule, record = ClassLabel((1, 0, 2)), Record("a", 0)
    assert (rule(record, cut(0), None), rule(record, cut(0, is_flipped=True), None)) == (0, 1)


def test_without_a_map_the_class_stays():
    assert ClassLabel()(Record("a", 7), cut(0, is_flipped=True), None) == 7


def test_box_labels_are_those_of_the_boxes_that_were_kept():
    key = KeyFrame("a,1", 0, np.zeros((3, 4)), ((0, 2), (1,), ()))
    labels = BoxLabels(3)(Record("a", key=key), cut(0, kept=[2, 0]))
    assert labels.tolist() == [[0, 0, 0], [1, 0, 1]]
    assert BoxLabels(3)(Record("a", key=key), cut(0)).shape == (0, 3)


def test_labels_follow_the_flip_where_it_is_known_how():
    mirrored, record = cut(0, is_flipped=True), Record("a", 0)
    rules = [
        choose_label_rule("classification", 2, is_training=True, flip_labels=flips)
        for flips in ((1, 0), None)
    ]
    assert [rule(record, mirrored, 1) for rule in rules] == [1, 0]


def test_multi_label_rules_differ_between_training_and_evaluation():
    rules = [choose_label_rule("multi_label", 4, is_training=is_on) for is_on in (True, False)]
    assert [type(rule) for rule in rules] == [ClipLabels, VideoLabels]
    assert type(choose_label_rule("several_targets", 4, is_training=True)) is TargetLabels
