"""tools/zoo.py: words choose rows, and commands say what is known of them."""

from dataclasses import replace

import pytest

from slowfast.zoo import table, weights
from slowfast.zoo.class_lists import class_list
from tests.helpers.paths import ROOT
from tools import zoo as tool


@pytest.fixture
def zoo(monkeypatch, tmp_path):
    """Calls the tool with an empty cache."""
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path))
    return tool.main


def names(text):
    return [line.split()[0] for line in text.splitlines()[2:-1]]


def test_all_are_listed(zoo, capsys):
    assert zoo([]) == 0
    assert names(capsys.readouterr().out) == list(table.weights())


def test_words_and_a_dataset_choose(zoo, capsys):
    assert zoo(["vov3d_m", "finetune", "--dataset", "ssv2"]) == 0
    assert names(capsys.readouterr().out) == ["vov3d_M_F32_finetune-SSv2"]


def test_a_dataset_may_have_the_name_of_its_classes(zoo, capsys):
    assert zoo(["mvit", "--dataset", "kinetics600"]) == 0
    assert names(capsys.readouterr().out) == ["MVIT_B_32x3_CONV-K600"]


def test_words_that_choose_nothing(zoo, caplog):
    assert zoo(["x3d", "--dataset", "HMDB51"]) == 1
    assert "no published weights fit" in caplog.text


def test_what_is_known_is_shown(zoo, capsys, tmp_path):
    assert zoo(["show", "x3d_s"]) == 0
    text = capsys.readouterr().out
    assert "top-1 73.5 (10 x 3 views)" in text
    assert f"{tmp_path}/X3D_S.pyth (not there yet)" in text
    assert "slowfast predict VIDEO --checkpoint zoo:X3D_S\n" in text


def test_weights_of_images_are_not_for_predictions(zoo, capsys):
    assert zoo(["show", "RESNET50"]) == 0
    text = capsys.readouterr().out
    assert "predict" not in text and "TRAIN.CHECKPOINT_FILE_PATH zoo:RESNET50" in text


def test_a_file_that_is_there_is_found(zoo, capsys, tmp_path):
    path = tmp_path / "X3D_S.pyth"
    path.write_bytes(bytes(2_000_000))
    assert zoo(["get", "zoo:X3D_S"]) == 0
    assert zoo(["where"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == str(path)
    assert out[1].split() == ["2.0", "MB", "X3D_S.pyth"]


def test_a_file_that_cannot_be_had(zoo, caplog):
    assert zoo(["get", "MVIT_B_16x4_CONV"]) == 1
    assert "has to be fetched by hand: open https://drive" in caplog.text


def test_an_address_without_an_answer_is_an_error(zoo, capsys, monkeypatch):

    row = replace(table.weights()["X3D_S"], address="http://127.0.0.1:9/x.pyth")
    for module in (table, weights):
        monkeypatch.setattr(module, "weights", lambda: {row.name: row})
    assert zoo(["check"]) == 1
    assert "0 of 1 addresses answer" in capsys.readouterr().out


def test_the_page_has_the_table(zoo, capsys):
    assert zoo(["list", "--markdown"]) == 0
    page = (ROOT / "docs" / "zoo.md").read_text(encoding="utf-8")
    assert page.endswith(capsys.readouterr().out)


def test_names_of_classes_are_printed(zoo, capsys):
    assert zoo(["classes", "AVA"]) == 0
    assert capsys.readouterr().out.splitlines() == class_list("ava")


def test_a_set_without_a_list_is_refused(zoo, caplog):
    assert zoo(["classes", "sports1m"]) == 1
    assert "sports1m: there is no list" in caplog.text
