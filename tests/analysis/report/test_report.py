"""Pages of small runs."""

import json
import re
import shutil
from functools import partial

import pytest

from slowfast.analysis.report.build import write_report, write_report_after_test
from tools import report, run_net

_OUTSIDE = re.compile(r"""(?:src|href)=["']?(?!data:|#)[^"'\s>]+|url\((?!data:)|@import""")


@pytest.fixture(scope="module")
def finished():
    """Folder of a run, by the test that made it."""
    return {}


@pytest.fixture
def tested_run(run_tool, toy_yaml, finished, tmp_path):
    """OUTPUT_DIR of a toy run that was trained and tested, a copy for each test."""
    folder = tmp_path / "run"
    if "toy" not in finished:
        keys = ["SOLVER.MAX_EPOCH", 1, "TEST.REPORT", True]
        code, output = run_tool(run_net, "--cfg", toy_yaml, *keys)
        assert code == 0, output
        finished["toy"] = folder
    elif not folder.exists():
        shutil.copytree(finished["toy"], folder)
    return folder


def _page(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_test_ends_with_a_page_that_needs_nothing_else(tested_run):
    page = _page(tested_run)
    assert _OUTSIDE.findall(page) == []
    assert "left out" not in page
    titles = re.findall(r"<h2[^>]*>([^<]*)", page)
    assert titles[:2] == ["Result", "Confusion"]
    assert {"Classes", "Examples", "Calibration", "Training", "Network", "Videos"} <= set(titles)


@pytest.mark.slow
def test_page_has_the_results_the_network_and_the_command(tested_run):
    page, results = _page(tested_run), json.loads((tested_run / "test_results.json").read_text())
    assert f"{results['top1_acc']:.2f} %" in page
    assert "VOV3D.INNER_CH" in page and "run_net.py" in page and "0.023 M" in page
    assert json.loads((tested_run / "environment.json").read_text())["versions"]["torch"] in page


@pytest.mark.slow
def test_every_picture_has_words(tested_run):
    pictures = re.findall(r"<(?:img|svg)[^>]*>", _page(tested_run))
    assert len(pictures) > 8
    assert all(re.search(r'(?:alt|aria-label)="[^"]{10,}', picture) for picture in pictures)


@pytest.mark.slow
def test_a_run_that_still_trains_has_a_page(tested_run):
    for name in ("test_results.json", "test_scores.npz", "report.html"):
        (tested_run / name).unlink()
    with open(tested_run / "log.jsonl", "a") as file:
        file.write('{"_type": "train_iter", "epo')
    write_report(tested_run)
    assert "not been tested yet" in _page(tested_run) and "Learning rate" in _page(tested_run)


@pytest.mark.slow
def test_a_report_that_fails_is_one_warning(tested_run, caplog, monkeypatch):
    monkeypatch.setattr("slowfast.analysis.report.build.gather", lambda run: 1 / 0)
    assert write_report_after_test(tested_run) is None
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "results are not affected" in record.getMessage()


def test_a_folder_without_a_run_is_named(run_tool, tmp_path):
    code, output = partial(run_tool, report)(tmp_path)
    assert code == 1 and str(tmp_path) in output and "config.yaml" in output


@pytest.mark.slow
def test_page_of_a_detection_run_has_boxes_and_curves(run_tool, box_yaml, tmp_path):
    keys = ["SOLVER.MAX_EPOCH", 1, "TEST.REPORT", True]
    code, output = run_tool(run_net, "--cfg", box_yaml, *keys)
    assert code == 0, output
    page = _page(tmp_path / "run")
    assert "left out" not in page and "Key frame val_0,0904 with boxes" in page
    assert "Precision and recall" in page and "colour 1" in page and "mAP" in page


@pytest.mark.slow
def test_page_of_a_run_with_several_labels_has_average_precisions(run_tool, many_yaml, tmp_path):
    keys = ["SOLVER.MAX_EPOCH", 1, "TEST.REPORT", True]
    code, output = run_tool(run_net, "--cfg", many_yaml, *keys)
    assert code == 0, output
    page = _page(tmp_path / "run")
    results = json.loads((tmp_path / "run/test_results.json").read_text())
    assert "left out" not in page and f"{results['map']:.2f} %" in page
    assert "Average precision of each class" in page and "Wrong labels" in page
