"""Charts of the pages."""

import re

from slowfast.analysis.pages.charts import Axis, bar_chart


def labels(names):
    """Names below bars, as drawn, and the height of the chart."""
    svg = bar_chart("Classes", names, range(len(names)), Axis("%")).svg
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    height = int(re.search(r"0 0 \d+ (\d+)", svg)[1])
    return [text for text in texts if text in names], height


def test_names_of_classes_are_written_whole():
    names = ["moving_right", "moving_left", "rotating_counterclockwise", *"abcde"]
    written, height = labels(names)
    assert written[:3] == names[:3] and height > 260


def test_short_names_lie_flat():
    assert labels(list("abcd"))[1] == 260
