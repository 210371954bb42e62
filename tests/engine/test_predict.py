"""A config, weights and video files give names and scores, in one line of Python too."""

import csv
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

import slowfast
from slowfast.checkpoint import files
from slowfast.config.cli import load_cfg
from slowfast.datasets.clips.samplers import SegmentSampler
from slowfast.datasets.synthetic import write_video
from slowfast.engine.predict import Predictor
from slowfast.engine.test import test as run_test
from slowfast.engine.train import train
from slowfast.models import build_model
from slowfast.runtime.stop import StopRequest

NAMES = ["run", "eat it", "sleep"]


@pytest.fixture
def weights(toy_yaml, tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "weights.pyth"
    model = build_model(load_cfg(toy_yaml))
    files.save(path, {"model_state": model.state_dict(), "class_names": NAMES})
    return path


@pytest.fixture
def videos(toy_set):
    return sorted(toy_set.glob("test_*.mp4"))


@pytest.mark.slow
def test_scores_are_those_of_testing(toy_yaml, weights, videos, tmp_path):
    run_test(load_cfg(toy_yaml, ["TEST.CHECKPOINT_FILE_PATH", str(weights)]))
    with open(tmp_path / "run/test_results.csv") as file:
        rows = list(csv.DictReader(file))
    results = Predictor(toy_yaml, weights).predict(videos)
    assert [result.predictions[0].label for result in results] == [
        int(row["prediction"]) for row in rows
    ]
    np.testing.assert_allclose(
        [result.predictions[0].score for result in results],
        [float(row["score"]) for row in rows],
        rtol=1e-6,
    )


@pytest.mark.slow
def test_a_video_gives_its_best_classes_by_name(toy_yaml, weights, videos):
    predictor = slowfast.Predictor(toy_yaml, weights)
    best = predictor(videos[0])
    assert sorted(name for name, _ in best) == sorted(NAMES)
    scores = [score for _, score in best]
    assert scores == sorted(scores, reverse=True) and sum(scores) == pytest.approx(1)
    assert predictor(str(videos[0]), topk=1) == best[:1]


@pytest.mark.slow
def test_names_come_from_the_file_then_the_checkpoint_then_the_number(toy_yaml, weights, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("a\nb\nc\n")
    assert Predictor(toy_yaml, weights, classes=names).class_names == ["a", "b", "c"]
    assert Predictor(toy_yaml, weights).class_names == NAMES
    bare = tmp_path / "bare.pyth"
    torch.save(files.load(weights)["model_state"], bare)
    assert Predictor(toy_yaml, bare).class_names == ["class 0", "class 1", "class 2"]


@pytest.mark.slow
def test_training_stores_the_names_of_its_dataset_and_keeps_them(toy_cfg, toy_set, tmp_path):
    folder = tmp_path / "named"
    shutil.copytree(toy_set, folder)
    (folder / "classes.txt").write_text("\n".join(NAMES))
    train(toy_cfg("DATA.PATH_TO_DATA_DIR", folder, "SOLVER.MAX_EPOCH", 1))
    assert files.load(files.last_checkpoint(tmp_path / "run"))["class_names"] == NAMES
    state = train(toy_cfg("SOLVER.MAX_EPOCH", 2))  # resumed, now without names in the folder
    assert state.class_names == NAMES


@pytest.mark.slow
def test_views_follow_the_options(toy_yaml, weights, videos):
    options = ["TEST.NUM_ENSEMBLE_VIEWS", 1, "TEST.NUM_SPATIAL_CROPS", 1]
    predictor = Predictor(toy_yaml, weights, options=options)
    assert predictor.views.num_views == 1
    assert predictor(videos[0]) != Predictor(toy_yaml, weights)(videos[0])


@pytest.mark.slow
def test_one_frame_is_enough(toy_yaml, weights, tmp_path):
    path = tmp_path / "short clip.mp4"
    write_video(path, np.full((1, 48, 64, 3), 90, dtype=np.uint8))
    assert len(Predictor(toy_yaml, weights)(path)) == 3


@pytest.mark.slow
def test_an_unreadable_video_is_an_error_alone_and_a_result_among_others(
    toy_yaml, weights, videos, tmp_path
):
    broken = tmp_path / "broken.mp4"
    broken.write_text("not a video")
    predictor = Predictor(toy_yaml, weights)
    with pytest.raises(ValueError, match=r"broken.mp4: unreadable \(InvalidDataError"):
        predictor(broken)
    results = predictor.predict([videos[0], broken, tmp_path / "no.mp4", videos[1]], topk=1)
    errors = [(result.error or "").partition(":")[0] for result in results]
    assert errors == ["", "InvalidDataError", "FileNotFoundError", ""]
    assert [len(result.predictions) for result in results] == [1, 0, 0, 1]


@pytest.mark.slow
def test_processes_and_batches_change_nothing(toy_yaml, weights, videos):
    plain = Predictor(toy_yaml, weights)
    many = Predictor(
        toy_yaml, weights, options=["DATA_LOADER.NUM_WORKERS", 2, "TEST.BATCH_SIZE", 60]
    )
    for a, b in zip(plain.predict(videos), many.predict(videos * 4), strict=False):
        assert [p.name for p in a.predictions] == [p.name for p in b.predictions]
        np.testing.assert_allclose(
            [p.score for p in a.predictions], [p.score for p in b.predictions], rtol=1e-5
        )


@pytest.mark.slow
def test_a_stop_request_keeps_what_is_done(toy_yaml, weights, videos):
    stop = StopRequest()
    stop.signum = 2
    (result,) = Predictor(toy_yaml, weights).predict(videos, stop=stop)
    assert result.path == str(videos[0]) and result.predictions


@pytest.mark.slow
def test_a_config_for_many_gpus_runs_where_there_are_none(toy_yaml, weights, videos):
    options = ["NUM_GPUS", 2, "NUM_SHARDS", 2, "SHARD_ID", 1]
    assert Predictor(toy_yaml, weights, options=options)(videos[0])


@pytest.mark.slow
def test_mistakes_are_named(toy_yaml, weights, videos):
    predictor = Predictor(toy_yaml, weights)
    with pytest.raises(ValueError, match="topk: 0"):
        predictor(videos[0], topk=0)
    with pytest.raises(ValueError, match="no videos"):
        predictor.predict([])
    with pytest.raises(ValueError, match="another model"):
        Predictor(toy_yaml, weights, options=["MODEL.NUM_CLASSES", 4])


def test_the_package_is_imported_without_torch():
    code = "import sys, slowfast; assert 'torch' not in sys.modules; slowfast.x"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "module 'slowfast' has no attribute 'x'" in done.stderr
    assert "Predictor" in dir(slowfast) and slowfast.build_model is build_model


@pytest.mark.slow
def test_a_notebook_shows_answers_as_bars(toy_yaml, weights, videos):
    predictor = Predictor(toy_yaml, weights)
    assert predictor(videos[0])._repr_html_().count("<tr>") == 3
    (result,) = predictor.predict(videos[:1], topk=2)
    assert result._repr_html_().count("<tr>") == 2


@pytest.mark.slow
def test_clips_are_sampled_as_those_of_the_test_set(toy_yaml, weights):
    predictor = Predictor(toy_yaml, weights, options=["TEST.DATASET", "ssv2"])
    assert predictor.views.sampler == SegmentSampler(4)


def test_boxes_are_not_predicted(toy_yaml, weights):
    options = ["TRAIN.DATASET", "ava", "TEST.DATASET", "ava", "DETECTION.ENABLE", True]
    options += ["MODEL.HEAD_ACT", "sigmoid", "MODEL.LOSS_FUNC", "bce"]
    with pytest.raises(ValueError, match="DETECTION.ENABLE: True needs boxes"):
        Predictor(toy_yaml, weights, options=options)
