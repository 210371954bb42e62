"""Pickles of numpy arrays and plain containers, read without running code from them."""

import pickle
import re
from collections import OrderedDict
from typing import IO, Any

import numpy as np

_NUMBER = re.compile(r"[biufc]\d{1,2}|\?")


def load_arrays(file: IO[bytes]) -> Any:
    """The content of a pickle of any protocol; byte strings of Python 2 are read as latin1.

    pickle.UnpicklingError, naming it, when the pickle refers to anything but arrays of numbers. A
    damaged file can fail in any way. Even numpy's own functions stay out of it, because with a
    made-up dtype they read memory at any address; objects that only store take their place.
    """
    return _plain(_Unpickler(file, encoding="latin1").load(), {})


class _StandIn:
    """Base class for what a pickle gets to call; `value` is the real thing."""

    value: Any

    def __setstate__(self, state):  # also keeps pickle from setting attributes of these classes
        raise ValueError(f"a {type(self).__name__} has no state")


class _Dtype(_StandIn):
    """numpy.dtype(code, ...); of the state that follows only the byte order counts."""

    def __init__(self, code: str | bytes, *flags):
        code = code.decode("latin1") if isinstance(code, bytes) else code
        if not _NUMBER.fullmatch(code):
            raise ValueError(f"an array of type {code!r}; only numbers are read")
        self.code = code
        self.value = np.dtype(code)

    def __setstate__(self, state: tuple):
        self.value = np.dtype(state[1] + self.code)


class _Array(_StandIn):
    """numpy's _reconstruct(...): an empty array, filled by the state that follows."""

    def __init__(self, *args):
        pass

    def __setstate__(self, state: tuple):
        _, shape, dtype, is_fortran, data = state
        self.value = _from_bytes(data, dtype, shape, "F" if is_fortran else "C")


class _FromBuffer(_StandIn):
    """numpy's _frombuffer(...), used by pickle protocol 5."""

    def __init__(self, data: bytes, dtype: _Dtype, shape: tuple, order: str):
        self.value = _from_bytes(data, dtype, shape, order)


class _Scalar(_StandIn):
    """numpy's scalar(...)."""

    def __init__(self, dtype: _Dtype, data: str | bytes):
        self.value = _from_bytes(data, dtype, (), "C")[()]


class _Bytes(_StandIn):
    """_codecs.encode(text, "latin1"): bytes in a pickle of protocol 2 that Python 3 wrote."""

    def __new__(cls, text: str, encoding: str):
        if encoding != "latin1":
            raise ValueError(f"bytes in the encoding {encoding!r}, not latin1")
        return text.encode("latin1")


class _NoBytes(_StandIn):
    """bytes(): the data of an empty array in such a pickle."""

    def __new__(cls):
        return b""


_ALLOWED = {
    ("collections", "OrderedDict"): OrderedDict,
    ("__builtin__", "bytes"): _NoBytes,
    ("_codecs", "encode"): _Bytes,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
}
for _core in ("numpy.core", "numpy._core"):  # before and since numpy 2
    _ALLOWED[f"{_core}.multiarray", "_reconstruct"] = _Array
    _ALLOWED[f"{_core}.multiarray", "scalar"] = _Scalar
    _ALLOWED[f"{_core}.numeric", "_frombuffer"] = _FromBuffer


class _Unpickler(pickle._Unpickler):
    """The one in Python: that in C allocates as much memory as a damaged file says."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"GLOBAL {module}.{name} is not read")
        return _ALLOWED[module, name]


def _from_bytes(data: str | bytes, dtype: _Dtype, shape: tuple, order: str) -> np.ndarray:
    data = data.encode("latin1") if isinstance(data, str) else data
    array = np.frombuffer(data, dtype.value).reshape(shape, order=order)
    return array.astype(array.dtype.newbyteorder("="))  # a copy that can be written to


def _plain(value: Any, done: dict[int, Any]) -> Any:
    """With every stand-in replaced by its value; `done` has the containers met so far, by id.

    A container that stands in many places is walked through once, so that small files stay small.
    """
    if isinstance(value, _StandIn):
        return value.value
    if not isinstance(value, dict | list | tuple):
        return value
    if id(value) not in done:
        if isinstance(value, dict):
            plain = {_plain(key, done): _plain(item, done) for key, item in value.items()}
        else:
            plain = type(value)([_plain(item, done) for item in value])
        done[id(value)] = plain
    return done[id(value)]
