"""Checkpoint files: written whole or not at all, read without running code from them."""

import hashlib
import io
import json
import logging
import os
import pickle
import re
import shutil
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch

from slowfast.checkpoint.pickled import Pickled, check_structure, read_pickle, read_torch, root
from slowfast.config.yaml_file import parse_plain
from slowfast.utils.io import atomic_write, read_small_text
from slowfast.utils.system import can_map_files
from slowfast.utils.unpickle import HostilePickle
from slowfast.zoo.names import config_beside, local_file

logger = logging.getLogger(__name__)

_NAME = re.compile(r"checkpoint_epoch_(\d+)\.pyth")
_SUFFIXES = {".pyth", ".pth", ".pt", ".pkl", ".safetensors", ".ckpt"}
_ZIP_MAGIC = b"PK\x03\x04"
_MAX_EXPANDED = 1 << 30  # bytes of a tensor of which far less is stored
_MAX_NAMED, _MAX_NAME = 5, 200
_FOLDER = 0x10  # bit of an entry's attributes
_LFS_MAGIC = b"version https://git-lfs"
# torch.save does not compress: what unpacks to far more than the file is made to fill the memory.
_MAX_UNPACKED = 4  # times the size of the file
# Pickles that torch.save did not write (those begin with a magic number): a protocol, or, before
# there were numbers for protocols, a dictionary.
_PLAIN_PICKLE = re.compile(
    rb"\x80.(?!\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19)|\(d|\}q", re.DOTALL
)
# Of safetensors: bytes of the header's length, before it, and facts of ours in it, as JSON.
_HEADER, _FACTS = 8, ("class_names", "class_counts", "num_examples", "cfg")
_NEEDS = "needs the package safetensors: pip install safetensors"
_UNPACK = "unpack it, and name the checkpoint in it"
_OTHER_KINDS = {
    b"\x1f\x8b": f"a gzip archive; {_UNPACK}",
    b"7z\xbc\xaf": f"a 7z archive; {_UNPACK}",
    b"\x89HDF": "an HDF5 file (Keras, old TensorFlow); only PyTorch's, Caffe2's and safetensors "
    "are read",
    b"\x93NUMPY": "a single numpy array; only PyTorch's, Caffe2's and safetensors are read",
}
_MARKUP = (b"<!doctype", b"<html", b"<?xml", b"<head")
_TEXT = re.compile(rb"[\t\n\r\x20-\x7e]+")


class CheckpointError(ValueError):
    """A checkpoint file that cannot be used; the message names path, reason and what to do."""


def checkpoint_path(output_dir: str | Path, epoch: int) -> Path:
    """File of the 0-based epoch `epoch`; its name counts finished epochs, as PySlowFast's does."""
    return _folder(output_dir) / f"checkpoint_epoch_{epoch + 1:05d}.pyth"


def best_path(output_dir: str | Path) -> Path:
    """File of the epoch with the best validation metric."""
    return _folder(output_dir) / "checkpoint_best.pyth"


def interrupted_path(output_dir: str | Path) -> Path:
    """File of a run that was stopped in the middle of an epoch."""
    return _folder(output_dir) / "checkpoint_interrupted.pyth"


def last_checkpoint(output_dir: str | Path) -> Path | None:
    """File of the latest epoch, None when there is none."""
    found = epoch_checkpoints(output_dir)
    return found[-1] if found else None


def epoch_checkpoints(output_dir: str | Path) -> list[Path]:
    """Files of all epochs, the latest last."""
    named = [(_NAME.fullmatch(path.name), path) for path in _folder(output_dir).glob("*.pyth")]
    return [path for _, path in sorted((int(match[1]), path) for match, path in named if match)]


def prune(output_dir: str | Path, keep: int) -> None:
    """Remove all but the `keep` latest epochs; 0 keeps all. The best checkpoint stays.

    Also removes what a killed process left half written: only for the process that saves.
    """
    outdated = epoch_checkpoints(output_dir)[:-keep] if keep else []
    for path in [*outdated, *_folder(output_dir).glob(".checkpoint_*.tmp")]:
        path.unlink(missing_ok=True)


def set_aside(output_dir: str | Path) -> Path | None:
    """Rename the folder of an earlier run's checkpoints to checkpoints_1, checkpoints_2, ...

    Returns its new name; None when it holds no checkpoint.
    """
    folder = _folder(output_dir)
    if not any(folder.glob("*.pyth")):
        return None
    numbered = (folder.with_name(f"{folder.name}_{number}") for number in count(1))
    return folder.rename(next(name for name in numbered if not name.exists()))


def save(path: str | Path, state: dict) -> None:
    """Write `state` so that `path` is always either its old content or the new one, whole.

    OSError, naming the path and the free space, when it cannot be written.
    """
    path = Path(path)
    content = io.BytesIO()
    torch.save(state, content)  # not to the file: there it turns a full disk into a RuntimeError
    _assert_loadable(content)
    try:
        with atomic_write(path) as file:
            file.write(content.getbuffer())
    except OSError as error:
        raise OSError(
            error.errno,
            f"{path}: the checkpoint could not be written ({error.strerror}); it needs "
            f"{_megabytes(content.getbuffer().nbytes)}, free are {_free_space(path)}. "
            "Earlier checkpoints are untouched",
        ) from error


def save_safetensors(path: str | Path, state: dict[str, torch.Tensor], facts: dict) -> None:
    """Write tensors, and facts about classes; ValueError without the package."""
    try:
        from safetensors.torch import save
    except ImportError as error:
        raise ValueError(f"{path}: {_NEEDS}") from error
    tensors = {name: value.contiguous() for name, value in state.items()}
    content = save(tensors, {"format": "pt", **{n: json.dumps(v) for n, v in facts.items()}})
    with atomic_write(path) as file:
        file.write(content)


def link(path: Path, name: Path) -> None:
    """Give a checkpoint a second name, whole at every moment; a copy where links are unknown."""
    temporary = name.with_name(f".{name.name}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(path, temporary)
    except OSError:
        shutil.copyfile(path, temporary)
    os.replace(temporary, name)


def load(path: str | Path) -> dict:
    """The content of a checkpoint on the CPU: tensors, arrays and plain values only, never code.

    path: also a folder or a name, see `local_file`. What torch.save wrote, a pickle of numpy arrays
    such as Caffe2's, or safetensors, whatever the file's name. Other Python objects are left out,
    with a warning. Tensors of an archive are pages of the file (private ones): all processes share
    them, and the system can drop them.
    CheckpointError when the file is missing, damaged or no such checkpoint: the check sums of an
    archive are compared before any tensor is made of it.
    """
    path = local_file(path)
    try:
        content = _READERS[_check_kind(path)](path)
        for name, value in tensors(content):
            _check_tensor(value, name)
    except CheckpointError:
        raise
    except ModuleNotFoundError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except Exception as error:  # a damaged file fails in any way: EOFError, IndexError, ...
        raise CheckpointError(_explain(path, error)) from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path}: holds a {type(content).__name__}, not a dictionary of tensors; save it as "
            "torch.save({'model_state': model.state_dict()}, path)"
        )
    return content


def _read_torch(path: Path) -> Any:
    is_archive = zipfile.is_zipfile(path)
    if is_archive and _check_archive(path) == "TorchScript":
        return _content(read_torch(path), path)
    if not is_archive:
        logger.debug("%s: has no check sums, so that damage may not be seen", path)
    check_structure(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles that it refuses next
            is_mapped = is_archive and can_map_files() and _is_stored(path)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_mapped)
    except pickle.UnpicklingError:  # has other objects beside its tensors
        return _content(read_torch(path), path)


def _is_stored(path: Path) -> bool:
    """Does an archive hold its tensors as they are? torch.load maps no others into memory."""
    with zipfile.ZipFile(path) as archive:
        return all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())


def _content(pickled: Pickled, path: Path) -> Any:
    """The content, its remarks logged; UnpicklingError where there are objects alone."""
    if pickled.unknown and next(tensors(pickled.content), None) is None:
        raise pickle.UnpicklingError(f"GLOBAL {next(iter(pickled.unknown))} is not read")
    for remark in pickled.remarks():
        logger.warning("%s: %s", path, remark)
    return pickled.content


def _is_safetensors(head: bytes, size: int) -> bool:
    """head: the first bytes of a file of `size`."""
    length = int.from_bytes(head[:_HEADER], "little")
    return head[_HEADER : _HEADER + 1] == b"{" and length <= size - _HEADER


def _read_safetensors(path: Path) -> dict:
    """A dictionary as a checkpoint of ours has it; ModuleNotFoundError without the package."""
    try:
        from safetensors import safe_open
    except ImportError as error:
        raise ModuleNotFoundError(f"is a safetensors file, which {_NEEDS}") from error
    with safe_open(path, "pt") as file:
        facts = file.metadata() or {}
        state = {name: file.get_tensor(name) for name in file.keys()}
    known = {name: _fact(facts[name]) for name in _FACTS if name in facts}
    if config := config_beside(path):
        known["cfg"] = read_small_text(config)
    return {"model_state": state, **known}


def _fact(text: str) -> object:
    """Of ours, JSON; of other programs, anything."""
    try:
        return json.loads(text)
    except ValueError:
        return text


_READERS = {
    "pickle": lambda path: _content(read_pickle(path), path),
    "safetensors": _read_safetensors,
    "torch": _read_torch,
}


def _check_tensor(value: torch.Tensor, name: str) -> None:
    """ValueError for one number that claims to be very many."""
    if value.layout == torch.strided and value.device.type == "cpu":
        stored = value.untyped_storage().nbytes()
        if value.nbytes > max(_MAX_UNPACKED * stored, _MAX_EXPANDED):
            raise ValueError(f"{name[:100]}: {_megabytes(stored)} in {_megabytes(value.nbytes)}")


def check_finite(content: Any, path: str | Path) -> None:
    """CheckpointError, naming the tensors, unless all numbers in them are finite.

    content: tensors in dictionaries and lists.
    """
    counts = {name: _num_not_finite(value) for name, value in tensors(content)}
    odd = [f"{name} ({count})" for name, count in counts.items() if count]
    if odd:
        more = f" and {len(odd) - _MAX_NAMED} more" if len(odd) > _MAX_NAMED else ""
        raise CheckpointError(
            f"{path}: {len(odd)} of {len(counts)} tensors hold NaN or infinite values, "
            f"{sum(counts.values())} in all: {', '.join(odd[:_MAX_NAMED])}{more}. The run that "
            "wrote it had diverged, or the file was changed; use an earlier checkpoint"
        )


def tensors(content: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors and arrays in dictionaries and lists, by the keys that lead to them.

    Containers that stand in several places are looked into once.
    """
    left, seen = [("", content)], set()
    while left:
        name, value = left.pop()
        if isinstance(value, torch.Tensor | np.ndarray):
            yield name, torch.as_tensor(value)
            continue
        items = enumerate(value) if isinstance(value, list | tuple) else ()
        items = value.items() if isinstance(value, Mapping) else items
        if id(value) not in seen:
            seen.add(id(value))
            start = f"{name[-_MAX_NAME:]}." if name else ""
            left += [(f"{start}{key}", item) for key, item in list(items)[::-1]]


def _num_not_finite(value: torch.Tensor) -> int:
    if not (value.is_floating_point() or value.is_complex()):
        return 0
    return value.numel() - int(value.isfinite().sum())


def fingerprint(path: str | Path) -> str:
    """Digest of the check sums in an archive, by which copies know one another; "" without one."""
    try:
        with zipfile.ZipFile(path) as archive:
            sums = [(info.filename, info.CRC, info.file_size) for info in archive.infolist()]
    except (OSError, zipfile.BadZipFile):
        return ""
    return hashlib.sha256(repr(sums).encode()).hexdigest()


def _folder(output_dir: str | Path) -> Path:
    return Path(output_dir) / "checkpoints"


def _assert_loadable(content: io.BytesIO) -> None:
    """Fail now rather than when the run is resumed; on the meta device no tensor is read."""
    content.seek(0)
    try:
        torch.load(content, map_location="meta", weights_only=True)
    except Exception as error:
        raise AssertionError(
            f"the state holds a value that weights_only=True refuses: {_culprit(error)}"
        ) from error


def check_exists(path: str | Path) -> None:
    """CheckpointError, naming files nearby, unless there is a file of this name."""
    path = Path(path)
    if not path.exists():
        raise CheckpointError(f"{path}: no such file; {_neighbours(path.parent)}")
    if path.is_dir():
        raise CheckpointError(f"{path}: is a folder; name a file. {_neighbours(path)}")


def _check_kind(path: Path) -> str:
    """ "pickle", "safetensors" or "torch"; CheckpointError for what people take for
    a checkpoint.
    """
    check_exists(path)
    with open(path, "rb") as file:
        head = file.read(1024)
    if not head:
        raise CheckpointError(f"{path}: is empty (0 bytes); download or copy it again")
    if head.startswith(_LFS_MAGIC):
        raise CheckpointError(
            f"{path}: is a Git LFS pointer, not the file itself; fetch it with `git lfs pull`"
        )
    if head.lstrip().lower().startswith(_MARKUP):
        raise CheckpointError(
            f"{path}: is an HTML page, not a checkpoint; the download led to a web page (log-in, "
            "confirmation or error): open it in a browser, then download the file itself"
        )
    if head.startswith(_ZIP_MAGIC) and not zipfile.is_zipfile(path):
        raise CheckpointError(
            f"{path}: is truncated (has {_megabytes(path.stat().st_size)}, the end is missing); "
            "download or copy it again"
        )
    if _is_safetensors(head, path.stat().st_size):
        return "safetensors"
    for magic, kind in _OTHER_KINDS.items():
        if head.startswith(magic):
            raise CheckpointError(f"{path}: is {kind}")
    if _PLAIN_PICKLE.match(head):
        return "pickle"
    if _TEXT.fullmatch(head):
        raise CheckpointError(f"{path}: is a text file, not a checkpoint: {head[:80].decode()!r}")
    return "torch"


def _check_archive(path: Path) -> str:
    """Compare all check sums, which torch.load passes over; "TorchScript" or "torch"."""
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(info.file_size for info in archive.infolist())
        if unpacked > _MAX_UNPACKED * path.stat().st_size:
            raise CheckpointError(
                f"{path}: {_megabytes(path.stat().st_size)} would unpack to {_megabytes(unpacked)}:"
                " torch.save writes no such files; get it from a source that you trust"
            )
        name = archive.testzip()
        for info in archive.infolist():
            is_plain = info.compress_type == zipfile.ZIP_STORED
            has_other_size = is_plain and info.compress_size != info.file_size
            # torch reads nothing from an entry that is marked as a folder, and says nothing.
            if has_other_size or info.external_attr & _FOLDER:
                name = info.filename
        if name is not None:
            raise CheckpointError(
                f"{path}: is damaged ({name} does not have its check sum); copy or download it "
                "again, or use an earlier checkpoint"
            )
        folder = root(archive)
        if not folder:
            shown = ", ".join(archive.namelist()[:3])[:200]
            raise CheckpointError(
                f"{path}: is a zip archive of other files ({shown}), not a PyTorch checkpoint; "
                "unpack it, and name the checkpoint in it"
            )
        return "TorchScript" if f"{folder}constants.pkl" in archive.namelist() else "torch"


def _explain(path: Path, error: Exception) -> str:
    culprit = _culprit(error)
    if culprit:
        return (
            f"{path}: holds a Python object ({culprit}) that would run code while loading; only "
            "tensors, arrays and plain values are read. If you trust the file, load it with the "
            "program that wrote it, and save the weights alone: "
            "torch.save({'model_state': model.state_dict()}, path)"
        )
    if isinstance(error, HostilePickle):
        return f"{path}: {error}: get it from a source that you trust"
    reason = type(error).__name__
    if not isinstance(error, pickle.UnpicklingError):  # those advise to give up weights_only
        reason = f"{reason}: {error}".split("\n")[0][:200]
    return f"{path}: is truncated, damaged or not a PyTorch checkpoint; get it again ({reason})"


def _culprit(error: Exception) -> str:
    """Name of the object that the weights-only loader refused, empty when it failed otherwise."""
    match = re.search(r"GLOBAL (\S+)", str(error))
    return match[1] if match else ""


def _neighbours(folder: Path) -> str:
    if not folder.is_dir():
        return f"there is no folder {folder} either"
    names = sorted(
        path.name
        for path in folder.iterdir()
        if path.suffix in _SUFFIXES and not path.name.endswith(".calibration.pth")
    )
    return f"checkpoints in {folder}: {', '.join(names[-5:]) or 'none'}"


def _free_space(path: Path) -> str:
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    return f"{_megabytes(shutil.disk_usage(folder).free)} in {folder}"


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 2**20:.1f} MiB"


def read_config(text: Any) -> dict[str, Any]:
    """Values by full key of a config as a checkpoint has it; {} where it cannot be read."""
    try:
        tree = parse_plain(text) if isinstance(text, str) else None
    except ValueError:
        tree = None
    return _flat(tree) if isinstance(tree, Mapping) else {}


def _flat(tree: Mapping, prefix: str = "") -> dict[str, Any]:
    values = {}
    for name, value in tree.items():
        is_section = isinstance(value, Mapping)
        values |= _flat(value, f"{prefix}{name}.") if is_section else {f"{prefix}{name}": value}
    return values


def was_adaptive(content: dict, path: str | Path) -> bool | None:
    """ADAPTIVE.ENABLE in training; False where the config has no such key, None without a config.

    content: of the checkpoint file `path`.
    """
    text = content.get("cfg")
    if not isinstance(text, str) or not text:
        return None
    try:
        return bool((parse_plain(text) or {}).get("ADAPTIVE", {}).get("ENABLE", False))
    except (ValueError, AttributeError) as error:
        raise CheckpointError(f"{path}: its config cannot be read: {error}") from error
