"""Files that are made to run code, to fill the memory or never to end."""

import contextlib
import os
import pickle
import resource
import struct
import subprocess
import zipfile

import numpy as np
import pytest
import torch

from slowfast.checkpoint import files
from slowfast.checkpoint.convert import find_model_state
from slowfast.checkpoint.files import CheckpointError

_MEMORY = 2 << 30  # bytes beyond those of before
TENSOR = (
    b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
    b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpu%stQK\x00%s%s\x89)tR"
)


def _number(value):
    return b"\x8a\x08" + struct.pack("<q", value)


def _tensor(*, count=4, shape=(4,), strides=(1,)):
    """Pickle of a tensor of storage 0."""
    sizes = [b"(" + b"".join(map(_number, each)) + b"t" for each in (shape, strides)]
    return TENSOR % (_number(count), *sizes)


def _text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def _archive(path, value, *, name="other"):
    """torch.save of weights beside what the instructions `value` make."""
    content = b"\x80\x02}(" + _text("state_dict") + b"}" + _text("w") + _tensor() + b"s"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", content + _text(name) + value + b"u.")
        archive.writestr("a/data/0", bytes(16))
        archive.writestr("a/version", "3\n")


def _legacy(path, value, *, name="other"):
    headers = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    content = b"\x80\x02}(" + _text("state_dict") + b"}" + _text("w") + _tensor() + b"s"
    content += _text(name) + value + b"u." + pickle.dumps(["0"], 2) + struct.pack("<q", 4)
    content = content.replace(b"tQ", b"NtQ")  # no view of another storage
    path.write_bytes(b"".join(pickle.dumps(each, 2) for each in headers) + content + bytes(16))


def _plain_pickle(path, value, *, name="other"):
    array = pickle.dumps(np.ones(2, np.float32), 2)[2:-1]
    content = b"\x80\x02}(" + _text("blobs") + b"}" + _text("w") + array + b"s"
    path.write_bytes(content + _text(name) + value + b"u.")


WRITERS = [_archive, _legacy, _plain_pickle]


@contextlib.contextmanager
def _limits():
    """Less memory than the bombs want, and an end to what never ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _load(path):
    with _limits():
        return files.load(path)


@pytest.mark.parametrize("write", WRITERS)
def test_the_files_of_these_tests_are_read(tmp_path, write):
    write(tmp_path / "a.pth", b"K\x03")
    assert _load(tmp_path / "a.pth")["other"] == 3


class Call:
    def __init__(self, function, *args):
        self._reduced = function, args

    def __reduce__(self):
        return self._reduced


def _calls(marker):
    """Instructions that would make the file `marker` if any of them ran."""
    touch, code = f"touch {marker}", f"open({str(marker)!r}, 'w')"
    direct = [Call(os.system, touch), Call(eval, code), Call(exec, code)]
    direct += [Call(open, str(marker), "w"), Call(subprocess.check_call, ["touch", str(marker)])]
    found = [pickle.dumps(call, 2)[2:-1] for call in direct]
    getter = b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n(" + _text("os") + b"tR"
    getter += _text("system") + b"tR("
    found.append(getter + _text(touch) + b"tR")
    found.append(b"(" + _text(touch) + b"ios\nsystem\n")
    found.append(b"(cos\nsystem\n" + _text(touch) + b"o")
    found.append(b"ctorch\nload\n(" + _text(str(marker)) + b"tR")
    found.append(b"cnumpy\nfromfile\n(" + _text(str(marker)) + b"tR")
    found.append(b"cnumpy\nsave\n(" + _text(str(marker)) + b"K\x03tR")
    # A state whose setter would be a function, and a dictionary with one for missing keys.
    setter = _text("__setstate__") + b"cos\nsystem\nsb"
    found.append(b"cmy\nThing\n)R}" + setter + _text(touch) + b"b")
    found.append(b"ccollections\ndefaultdict\n(cos\nsystem\ntR" + _text(touch) + b"K\x01s")
    return found


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("number", range(len(_calls("x"))))
def test_no_code_runs_beside_the_weights(tmp_path, write, number):
    marker = tmp_path / "marker.npy"
    write(tmp_path / "a.pth", _calls(marker)[number])
    with contextlib.suppress(CheckpointError):
        assert _load(tmp_path / "a.pth").keys() >= {"other"}
    assert [path.name for path in tmp_path.iterdir()] == ["a.pth"]


def test_a_pickle_cannot_change_how_later_ones_are_read(tmp_path):
    names = ["numpy\nndarray", "torch._utils\n_rebuild_tensor_v2", "my\nThing", "torch\nSize"]
    for name in names:
        for state in (b"}X\x05\x00\x00\x00plainK\x01s", b"N}X\x05\x00\x00\x00plainK\x01s\x86"):
            _archive(tmp_path / "a.pth", b"c" + name.encode() + b"\n" + state + b"b")
            with contextlib.suppress(CheckpointError):
                _load(tmp_path / "a.pth")
    test_the_files_of_these_tests_are_read(tmp_path, _plain_pickle)


def _doubled(levels, pair):
    """A value of two of the same values, and so on; `pair` makes one of two."""
    start = b")q\x00"
    return start + b"".join(b"h\x00h\x00" + pair + b"q\x00" for _ in range(levels)) + b""


def _repeated(big, again, count):
    """A value, and `count` times the instructions `again` that make another from it (memo 9)."""
    return b"(" + big + b"q\x09" + again * count + b"l"


_TEXT_OF_MB = _text("x" * (1 << 20))
BOMBS = {
    "key of doubled tuples": b"}" + _doubled(60, b"\x86") + b"K\x01s",
    "keys of doubled tuples": b"}(" + _doubled(60, b"\x86") + b"K\x01u",
    "set of doubled tuples": b"cbuiltins\nset\n(](" + _doubled(60, b"\x86") + b"etR",
    "ordered pairs": b"ccollections\nOrderedDict\n((" + _doubled(60, b"\x86") + b"K\x01tltR",
    "bytes of declared size": b"\x8e" + struct.pack("<Q", 1 << 40),
    "bytearray of declared size": b"\x96" + struct.pack("<Q", 1 << 40),
    "frame of declared size": b"\x95" + struct.pack("<Q", 1 << 40),
    "text of declared size": b"\x8d" + struct.pack("<Q", 1 << 40),
    "number of declared size": b"\x8b" + struct.pack("<i", (1 << 31) - 1),
    "bytes made again": _repeated(
        _TEXT_OF_MB, b"c_codecs\nencode\n(h\x09X\x06\x00\x00\x00latin1tR", 5000
    ),
    "sets made again": _repeated(
        b"(" + b"".join(_number(n) for n in range(50_000)) + b"l", b"cbuiltins\nset\n(h\x09tR", 5000
    ),
    "tuples made again": _repeated(
        b"(" + b"K\x01" * 200_000 + b"l", b"ctorch\nSize\n(h\x09tR", 5000
    ),
    "arrays made again": _repeated(
        _TEXT_OF_MB,
        b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(X\x02\x00\x00\x00u1K\x00K\x01tRh\x09tR",
        5000,
    ),
}


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_end_in_one_line(tmp_path, write, bomb):
    write(tmp_path / "a.pth", BOMBS[bomb])
    with pytest.raises(CheckpointError) as caught:
        _load(tmp_path / "a.pth")
    assert str(caught.value).startswith(f"{tmp_path}/a.pth: ") and "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    "value",
    [
        b"]" * 20_000 + b"a" * 19_999,
        b"]" + _doubled(60, b"\x86") + b"a",
        b"".join(b"cmy\nThing%d\n)R" % n + b"0" for n in range(2000)) + b"N",
    ],
    ids=["deep", "doubled", "many classes"],
)
def test_odd_values_are_read_or_named_in_time(tmp_path, write, value):
    write(tmp_path / "a.pth", value)
    with contextlib.suppress(CheckpointError):
        find_model_state(_load(tmp_path / "a.pth"))


def test_dictionaries_of_the_same_dictionary_are_walked_through_once(tmp_path):
    inner = {}
    for _ in range(6):
        inner = dict.fromkeys(map(str, range(50)), inner)
    torch.save({**inner, "w": {"a": torch.ones(2)}}, tmp_path / "a.pth")
    assert find_model_state(_load(tmp_path / "a.pth")).keys() == {"w.a"}


@pytest.mark.parametrize("write", [_archive, _legacy])
@pytest.mark.parametrize(
    "tensor",
    [
        {"shape": (1 << 20, 1 << 20), "strides": (0, 0)},
        {"shape": (1 << 40,)},
        {"shape": (-4,)},
        {"shape": (4,), "strides": (-1,)},
    ],
)
@pytest.mark.parametrize("beside", [b"", b"cmy\nThing\n)R"])
def test_tensors_beyond_their_storage_are_an_error(tmp_path, write, tensor, beside):
    write(tmp_path / "a.pth", b"(" + _tensor(**tensor) + beside + b"t")
    with pytest.raises(CheckpointError, match="a.pth: is truncated, damaged"):
        _load(tmp_path / "a.pth")


def test_a_storage_larger_than_its_file_is_an_error(tmp_path):
    _legacy(tmp_path / "a.pth", _tensor(count=1 << 40).replace(b"X\x01\x00\x00\x000", _text("1")))
    with pytest.raises(CheckpointError, match="a.pth: would fill far more memory than"):
        _load(tmp_path / "a.pth")


@pytest.mark.slow
def test_an_archive_that_unpacks_to_far_more_is_refused_before_it_is(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("a/data.pkl", "w") as file:
            for _ in range(64):
                file.write(bytes(1 << 20))
    with pytest.raises(CheckpointError, match="would unpack to 64.0 MiB"):
        _load(tmp_path / "a.pth")
