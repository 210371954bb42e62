import math

from slowfast.evaluation.pareto_front import pareto_front


def test_the_front_holds_what_nothing_beats():
    costs = [1, 2, 2, 3, 4, 4]
    values = [5, 6, 7, 7, 9, 8]
    assert pareto_front(costs, values) == [True, False, True, False, True, False]


def test_equal_points_are_both_on_the_front():
    assert pareto_front([1, 1], [5, 5]) == [True, True]


def test_a_point_without_a_cost_or_value_is_never_on_the_front():
    assert pareto_front([math.nan, 1, 2], [9, math.nan, 3]) == [False, False, True]
