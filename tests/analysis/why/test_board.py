"""Pictures in TensorBoard by the keys of PySlowFast."""

import os
import pickle

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from slowfast.analysis.why.board import Judged, read_judged, read_subset, visualise
from slowfast.analysis.why.grids import chosen_maps
from slowfast.config.cli import load_cfg
from slowfast.config.derived import LayerMaps, parse_layer_maps
from slowfast.engine.test import test as run_test


@pytest.mark.slow
def test_all_keys_write_their_pictures(make_run):
    run = make_run("VoV3D")
    sections = ["MODEL_VIS", "CONFUSION_MATRIX", "HISTOGRAM", "WRONG_PRED_VIS"]
    options = [word for name in sections for word in (f"TENSORBOARD.{name}.ENABLE", True)]
    for name in ("MODEL_WEIGHTS", "ACTIVATIONS", "INPUT_VIDEO"):
        options += [f"TENSORBOARD.MODEL_VIS.{name}", True]
    options += ["TENSORBOARD.MODEL_VIS.LAYER_LIST", ["s2", "s2 1;0"], "TENSORBOARD.ENABLE", True]
    cfg = load_cfg(run / "config.yaml", [*options, "OUTPUT_DIR", str(run)])
    run_test(cfg)
    visualise(cfg)
    board = EventAccumulator(str(run / "tensorboard"), size_guidance={"images": 0})
    tags = set(board.Reload().Tags()["images"])
    assert {"confusion_matrix/all", "histogram/brighter", "video 0/grad_cam"} <= tags
    assert {"video 5/input", "video 0/s2", "video 0/s2 1;0"} <= tags and any(
        "weights/" in tag for tag in tags
    )
    assert sum("Incorrectly" in tag for tag in tags) == 3  # scores of random weights favour one
    assert board.Images("video 0/input")[0].encoded_image_string.startswith(b"GIF")


def test_a_guess_is_the_likeliest_class():
    judged = Judged(np.array([[0.1, 0.9], [0.6, 0.4]]), np.array([1, 1]), ["a", "b"])
    assert judged.guesses.tolist() == [1, 0]


def test_an_unknown_class_of_a_subset_is_named(tmp_path):
    (tmp_path / "a.txt").write_text("run\nfly\n")
    with pytest.raises(ValueError, match="KEY: .'fly'. are none of the 2 classes"):
        read_subset(str(tmp_path / "a.txt"), ["run", "eat"], "KEY")


def write_pickle(path, value):
    path.write_bytes(pickle.dumps(value))
    return path


@pytest.mark.parametrize("kind", [torch.tensor, np.array])
def test_pyslowfast_s_pickle_of_scores_is_read(tmp_path, kind):
    path = write_pickle(tmp_path / "a.pkl", [kind([[0.1, 0.9], [0.6, 0.4]]), kind([1, 1])])
    judged = read_judged(path, "sum")
    assert judged.guesses.tolist() == [1, 0] and judged.labels.tolist() == [1, 1]


class Malicious:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def test_other_pickles_are_refused_and_run_nothing(tmp_path):
    marker = tmp_path / "marker"
    for value in ([Malicious(marker), 1], {"a": 1}, [torch.zeros(3), torch.zeros(3)]):
        with pytest.raises(ValueError, match="TENSORBOARD.PREDICTIONS_PATH: .*a.pkl"):
            read_judged(write_pickle(tmp_path / "a.pkl", value), "sum")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("word", "channels", "frames"),
    [
        ("s5/pathway0_res2", (), ()),
        ("s5.pathway0_res2 0,3", (0, 3), ()),
        ("s5.pathway0_res2 0,3;1,2", (0, 3), (1, 2)),
        ("s5.pathway0_res2 0,3;2", (0, 3), (2, 2)),
    ],
)
def test_channels_and_frames_stand_behind_a_layer(word, channels, frames):
    assert parse_layer_maps(word) == LayerMaps("s5.pathway0_res2", channels, frames)


@pytest.mark.parametrize("word", ["s5 x", "s5 1;2;3", "s5 1,2;1,2,3", "s5 1, 2", " "])
def test_other_places_are_a_mistake_of_the_config(toy_yaml, word):
    with pytest.raises(ValueError, match="TENSORBOARD.MODEL_VIS.LAYER_LIST: "):
        load_cfg(toy_yaml, ["TENSORBOARD.MODEL_VIS.LAYER_LIST", [word]])


def test_the_channels_and_frames_asked_for_are_shown():
    maps = torch.arange(24.0).reshape(3, 2, 2, 2)  # C,T,H,W
    pictures, rows = chosen_maps(maps, LayerMaps("s5", (2, 0), (1, 0)))
    assert rows == 1 and pictures[:, 0, 0].tolist() == [20, 0]
    pictures, rows = chosen_maps(maps, LayerMaps("s5", (1,)))
    assert rows == 1 and pictures[:, 0, 0].tolist() == [8, 12]


def test_a_channel_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="s5: channel 3: it has 3, from 0"):
        chosen_maps(torch.zeros(3, 2, 2, 2), LayerMaps("s5", (3,)))


def test_pictures_without_tensorboard_are_refused(toy_yaml):
    with pytest.raises(ValueError, match="MODEL_VIS.ENABLE: True needs TENSORBOARD.ENABLE"):
        load_cfg(toy_yaml, ["TENSORBOARD.MODEL_VIS.ENABLE", True])
