import glob
import os
import tempfile

import numpy as np
import pytest

from slowfast.datasets import packed_records
from slowfast.datasets.packed_records import PackedRecords
from slowfast.datasets.read_once import read_once
from slowfast.datasets.records import Annotations, Record

RECORDS = [Record("/d/a.mp4", 1), Record("/d/b.mp4", 0)]


def read_in(folder) -> Annotations:
    (folder / f"read_{os.getpid()}").touch()
    return Annotations(list(RECORDS), ["no", "yes"])


def read_together(rank, folder):
    tempfile.tempdir = str(folder)
    packed_records._LARGE = 0
    found = read_once(lambda: read_in(folder))
    assert found.records == RECORDS and found.class_names == ["no", "yes"]
    assert isinstance(found.records.columns["names"].base, np.memmap)


def read_without_room(rank, folder):
    tempfile.tempdir = str(folder)
    packed_records.PackedRecords.__reduce__ = fail
    assert read_once(lambda: read_in(folder)).records == RECORDS


def read_badly(rank, folder):
    def read():
        raise ValueError(f"{folder}:1: no label")

    with pytest.raises(ValueError, match="no label"):
        read_once(read)


def fail(*_):
    raise OSError("No space left on device")


def test_one_process_reads_packed_records(tmp_path):
    assert isinstance(read_once(lambda: read_in(tmp_path)).records, PackedRecords)


def test_one_of_two_processes_reads_and_leaves_no_file(run_in_two, tmp_path):
    run_in_two(read_together, tmp_path)
    assert len(glob.glob(f"{tmp_path}/read_*")) == 1
    assert not glob.glob(f"{tmp_path}/slowfast_*")


def test_both_read_where_there_is_no_room_for_a_file(run_in_two, tmp_path):
    run_in_two(read_without_room, tmp_path)
    assert len(glob.glob(f"{tmp_path}/read_*")) == 2


def test_both_say_why_the_list_cannot_be_read(run_in_two, tmp_path):
    run_in_two(read_badly, tmp_path)
