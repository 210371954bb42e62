import numpy as np
import pytest

from benchmarks import scaling


def test_exponent_is_that_of_the_larger_sizes():
    sizes = [1, 2, 4, 8]
    assert scaling.exponent(sizes, [7.0, 4.0, 16.0, 64.0]) == pytest.approx(2)


def test_times_are_those_of_each_work():
    done = []
    times = scaling.time_in_rounds([lambda: done.append(0), lambda: done.append(1)], rounds=2)
    assert done == [0, 1] * 3 and len(times) == 2


def test_detections_and_truth_are_of_the_same_frames():
    detections, truth = scaling.draw_boxes(1200)
    assert len(detections) == 1200
    assert set(np.unique(truth.table.keys)) == set(np.unique(detections.keys))


def test_an_unknown_part_is_named(capsys):
    with pytest.raises(SystemExit):
        scaling.main(["steps"])
    assert "steps: is not one of" in capsys.readouterr().err
