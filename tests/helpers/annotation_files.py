"""Fixtures for datasets: files of a set in tmp_path, a config for them, a row in the table."""

import pytest

from slowfast.config.defaults import get_cfg
from slowfast.datasets.build import DATASETS


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

    def make(num_classes, **keys):
        cfg = get_cfg()
        cfg.DATA.PATH_TO_DATA_DIR = str(tmp_path)
        cfg.MODEL.NUM_CLASSES = num_classes
        for key, value in keys.items():
            cfg.DATA[key] = value
        return cfg

    return make


@pytest.fixture
def register_dataset(monkeypatch):
    """Function (name, traits) that puts a dataset into the table, in place of one of that name."""
    return lambda name, traits: monkeypatch.setitem(DATASETS._builders, name, traits)
