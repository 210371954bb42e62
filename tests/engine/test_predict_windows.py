"""Predictions of windows, of what a program holds, and of boxes."""

import itertools

import numpy as np
import pytest
import torch

from slowfast.checkpoint import files
from slowfast.config.cli import load_cfg
from slowfast.datasets.decoding.open import open_frames
from slowfast.datasets.decoding.video import open_video
from slowfast.datasets.records import KeyFrame, Record
from slowfast.datasets.synthetic import write_video
from slowfast.engine.predict import Predictor, find_run
from slowfast.engine.predict_boxes import BoxPredictor, around
from slowfast.models import build_model
from slowfast.streams.boxes import FoundPeople, ListedBoxes
from slowfast.streams.source import TimedFrame

NAMES = ["run", "eat", "sit"]
BOXES = ["TRAIN.DATASET", "ava", "TEST.DATASET", "ava", "DETECTION.ENABLE", True]
BOXES += ["MODEL.HEAD_ACT", "sigmoid", "MODEL.LOSS_FUNC", "bce"]
BOXES += ["DETECTION.SPATIAL_SCALE_FACTOR", 32]


def save_weights(path, config, **more):
    torch.manual_seed(0)
    state = build_model(config).state_dict()
    path.parent.mkdir(exist_ok=True)
    files.save(path, {"model_state": state, "class_names": NAMES, **more})
    return path


@pytest.fixture
def predictor(toy_yaml, tmp_path):
    return Predictor(toy_yaml, save_weights(tmp_path / "weights.pyth", load_cfg(toy_yaml)))


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 255, (25, 48, 64, 3), np.uint8)


@pytest.fixture
def long_video(tmp_path, pictures):
    write_video(tmp_path / "long.mp4", pictures, options={"crf": "0"})
    with open_video(tmp_path / "long.mp4") as video:
        return tmp_path / "long.mp4", video.read(range(25))


@pytest.mark.slow
def test_a_window_is_scored_as_a_video_of_its_own(predictor, long_video):
    path, _ = long_video
    found = predictor.timeline(path, window=0.5, stride=0.25, has_features=True)
    np.testing.assert_allclose(found.spans, [[0, 0.5], [0.25, 0.75], [1 / 3, 5 / 6]], atol=1e-6)
    for scores, (start, end) in zip(found.scores, ((0, 15), (8, 23), (10, 25)), strict=True):
        with open_frames(Record(str(path), part=(start / 30, end / 30))) as part:
            np.testing.assert_allclose(scores, predictor.scorer([part])[0], atol=1e-6)
    assert found.features.shape[0] == 3 and found.features.std() > 0


@pytest.mark.slow
def test_a_stream_of_frames_is_lazy_and_gives_the_same(predictor, long_video):
    path, frames = long_video
    taken = []
    source = (
        taken.append(1) or frame for frame in itertools.chain(frames, itertools.cycle(frames))
    )
    first = next(predictor.stream(source, fps=30, window=0.5, stride=0.25))
    assert len(taken) == 16 and (first.start, first.end) == (0, 0.5)
    scores = predictor.timeline(path, window=0.5, stride=0.25).scores[0]
    for found in first.predictions:
        assert found.score == pytest.approx(float(scores[found.label]), abs=2e-3)


@pytest.mark.slow
def test_bytes_arrays_and_tensors_are_predicted_as_the_file(predictor, long_video):
    path, frames = long_video
    assert predictor(path.read_bytes()) == predictor(path)
    expected = dict(predictor(frames, fps=30))
    tensor = torch.from_numpy(frames).permute(0, 3, 1, 2)
    for video in (tensor, tensor.double() / 255):
        assert dict(predictor(video, fps=30)) == expected
    assert expected == pytest.approx(dict(predictor(path)), abs=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("video", "message"),
    [
        (b"no video", "unreadable"),
        (np.zeros((4, 48, 64), np.uint8), "shape"),
        (np.full((4, 8, 8, 3), 2.0), "0..1"),
        (np.zeros((4, 8, 8, 3), np.int64), "int64"),
    ],
)
def test_other_things_are_refused_in_words(predictor, video, message):
    with pytest.raises(ValueError, match=message):
        predictor(video)


@pytest.mark.slow
def test_a_run_or_its_checkpoint_alone_is_enough(toy_yaml, tmp_path, pictures):
    cfg, run = load_cfg(toy_yaml), tmp_path / "run"
    weights = save_weights(run / "x.pyth", cfg, cfg=cfg.dump())
    by_checkpoint = Predictor(None, weights)(pictures, fps=30)
    (run / "config.yaml").write_text(cfg.dump())
    with pytest.raises(ValueError, match="has no checkpoint"):
        Predictor.from_run(run)
    last = files.checkpoint_path(run, 3)
    save_weights(last, cfg)
    assert find_run(run) == (run / "config.yaml", last)
    assert Predictor.from_run(run)(pictures, fps=30) == by_checkpoint
    best = save_weights(files.best_path(run), cfg)
    assert find_run(run)[1] == best


def test_what_holds_no_config_is_named(toy_yaml, tmp_path):
    weights = save_weights(tmp_path / "x.pyth", load_cfg(toy_yaml))
    with pytest.raises(ValueError, match="x.pyth: holds no config: give one by --cfg"):
        Predictor(None, weights)
    with pytest.raises(ValueError, match="is no OUTPUT_DIR of a run"):
        find_run(tmp_path)


@pytest.fixture
def box_predictor(toy_yaml, tmp_path):
    weights = save_weights(tmp_path / "boxes.pyth", load_cfg(toy_yaml, BOXES))
    return BoxPredictor(toy_yaml, weights, options=BOXES)


@pytest.mark.slow
def test_boxes_of_a_csv_are_scored_as_in_a_test(box_predictor, long_video, tmp_path):
    path, _ = long_video
    table = tmp_path / "boxes.csv"
    table.write_text("0.4,0.1,0.1,0.5,0.9\n0.4,0.5,0.2,0.9,0.8\n0.7,0,0,1,1\n99,0,0,1,1\n")
    listed = ListedBoxes(table, path)
    found = list(box_predictor.key_frames(path, listed, times=listed.times))
    assert [(r.time, r.scores.shape) for r in found] == [(0.4, (2, 3)), (0.7, (1, 3))]
    scorer = box_predictor.scorer
    with open_video(path) as video:  # the whole file, as a test reads it
        key = KeyFrame("", 12, found[0].boxes, ((), ()))
        scores, _ = scorer.score_boxes(video, key)
    np.testing.assert_allclose(found[0].scores, scores, atol=1e-6)


@pytest.mark.slow
def test_boxes_are_found_in_the_middle_of_every_stride(box_predictor, long_video):
    class Network(torch.nn.Module):
        def forward(self, images):
            assert images[0].shape == (3, 48, 64) and images[0].max() <= 1
            boxes = torch.tensor([[8.0, 12, 32, 48], [0, 0, 9, 9], [0, 0, 5, 5]])
            labels, scores = torch.tensor([1, 2, 1]), torch.tensor([0.9, 0.9, 0.1])
            return [{"boxes": boxes, "labels": labels, "scores": scores}]

    found = list(box_predictor.key_frames(long_video[0], FoundPeople(Network()), stride=0.4))
    assert [round(r.time, 3) for r in found] == [0.2, 0.6]
    np.testing.assert_allclose(found[0].boxes, [[0.125, 0.25, 0.5, 1]])


def test_frames_around_times_are_few():
    frames = (TimedFrame(n / 10, np.zeros(0)) for n in range(100))
    found = list(around(frames, iter([0.0, 5.0, 9.9, 20.0]), reach=0.3, step=0.1))
    assert [(t, len(f)) for t, f in found] == [(0.0, 4), (5.0, 7), (9.9, 4)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,0,0,1\n", "boxes.csv:1"),
        ("1,10,10,200,300\n", "no box with an area inside"),
        ("other,1,0,0,1,1\n", "no boxes of the video 'long'"),
    ],
)
def test_mistakes_in_boxes_are_named(tmp_path, text, message):
    (tmp_path / "boxes.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        ListedBoxes(tmp_path / "boxes.csv", "x/long.mp4")


def test_boxes_need_a_network_for_boxes(toy_yaml, tmp_path):
    weights = save_weights(tmp_path / "weights.pyth", load_cfg(toy_yaml))
    with pytest.raises(ValueError, match="classifies whole videos"):
        BoxPredictor(toy_yaml, weights)
