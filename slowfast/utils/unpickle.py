"""Pickles of numpy arrays and plain containers, read without running code from them."""

import os
import pickle
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import IO, Any

import numpy as np

_NUMBER = re.compile(r"[biufc]\d{1,2}|\?")
_MAX_GROWTH = 4  # memory over the size of the file, for all arrays in it together
_MIN_MEMORY = 1 << 20
_MAX_VALUES_OF_KEY = 1000
_BYTES_OF_ITEM = 64  # of a set or a dictionary, in memory


def load_arrays(file: IO[bytes]) -> Any:
    """The content of a pickle of any protocol; byte strings of Python 2 are read as latin1.

    pickle.UnpicklingError, naming it, when the pickle refers to anything but arrays of numbers. A
    damaged file can fail in any way. Even numpy's own functions stay out of it, because with a
    made-up dtype they read memory at any address; objects that only store take their place.
    """
    return Plain().of(Unpickler(file).load())


class HostilePickle(pickle.UnpicklingError):
    """A pickle that is made to fill the memory, or never to end."""


class StandIn:
    """Base class for what a pickle gets to call; `value` is the real thing."""

    value: Any

    def __setstate__(self, state):  # also keeps pickle from setting attributes of these classes
        raise ValueError(f"a {type(self).__name__} has no state")

    def plain(self, done: Any, /) -> Any:
        """The real thing, in which there are no stand-ins."""
        return self.value


class _Dtype(StandIn):
    """numpy.dtype(code, ...); of the state that follows only the byte order counts."""

    def __init__(self, code: str | bytes, *flags):
        code = code.decode("latin1") if isinstance(code, bytes) else code
        if not _NUMBER.fullmatch(code):
            raise ValueError(f"an array of type {code!r}; only numbers are read")
        self.code = code
        self.value = np.dtype(code)

    def __setstate__(self, state: tuple):
        self.value = np.dtype(state[1] + self.code)


class _Array(StandIn):
    """numpy's _reconstruct(...): an empty array, filled by the state that follows."""

    def __init__(self, *args):
        pass

    def __setstate__(self, state: tuple):
        _, shape, dtype, is_fortran, data = state
        self.value = _from_bytes(data, dtype, shape, "F" if is_fortran else "C")


class _FromBuffer(StandIn):
    """numpy's _frombuffer(...), used by pickle protocol 5."""

    def __init__(self, data: bytes, dtype: _Dtype, shape: tuple, order: str):
        self.value = _from_bytes(data, dtype, shape, order)


class _Scalar(StandIn):
    """numpy's scalar(...)."""

    def __init__(self, dtype: _Dtype, data: str | bytes):
        self.value = _from_bytes(data, dtype, (), "C")[()]


class _Bytes(StandIn):
    """_codecs.encode(text, "latin1"): bytes in a pickle of protocol 2 that Python 3 wrote."""

    def __new__(cls, text: str, encoding: str):
        if encoding != "latin1":
            raise ValueError(f"bytes in the encoding {encoding!r}, not latin1")
        return text.encode("latin1")


class _NoBytes(StandIn):
    """bytes(): the data of an empty array in such a pickle."""

    def __new__(cls):
        return b""


class Ordered(StandIn):
    """collections.OrderedDict(pairs)."""

    def __new__(cls, pairs: Iterable = ()):
        pairs = list(pairs.items() if isinstance(pairs, Mapping) else pairs)
        for key, _ in pairs:
            check_key(key)
        return OrderedDict(pairs)


KNOWN = {
    ("collections", "OrderedDict"): Ordered,
    ("__builtin__", "bytes"): _NoBytes,
    ("_codecs", "encode"): _Bytes,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
}
for _core in ("numpy.core", "numpy._core"):  # before and since numpy 2
    KNOWN[f"{_core}.multiarray", "_reconstruct"] = _Array
    KNOWN[f"{_core}.multiarray", "scalar"] = _Scalar
    KNOWN[f"{_core}.numeric", "_frombuffer"] = _FromBuffer


def check_key(key: Any) -> None:
    """HostilePickle for a key that takes for ever to hash: tuples of the same tuples, over again.

    Python hashes what stands in many places as often.
    """
    left, found = [key], 0
    while left:
        value = left.pop()
        found += 1
        if found > _MAX_VALUES_OF_KEY:
            raise HostilePickle("has a key of a dictionary that holds very many values")
        if isinstance(value, tuple | frozenset):
            left.extend(value)


class _Within:
    """File that fails where more is asked for than it has, before memory is set aside for it."""

    def __init__(self, file: IO[bytes]):
        self._file, start = file, file.tell()
        self.size = file.seek(0, os.SEEK_END)
        file.seek(start)
        self.readline = file.readline

    def read(self, size: int) -> bytes:
        if size > self.size - self._file.tell():
            raise EOFError("the file ends in the middle of a value")
        return self._file.read(size)


class Unpickler(pickle._Unpickler):
    """Gives a pickle stand-ins for all that it may call, and a bounded memory.

    The one in Python: that in C allocates as much memory as a damaged file says. known: stand-ins
    by module and name.
    """

    known: Mapping[tuple[str, str], type[StandIn]] = KNOWN

    def __init__(self, file: IO[bytes], size: int | None = None):
        """size: of the whole that the pickle is part of, in bytes; None: of the file."""
        within = _Within(file)
        self._memory = max(_MAX_GROWTH * (size or within.size), _MIN_MEMORY)
        super().__init__(within, encoding="latin1")

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in; UnpicklingError where there is none."""
        if (module, name) not in self.known:
            raise pickle.UnpicklingError(f"GLOBAL {module}.{name} is not read")
        return self.known[module, name]

    def spend(self, num_bytes: int) -> None:
        """Count memory; HostilePickle for more than a pickle of this size makes honestly."""
        self._memory -= num_bytes
        if self._memory < 0:
            raise HostilePickle("would fill far more memory than it has bytes")

    def _count(self) -> None:
        made = self.stack[-1]
        made = getattr(made, "value", made) if isinstance(made, StandIn) else made
        if isinstance(made, bytes):
            self.spend(len(made))
        elif isinstance(made, dict | set | frozenset | list | tuple):
            self.spend(len(made) * _BYTES_OF_ITEM)
        elif isinstance(made, np.ndarray):
            self.spend(made.nbytes)

    def _build(self) -> None:
        made, state = self.stack[-2], self.stack[-1]
        if isinstance(made, StandIn):
            pickle._Unpickler.load_build(self)
        elif type(made) is OrderedDict and isinstance(state, dict):
            self.stack.pop()  # what torch notes on a state dict
        else:
            raise TypeError(f"a {type(made).__name__} has no state")

    def _set_items(self) -> None:
        for key in self.stack[::2]:  # those since the mark
            check_key(key)

    def _add_items(self) -> None:
        for key in self.stack:
            check_key(key)

    dispatch = dict(pickle._Unpickler.dispatch)


def _before(check, load):
    """`load` of one instruction, after `check`."""

    def checked(self: Unpickler) -> None:
        check(self)
        load(self)

    return checked


def _after(load, check):
    """`load` of one instruction, then `check`."""

    def checked(self: Unpickler) -> None:
        load(self)
        check(self)

    return checked


def _guard(dispatch: dict) -> None:
    """Put the checks around the instructions that hash and that call."""
    dispatch[pickle.BUILD[0]] = Unpickler._build
    for code in (pickle.SETITEMS, pickle.DICT):
        dispatch[code[0]] = _before(Unpickler._set_items, dispatch[code[0]])
    for code in (pickle.ADDITEMS, pickle.FROZENSET):
        dispatch[code[0]] = _before(Unpickler._add_items, dispatch[code[0]])
    dispatch[pickle.SETITEM[0]] = _before(
        lambda u: check_key(u.stack[-2]), dispatch[pickle.SETITEM[0]]
    )
    for code in (
        pickle.REDUCE,
        pickle.BUILD,
        pickle.NEWOBJ,
        pickle.NEWOBJ_EX,
        pickle.INST,
        pickle.OBJ,
    ):
        dispatch[code[0]] = _after(dispatch[code[0]], Unpickler._count)


_guard(Unpickler.dispatch)


def _from_bytes(data: str | bytes, dtype: _Dtype, shape: tuple, order: str) -> np.ndarray:
    data = data.encode("latin1") if isinstance(data, str) else data
    array = np.frombuffer(data, dtype.value).reshape(shape, order=order)
    return array.astype(array.dtype.newbyteorder("="))  # a copy that can be written to


class Plain:
    """Replaces the stand-ins in values by the real things.

    What stands in many places is walked through once, so that small files stay small.
    """

    def __init__(self):
        self._done: dict[int, Any] = {}

    def of(self, value: Any) -> Any:
        """The value without stand-ins; containers are copied."""
        if not isinstance(value, StandIn | dict | list | tuple | set | frozenset):
            return value
        if id(value) not in self._done:
            self._done[id(value)] = self._made(value)
        return self._done[id(value)]

    def _made(self, value: Any) -> Any:
        if isinstance(value, StandIn):
            return value.plain(self)
        if isinstance(value, dict):
            return {self.of(key): self.of(item) for key, item in value.items()}
        return type(value)([self.of(item) for item in value])
