import pytest

from slowfast.analysis.runs import load_run, parse_run
from slowfast.analysis.tempo import measure_tempo
from slowfast.evaluation.video_evaluator import OneLabelEvaluator


@pytest.mark.slow
def test_strides_and_clips_that_are_longer_than_their_videos(make_run, order_seer):
    run = load_run(parse_run(str(make_run("a"))), [])
    run.model = order_seer
    points = measure_tempo(run, (1.0, 2.6, 3.2))
    assert [point.stride for point in points] == pytest.approx([2, 5.2, 6.4])
    assert [point.value for point in points] == [100, 100, 100]
    # 4 frames 6.4 apart span 25.6 of 24.
    assert [point.cut_short for point in points] == [0, 0, 1]


@pytest.mark.slow
def test_each_stride_has_its_own_frames(make_run, order_seer, monkeypatch):
    run = load_run(parse_run(str(make_run("a"))), [])
    run.model, found = order_seer, []
    judge = OneLabelEvaluator._judge
    monkeypatch.setattr(
        OneLabelEvaluator, "_judge", lambda self, *args: found.append(args[0]) or judge(self, *args)
    )
    factors = (1.0, 3.0, 2.0)
    points = measure_tempo(run, factors)
    assert [point.factor for point in points] == list(factors)
    one, three, two = (scores[0, 0] for scores in found)
    # The first video gets brighter at one rate: twice the stride, twice the change.
    assert float(two / one) == pytest.approx(2, rel=0.1)
    assert float(three / one) == pytest.approx(3, rel=0.1)


@pytest.mark.slow
def test_a_stride_of_one_time_is_the_test_itself(make_run):
    run = load_run(parse_run(str(make_run("a"))), [])
    (plain,), _ = run.judge([run.views])
    (stretched,), _ = run.judge([run.views.stretched(1.0)])
    assert plain.value == stretched.value
