import logging
import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest

from slowfast.checkpoint import files
from slowfast.runtime.memory import Needs, PeakMemory, build_needs, warn_if_short

GB = 1024**3


@pytest.fixture
def no_children_yet(monkeypatch):
    """Processes that other tests have started do not count."""
    before, children = set(psutil.Process().children(recursive=True)), psutil.Process.children
    monkeypatch.setattr(
        psutil.Process, "children", lambda *args, **keys: set(children(*args, **keys)) - before
    )


def test_peaks_of_this_process_and_of_its_children_stay(no_children_yet):
    memory = PeakMemory()
    assert memory.usage().keys() == {"RAM"}
    child = subprocess.Popen(
        [sys.executable, "-c", "x = b'1' * 200_000_000; print(len(x), flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    child.stdout.readline()
    with_child = memory.usage()
    child.communicate(b"\n")
    assert 0.18 < float(with_child["RAM_loaders"].removesuffix("G")) < 0.4
    assert memory.usage()["RAM_loaders"] == with_child["RAM_loaders"]


@pytest.fixture
def warnings(monkeypatch, caplog, tmp_path):
    """Function (needs) -> warnings on a machine of 4 free GB of disk and 2 of memory."""
    monkeypatch.setattr(psutil, "disk_usage", lambda path: SimpleNamespace(free=4 * GB))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2 * GB))
    monkeypatch.setattr(logging.getLogger("slowfast"), "propagate", True)

    def call(needs):
        caplog.clear()
        warn_if_short(needs, tmp_path)
        return [record.getMessage() for record in caplog.records]

    return call


def test_what_is_too_small_is_named_with_its_numbers(warnings):
    disk, memory = warnings(Needs(GB // 2, 9, 3 * GB, 8))
    assert "4.0 GB are free, but 9 checkpoints of about 0.50 GB" in disk
    assert "2.0 GB of memory are available, but the clips that 8 loader processes hold" in memory
    assert "up to 3.0 GB" in memory


def test_what_is_enough_is_not_mentioned(warnings, tmp_path):
    assert warnings(Needs(GB // 2, 8, 2 * GB, 8)) == []
    path = files.checkpoint_path(tmp_path, 0)
    path.parent.mkdir()
    with open(path, "wb") as file:
        file.truncate(GB // 2)  # of an earlier run: takes no room on the disk
    assert warnings(Needs(GB // 2, 9, 0, 0)) == []


def test_needs_of_a_training_follow_from_the_config(toy_cfg):
    keys = ["SOLVER.MAX_EPOCH", 8, "TRAIN.KEEP_CHECKPOINTS", 2, "DATA_LOADER.NUM_WORKERS", 3]
    cfg = toy_cfg(*keys, "TRAIN.BATCH_SIZE", 4, "TRAIN.EMA_DECAY", 0.9)
    needs = build_needs(cfg, 1000)
    assert needs.checkpoint_size == 3 * 4 * 1000  # weights, momentum, moving average
    assert needs.num_checkpoints == 4  # two, one before the oldest goes, the best one
    assert needs.clips_size == 3 * 2 * 4 * (3 * 4 * 32 * 32) and needs.num_loaders == 3
    assert build_needs(toy_cfg("TRAIN.KEEP_CHECKPOINTS", 0), 1000).num_checkpoints == 2 + 1


def test_a_test_saves_nothing_and_holds_whole_videos(toy_cfg):
    cfg = toy_cfg("TRAIN.ENABLE", False, "DATA_LOADER.NUM_WORKERS", 3, "TEST.BATCH_SIZE", 4)
    needs = build_needs(cfg, 1000)
    assert needs.num_checkpoints == 0
    assert needs.clips_size == 3 * 2 * (2 * 3) * (3 * 4 * 32 * 32)  # 2 x 3 views of a video
