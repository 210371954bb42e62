"""Batch-norm statistics of an adaptive network's configurations, in a file beside the checkpoint.

They belong to the exact weights that they were measured with: the file names the checkpoint's hash.
"""

import hashlib
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from slowfast.checkpoint import files

_CHUNK = 2**20
_FIELDS = {"parent", "settings", "statistics", "progress"}


@dataclass
class Calibration:
    """Content of the file.

    parent: SHA-256 of the checkpoint file. settings: how the statistics are measured.
    statistics: of each configuration (as text) mean and variance of all batch norms, by name.
    progress: of a measurement that is not finished; empty otherwise.
    """

    parent: str
    settings: dict
    statistics: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)
    progress: dict = field(default_factory=dict)


def calibration_path(checkpoint: str | Path) -> Path:
    """The file of a checkpoint: <name of the checkpoint>.calibration.pth."""
    checkpoint = Path(checkpoint)
    return checkpoint.with_name(f"{checkpoint.name}.calibration.pth")


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def save_calibration(checkpoint: str | Path, calibration: Calibration) -> Path:
    """Write the file of a checkpoint, whole or not at all."""
    path = calibration_path(checkpoint)
    files.save(path, asdict(calibration))
    return path


def load_calibration(checkpoint: str | Path) -> Calibration | None:
    """Read the file of a checkpoint; None when there is none.

    ValueError when it is something else, or belongs to other weights.
    """
    path = calibration_path(checkpoint)
    if not path.exists():
        return None
    content = files.load(path)
    if content.keys() != _FIELDS:
        raise ValueError(f"{path}: is not a file of batch-norm statistics; remove it")
    if content["parent"] != file_hash(checkpoint):
        raise ValueError(
            f"{path}: was measured with other weights than those of {checkpoint} (the hash of the "
            "checkpoint differs); remove it, and the statistics will be measured again"
        )
    return Calibration(**content)
