"""A model, datasets and a task from outside of the package: the files of docs/extend.md at work."""

import contextlib
import json
import re
import sys
from pathlib import Path
from unittest import mock

import pytest
import yaml

from slowfast.config.checks import rules
from slowfast.config.cli import load_cfg
from slowfast.datasets.build import DATASETS
from slowfast.engine.test import test as run_test
from slowfast.engine.train import train
from slowfast.models.build import MODELS
from slowfast.tasks.build import TASKS
from tests.helpers.paths import ROOT

_BLOCK = re.compile(r"```python\n# (my_\w+\.py)\n(.*?)```", re.DOTALL)
BLOCKS = dict(_BLOCK.findall((ROOT / "docs" / "extend.md").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def folder(toy_set, tmp_path_factory):
    """Folder with the modules of the page, and lists of the toy set in their formats.

    One for all: a process imports a module once.
    """
    folder = tmp_path_factory.mktemp("outside")
    for name, source in BLOCKS.items():
        (folder / name).write_text(source)
    videos = {
        split: [line.split() for line in (toy_set / f"{split}.csv").read_text().splitlines()]
        for split in ("train", "val", "test")
    }
    paths = {
        split: [(str(toy_set / file), int(label)) for file, label in rows]
        for split, rows in videos.items()
    }
    box = [0.1, 0.1, 0.9, 0.9]
    lists = {
        "gestures": lambda file, label: [file, f"colour {label}"],
        "faces": lambda file, label: [file, 5, box, label],
    }
    for name, row in lists.items():
        content = {split: [row(*pair) for pair in pairs] for split, pairs in paths.items()}
        (folder / f"{name}.json").write_text(json.dumps(content))
    chores = {
        split: {file: [[label, 0, 99], [(label + 1) % 3, 0, 99]] for file, label in pairs}
        for split, pairs in paths.items()
    }
    (folder / "chores.json").write_text(json.dumps(chores))
    with contextlib.ExitStack() as stack:
        for table in (MODELS, DATASETS, TASKS):
            stack.enter_context(mock.patch.dict(table._entries))
        stack.enter_context(mock.patch.object(rules, "_RULES", list(rules._RULES)))
        stack.enter_context(mock.patch.object(sys, "path", list(sys.path)))
        yield folder
    for name in BLOCKS:  # else they would not register what other folders of these tests need
        sys.modules.pop(Path(name).stem, None)


@pytest.fixture
def write_yaml(folder, toy_yaml, tmp_path):
    """Function (dataset, imported modules, sections of the config) -> YAML of a small run."""

    def write(dataset, imports, **sections):
        keys = yaml.safe_load(toy_yaml.read_text())
        keys["DATA"]["PATH_TO_DATA_DIR"] = str(folder)
        keys["IMPORTS"] = [str(folder / f"{name}.py") for name in imports]
        for section, values in sections.items():
            keys.setdefault(section, {}).update(values)
        for section in ("TRAIN", "TEST"):
            keys[section]["DATASET"] = dataset
        path = tmp_path / f"{dataset}.yaml"
        path.write_text(yaml.safe_dump(keys))
        return path

    return write


_SIGMOID = {"LOSS_FUNC": "bce", "HEAD_ACT": "sigmoid"}
# name of the run -> (dataset, modules, changes of the config, metric)
RUNS = {
    "model, one label": (
        "gestures",
        ["my_net", "my_gestures"],
        {"MODEL": {"MODEL_NAME": "MyNet"}, "USER": {"WIDTH": 4}},
        "top1_acc",
    ),
    "several labels": (
        "chores",
        ["my_chores"],
        {"MODEL": _SIGMOID, "DATA": {"MULTI_LABEL": True}},
        "map",
    ),
    "boxes": (
        "faces",
        ["my_faces"],
        {
            "MODEL": {**_SIGMOID, "DROPOUT_RATE": 0.0},
            "DETECTION": {"ENABLE": True, "SPATIAL_SCALE_FACTOR": 32},
            "AVA": {"TEST_BOXES": "ground_truth"},
        },
        "frame_map_voc",
    ),
}


def _train_and_test(_rank, path, options=()):
    cfg = load_cfg(path, options)
    train(cfg)
    run_test(cfg)


def _log(folder):
    return [json.loads(line) for line in (folder / "run/log.jsonl").read_text().splitlines()]


def test_each_file_of_the_page_is_short():
    assert sorted(BLOCKS) == [
        f"my_{name}.py" for name in ("chores", "faces", "focal", "gestures", "net")
    ]
    for name, source in BLOCKS.items():
        assert len(source.splitlines()) <= 45, name


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_one_process(write_yaml, tmp_path, name):
    dataset, imports, sections, metric = RUNS[name]
    _train_and_test(0, write_yaml(dataset, imports, **sections))
    results = json.loads((tmp_path / "run/test_results.json").read_text())
    assert 0 <= results[metric] <= 100 and results["num_unreadable"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_two_processes(write_yaml, tmp_path, run_in_two, name):
    dataset, imports, sections, metric = RUNS[name]
    run_in_two(_train_and_test, write_yaml(dataset, imports, **sections))
    results = json.loads((tmp_path / "run/test_results.json").read_text())
    assert 0 <= results[metric] <= 100 and results["num_unreadable"] == 0


@pytest.mark.slow
def test_task_logs_its_own_sums(write_yaml, tmp_path):
    """With gamma 0 the focal loss is the cross-entropy."""
    user = {"WIDTH": 4, "GAMMA": 0.0}
    model = {"MODEL_NAME": "MyNet", "DROPOUT_RATE": 0.0}
    imports = ["my_net", "my_gestures", "my_focal"]
    path = write_yaml("gestures", imports, MODEL=model, USER=user)
    _train_and_test(0, path)
    plain = [line["loss"] for line in _log(tmp_path) if line["_type"] == "train_iter"]
    (tmp_path / "run").rename(tmp_path / "plain")
    _train_and_test(0, path, ["TASK", "focal"])
    lines = [line for line in _log(tmp_path) if line["_type"] == "train_iter"]
    assert [line["loss"] for line in lines] == pytest.approx(plain, rel=1e-5)
    assert all(0 < line["confidence"] < 1 for line in lines)


@pytest.mark.slow
def test_command_line_imports_modules_of_the_current_folder(
    write_yaml, folder, tmp_path, run_net_in_two
):
    """All together, in two processes, which know nothing of this one."""
    user = {"WIDTH": 4, "GAMMA": 2.0}
    path = write_yaml("gestures", [], USER=user)
    words = ["--cfg", path]
    for name in ("my_net", "my_gestures", "my_focal"):
        words += ["--import", name]
    words += ["MODEL.MODEL_NAME", "MyNet", "TASK", "focal", "DATA_LOADER.NUM_WORKERS", "1"]
    run_net_in_two(*words, folder=folder)
    assert "confidence" in _log(tmp_path)[0]
    assert (tmp_path / "run/test_results.json").is_file()
