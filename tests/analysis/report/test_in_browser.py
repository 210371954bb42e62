"""Report pages opened, sorted, zoomed and used by keyboard in a real browser."""

import numpy as np
import pytest

from slowfast.analysis.pages.page import Column, Table, write_page
from slowfast.analysis.report.classification import class_section, confusion_section
from slowfast.analysis.report.scores import ScoredVideos

NUM_CLASSES = 9


@pytest.fixture
def page(browser, tmp_path):
    """The browser with a page of scores of nine classes."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(NUM_CLASSES), 10)
    values = rng.random((len(labels), NUM_CLASSES))
    values[np.arange(len(labels)), labels] += 0.1 * labels
    names = [f"class {number} <b>&" for number in range(NUM_CLASSES)]
    scores = ScoredVideos([], values, labels, names, np.arange(len(labels)))
    sections = [confusion_section(scores), class_section(scores)]
    found = {"title": "A </script> title", "state": "", "sections": [("classes", "Classes")]}
    found |= {"tiles": [("top-1", "1 %", "")], "is_tested": True, "notes": [], "foot": ""}
    path = write_page(
        tmp_path / "page.html", "report/report.html", more=sections, has_matrix=True, **found
    )
    browser.resize(1440)
    browser.open(path)
    return browser


def _column(page, table, number):
    cells = f"[...document.querySelectorAll('#{table} tbody tr')].map(r => r.cells[{number}]"
    return page.run(f"{cells}.textContent)")


def _head(page, table, number):
    return f"document.querySelectorAll('#{table} th button')[{number}]"


@pytest.mark.slow
def test_page_asks_the_network_for_nothing_and_complains_of_nothing(page):
    assert page.requests == [] and page.mistakes == []
    assert page.run("document.title") == "A </script> title"


@pytest.mark.slow
def test_click_sorts_by_number_and_once_more_the_other_way_round(page):
    page.run(f"{_head(page, 'classes-1', 3)}.click()")
    falling = list(map(float, _column(page, "classes-1", 3)))
    page.run(f"{_head(page, 'classes-1', 3)}.click()")
    assert falling == sorted(falling, reverse=True)
    assert list(map(float, _column(page, "classes-1", 3))) == sorted(falling)
    assert page.run("document.querySelectorAll('#classes-1 th')[3].ariaSort") == "ascending"


@pytest.mark.slow
def test_enter_on_a_heading_sorts_by_name(page):
    page.run(f"{_head(page, 'classes-1', 1)}.focus()")
    page.press("Enter")
    names = _column(page, "classes-1", 1)
    assert names == sorted(names) and names[0] == "class 0 <b>&"


@pytest.mark.slow
def test_keys_move_in_the_matrix_and_zoom_it(page):
    matrix = "document.getElementById('matrix-canvas')"
    page.run(f"{matrix}.focus()")
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        page.press(key)
    said = page.run("document.getElementById('matrix-says').textContent")
    assert said.startswith("True: class 2 <b>&. Predicted: class 1 <b>&.")
    page.press("+", "+")
    assert page.run(f"{matrix}.dataset.size") == "5"
    page.press("0", "0")
    assert page.run(f"{matrix}.dataset.size") == "9"


@pytest.mark.slow
def test_matrix_puts_the_class_of_most_errors_first(page):
    order = "document.getElementById('matrix-order')"
    page.run(f"{order}.value = 'error'; {order}.dispatchEvent(new Event('change'))")
    data = page.run("JSON.parse(document.getElementById('matrix-data').textContent)")
    said = page.run("document.getElementById('matrix-says').textContent")
    assert said.startswith(f"True: {data['names'][data['by_error'][0]]}.")


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_is_wider_than_the_window(page, width):
    page.resize(width)
    assert page.run("document.documentElement.scrollWidth") == width


def test_values_that_are_not_known_are_dashes():
    column = Column("AP %", 1)
    table = Table("", [column], [[float("nan")], [None], [12.34]])
    assert [column.text(row[0]) for row in table.rows] == ["–", "–", "12.3"]
