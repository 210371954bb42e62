"""Batch-norm statistics of the configurations of an adaptive network."""

import os
import signal
from collections import Counter

import pytest
import torch

from slowfast.adaptive import calibrate as module
from slowfast.adaptive.calibrate import (
    CALIBRATION_KEYS,
    build_measurement,
    calibrate,
)
from slowfast.adaptive.calibration_file import build_settings, load_calibration
from slowfast.checkpoint import files
from slowfast.engine.run import build_state
from slowfast.engine.state import TrainState
from slowfast.engine.train import train
from slowfast.models import build_model
from slowfast.models.operating_point import (
    OperatingPoint,
    at_point,
    build_points,
    build_reduce,
)
from slowfast.models.slimmable import make_slimmable
from tests.helpers.slow import slow

FULL, SMALL = OperatingPoint(1.0, 4, 40), OperatingPoint(0.5, 2, 32)
OPTIONS = ["TRAIN.BATCH_SIZE", 2, "MODEL.DROPOUT_RATE", 0.0]
ONCE = Counter(f"train_{index}.mp4" for index in range(8))


@pytest.fixture
def cfg(adaptive_cfg):
    return adaptive_cfg(*OPTIONS)


@pytest.fixture
def checkpoint(cfg, tmp_path):
    """A file of random weights."""
    path = tmp_path / "weights.pyth"
    files.save(path, {"model_state": build_model(cfg).state_dict()})
    return path


def load_model(cfg, checkpoint):
    model = make_slimmable(build_model(cfg))
    model.load_state_dict(files.load(checkpoint)["model_state"])
    return model.eval()


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


@pytest.mark.slow
def test_one_pass_over_the_clips_serves_all_configurations(adaptive_cfg, checkpoint, reads):
    grid = ["ADAPTIVE.WIDTHS", [0.5, 0.75, 1.0], "ADAPTIVE.FRAMES", [2, 3, 4]]
    cfg = adaptive_cfg("TRAIN.BATCH_SIZE", 4, *grid, "ADAPTIVE.CROPS", [32, 40])
    points = build_points(cfg)
    found = calibrate(cfg, checkpoint, points)
    assert list(found) == points and len(found) == 18
    assert reads == ONCE
    assert same(calibrate(cfg, checkpoint, [SMALL])[SMALL], found[SMALL])
    assert reads == ONCE  # it was in the file


@pytest.mark.slow
def test_further_configurations_are_added_to_the_file(cfg, checkpoint):
    first = calibrate(cfg, checkpoint, [SMALL])
    both = calibrate(cfg, checkpoint, [FULL, SMALL])
    assert same(first[SMALL], both[SMALL])
    found = load_calibration(checkpoint, build_settings(cfg, CALIBRATION_KEYS))
    assert found.statistics.keys() == {str(FULL), str(SMALL)}


def interrupt_at(monkeypatch, number):
    """Ctrl-C in the `number`-th forward pass."""
    calls, original = [], module.Measurement._moments

    def moments(self, *args):
        calls.append(1)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, *args)

    monkeypatch.setattr(module.Measurement, "_moments", moments)


@pytest.fixture
def whole(cfg, checkpoint, tmp_path):
    """SMALL and FULL measured without an interruption, with a copy of the weights."""
    other = tmp_path / "copy.pyth"
    other.write_bytes(checkpoint.read_bytes())
    return calibrate(cfg, other, [SMALL, FULL])


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, *slow([2, 5]), 8])
def test_interrupted_it_stops_at_once_and_goes_on_where_it_was(
    cfg, checkpoint, whole, reads, monkeypatch, number
):
    """Two configurations take turns, batch after batch of two clips."""
    settings = build_settings(cfg, CALIBRATION_KEYS)
    reads.clear()
    with monkeypatch.context() as patch:
        interrupt_at(patch, number)
        with pytest.raises(SystemExit) as stopped:
            calibrate(cfg, checkpoint, [SMALL, FULL])
    assert stopped.value.code == 128 + signal.SIGINT
    progress = load_calibration(checkpoint, settings).progress
    done = {name: part["num_batches"] for name, part in progress.items()}
    expected = {str(SMALL): -(-number // 2), str(FULL): number // 2}
    assert done == {name: count for name, count in expected.items() if count < 4}
    found = calibrate(cfg, checkpoint, [SMALL, FULL])
    # Only a batch that the first configuration has seen and the second one not is read again.
    assert sum(reads.values()) == 8 + 2 * (number % 2)
    assert all(same(found[c], whole[c]) for c in whole)
    assert load_calibration(checkpoint, settings).progress == {}


@pytest.mark.slow
def test_what_was_interrupted_stays_when_others_are_measured_meanwhile(
    cfg, checkpoint, whole, reads, monkeypatch
):
    with monkeypatch.context() as patch:
        interrupt_at(patch, 4)
        with pytest.raises(SystemExit):
            calibrate(cfg, checkpoint, [SMALL, FULL])
    reads.clear()
    assert same(calibrate(cfg, checkpoint, [FULL])[FULL], whole[FULL])
    assert sum(reads.values()) == 2 * 2
    assert same(calibrate(cfg, checkpoint, [SMALL])[SMALL], whole[SMALL])
    assert sum(reads.values()) == 2 * 4


@pytest.mark.slow
def test_two_processes_at_once_lose_nothing(cfg, checkpoint, whole, monkeypatch):
    save, others = module.save_calibration, [FULL]

    def save_after_another(*args):
        if others:
            calibrate(cfg, checkpoint, [others.pop()])
        return save(*args)

    monkeypatch.setattr(module, "save_calibration", save_after_another)
    calibrate(cfg, checkpoint, [SMALL])
    found = load_calibration(checkpoint, build_settings(cfg, CALIBRATION_KEYS)).statistics
    assert all(same(found[str(c)], whole[c]) for c in whole)


@pytest.mark.slow
@pytest.mark.parametrize("is_finished", [True, *slow([False])])
def test_another_process_may_measure_the_same_at_once(
    cfg, checkpoint, whole, monkeypatch, is_finished
):
    """It is ahead: has all, or is interrupted in its third pass when this one is in its first."""
    monkeypatch.setattr(module, "_SAVE_SECONDS", -1.0)
    save, turns = module.save_calibration, [1]

    def save_after_another(*args):
        if turns:
            turns.clear()
            with monkeypatch.context() as patch:
                if is_finished:
                    calibrate(cfg, checkpoint, [SMALL])
                else:
                    interrupt_at(patch, 3)
                    with pytest.raises(SystemExit):
                        calibrate(cfg, checkpoint, [SMALL])
        return save(*args)

    monkeypatch.setattr(module, "save_calibration", save_after_another)
    found = calibrate(cfg, checkpoint, [SMALL, FULL])
    assert all(same(found[c], whole[c]) for c in whole)
    saved = load_calibration(checkpoint, build_settings(cfg, CALIBRATION_KEYS))
    assert all(same(saved.statistics[str(c)], whole[c]) for c in whole) and not saved.progress


@pytest.mark.slow
def test_with_fewer_videos_what_was_interrupted_begins_anew(
    adaptive_cfg, cfg, checkpoint, toy_set, monkeypatch, tmp_path
):
    with monkeypatch.context() as patch:
        interrupt_at(patch, 3)
        with pytest.raises(SystemExit):
            calibrate(cfg, checkpoint, [SMALL])
    lines = [f"{toy_set}/{line}\n" for line in (toy_set / "train.csv").read_text().splitlines()]
    (tmp_path / "train.csv").write_text("".join(lines[:4]))
    few = adaptive_cfg(*OPTIONS, "DATA.PATH_TO_DATA_DIR", str(tmp_path))
    copy = tmp_path / "copy.pyth"
    copy.write_bytes(checkpoint.read_bytes())
    expected = calibrate(few, copy, [SMALL])[SMALL]
    assert same(calibrate(few, checkpoint, [SMALL])[SMALL], expected)


@pytest.mark.slow
def test_other_settings_are_measured_beside(adaptive_cfg, cfg, checkpoint, reads, caplog):
    first = calibrate(cfg, checkpoint, [SMALL])
    fewer = adaptive_cfg(*OPTIONS, "BN.NUM_BATCHES_PRECISE", 1)
    second = calibrate(fewer, checkpoint, [SMALL])
    assert not same(first[SMALL], second[SMALL])
    words = "measured with {'BN.NUM_BATCHES_PRECISE': 200} in place of"
    assert words in caplog.text and "others are measured beside them" in caplog.text
    reads.clear()
    assert same(calibrate(cfg, checkpoint, [SMALL])[SMALL], first[SMALL])
    assert same(calibrate(fewer, checkpoint, [SMALL])[SMALL], second[SMALL])
    assert not reads


@pytest.mark.slow
def test_unreadable_videos_are_named(cfg, checkpoint, toy_set, adaptive_cfg, tmp_path, caplog):
    (tmp_path / "junk.mp4").write_text("not a video")
    lines = [f"{toy_set}/{line}" for line in (toy_set / "train.csv").read_text().splitlines()[1:]]
    (tmp_path / "train.csv").write_text("\n".join([f"{tmp_path}/junk.mp4 0", *lines]))
    options = [*OPTIONS, "DATA.PATH_TO_DATA_DIR", str(tmp_path), "DATA.MAX_UNREADABLE_SHARE"]
    with pytest.raises(ValueError, match="DATA.MAX_UNREADABLE_SHARE: 1 of 8 videos"):
        calibrate(adaptive_cfg(*options, 0.1), checkpoint, [SMALL])
    caplog.clear()
    calibrate(adaptive_cfg(*options, 0.2), checkpoint, [SMALL])
    assert "unreadable video" in caplog.text and "junk.mp4" in caplog.text


@pytest.mark.slow
def test_other_weights_are_an_error(cfg, checkpoint):
    calibrate(cfg, checkpoint, [SMALL])
    files.save(checkpoint, {"model_state": build_model(cfg).state_dict()})
    with pytest.raises(ValueError, match="other weights"):
        calibrate(cfg, checkpoint, [SMALL])


@pytest.mark.slow
def test_full_configuration_gets_the_statistics_of_precise_batch_norm(adaptive_cfg, tmp_path):
    precise = [*OPTIONS, "BN.USE_PRECISE_STATS", True, "SOLVER.MAX_EPOCH", 1]
    cfg = adaptive_cfg(*precise, "TEST.BATCH_SIZE", 1)
    state: TrainState = train(cfg)
    found = calibrate(cfg, files.last_checkpoint(tmp_path / "run"), [FULL])[FULL]
    expected = state.model.state_dict()
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_statistics_are_mean_and_variance_of_what_a_batch_norm_receives(cfg, checkpoint):
    """Of the first one, which no other batch norm comes before."""
    found = calibrate(cfg, checkpoint, [SMALL])[SMALL]
    model, seen = load_model(cfg, checkpoint), []
    name, norm = next((n, m) for n, m in model.named_modules() if hasattr(m, "running_mean"))
    norm.register_forward_pre_hook(lambda _norm, inputs: seen.append(inputs[0]))
    batches = build_measurement(cfg, checkpoint)._batches(0)
    with torch.no_grad(), at_point(model, SMALL, found):
        for clips in batches:
            model(build_reduce(cfg)(clips, SMALL))
    var, mean = torch.var_mean(torch.cat(seen), (0, 2, 3, 4), correction=0)
    torch.testing.assert_close(found[f"{name}.running_mean"], mean)
    torch.testing.assert_close(found[f"{name}.running_var"], var)


@pytest.mark.slow
def test_statistics_are_those_of_the_channels_in_use(cfg, checkpoint):
    found = calibrate(cfg, checkpoint, [SMALL, FULL])
    sizes = [sum(map(len, found[point].values())) for point in (SMALL, FULL)]
    assert 0.5 <= sizes[0] / sizes[1] < 0.7


@pytest.mark.slow
def test_configured_network_is_itself_again_afterwards(cfg, checkpoint):
    found = calibrate(cfg, checkpoint, [FULL])[FULL]
    model = load_model(cfg, checkpoint)
    clips = [torch.randn(1, 3, 4, 40, 40)]
    with torch.no_grad():
        before = model(clips)
        with at_point(model, FULL, found):
            inside = model(clips)
        assert torch.equal(model(clips), before) and not torch.equal(inside, before)


@pytest.mark.slow
def test_keys_of_an_adaptive_model_are_those_of_the_plain_one(cfg):
    state, _ = build_state(cfg, torch.device("cpu"))
    assert list(state.model.state_dict()) == list(build_model(cfg).state_dict())
