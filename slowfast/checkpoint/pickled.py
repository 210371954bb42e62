"""Pickles of checkpoints, read with stand-ins for all that they refer to; none of it is imported.

Beside the weights people keep what they have: arguments, paths, counters, objects of their own.
What is plain in truth becomes plain, and every other object an `UnknownObject` that has nothing but
the name of its class. Networks that were pickled whole, and TorchScript's, become dictionaries of
the tensors in them.
"""

import io
import pickle
import struct
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import torch

from slowfast.utils.unpickle import KNOWN, Plain, StandIn, Unpickler, check_key

_SCRIPT = "__torch__."  # how TorchScript's classes begin
_MAX_PATH = 4096
_NUMBERS = KNOWN["numpy", "dtype"]


@dataclass(frozen=True)
class UnknownObject:
    """An object whose class was neither imported nor called."""

    name: str


class PlainValues(Plain):
    """Replaces the stand-ins; counts objects left out and networks read, by their classes."""

    def __init__(self):
        super().__init__()
        self.unknown: Counter[str] = Counter()
        self.networks: Counter[str] = Counter()
        self._networks: dict[int, dict] = {}

    def of(self, value: Any) -> Any:
        if isinstance(value, type):  # the class itself, as a value
            return self.unknown_object(getattr(value, "name", value.__name__))
        return super().of(value)

    def unknown_object(self, name: str) -> UnknownObject:
        """Count one more of this class."""
        self.unknown[name] += 1
        return UnknownObject(name)

    def network(self, name: str, state: dict) -> dict:
        """Tensors and parts of a module; one for all modules of the same state."""
        self.networks[name] += 1
        if id(state) not in self._networks:
            found = {name: self.of(value) for name, value in _tensors_of(state).items()}
            self._networks[id(state)] = found
        return self._networks[id(state)]


class Unknown(StandIn):
    """Base class for stand-ins of any class or function; keeps what it is given."""

    name = ""
    args: tuple
    state: Any
    items: dict

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        made = object.__new__(cls)
        made.args, made.state, made.items = args, None, {}
        return made

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        self.state = state

    def __setitem__(self, key, value):
        self.items[key] = value

    def append(self, *_):
        """Take no notice of what a list would hold."""

    extend = add = append

    def plain(self, done: Any) -> Any:
        state = self.state if isinstance(self.state, dict) else {}
        if self.name.startswith(_SCRIPT) or {"_parameters", "_buffers", "_modules"} <= state.keys():
            return done.network(self.name, state)
        return done.unknown_object(self.name)


def _tensors_of(state: dict) -> dict[str, Any]:
    """Tensors and parts of a module, by what `state_dict` calls them."""
    if "_modules" not in state:  # TorchScript
        kinds = torch.Tensor | Unknown
        return {n: v for n, v in state.items() if isinstance(v, kinds) and isinstance(n, str)}
    fleeting = state.get("_non_persistent_buffers_set") or ()
    found = {**state["_parameters"], **state["_buffers"], **state["_modules"]}
    return {n: v for n, v in found.items() if v is not None and n not in fleeting}


class _Path(Unknown):
    def plain(self, done: Any) -> Any:
        if sum(len(part) for part in self.args if isinstance(part, str)) > _MAX_PATH:
            return done.unknown_object("pathlib.Path")
        return str(PurePosixPath(*(part for part in self.args if isinstance(part, str))))


class _Namespace(Unknown):
    def plain(self, done: Any) -> Any:
        return done.of(self.state)


class _Dictionary(Unknown):
    """A kind of dict."""

    def plain(self, done: Any) -> dict:
        is_copy = self.args and isinstance(self.args[0], dict) and not self.items
        return done.of(self.args[0] if is_copy else self.items)


class _Set(StandIn):
    def __new__(cls, items=()):
        items = list(items)
        for item in items:
            check_key(item)
        return set(items)


class _Complex(StandIn):
    def __new__(cls, real: float, imag: float):
        return complex(real, imag)


class _Tuple(StandIn):
    def __new__(cls, items=()):
        return tuple(items)


class _Device(Unknown):
    def plain(self, done: Any) -> str:
        return ":".join(str(part)[:20] for part in self.args[:2] if isinstance(part, str | int))


class _Rebuilt(StandIn):
    """copyreg's functions for objects in old protocols."""

    def __new__(cls, kind, *args):
        if not (isinstance(kind, type) and issubclass(kind, StandIn)):
            raise TypeError("an object of no class")
        return kind()


class _Array(KNOWN["numpy", "ndarray"]):
    """An array, of numbers or of anything else."""

    is_numbers = False

    def __setstate__(self, state: tuple):
        self.is_numbers = isinstance(state[2], _NUMBERS)
        if self.is_numbers:
            super().__setstate__(state)

    def plain(self, done: Any) -> Any:
        return self.value if self.is_numbers else done.unknown_object("numpy.ndarray")


class _Dtype(StandIn):
    """numpy.dtype(code, ...), of numbers or of anything else."""

    def __new__(cls, code, *flags):
        try:
            return _NUMBERS(code, *flags)
        except (ValueError, TypeError):
            return _Other()


class _Other(Unknown):
    """Something of numpy that is no number."""

    name = "numpy.generic"


class _Scalar(StandIn):
    def __new__(cls, dtype, data):
        is_number = isinstance(dtype, _NUMBERS)
        return KNOWN["numpy._core.multiarray", "scalar"](dtype, data) if is_number else _Other()


class _FromBuffer(StandIn):
    def __new__(cls, data, dtype, *others):
        made = KNOWN["numpy._core.numeric", "_frombuffer"]
        return made(data, dtype, *others) if isinstance(dtype, _NUMBERS) else _Other()


class Storage(StandIn):
    """Numbers of tensors; `data` may be filled later."""

    def __init__(self, data: bytearray, dtype: torch.dtype):
        self.data, self.dtype = data, dtype

    def plain(self, done: Any) -> UnknownObject:
        return done.unknown_object("torch.Storage")


class _Tensor(StandIn):
    """torch._utils._rebuild_tensor_v2(storage, offset, shape, strides, ...)."""

    def __new__(cls, storage: Storage, offset: int, shape: tuple, strides: tuple, *_):
        if not isinstance(storage, Storage):
            raise TypeError("a tensor without a storage")
        whole = torch.empty(0, dtype=storage.dtype)
        if storage.data:
            whole = torch.frombuffer(storage.data, dtype=storage.dtype)
        return whole.as_strided(shape, strides, offset)  # fails beyond the storage


class _FromBytes(StandIn):
    """torch.storage._load_from_bytes(file): a storage of a tensor that pickle itself wrote."""

    def __new__(cls, data: bytes):
        found = _read_legacy(io.BytesIO(data), len(data))
        if not isinstance(found, Storage):
            raise TypeError("no storage")
        return found


class StorageType(StandIn):
    """Base class for torch.FloatStorage and the like."""

    dtype: torch.dtype


class _Parameter(StandIn):
    """torch._utils._rebuild_parameter(tensor, ...)."""

    def __new__(cls, tensor: torch.Tensor, *_):
        return tensor


_DTYPES = {
    **{"Double": torch.float64, "Float": torch.float32, "Half": torch.float16},
    **{"BFloat16": torch.bfloat16, "Long": torch.int64, "Int": torch.int32, "Short": torch.int16},
    **{"Char": torch.int8, "Byte": torch.uint8, "Bool": torch.bool},
    **{"ComplexFloat": torch.complex64, "ComplexDouble": torch.complex128},
}
_PATHS = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path", "PurePath")
_BUILTINS = {"set": _Set, "frozenset": _Set, "complex": _Complex, "dict": _Dictionary}
STAND_INS = {
    **KNOWN,
    ("argparse", "Namespace"): _Namespace,
    ("types", "SimpleNamespace"): _Namespace,
    ("collections", "Counter"): _Dictionary,
    ("collections", "defaultdict"): _Dictionary,
    ("yacs.config", "CfgNode"): _Dictionary,
    ("fvcore.common.config", "CfgNode"): _Dictionary,
    ("torch", "Size"): _Tuple,
    ("torch", "device"): _Device,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
    ("torch._utils", "_rebuild_tensor"): _Tensor,
    ("torch.storage", "_load_from_bytes"): _FromBytes,
    ("torch._utils", "_rebuild_parameter"): _Parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _Parameter,
    **{("pathlib", name): _Path for name in _PATHS},
    **{("pathlib._local", name): _Path for name in _PATHS},
    **{("builtins", name): made for name, made in _BUILTINS.items()},
    **{("__builtin__", name): made for name, made in _BUILTINS.items()},
    **{(m, n): _Rebuilt for m in ("copyreg", "copy_reg") for n in ("_reconstructor", "__newobj__")},
}
for _core in ("numpy.core", "numpy._core"):
    STAND_INS[f"{_core}.multiarray", "_reconstruct"] = _Array
    STAND_INS[f"{_core}.multiarray", "scalar"] = _Scalar
    STAND_INS[f"{_core}.numeric", "_frombuffer"] = _FromBuffer
for _kind, _dtype in _DTYPES.items():
    _name = f"{_kind}Storage"
    STAND_INS["torch", _name] = type(_name, (StorageType,), {"dtype": _dtype})

_NUM_HEADERS = 3  # pickles before the content in a file of old torch: number, protocol, system
_MAX_SHOWN = 5
_MAX_NAME = 100

# (key, number type, number of values) -> the storage
Storages = Callable[[str, torch.dtype, int], Any]


@dataclass
class Pickled:
    """Content of a pickle, objects left out of it, and networks read, by the names of classes."""

    content: Any
    unknown: Counter[str]
    networks: Counter[str]

    def remarks(self) -> list[str]:
        """Lines for the log."""
        lines = []
        if self.unknown:
            lines.append(
                f"{sum(self.unknown.values())} Python objects beside the weights are left out "
                f"({listed(self.unknown)}); no code of them was run"
            )
        if self.networks:
            lines.append(
                f"holds a whole network ({listed(self.networks)}); its tensors are read, without "
                "its code"
            )
        return lines


def listed(names: Mapping[str, int]) -> str:
    """The first names, shortened."""
    shown = [name[:80] for name in list(names)[:_MAX_SHOWN]]
    return ", ".join([*shown, *(["..."] if len(names) > _MAX_SHOWN else [])])


class _Reader(Unpickler):
    """Has a stand-in for everything."""

    known = STAND_INS

    def __init__(self, file: IO[bytes], storages: Storages | None = None, size: int | None = None):
        super().__init__(file, size)
        self._storages = storages
        self._unknown: dict[str, type[Unknown]] = {}

    def find_class(self, module: str, name: str) -> type[StandIn]:
        if (module, name) in self.known:
            return self.known[module, name]
        path = "".join(c if c.isprintable() else "?" for c in f"{module}.{name}")[:_MAX_NAME]
        if path not in self._unknown:
            self._unknown[path] = type("Unknown", (Unknown,), {"name": path})
        return self._unknown[path]

    def persistent_load(self, pid: tuple) -> Any:
        if pid[0] == "module" and isinstance(pid[1], type):  # old torch: a class and its source
            return pid[1]
        kind, storage_type, key, _, count, *view = pid
        is_known = isinstance(storage_type, type) and issubclass(storage_type, StorageType)
        if self._storages is None or kind != "storage" or not is_known or any(view):
            raise pickle.UnpicklingError("a storage of an unknown kind")
        return self._storages(key, storage_type.dtype, count)


class _Structure(_Reader):
    """Makes no tensors: finds what is hostile in a pickle before torch reads it."""

    known = {name: made for name, made in STAND_INS.items() if name[0] != "torch._utils"}

    def __init__(self, file: IO[bytes], size: int):
        super().__init__(file, size=size)
        self._keys: set[str] = set()

    def persistent_load(self, pid: tuple) -> Any:
        if pid[0] == "module":
            return pid[1]
        if pid[0] == "storage" and str(pid[2]) not in self._keys:
            self._keys.add(str(pid[2]))
            self.spend(int(pid[4]))  # values of a byte at least
        return None


def read_pickle(path: Path) -> Pickled:
    """A pickle that torch did not write."""
    with open(path, "rb") as file:
        return _plain(_Reader(file).load())


def read_torch(path: Path) -> Pickled:
    """A file of torch.save, of any version, or of torch.jit.save."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return _plain(_read_archive(archive, path.stat().st_size))
    with open(path, "rb") as file:
        return _plain(_read_legacy(file, path.stat().st_size))


def check_structure(path: Path) -> None:
    """HostilePickle for a file of torch.save that would fill the memory, or never end."""
    size = path.stat().st_size
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            _Structure(io.BytesIO(archive.read(f"{root(archive)}data.pkl")), size).load()
        return
    with open(path, "rb") as file:
        for _ in range(_NUM_HEADERS + 1):
            _Structure(file, size).load()


def root(archive: zipfile.ZipFile) -> str:
    """Folder of an archive with the pickle, with a slash; "" where there is none."""
    names = (name for name in archive.namelist() if name.endswith("/data.pkl"))
    return next(names, "").removesuffix("data.pkl")


def _read_archive(archive: zipfile.ZipFile, size: int) -> Any:
    folder = root(archive)
    order = f"{folder}byteorder"
    if order in archive.namelist() and archive.read(order) != b"little":
        raise ValueError("written on a machine with another order of bytes")
    read: dict[str, bytearray] = {}

    def storage(key: str, dtype: torch.dtype, _count: int) -> Storage:
        if key not in read:
            read[key] = bytearray(archive.read(f"{folder}data/{key}"))
        return Storage(read[key], dtype)

    return _Reader(io.BytesIO(archive.read(f"{folder}data.pkl")), storage, size).load()


def _read_legacy(file: IO[bytes], size: int) -> Any:
    for _ in range(_NUM_HEADERS):
        _Reader(file).load()
    made: dict[str, bytearray] = {}

    def storage(key: str, dtype: torch.dtype, count: int) -> Storage:
        num_bytes = count * dtype.itemsize
        if key not in made and num_bytes + sum(map(len, made.values())) > size:
            raise EOFError("the file is too short for its tensors")
        return Storage(made.setdefault(key, bytearray(num_bytes)), dtype)

    content = _Reader(file, storage, size).load()
    for key in _Reader(file).load():  # the numbers come last, each storage with its count
        struct.unpack("<q", file.read(8))
        if file.readinto(made[key]) != len(made[key]):
            raise EOFError("the file ends in the middle of a tensor")
    return content


def _plain(content: Any) -> Pickled:
    values = PlainValues()
    return Pickled(values.of(content), values.unknown, values.networks)
