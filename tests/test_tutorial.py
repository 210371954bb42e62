"""The notebook docs/tutorial.ipynb, run with few videos."""

import nbclient
import nbformat
import pytest

from tests.helpers.paths import ROOT

SETTINGS = "NUM_VIDEOS, NUM_EPOCHS = 400, 18"


@pytest.fixture
def notebook():
    return nbformat.read(ROOT / "docs" / "tutorial.ipynb", as_version=4)


def test_nothing_that_was_printed_is_kept(notebook):
    assert not any(cell.get("outputs") for cell in notebook.cells)


@pytest.mark.slow
def test_every_cell_runs(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert SETTINGS in first.source
    first.source = first.source.replace(SETTINGS, "NUM_VIDEOS, NUM_EPOCHS = 16, 2")
    place = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=120, resources=place).execute()
    assert (tmp_path / "runs/tutorial/report.html").is_file()
    printed = notebook.cells[-2].outputs[-1].text.split()
    assert all(0 <= float(number) <= 100 for number in printed)
