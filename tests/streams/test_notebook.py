from slowfast.streams.notebook import html_bars, html_table


def test_cells_are_escaped_and_unknown_values_a_dash():
    assert "&lt;b&gt;</td>" in html_table(["a"], [["<b>"]])
    assert ">–</td>" in html_table(["a"], [[float("nan")]])


def test_rows_beyond_the_most_open_on_a_click():
    table = html_table(["a"], [[1], [2], [3]], most=2)
    assert table.index("2</td>") < table.index("1 more") < table.index("3</td>")


def test_bar_is_as_long_as_the_score():
    assert "width:6.00em" in html_bars([("run", 0.5)])
