import json
import math
import os
from typing import NamedTuple

import numpy as np
import pytest

from slowfast.utils.io import (
    atomic_write,
    json_text,
    read_json,
    read_small_text,
    write_csv,
    write_json,
)


def test_atomic_write_replaces_the_old_file_only_at_the_end(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with atomic_write(path, "w") as file:
        file.write("new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_atomic_write_keeps_the_old_file_after_an_error(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(path, "w") as file:
        file.write("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_atomic_write_gives_the_usual_permissions(tmp_path):
    usual = tmp_path / "usual"
    usual.touch()
    write_json(tmp_path / "ours", {})
    assert (tmp_path / "ours").stat().st_mode == usual.stat().st_mode


def test_write_csv_quotes_commas(tmp_path):
    write_csv(tmp_path / "a.csv", ["path", "n"], [["a, b.mp4", 1]])
    assert (tmp_path / "a.csv").read_text().split() == ["path,n", '"a,', 'b.mp4",1']


def test_file_name_that_is_not_utf8_keeps_its_bytes(tmp_path):
    name = os.fsdecode(b"train_\xe9.mp4")
    write_csv(tmp_path / "a.csv", ["path"], [[name]])
    assert (tmp_path / "a.csv").read_bytes().split() == [b"path", b"train_\xe9.mp4"]
    write_json(tmp_path / "a.json", name)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == name


def test_number_that_json_does_not_have_is_null(tmp_path):
    write_json(tmp_path / "a.json", {"rows": [{"map": math.nan}], "loss": math.inf, "n": 0.5})
    found = json.loads((tmp_path / "a.json").read_text())
    assert found == {"rows": [{"map": None}], "loss": None, "n": 0.5}


class Pair(NamedTuple):
    first: int
    second: float


@pytest.mark.parametrize("indent", [None, 2])
def test_all_else_is_written_as_the_standard_library_does(indent):
    value = {
        "floats": [0.1, 1e-5, 1e16, -0.0, 1 / 3, np.float64(2)],
        "text": '\u00e9\u2028\x7f\x00"\\/' + os.fsdecode(b"\xe9"),
        "empty": [{}, [], ()],
        "pair": Pair(1, 2.5),
        **{"b": None, "a": True},
        **{str(key): 2**70 for key in (3, 1)},
    }
    assert json_text(value, indent=indent) == json.dumps(value, indent=indent)


@pytest.mark.parametrize("deep", ["[" * 200_000, '{"a":' * 200_000])
def test_json_that_is_nested_without_end_is_refused(tmp_path, deep):
    (tmp_path / "deep.json").write_text(deep)
    with pytest.raises(ValueError, match="it is nested too deep"):
        read_json(tmp_path / "deep.json")


def test_byte_order_mark_is_no_part_of_a_text(tmp_path):
    (tmp_path / "a.json").write_text("[1]", encoding="utf-8-sig")
    assert read_json(tmp_path / "a.json") == [1]


def test_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="it is not an ordinary file, but a pipe or a device"):
        read_small_text(tmp_path / "pipe")


def test_text_of_too_many_bytes_is_refused(tmp_path):
    (tmp_path / "long.txt").write_text("x" * 2_000_000)
    with pytest.raises(ValueError, match="it has 2.0 MB, at most 1.0 MB are read"):
        read_small_text(tmp_path / "long.txt", most_bytes=1_000_000)
