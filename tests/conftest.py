"""Fixtures for everybody: real encoded videos, made once per session."""

import os
import shutil
import signal
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from slowfast.adaptive.budget import table_path
from slowfast.adaptive.report import write_table
from slowfast.adaptive.scores import HitCounter
from slowfast.adaptive.table import measure_table
from slowfast.checkpoint import files
from slowfast.config.cli import load_cfg
from slowfast.datasets.clip_dataset import ClipDataset
from slowfast.datasets.synthetic import write_video
from slowfast.models import build_model
from slowfast.runtime.stop import StopRequest

pytest_plugins = [
    "tests.helpers.annotation_files",
    "tests.helpers.browser",
    "tests.helpers.devices",
    "tests.helpers.processes",
    "tests.helpers.stores",
    "tests.helpers.task_runs",
    "tests.helpers.tools",
]

TOY_CLASSES = 3
# An odd number of test videos, so that two processes get unequal shares.
TOY_SPLITS = {"train": 8, "val": 5, "test": 5}


def _numbered_frames(num_frames, height=48, width=64):
    """Frames T,H,W,3 that carry their number (below 256) as 8 black or white bars, low bit left."""
    bits = np.arange(num_frames)[:, None] >> np.arange(8) & 1  # T,8
    row = np.repeat(bits, width // 8, axis=1) * 255
    row = np.pad(row, ((0, 0), (0, width - row.shape[1])))
    frames = np.broadcast_to(row[:, None, :, None], (num_frames, height, width, 3))
    return frames.astype(np.uint8)


def _frame_number(frame):
    """The number in a decoded frame H,W,3 (or H,W) made by `numbered_frames`, scaled or not."""
    frame = np.asarray(frame)
    grey = frame.mean(-1) if frame.ndim == 3 else frame
    step = grey.shape[1] / 8
    middle = grey.shape[0] // 2
    bars = [grey[middle, int((bit + 0.5) * step)] > 127 for bit in range(8)]
    return sum(int(is_white) << bit for bit, is_white in enumerate(bars))


@pytest.fixture(scope="session")
def numbered_frames():
    """Function (num_frames, height=48, width=64) -> frames T,H,W,3 that carry their number."""
    return _numbered_frames


@pytest.fixture(scope="session")
def frame_number():
    """Function (decoded frame H,W,3) -> the number that `numbered_frames` put in."""
    return _frame_number


@pytest.fixture(scope="session")
def video_dir(tmp_path_factory):
    """Folder of 8 H.264 videos (64 x 48, 20..27 numbered frames, 30 fps, keyframe every 8 frames).

    train.csv has videos 0-5, val.csv and test.csv have 6 and 7, as "path label" with label =
    number % 4. Read only: it is shared by the whole session.
    """
    folder = tmp_path_factory.mktemp("videos")
    lines = []
    for index in range(8):
        name = f"video{index}.mp4"
        write_video(folder / name, _numbered_frames(20 + index), gop=8)
        lines.append(f"{name} {index % 4}\n")
    for split, rows in (("train", lines[:6]), ("val", lines[6:]), ("test", lines[6:])):
        (folder / f"{split}.csv").write_text("".join(rows))
    return folder


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """One torch thread, also in processes that tests start: several only wait on tiny layers."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield
    torch.set_num_threads(num_threads)


@pytest.fixture(scope="session", autouse=True)
def heeded_ctrl_c():
    """A shell's background jobs ignore SIGINT, and so would the processes that tests start."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.fixture(scope="session")
def toy_set(tmp_path_factory):
    """Folder with train.csv, val.csv, test.csv; the class of a video is its brightest colour."""
    folder = tmp_path_factory.mktemp("toy_set")
    rng = np.random.default_rng(0)
    for split, count in TOY_SPLITS.items():
        lines = []
        for index in range(count):
            label = index % TOY_CLASSES
            frames = rng.integers(0, 120, (12, 48, 64, 3), dtype=np.uint8)
            frames[..., label] += 100
            write_video(folder / f"{split}_{index}.mp4", frames)
            lines.append(f"{split}_{index}.mp4 {label}\n")
        (folder / f"{split}.csv").write_text("".join(lines))
    return folder


def _toy_keys(data_dir, output_dir):
    return {
        "MODEL": {"MODEL_NAME": "VoV3D", "NUM_CLASSES": TOY_CLASSES, "DROPOUT_RATE": 0.3},
        "VOV3D": {"NUM_MODULES": [1, 1, 1, 1], "INNER_CH": 8, "NUM_CONV": 2},
        "X3D": {"DIM_C5": 16},
        "DATA": {
            "PATH_TO_DATA_DIR": str(data_dir),
            "NUM_FRAMES": 4,
            "SAMPLING_RATE": 2,
            "INPUT_CHANNEL_NUM": [3],
            "TRAIN_JITTER_SCALES": [32, 40],
            "TRAIN_CROP_SIZE": 32,
            "TEST_CROP_SIZE": 32,
        },
        "TRAIN": {"BATCH_SIZE": 4, "EVAL_PERIOD": 1, "CHECKPOINT_PERIOD": 1},
        "TEST": {"BATCH_SIZE": 4, "NUM_ENSEMBLE_VIEWS": 2, "NUM_SPATIAL_CROPS": 3, "REPORT": False},
        "SOLVER": {"BASE_LR": 0.05, "MAX_EPOCH": 2},
        "DATA_LOADER": {"NUM_WORKERS": 0},
        "NUM_GPUS": 0,
        "LOG_PERIOD": 1,
        "OUTPUT_DIR": str(output_dir),
    }


@pytest.fixture
def toy_yaml(toy_set, tmp_path, device_keys):
    """A YAML file for the toy set on the device that writes below tmp_path."""
    path = tmp_path / "toy.yaml"
    keys = {**_toy_keys(toy_set, tmp_path / "run"), **device_keys}
    path.write_text(yaml.safe_dump(keys))
    return path


@pytest.fixture
def toy_cfg(toy_yaml):
    """A function from overrides (KEY, VALUE, ...) to the frozen config."""
    return lambda *options: load_cfg(toy_yaml, [str(option) for option in options])


@pytest.fixture(scope="session")
def fading_set(tmp_path_factory):
    """Folder of 6 test videos of 24 frames, 30 fps: class 0 gets brighter, class 1 darker."""
    folder = tmp_path_factory.mktemp("fading")
    grey = np.linspace(40, 200, 24).round().astype(np.uint8)[:, None, None, None]
    frames = np.broadcast_to(grey, (24, 32, 48, 3))
    lines = []
    for index in range(6):
        write_video(folder / f"{index}.mp4", frames[::-1] if index % 2 else frames)
        lines.append(f"{index}.mp4 {index % 2}\n")
    for split in ("train", "val", "test"):
        (folder / f"{split}.csv").write_text("".join(lines))
    (folder / "classes.txt").write_text("brighter\ndarker\n")
    return folder


@pytest.fixture
def make_run(fading_set, toy_yaml, tmp_path):
    """Function (name, changes of the YAML) -> OUTPUT_DIR of a run with random weights."""

    def make(name, **changes):
        keys = yaml.safe_load(toy_yaml.read_text())
        keys["MODEL"]["NUM_CLASSES"] = 2
        keys["DATA"]["PATH_TO_DATA_DIR"] = str(fading_set)
        keys["TEST"] = {"BATCH_SIZE": 12, "NUM_ENSEMBLE_VIEWS": 2, "NUM_SPATIAL_CROPS": 1}
        for section, values in changes.items():
            keys.setdefault(section, {}).update(values)
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.yaml").write_text(yaml.safe_dump(keys))
        torch.manual_seed(0)
        model = build_model(load_cfg(folder / "config.yaml"))
        files.save(files.checkpoint_path(folder, 0), {"model_state": model.state_dict()})
        return folder

    return make


@pytest.fixture(scope="session")
def budget_run(toy_set, tmp_path_factory):
    """(YAML, weights) of a small adaptive network with random weights, calibrated, and its table.

    Clips of 4 frames, 40 x 40. Read only: it is shared by the whole session.
    """
    folder = tmp_path_factory.mktemp("budget")
    keys = _toy_keys(toy_set, folder / "run")
    keys["DATA"] |= {"TRAIN_JITTER_SCALES": [40, 44], "TRAIN_CROP_SIZE": 40, "TEST_CROP_SIZE": 40}
    keys["VOV3D"]["INNER_CH"] = 16
    keys["MODEL"]["FC_INIT_STD"] = 1.0  # so that scores differ
    keys["TRAIN"]["ENABLE"] = False
    keys["ADAPTIVE"] = {"ENABLE": True, "MIN_WIDTH": 0.5, "WIDTHS": [0.5, 1.0]}
    keys["ADAPTIVE"] |= {"FRAMES": [2, 4], "CROPS": [32, 40]}
    path, weights = folder / "adaptive.yaml", folder / "weights.pyth"
    path.write_text(yaml.safe_dump(keys))
    torch.manual_seed(0)
    files.save(weights, {"model_state": build_model(load_cfg(path)).state_dict()})
    table = measure_table(path, weights, repeats=1, stop=StopRequest())
    write_table(table_path(weights), table, budgets=["1G"])
    return path, weights


@pytest.fixture
def reads(monkeypatch):
    """Counts how often each video is read, by the name of its file."""
    counts, read = Counter(), ClipDataset.__getitem__

    def counted(self, key):
        counts[Path(self.records[key.index].path).name] += 1
        return read(self, key)

    monkeypatch.setattr(ClipDataset, "__getitem__", counted)
    return counts


@pytest.fixture
def ctrl_c_after_a_video(monkeypatch):
    """SIGINT when a table has counted its first batch of videos."""
    add = HitCounter.add

    def interrupt(self, batch, output):
        add(self, batch, output)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(HitCounter, "add", interrupt)


@pytest.fixture
def budget_copy(budget_run, tmp_path):
    """The same as files of one's own."""
    folder = tmp_path / "budget"
    shutil.copytree(budget_run[0].parent, folder)
    return tuple(folder / path.name for path in budget_run)
