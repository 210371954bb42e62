"""Pictures in TensorBoard by the keys of PySlowFast."""

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from slowfast.analysis.why.board import Judged, read_subset, visualise
from slowfast.config.cli import load_cfg
from slowfast.engine.test import test as run_test


@pytest.mark.slow
def test_all_keys_write_their_pictures(make_run):
    run = make_run("VoV3D")
    sections = ["MODEL_VIS", "CONFUSION_MATRIX", "HISTOGRAM", "WRONG_PRED_VIS"]
    options = [word for name in sections for word in (f"TENSORBOARD.{name}.ENABLE", True)]
    for name in ("MODEL_WEIGHTS", "ACTIVATIONS", "INPUT_VIDEO"):
        options += [f"TENSORBOARD.MODEL_VIS.{name}", True]
    options += ["TENSORBOARD.MODEL_VIS.LAYER_LIST", ["s2"], "TENSORBOARD.ENABLE", True]
    cfg = load_cfg(run / "config.yaml", [*options, "OUTPUT_DIR", str(run)])
    run_test(cfg)
    visualise(cfg)
    board = EventAccumulator(str(run / "tensorboard"), size_guidance={"images": 0})
    tags = set(board.Reload().Tags()["images"])
    assert {"confusion_matrix/all", "histogram/brighter", "video 0/grad_cam"} <= tags
    assert {"video 5/input", "video 0/s2"} <= tags and any("weights/" in tag for tag in tags)
    assert sum("Incorrectly" in tag for tag in tags) == 3  # scores of random weights favour one
    assert board.Images("video 0/input")[0].encoded_image_string.startswith(b"GIF")


def test_a_guess_is_the_likeliest_class():
    judged = Judged(np.array([[0.1, 0.9], [0.6, 0.4]]), np.array([1, 1]), ["a", "b"])
    assert judged.guesses.tolist() == [1, 0]


def test_an_unknown_class_of_a_subset_is_named(tmp_path):
    (tmp_path / "a.txt").write_text("run\nfly\n")
    with pytest.raises(ValueError, match="KEY: .'fly'. are none of the 2 classes"):
        read_subset(str(tmp_path / "a.txt"), ["run", "eat"], "KEY")


def test_pictures_without_tensorboard_are_refused(toy_yaml):
    with pytest.raises(ValueError, match="MODEL_VIS.ENABLE: True needs TENSORBOARD.ENABLE"):
        load_cfg(toy_yaml, ["TENSORBOARD.MODEL_VIS.ENABLE", True])
