import io
import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest

from slowfast.utils.unpickle import load_arrays

# What Python 2 writes: bytes in the place of text, numpy's names of old, C and Fortran order.
PYTHON2 = (
    b"\x80\x02}q\x01U\x05blobsq\x02}q\x03(U\x02c\xe9q\x04cnumpy.core.multiarray\n_reconstruct\nq\x05"
    b"cnumpy\nndarray\nq\x06K\x00\x85q\x07U\x01bq\x08\x87q\tRq\n(K\x01K\x02\x85q\x0bcnumpy\ndtype\nq"
    b"\x0cU\x02f4q\rK\x00K\x01\x87q\x0eRq\x0f(K\x03U\x01<q\x10NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
    b"K\x00tq\x11b\x89U\x08\x00\x00\x80?\x00\x00\x20\xc1q\x12tq\x13bU\x02lrcnumpy.core.multiarray\n"
    b"scalar\nq\x14h\x0fU\x04\x00\x00\x00?\x86Rus."
)


def _load(data: bytes):
    return load_arrays(io.BytesIO(data))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
        np.arange(3, dtype=">i8"),
        np.array([True, False]),
        np.array(2.5, dtype=np.float16),
        np.zeros((0, 5), np.float32),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_are_read_as_written(array, protocol):
    content = _load(pickle.dumps({"a": [array, (array,)]}, protocol))
    for loaded in (content["a"][0], content["a"][1][0]):
        np.testing.assert_array_equal(loaded, array)
        assert loaded.dtype == array.dtype.newbyteorder("=") and loaded.flags.writeable


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_scalars_and_containers_are_read(protocol):
    content = OrderedDict(lr=np.float32(0.5), step=np.int64(3), names=("a", None, [1.5, b"\xff"]))
    loaded = _load(pickle.dumps(content, protocol))
    assert loaded == content and type(loaded["lr"]) is np.float32


def test_a_pickle_of_python_2_is_read():
    content = _load(PYTHON2)
    assert list(content["blobs"]) == ["c\xe9", "lr"]
    np.testing.assert_array_equal(content["blobs"]["c\xe9"], np.array([1, -10], dtype=np.float32))
    assert content["blobs"]["lr"] == 0.5


class Call:
    """Asks to be unpickled by calling a function."""

    def __init__(self, function, *args):
        self._reduced = function, args

    def __reduce__(self):
        return self._reduced


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    ("function", "name"),
    [
        (os.system, "posix.system"),
        (eval, ".*builtin.*eval"),
        (getattr, ".*builtin.*getattr"),
        (np.fromfile, "numpy.*fromfile"),
        (np.load, "numpy.*load"),
        (pickle.loads, ".*pickle.loads"),
    ],
)
def test_any_other_global_is_named_and_not_called(tmp_path, function, name, protocol):
    marker = tmp_path / "marker"
    data = pickle.dumps({"a": Call(function, f"touch {marker}")}, protocol)
    with pytest.raises(pickle.UnpicklingError, match=f"GLOBAL {name} is not read"):
        _load(data)
    assert not marker.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"cnumpy\ndtype.newbyteorder\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.",
        b"c__builtin__\nexec\n.",
        b"cslowfast.utils.unpickle\nre.os.system\n.",
    ],
)
def test_attributes_of_what_is_allowed_are_not_reached(data):
    with pytest.raises(pickle.UnpicklingError, match="GLOBAL .* is not read"):
        _load(data)


@pytest.mark.parametrize("name", ["numpy\ndtype", "numpy\nndarray", "_codecs\nencode"])
@pytest.mark.parametrize("state", [b"}U\x05valueK\x01s", b"N}U\x05valueK\x01s\x86"])
def test_a_pickle_cannot_change_how_later_ones_are_read(name, state):
    with pytest.raises((TypeError, ValueError)):
        _load(b"\x80\x02c" + name.encode() + b"\n" + state + b"b.")
    test_a_pickle_of_python_2_is_read()


def test_arrays_of_objects_are_refused():
    with pytest.raises(ValueError, match="an array of type 'O8'; only numbers are read"):
        _load(pickle.dumps(np.array([None, "a"], dtype=object)))


def test_shared_containers_are_walked_through_once():
    value = [1]
    for _ in range(60):
        value = [value, value]
    loaded = _load(pickle.dumps(value, protocol=2))
    assert loaded[0] is loaded[1]
