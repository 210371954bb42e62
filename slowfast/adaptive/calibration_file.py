"""Batch-norm statistics of operating points, in a file beside the checkpoint.

They belong to the exact weights that they were measured with: the file names the checkpoint's hash.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from slowfast.checkpoint import files
from slowfast.config.node import ConfigNode
from slowfast.zoo.names import local_file

_CHUNK = 2**20
_FIELDS = {"parent", "measurements"}


# Keys of later versions, with their defaults.
_LATER_KEYS = {"DATA.KEEP_ASPECT": True, "DATA.SAMPLING": "auto"}


@dataclass
class Calibration:
    """Statistics measured with one set of settings, by point (as text).

    parent: SHA-256 of the checkpoint file. settings: how the statistics are measured.
    statistics: mean and variance of all batch norms, by name. progress: of points that are
    not finished, the number of batches that were seen, of how many, and the moments so far.
    """

    parent: str
    settings: dict
    statistics: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)
    progress: dict[str, dict] = field(default_factory=dict)

    def merged_with(self, other: "Calibration") -> "Calibration":
        """This and what another process has measured of the same; of each, what is further."""
        statistics, progress = other.statistics | self.statistics, dict(other.progress)
        for name, part in self.progress.items():
            if name not in progress or progress[name]["num_batches"] < part["num_batches"]:
                progress[name] = part
        progress = {name: part for name, part in progress.items() if name not in statistics}
        return Calibration(self.parent, self.settings, statistics, progress)


def calibration_path(checkpoint: str | Path) -> Path:
    """The file of a checkpoint: <name of the checkpoint>.calibration.pth."""
    checkpoint = Path(checkpoint)
    return checkpoint.with_name(f"{checkpoint.name}.calibration.pth")


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal; CheckpointError if there is none."""
    path = local_file(path)
    files.check_exists(path)
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def save_calibration(checkpoint: str | Path, calibration: Calibration) -> Path:
    """Write the file of a checkpoint, whole or not at all.

    What else the file has stays: that of other settings, and of other processes.
    """
    path, others = calibration_path(checkpoint), []
    with _locked(checkpoint):
        for found in load_calibrations(checkpoint):
            if found.settings == calibration.settings:
                calibration = calibration.merged_with(found)
            else:
                others.append(found)
        content = [asdict(measurement) for measurement in [*others, calibration]]
        for measurement in content:
            del measurement["parent"]
        files.save(path, {"parent": calibration.parent, "measurements": content})
    return path


@contextmanager
def _locked(path: str | Path) -> Iterator[None]:
    """Inside the `with`, others wait; not on file systems that cannot lock."""
    path = calibration_path(path)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    with suppress(OSError, NotImplementedError):
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def load_calibration(checkpoint: str | Path, settings: dict) -> Calibration:
    """The statistics with these settings in the file of a checkpoint; there may be none.

    ValueError as of `load_calibrations`.
    """
    for found in load_calibrations(checkpoint):
        if found.settings == settings:
            return found
    return Calibration(file_hash(checkpoint), settings)


def load_calibrations(checkpoint: str | Path) -> list[Calibration]:
    """All that the file of a checkpoint has, with whatever settings.

    ValueError when the file is something else, or belongs to other weights.
    """
    path = calibration_path(checkpoint)
    if not path.exists():
        return []
    content = files.load(path)
    if content.keys() != _FIELDS:
        raise ValueError(f"{path}: is not a file of batch-norm statistics; remove it")
    if content["parent"] != file_hash(checkpoint):
        raise ValueError(
            f"{path}: was measured with other weights than those of {checkpoint} (the hash of the "
            "checkpoint differs); remove it, and the statistics will be measured again"
        )
    return [Calibration(content["parent"], **one) for one in content["measurements"]]


def build_settings(cfg: ConfigNode, keys: Sequence[str]) -> dict[str, Any]:
    """The values of some keys of a config, as a file holds them.

    Those of keys that files of earlier versions lack are left out at their defaults.
    """
    found = {key: attrgetter(key)(cfg) for key in keys}
    return {
        key: list(v) if isinstance(v, list | tuple) else v
        for key, v in found.items()
        if key not in _LATER_KEYS or v != _LATER_KEYS[key]
    }
