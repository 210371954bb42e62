"""Small sets with several labels per video, and with boxes."""

import csv
import itertools
import shutil

import numpy as np
import pytest
import torch
import yaml

from slowfast.config.cli import load_cfg
from slowfast.datasets.synthetic import write_video
from slowfast.engine.train import train

SECOND = 904  # one key frame per video, with which its file begins; validation takes such seconds
LEFT, RIGHT = "0.02,0.1,0.48,0.9", "0.52,0.1,0.98,0.9"
_COLOURS = ("red", "green", "blue")  # the toy set's classes
_LABEL_MAP = "".join(f'item {{\n  name: "colour {i}"\n  id: {i}\n}}\n' for i in (1, 2, 3))

# A detector of the set with boxes, which finds them by itself.
_DETECTOR = ["MODEL.MODEL_NAME", "S3D", "S3D.VARIANT", "s3d-g", "S3D.WIDTH_FACTOR", 0.125]
_DETECTOR += ["MODEL.HEAD_ACT", "softmax", "MODEL.LOSS_FUNC", "cross_entropy"]
_DETECTOR += ["RESNET.ZERO_INIT_FINAL_BN", False, "DETECTION.PROPOSALS", "rpn"]
_DETECTOR += ["DETECTION.RPN_BACKBONE", "resnet18", "DETECTION.ANCHOR_SIZES", [32, 64]]
_DETECTOR += ["DETECTION.NUM_PROPOSALS", 16, "DETECTION.NUM_SAMPLED", 16, "DETECTION.HEAD_DIM", 16]
_DETECTOR += ["DETECTION.MAX_DETECTIONS", 7]


def _write_yaml(path, toy_yaml, changes):
    keys = yaml.safe_load(toy_yaml.read_text())
    for section, values in changes.items():
        keys.setdefault(section, {}).update(values)
    path.write_text(yaml.safe_dump(keys))
    return path


def _loader(path):
    return lambda *options: load_cfg(path, [str(option) for option in options])


@pytest.fixture
def named(toy_set, tmp_path):
    """Function (names) -> overrides for the toy set with the classes in this order."""

    def make(names):
        folder = tmp_path / "_".join(names)
        folder.mkdir(exist_ok=True)
        for split in ("train", "val", "test"):
            rows = [line.split() for line in (toy_set / f"{split}.csv").read_text().splitlines()]
            known = {n: names.index(name) for n, name in enumerate(_COLOURS) if name in names}
            lines = [f"{path} {known.get(int(label), 0)}\n" for path, label in rows]
            (folder / f"{split}.csv").write_text("".join(lines))
        (folder / "classes.txt").write_text("\n".join(names))
        return ["DATA.PATH_TO_DATA_DIR", folder, "DATA.PATH_PREFIX", toy_set]

    return make


@pytest.fixture
def lossy_set(toy_set, tmp_path):
    """The toy set with a part of test_3.mp4 overwritten by zeros."""
    folder = tmp_path / "lossy"
    shutil.copytree(toy_set, folder)
    path = folder / "test_3.mp4"
    content = bytearray(path.read_bytes())
    start, end = content.index(b"mdat"), content.index(b"moov")
    middle = start + (end - start) * 6 // 10
    content[middle : middle + 4000] = bytes(4000)
    path.write_bytes(content)
    return folder


@pytest.fixture(scope="session")
def box_set(tmp_path_factory):
    """Folder of an AVA set: each half of a frame is a box, whose class is its brightest colour.

    train_0-3 and val_0-4 have two boxes each; val_3 is wider than the others. The same boxes are
    detected with score 0.9, and another one of val_0 with score 0.1.
    """
    folder = tmp_path_factory.mktemp("box_set")
    (folder / "annotations").mkdir()
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 5)):
        truth, detected = [], []
        for index in range(count):
            name, classes = f"{split}_{index}", (index % 3, (index + 1) % 3)
            width = 96 if name == "val_3" else 64
            frames = rng.integers(0, 60, (8, 64, width, 3), dtype=np.uint8)
            frames[:, :, : width // 2, classes[0]] += 180
            frames[:, :, width // 2 :, classes[1]] += 180
            write_video(folder / f"{name}.mp4", frames)
            for box, label in zip((LEFT, RIGHT), classes, strict=True):
                truth.append(f"{name},{SECOND},{box},{label + 1},0\n")
                detected.append(f"{name},{SECOND},{box},,0.9\n")
        detected.append(f"{split}_0,{SECOND},0.2,0.2,0.8,0.8,,0.1\n")
        (folder / f"annotations/ava_{split}_v2.2.csv").write_text("".join(truth))
        (folder / f"annotations/{split}_detected.csv").write_text("".join(detected))
    (folder / "annotations/labels.pbtxt").write_text(_LABEL_MAP)
    return folder


@pytest.fixture
def box_yaml(box_set, toy_yaml, tmp_path):
    """A YAML file for the set with boxes that writes below tmp_path."""
    changes = {
        "MODEL": {"LOSS_FUNC": "bce", "HEAD_ACT": "sigmoid", "DROPOUT_RATE": 0.0},
        "RESNET": {"SPATIAL_STRIDES": [[1], [2], [2], [1]]},
        "DETECTION": {"ENABLE": True, "SPATIAL_SCALE_FACTOR": 16},
        "DATA": {
            "PATH_TO_DATA_DIR": str(box_set),
            "TRAIN_JITTER_SCALES": [64, 72],
            "TRAIN_CROP_SIZE": 64,
            "TEST_CROP_SIZE": 64,
        },
        "AVA": {
            "VIDEO_DIR": str(box_set),
            "VIDEO_START_SECOND": SECOND,
            "LABEL_MAP_FILE": "labels.pbtxt",
            "EXCLUSION_FILE": "",
            "TEST_PREDICT_BOX_LISTS": ["val_detected.csv"],
            "DETECTION_SCORE_THRESH": 0.5,
        },
        "TRAIN": {"DATASET": "ava", "BATCH_SIZE": 2},
        "TEST": {"DATASET": "ava", "BATCH_SIZE": 4},
    }
    return _write_yaml(tmp_path / "boxes.yaml", toy_yaml, changes)


@pytest.fixture
def box_cfg(box_yaml):
    """A function from overrides (KEY, VALUE, ...) to the frozen config of a detection run."""
    return _loader(box_yaml)


@pytest.fixture
def detector_cfg(box_cfg):
    """A function from overrides to the frozen config of a detector on the set with boxes."""
    return lambda *options: box_cfg(*_DETECTOR, *options)


@pytest.fixture
def adaptive_yaml(toy_yaml, tmp_path):
    """A YAML file for the toy set and a network that can be narrowed."""
    changes = {
        "VOV3D": {"INNER_CH": 16},
        "DATA": {"TRAIN_JITTER_SCALES": [40, 44], "TRAIN_CROP_SIZE": 40, "TEST_CROP_SIZE": 40},
        "ADAPTIVE": {
            "ENABLE": True,
            "MIN_WIDTH": 0.5,
            "WIDTHS": [0.5, 0.75, 1.0],
            "FRAMES": [2, 4],
            "CROPS": [32, 40],
        },
    }
    return _write_yaml(tmp_path / "adaptive.yaml", toy_yaml, changes)


@pytest.fixture
def adaptive_cfg(adaptive_yaml):
    """A function from overrides (KEY, VALUE, ...) to the frozen config of an adaptive run."""
    return _loader(adaptive_yaml)


@pytest.fixture
def many_yaml(toy_set, toy_yaml, tmp_path):
    """A YAML file for the toy set as Charades: a video has its class and the next one."""
    folder = tmp_path / "many"
    folder.mkdir()
    for split, name, count in (("train", "train", 8), ("test", "val", 5)):
        with open(folder / f"Charades_v1_{split}.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "actions"])
            for index in range(count):
                first, second = index % 3, (index + 1) % 3
                actions = f"c00{first} 0.00 9.00;c00{second} 0.00 9.00"
                writer.writerow([f"{name}_{index}", actions])
    changes = {
        "MODEL": {"LOSS_FUNC": "bce_logit", "HEAD_ACT": "sigmoid"},
        "DATA": {
            "PATH_TO_DATA_DIR": str(folder),
            "PATH_PREFIX": str(toy_set),
            "MULTI_LABEL": True,
            "SOURCE": "videos",
            "ENSEMBLE_METHOD": "max",
        },
        "TRAIN": {"DATASET": "charades"},
        "TEST": {"DATASET": "charades"},
    }
    return _write_yaml(tmp_path / "many.yaml", toy_yaml, changes)


@pytest.fixture
def many_cfg(many_yaml):
    """A function from overrides (KEY, VALUE, ...) to the frozen config of a multi-label run."""
    return _loader(many_yaml)


@pytest.fixture
def pairs_yaml(toy_set, toy_yaml, tmp_path):
    """A YAML file for the toy set with two targets: the class of a video, and whether it is odd."""
    folder = tmp_path / "pairs"
    folder.mkdir()
    for split, name, count in (("train", "train", 8), ("val", "val", 5), ("test", "val", 5)):
        lines = [f"{name}_{index}.mp4 {index % 3} {index % 2}\n" for index in range(count)]
        (folder / f"{split}.csv").write_text("".join(lines))
    (folder / "classes_1.txt").write_text("red\ngreen\nblue\n")
    changes = {
        "MODEL": {"NUM_CLASSES": [3, 2]},
        "DATA": {"PATH_TO_DATA_DIR": str(folder), "PATH_PREFIX": str(toy_set)},
    }
    return _write_yaml(tmp_path / "pairs.yaml", toy_yaml, changes)


@pytest.fixture
def pairs_cfg(pairs_yaml):
    """A function from overrides (KEY, VALUE, ...) to the frozen config of a run of two targets."""
    return _loader(pairs_yaml)


@pytest.fixture
def train_once(tmp_path):
    """Function (function from overrides to a config) -> function from overrides to the state after
    one epoch in a new folder, run0, run1, ..."""

    def with_config(make_cfg):
        numbers = itertools.count()
        return lambda *options: train(
            make_cfg(
                "SOLVER.MAX_EPOCH", 1, *options, "OUTPUT_DIR", tmp_path / f"run{next(numbers)}"
            )
        )

    return with_config


@pytest.fixture
def traced(monkeypatch):
    """What torch.compile traced: the graphs run as they are, for generating code takes minutes."""
    graphs = []

    def keep(graph, _inputs):
        graphs.append(graph)
        return graph

    compile_module = torch.nn.Module.compile
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda model, **_: compile_module(model, backend=keep)
    )
    torch.compiler.reset()
    return graphs
