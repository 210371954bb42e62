"""A user's mistakes: each gives one clear line, an exit code that is not 0, and loses nothing."""

import os
import shutil
import subprocess
from functools import partial

import pytest

from slowfast.checkpoint import files
from slowfast.datasets.annotations import kinetics
from tools import run_net


@pytest.fixture
def run(run_tool, toy_yaml):
    """Function (overrides) -> (exit code, all that was printed)."""
    return partial(run_tool, run_net, "--cfg", toy_yaml)


@pytest.fixture
def edited_set(toy_set, tmp_path):
    """Function (content of train.csv) -> copy of the toy set with it."""

    def make(content):
        folder = tmp_path / "edited"
        shutil.copytree(toy_set, folder)
        (folder / "train.csv").write_text(content)
        return folder

    return make


@pytest.mark.slow
def test_complete_run_ends_with_0_and_saves_how_it_was_made(run, tmp_path, toy_yaml):
    code, output = run("SOLVER.MAX_EPOCH", 1)
    assert code == 0, output
    assert "0.023 M parameters" in output
    assert f"--cfg {toy_yaml} SOLVER.MAX_EPOCH 1" in (tmp_path / "run/command.txt").read_text()
    assert run("--cfg", tmp_path / "run/config.yaml", "TRAIN.ENABLE", False)[0] == 0


@pytest.mark.parametrize(
    ("weights", "keys", "is_said"),
    [
        ("elsewhere.pyth", [], True),
        ("run/checkpoints/checkpoint_epoch_00001.pyth", [], False),
        ("elsewhere.pyth", ["TRAIN.ENABLE", False], False),
        ("elsewhere.pyth", ["TEST.ENABLE", False], False),
    ],
)
def test_a_test_of_weights_from_elsewhere_after_a_training_is_said(
    run, tmp_path, monkeypatch, weights, keys, is_said
):
    (tmp_path / "elsewhere.pyth").touch()
    monkeypatch.setattr("slowfast.library.run.launch", lambda *_: None)
    code, output = run("TEST.CHECKPOINT_FILE_PATH", tmp_path / weights, *keys)
    assert code == 0 and ("trains first; the test after it is of" in output) == is_said


def test_best_of_another_run_on_own_videos_is_not_tested_after_training(run, tmp_path):
    (tmp_path / "own.yaml").touch()
    best = tmp_path / "checkpoints/checkpoint_best.pyth"
    code, output = run("TEST.CHECKPOINT_FILE_PATH", best)
    assert code == 1 and 'TEST.CHECKPOINT_FILE_PATH "" tests what is trained' in output


def test_weights_to_test_are_looked_for_before_training(run, tmp_path):
    code, output = run("TEST.CHECKPOINT_FILE_PATH", tmp_path / "no.pyth")
    assert code == 1 and "TEST.CHECKPOINT_FILE_PATH: there is no file" in output
    assert "train_epoch" not in output


def test_typo_in_a_key_names_the_nearest(run):
    code, output = run("SOLVER.BASE_RL", 0.1)
    assert code == 1 and "SOLVER.BASE_RL" in output and "SOLVER.BASE_LR" in output


def test_missing_yaml_is_named(run, tmp_path):
    code, output = run("--cfg", tmp_path / "no.yaml")
    assert code == 1 and "no.yaml" in output


def test_missing_csv_is_named(run, tmp_path):
    code, output = run("DATA.PATH_TO_DATA_DIR", tmp_path / "nowhere")
    assert code == 1 and "DATA.PATH_TO_DATA_DIR" in output and "test.csv" in output


@pytest.mark.slow
def test_only_the_test_list_is_read_twice(run, monkeypatch):
    """Before training for its mistakes, after it for the test; lists have up to 25M lines."""
    read, read_records = [], kinetics.read_records
    monkeypatch.setattr(
        kinetics,
        "read_records",
        lambda path, rules: read.append(path.name) or read_records(path, rules),
    )
    assert run("SOLVER.MAX_EPOCH", 1)[0] == 0
    assert read == ["test.csv", "train.csv", "val.csv", "test.csv"]


@pytest.mark.parametrize(
    "content, words",
    [
        ("train_0.mp4 0\ntrain_1.mp4\n", ["train.csv:2", "label"]),
        ("train_0.mp4 0\ntrain_1.mp4 3\n", ["train.csv:2", "3", "MODEL.NUM_CLASSES"]),
        ("", ["train.csv", "no videos"]),
    ],
    ids=["no label", "label out of range", "empty"],
)
def test_wrong_csv_is_named_with_its_line(run, edited_set, content, words):
    code, output = run("DATA.PATH_TO_DATA_DIR", edited_set(content))
    assert code == 1
    assert all(word in output for word in words), output


def test_mistake_in_the_test_list_shows_before_training(run, toy_set, tmp_path):
    folder = tmp_path / "edited"
    shutil.copytree(toy_set, folder)
    (folder / "test.csv").write_text("test_0.mp4 7\n")
    code, output = run("DATA.PATH_TO_DATA_DIR", folder)
    assert code == 1 and "test.csv:1" in output and "train_iter" not in output


def test_folder_without_videos_names_them(run, edited_set):
    folder = edited_set("".join(f"gone_{i}.mp4 0\n" for i in range(8)))
    code, output = run("DATA.PATH_TO_DATA_DIR", folder)
    assert code == 1 and "gone_0.mp4" in output and "DATA.PATH_PREFIX" in output


@pytest.mark.slow
def test_checkpoint_of_another_model_is_refused_with_a_table(run, tmp_path):
    assert run("SOLVER.MAX_EPOCH", 1)[0] == 0
    weights = files.last_checkpoint(tmp_path / "run")
    other = ["OUTPUT_DIR", tmp_path / "other", "VOV3D.INNER_CH", 16]
    code, output = run(*other, "TRAIN.CHECKPOINT_FILE_PATH", weights)
    assert code == 1 and "TRAIN.CHECKPOINT_MIN_COVERAGE" in output and "mismatched" in output
    code, output = run(*other, "TRAIN.ENABLE", False, "TEST.CHECKPOINT_FILE_PATH", weights)
    assert code == 1 and "another model" in output


def test_web_page_saved_as_checkpoint_is_recognised(run, tmp_path):
    page = tmp_path / "weights.pyth"
    page.write_text("<!DOCTYPE html><html><body>Sign in</body></html>")
    code, output = run("TRAIN.ENABLE", False, "TEST.CHECKPOINT_FILE_PATH", page)
    assert code == 1 and "weights.pyth" in output and "HTML" in output


def test_more_gpus_than_there_are_is_refused(run):
    code, output = run("NUM_GPUS", 99, "TRAIN.BATCH_SIZE", 99, "TEST.BATCH_SIZE", 99)
    assert code == 1 and "NUM_GPUS: 99" in output


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
def test_full_disk_stops_the_run_and_keeps_what_was_saved(run, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(disk)])
    if mounted.returncode:
        pytest.skip("this machine does not let root mount a tmpfs")
    try:
        code, output = run("OUTPUT_DIR", disk, "SOLVER.MAX_EPOCH", 20)
        assert code == 1 and "could not be written" in output and str(disk) in output
        saved = files.last_checkpoint(disk)
        assert files.load(saved)["epoch"] >= 0
        assert not list(disk.rglob("*.tmp"))
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
