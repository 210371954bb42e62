"""The programs for a machine with a GPU, as far as a CPU can tell."""

import argparse
import json
import os
import subprocess
import time

import pytest
import torch

from benchmarks.gpu_bench import build_engine_step
from benchmarks.gpu_kit import Check, Place, Runner, Skip, tables_of
from benchmarks.gpu_layers import depthwise_layers, measure_depthwise
from benchmarks.gpu_parity import _compare, build_example
from tests.helpers.small_networks import clips, small_cfg, small_model

WHOLE = {"MODEL.DROPOUT_RATE": 0.0, "MODEL.DROPCONNECT_RATE": 0.0, "DATA.TRAIN_CROP_SIZE": 64}
BOXES = {"DETECTION.ENABLE": True, "MODEL.HEAD_ACT": "sigmoid"}


@pytest.fixture
def place(tmp_path):
    return Place("cpu", True, tmp_path, tmp_path / "rows")


def passes(place):
    place.note(answer=42)
    place.row("numbers", name="x", value=1.5)


def fails(place):
    raise ValueError("a mistake")


def skips(place):
    raise Skip("no reason")


def start_and_wait(place):
    process = subprocess.Popen(["sleep", "100"], start_new_session=True)
    place.note(pid=process.pid)
    process.wait()


@pytest.fixture
def run(tmp_path):
    """Function (checks) -> their results, and the folder with files."""

    def run_all(*checks):
        options = argparse.Namespace(device="cuda", tiny=True, output=tmp_path, lanes=2, budget=60)
        return Runner("title", checks, options).run()

    return run_all


@pytest.mark.slow
def test_checks_end_each_with_an_outcome(run, tmp_path):
    results = run(
        Check("passes", passes, 60),
        Check("fails", fails, 60),
        Check("waits", passes, 60, after="fails"),
        Check("skips", skips, 60),
        Check("late", lambda place: time.sleep(60), 0.1),
    )
    found = {name: result.status for name, result in results.items()}
    expected = {"passes": "PASS", "fails": "FAIL", "waits": "SKIP", "skips": "SKIP", "late": "FAIL"}
    assert found == expected
    assert results["waits"].why == "fails did not pass" and "a mistake" in results["fails"].why
    assert json.loads((tmp_path / "title.json").read_text())["passes"]["rows"][0]["answer"] == 42
    assert "numbers" in tables_of(results)
    assert "a mistake" in (tmp_path / "title_logs.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("keys", [{}, BOXES])
def test_networks_are_compared_in_every_number_type(place, keys):
    keys = {**keys, "DETECTION.SPATIAL_SCALE_FACTOR": 32}
    _compare(place, build_example(small_cfg("X3D", **WHOLE, **keys)))
    lines = [json.loads(line) for line in place.rows_path.read_text().splitlines()]
    assert [*map(list, lines)] == [["cpu32"], ["gpu64"], ["gpu32"], ["tf32"], ["bfloat16"]]
    assert "logits:0e+00" in lines[1]["gpu64"]


@pytest.mark.slow
def test_a_network_that_computes_something_else_is_noticed(place, monkeypatch):
    example = build_example(small_cfg("X3D", **WHOLE))
    compute, calls = example.compute, []

    def wrong(*args):
        calls.append(args)
        found = compute(*args)
        return {k: v + (len(calls) > 2) for k, v in found.items()}

    monkeypatch.setattr(example, "compute", wrong)
    with pytest.raises(AssertionError, match="gpu64 is too far"):
        _compare(place, example)


def test_step_of_the_engine_learns_from_bytes():
    cfg = small_cfg("X3D", **{"NUM_GPUS": 0, "TRAIN.MIXED_PRECISION": False})
    step, model = build_engine_step(cfg, 2)
    before = [p.detach().clone() for p in model.parameters()]
    (result,) = step()
    assert result.number == 1 and torch.isfinite(torch.tensor(result.sums.values["loss"]))
    pairs = zip(before, model.parameters(), strict=True)
    assert any(not torch.equal(old, new) for old, new in pairs)


def test_depthwise_layers_are_measured_in_every_form(place, monkeypatch):
    monkeypatch.setattr("benchmarks.gpu_layers._COPIED_MIB", {True: 1})
    layers = depthwise_layers(small_model("X3D"), clips("X3D", num=1))
    assert layers and all(layer.dim > 1 for layer in layers)
    measure_depthwise(place, "x3d", layers, 1)
    rows = [json.loads(line) for line in place.rows_path.read_text().splitlines()]
    assert {"conv3d", "conv3d, channels_last"} <= {row["how"] for row in rows}
    assert all(row["ms"] > 0 for row in rows)


def test_a_check_that_is_late_ends_with_what_it_started(run):
    (result,) = run(Check("late", start_and_wait, 1.0)).values()
    assert result.status == "FAIL" and "limit" in result.why
    end = time.monotonic() + 20  # a killed process takes a moment where many run
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < end:
            os.kill(result.rows[0]["pid"], 0)
            time.sleep(0.05)
