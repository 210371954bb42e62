"""Remarks on the classes of the lists of a run."""

from types import SimpleNamespace

import numpy as np
import pytest

from slowfast.datasets.class_report import class_remarks
from slowfast.datasets.records import KeyFrame, Record, TimedLabels

NAMES = ["climb", "dance", "jump", "walk"]


def dataset(records, names=NAMES, judged=None):
    truth = None if judged is None else SimpleNamespace(classes=dict.fromkeys(judged, ""))
    return SimpleNamespace(records=records, class_names=names, truth=truth)


def labelled(*labels):
    return [Record(f"{number}.mp4", label) for number, label in enumerate(labels)]


def boxes(*labels):
    zeros = np.zeros((len(labels), 4), np.float32)
    return Record("a.mp4", key=KeyFrame("a,1", 0.0, zeros, labels))


def remarks(train, val, counts=(4,), **options):
    return class_remarks(dataset(train), dataset(val, **options), counts)


def test_nothing_is_said_of_lists_with_all_classes():
    assert remarks(labelled(0, 1, 2, 3), labelled(0, 1)) == []


def test_classes_without_a_video_are_counted_and_named():
    (remark,) = remarks(labelled(0, 2, 2), labelled(0))
    assert "2 of 4 classes (MODEL.NUM_CLASSES); none of 1 (dance), 3 (walk)" in remark


def test_of_many_missing_classes_the_first_are_named():
    train = dataset(labelled(0, 1), names=None)
    (remark,) = class_remarks(train, train, [10])
    assert remark.endswith("none of 2, 3, 4, 5, 6 and 3 more")


@pytest.mark.parametrize("counts", [(1,), (4,)])
def test_a_single_class_says_nothing(counts):
    found = class_remarks(dataset(labelled(0, 0)), dataset(labelled(0)), counts)
    assert "all 2 examples" in found[-1] and "one class, 0 (climb)" in found[-1]


def test_one_class_with_counterexamples_can_be_learned():
    timed = [Record("a.mp4", spans=TimedLabels(spans)) for spans in (((0, 0.0, 9.0),), ())]
    assert class_remarks(dataset(timed), dataset(timed), [1]) == []


def test_classes_of_validation_that_training_lacks_are_named():
    found = remarks(labelled(0, 1, 2), labelled(3, 3, 0))
    assert (
        "2 examples of classes that the training list lacks" in found[1] and "3 (walk)" in found[1]
    )


def test_boxes_count_for_classes_that_are_judged():
    assert remarks([boxes((0,), (0, 1))], [boxes((0,))], judged=[0, 1]) == []


def test_each_target_has_its_own_classes():
    records = [Record("a.mp4", labels=(0, 1)), Record("b.mp4", labels=(1, 1))]
    found = class_remarks(dataset(records), dataset(records), (2, 2))
    assert len(found) == 2 and all(remark.startswith("target 2: ") for remark in found)
    assert "none of 0 (jump)" in found[0]
