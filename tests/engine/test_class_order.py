"""Classes keep their names when data has them in another order, or has others."""

from types import SimpleNamespace

import pytest
import torch

from slowfast.checkpoint import files
from slowfast.engine import run
from slowfast.engine.test import test as run_test
from slowfast.engine.train import train

TRAINED = ["red", "green", "blue"]
TURNED = ["blue", "red", "green"]


@pytest.fixture
def trained(toy_cfg, named):
    """Overrides of a run of one epoch, which is done."""
    options = ["SOLVER.MAX_EPOCH", 1]
    train(toy_cfg(*options, *named(TRAINED)))
    return options


@pytest.mark.slow
def test_a_test_finds_the_classes_by_their_names(toy_cfg, named, trained):
    expected = run_test(toy_cfg(*named(TRAINED)))
    found = run_test(toy_cfg(*named(TURNED)))
    for metric in ("loss", "top1_acc", "mean_class_acc"):
        assert found[metric] == pytest.approx(expected[metric])
    assert found["test_set"] == expected["test_set"]


@pytest.mark.slow
def test_a_test_on_other_classes_is_refused(toy_cfg, named, trained):
    options = named(["red", "green", "yellow"])
    with pytest.raises(ValueError, match="2 of the data's 3 class names.*DATA.MATCH_CLASSES False"):
        run_test(toy_cfg(*options))
    assert run_test(toy_cfg(*options, "DATA.MATCH_CLASSES", False))["num_videos"] == 5


@pytest.mark.slow
def test_a_run_does_not_go_on_with_classes_in_another_order(toy_cfg, named, trained):
    with pytest.raises(ValueError, match="epoch_00001.*begun with other classes.*3 of 3 have"):
        train(toy_cfg("SOLVER.MAX_EPOCH", 2, *named(TURNED)))
    train(toy_cfg("SOLVER.MAX_EPOCH", 2, *named(["Red", "green", "blue"])))


@pytest.mark.slow
def test_fine_tuning_moves_the_classifier_and_its_average(toy_cfg, named, trained, tmp_path):
    weights = files.last_checkpoint(tmp_path / "run")
    options = ["TRAIN.CHECKPOINT_FILE_PATH", weights, "OUTPUT_DIR", tmp_path / "tuned"]
    rate = ["SOLVER.BASE_LR", 0.0, "SOLVER.WARMUP_START_LR", 0.0, "TRAIN.EMA_DECAY", 0.5]
    state = train(toy_cfg(*trained, *options, *rate, *named(TURNED)))
    rows = files.load(weights)["model_state"]["head.projection.weight"][[2, 0, 1]]
    assert all(torch.equal(m.head.projection.weight, rows) for m in state.models)
    assert state.class_names == TURNED


@pytest.mark.slow
def test_a_test_names_the_classes_that_were_not_trained(toy_cfg, named, tmp_path, caplog):
    options = named(TRAINED)
    path = tmp_path / "red_green_blue/train.csv"
    lines = path.read_text().splitlines()
    path.write_text("".join(f"{line[:-1]}{min(int(line[-1]), 1)}\n" for line in lines))
    train(toy_cfg("SOLVER.MAX_EPOCH", 1, *options))
    caplog.clear()
    run_test(toy_cfg(*named(TURNED)))
    assert "the test list has 1 examples of classes that the training list lacked" in caplog.text
    assert "lacked: 0 (blue)" in caplog.text


@pytest.mark.slow
def test_a_test_set_of_other_classes_is_refused_before_training(toy_cfg, named, monkeypatch):
    others = SimpleNamespace(class_names=["red", "green", "violet"])
    monkeypatch.setattr(run, "build_dataset", lambda cfg, split: others)
    with pytest.raises(ValueError, match="TEST.DATASET: .*'blue'.*'violet'"):
        run.build_loaders(toy_cfg(*named(TRAINED), "TEST.ENABLE", True, "TEST.DATASET", "folder"))
