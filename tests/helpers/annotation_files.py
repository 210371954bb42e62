"""Fixtures for datasets: files of a set in tmp_path, a config for them, a row in the table."""

from functools import partial

import pytest

from slowfast.config.defaults import get_cfg
from slowfast.datasets.build import DATASETS


def set_cfg(folder, num_classes, *, section="DATA", **keys):
    """Config of a set in a folder, with keys of a section."""
    cfg = get_cfg()
    cfg.DATA.PATH_TO_DATA_DIR = str(folder)
    cfg.MODEL.NUM_CLASSES = num_classes
    for key, value in keys.items():
        cfg[section][key] = value
    return cfg


def build_annotations(build, folder, split="train", *, num_classes, **keys):
    """Annotations of a split of the set in a folder, by the function of its format."""
    return build(set_cfg(folder, num_classes, **keys), split)


@pytest.fixture
def write_files(tmp_path):
    """Function ({name: text, bytes or None for an empty file}) that makes them in tmp_path."""

    def write(files):
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            content = content or b""
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return write


@pytest.fixture
def data_cfg(tmp_path):
    """Function (num_classes, **keys of DATA) -> config of a set in tmp_path."""
    return partial(set_cfg, tmp_path)


@pytest.fixture
def build_from_files(write_files, tmp_path):
    """Function (function of a format, its files, others in their place, split) -> annotations."""

    def build(build_format, common, files=(), split="train", *, num_classes=2, **keys):
        write_files({**common, **dict(files)})
        return build_annotations(build_format, tmp_path, split, num_classes=num_classes, **keys)

    return build


@pytest.fixture
def register_dataset(monkeypatch):
    """Function (name, traits) that puts a dataset into the table, in place of one of that name."""
    return lambda name, traits: monkeypatch.setitem(DATASETS._entries, name, traits)
