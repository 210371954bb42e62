import contextlib
import errno
import os
import pickle
import resource
import subprocess
import sys
import textwrap
from collections import OrderedDict

import numpy as np
import pytest
import torch

from slowfast.checkpoint import files
from slowfast.checkpoint.files import CheckpointError

STATE = {"epoch": 3, "model_state": {"weight": torch.arange(6.0).view(2, 3)}}


class Malicious:
    """A pickle of this runs a shell command when it is loaded carelessly."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def test_name_counts_finished_epochs(tmp_path):
    path = files.checkpoint_path(tmp_path, 11)
    assert path == tmp_path / "checkpoints" / "checkpoint_epoch_00012.pyth"


def test_save_and_load(tmp_path):
    path = files.checkpoint_path(tmp_path, 3)
    files.save(path, STATE)
    loaded = files.load(path)
    assert loaded["epoch"] == 3
    assert torch.equal(loaded["model_state"]["weight"], STATE["model_state"]["weight"])


def test_loads_a_file_of_pyslowfast(tmp_path):
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    content = {
        "epoch": 4,
        "model_state": OrderedDict(model.state_dict()),
        "optimizer_state": optimizer.state_dict(),
        "cfg": "AVA:\n  IMG_PROC: cv2\n",
        "scaler_state": {"scale": 65536.0, "growth_factor": 2.0, "_growth_tracker": 0},
    }
    torch.save(content, tmp_path / "checkpoint_epoch_00005.pyth")
    loaded = files.load(tmp_path / "checkpoint_epoch_00005.pyth")
    assert (loaded["epoch"], loaded["cfg"]) == (4, content["cfg"])


def test_last_checkpoint_goes_by_epoch_number(tmp_path):
    assert files.last_checkpoint(tmp_path) is None
    for epoch in (9, 99998, 100000):
        files.save(files.checkpoint_path(tmp_path, epoch), STATE)
    files.save(files.best_path(tmp_path), STATE)
    (tmp_path / "checkpoints" / ".checkpoint_epoch_200000.pyth.x.tmp").touch()
    assert files.last_checkpoint(tmp_path) == files.checkpoint_path(tmp_path, 100000)


@pytest.mark.parametrize(
    ("keep", "left"), [(2, [3, 4]), (0, [0, 1, 2, 3, 4]), (9, [0, 1, 2, 3, 4])]
)
def test_prune_keeps_the_last_and_the_best(tmp_path, keep, left):
    for epoch in range(5):
        files.save(files.checkpoint_path(tmp_path, epoch), STATE)
    files.save(files.best_path(tmp_path), STATE)
    leftover = tmp_path / "checkpoints" / ".checkpoint_epoch_00006.pyth.abc.tmp"
    leftover.touch()
    files.prune(tmp_path, keep)
    expected = {files.checkpoint_path(tmp_path, epoch) for epoch in left} | {
        files.best_path(tmp_path)
    }
    assert set((tmp_path / "checkpoints").iterdir()) == expected


def test_a_state_that_could_not_be_loaded_again_is_not_written(tmp_path):
    path = tmp_path / "a.pyth"
    files.save(path, STATE)
    with pytest.raises(AssertionError, match="Malicious|system"):
        files.save(path, {"best": Malicious(tmp_path / "marker")})
    assert files.load(path)["epoch"] == 3


def _html(path):
    path.write_text("\n<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title>")


def _lfs(path):
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 30000000\n")


def _truncated(path):
    torch.save(STATE, path)
    path.write_bytes(path.read_bytes()[:-100])


def _legacy_truncated(path):
    torch.save(STATE, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-10])


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda path: None, "no such file.*other.pyth"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.touch(), "is empty"),
        (_html, "is an HTML page.*download"),
        (_lfs, "is a Git LFS pointer.*git lfs pull"),
        (_truncated, "is truncated.*again"),
        (_legacy_truncated, "is truncated, damaged or not a PyTorch checkpoint"),
        (
            lambda path: path.write_bytes(b"\x80\x02" + bytes(range(256))),
            "is truncated, damaged or",
        ),
        (lambda path: path.write_text('{"message": "Not Found"}\n'), "is a text file.*Not Found"),
        (lambda path: torch.save([torch.ones(1)], path), "holds a list.*model_state"),
    ],
)
def test_what_is_no_checkpoint_is_named(tmp_path, write, reason):
    (tmp_path / "other.pyth").touch()
    path = tmp_path / "weights.pyth"
    write(path)
    with pytest.raises(CheckpointError, match=f"weights.pyth: {reason}"):
        files.load(path)


def test_every_truncation_is_a_checkpoint_error(tmp_path):
    path = tmp_path / "weights.pyth"
    torch.save(STATE, path)
    content = path.read_bytes()
    for size in range(0, len(content), 97):
        path.write_bytes(content[:size])
        with pytest.raises(CheckpointError, match="weights.pyth"):
            files.load(path)


@pytest.mark.parametrize(
    "save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value, 2))]
)
def test_a_pickle_that_wants_to_run_code_does_not(tmp_path, save):
    path, marker = tmp_path / "weights.pyth", tmp_path / "marker"
    save({"model_state": Malicious(marker)}, path)
    with pytest.raises(CheckpointError, match="weights.pyth"):
        files.load(path)
    assert not marker.exists()


def _caffe2_pickle(protocol):
    blobs = {"conv1_w": np.arange(6, dtype=np.float32).reshape(2, 3), "model_iter": 5}
    return pickle.dumps({"blobs": blobs}, protocol)


@pytest.mark.parametrize("name", ["weights.pkl", "weights.pyth"])
@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_a_pickle_of_arrays_is_recognised_by_its_content(tmp_path, name, protocol):
    (tmp_path / name).write_bytes(_caffe2_pickle(protocol))
    blobs = files.load(tmp_path / name)["blobs"]
    assert blobs["conv1_w"].tolist() == [[0, 1, 2], [3, 4, 5]] and blobs["model_iter"] == 5


def test_a_file_of_old_torch_is_no_plain_pickle(tmp_path):
    torch.save(STATE, tmp_path / "weights.pkl", _use_new_zipfile_serialization=False)
    assert files.load(tmp_path / "weights.pkl")["epoch"] == 3


@pytest.mark.slow
@pytest.mark.parametrize("protocol", [0, 2])
def test_a_damaged_pickle_is_a_checkpoint_error_or_read(tmp_path, protocol):
    path, content = tmp_path / "weights.pkl", _caffe2_pickle(protocol)
    rng = np.random.default_rng(0)
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(CheckpointError, match="weights.pkl"):
            files.load(path)
    for _ in range(300):
        damaged = bytearray(content)
        for position in rng.integers(len(content), size=3):
            damaged[position] = rng.integers(256)
        path.write_bytes(damaged)
        with contextlib.suppress(CheckpointError):
            files.load(path)


def test_a_python_object_is_named(tmp_path):
    torch.save({"model_state": Malicious(tmp_path / "marker")}, tmp_path / "weights.pyth")
    with pytest.raises(CheckpointError, match=r"system\) that would run code"):
        files.load(tmp_path / "weights.pyth")


@contextlib.contextmanager
def _file_size_limit(num_bytes):
    """The kernel cuts writes off here, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _assert_old_file_is_left(path):
    assert files.load(path)["epoch"] == 3
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "folder" / "a.pyth"
    files.save(path, STATE)
    with _file_size_limit(100_000), pytest.raises(OSError, match="a.pyth.*free are.*untouched"):
        files.save(path, {"epoch": 4, "large": torch.zeros(100_000)})
    _assert_old_file_is_left(path)


def test_a_full_disk_leaves_the_old_file(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    try:
        path = disk / "a.pyth"
        files.save(path, STATE)
        with pytest.raises(OSError, match=r"a.pyth.*needs 7.\d MiB, free are 1.0 MiB") as caught:
            files.save(path, {"epoch": 4, "large": torch.zeros(2_000_000)})
        assert caught.value.errno == errno.ENOSPC
        _assert_old_file_is_left(path)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
def test_kill_while_saving_leaves_a_readable_last_checkpoint(tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import os, random, signal, sys, time
            import torch
            from slowfast.checkpoint import files

            def save_for_ever(start):
                for epoch in range(start, 10**6):
                    state = {{"epoch": epoch, "values": torch.full((1_000_000,), float(epoch))}}
                    files.save(files.checkpoint_path("{tmp_path}", epoch), state)

            torch.set_num_threads(1)
            last, leftovers, delays = -1, 0, random.Random(0)
            for trial in range(12):
                child = os.fork()
                if child == 0:
                    save_for_ever(last + 1)
                while files.last_checkpoint("{tmp_path}") is None:
                    time.sleep(0.01)
                time.sleep(delays.uniform(0.02, 0.25))
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                path = files.last_checkpoint("{tmp_path}")
                content = files.load(path)
                assert path == files.checkpoint_path("{tmp_path}", content["epoch"])
                assert (content["values"] == content["epoch"]).all()
                last = content["epoch"]
                names = os.listdir("{tmp_path}/checkpoints")
                leftovers += sum(name.endswith(".tmp") for name in names)
                files.prune("{tmp_path}", 1)
            print(leftovers)
            """
        )
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, str(script)], env=env, timeout=100, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0, "no process was killed in the middle of a write"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ADAPTIVE: !!python/object/apply:os.getpid []", "not valid YAML: could not determine a"),
        ("A: " + "[" * 5000, "line 1: nested more than 30 levels deep"),
        ("- 1", "has no attribute 'get'"),
        ("# " + "x" * 2**21, "at most 1048576 are read"),
    ],
)
def test_config_of_a_checkpoint_that_cannot_be_read_is_one_line(text, problem):
    with pytest.raises(CheckpointError) as caught:
        files.was_adaptive({"cfg": text}, "a.pyth")
    message = str(caught.value)
    assert message.startswith("a.pyth: its config cannot be read: ") and problem in message
    assert "\n" not in message and len(message) < 300
