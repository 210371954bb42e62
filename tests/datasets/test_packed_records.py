import pickle

import numpy as np
import pytest

from slowfast.datasets import packed_records
from slowfast.datasets.annotations import list_files
from slowfast.datasets.annotations.kinetics import ListRules, read_records
from slowfast.datasets.balance import count_labels
from slowfast.datasets.packed_records import PackedRecords, digest, labels_of, pack
from slowfast.datasets.records import KeyFrame, Record, TimedLabels, frame_files

PLAIN = [Record("/d/a/1.mp4", 2), Record("/d/b/1.mp4", 0), Record("/d/a/\udce9 2.mp4"), Record("x")]
SEVERAL = [Record("/d/1.mp4", labels=(3, 1)), Record("/d/2.mp4", labels=(0, 2), part=(0.5, 2.0))]
KEY = KeyFrame("a,0902", 902.0, np.zeros((1, 4), np.float32), ((1,),))
OTHERS = [
    Record("/d/folder", 1, frame_files(["/d/folder/1.jpg", "/d/folder/2.jpg"])),
    Record("/d/empty", 1, frame_files([])),
    Record("/d/spans.mp4", spans=TimedLabels(((3, 0.0, 2.0),))),
    Record("/d/flow", 1, is_flow=True),
]


@pytest.mark.parametrize("records", [[], PLAIN, SEVERAL, OTHERS, PLAIN + SEVERAL + OTHERS])
def test_packed_records_are_the_records(records):
    packed = pack(records)
    assert packed == records and records == packed and list(packed) == records
    assert len(packed) == len(records) and packed[1:3] == records[1:3]


def test_key_frames_share_the_frames_of_their_video():
    frames = frame_files([f"/d/v/{name}.jpg" for name in "aqz"])
    records = [Record("/d/v", key=KEY, frames=frames), Record("/d/v", key=KEY, frames=frames)]
    packed = pack(PLAIN + records)
    found = packed[-1]
    assert found.frames == frames and packed[0].frames is None is packed[0].key
    assert (found.key.key, found.key.labels) == (KEY.key, KEY.labels)
    np.testing.assert_array_equal(found.key.boxes, KEY.boxes)
    assert len(packed.columns["frames_ends"]) == 1


def test_blocks_with_and_without_details_are_joined():
    packer = packed_records.RecordPacker()
    for records in (PLAIN, OTHERS, PLAIN):
        packer.add(records)
    assert list(packer.pack()) == PLAIN + OTHERS + PLAIN


def test_places_count_from_the_end_and_end():
    assert pack(PLAIN)[-1] == Record("x")
    with pytest.raises(IndexError):
        pack(PLAIN)[4]


def test_records_can_be_put_before_and_behind():
    assert PLAIN + pack(OTHERS) == PLAIN + OTHERS and pack(PLAIN) + OTHERS == PLAIN + OTHERS


@pytest.mark.parametrize("large", [0, 1 << 24])
def test_packed_records_go_to_another_process(large, monkeypatch):
    monkeypatch.setattr(packed_records, "_LARGE", large)
    packed = pack(PLAIN + SEVERAL)
    copy = pickle.loads(pickle.dumps(packed))
    assert copy == packed and isinstance(copy.columns["names"].base, np.memmap) == (not large)


def test_digest_is_of_the_list_not_of_its_place():
    moved = [Record(record.path.replace("/d/", "/other/d/"), record.label) for record in PLAIN]
    assert digest(PLAIN) == digest(pack(PLAIN)) == digest(moved)
    assert len({digest(each) for each in (PLAIN, PLAIN[::-1], SEVERAL, OTHERS, [])}) == 5


def test_a_key_frames_labels_change_the_digest():
    other = KeyFrame(KEY.key, KEY.place, KEY.boxes, ((2,),))
    assert digest([Record("a", key=KEY)]) != digest([Record("a", key=other)])


def test_classes_are_counted_without_records():
    for records, counts in (
        (PLAIN, [4]),
        (SEVERAL, [4]),
        (PLAIN + SEVERAL, [4]),
        (SEVERAL, [4, 4]),
    ):
        pairs = zip(count_labels(pack(records), counts), count_labels(records, counts), strict=True)
        assert all((one == other).all() for one, other in pairs)
    assert labels_of(pack(PLAIN)).tolist() == [2, 0, -1, -1]


@pytest.mark.parametrize("at_a_time", [1, 500_000])
def test_missing_files_are_found_folder_by_folder(at_a_time, tmp_path, monkeypatch):
    monkeypatch.setattr(list_files, "_MANY", at_a_time)
    for name in ("a/1.mp4", "b/2.mp4"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    records = [Record(str(tmp_path / name), 0) for name in ("a/1.mp4", "b/1.mp4", "b/2.mp4")]
    missing = list_files.find_missing(pack(records))
    assert missing == list_files.find_missing(records) and list(missing) == [records[1].path]
    found = list_files.look_for_files(pack(records), tmp_path)
    assert found == list_files.look_for_files(records, tmp_path) and len(found) == 1


class TestReading:
    @pytest.fixture
    def read(self, tmp_path, monkeypatch):
        monkeypatch.setattr(list_files, "_NUM_PROBED", 1)
        monkeypatch.setattr(list_files, "_BLOCK", 1)

        def read(*lines, separator=" ", count=9):
            path = tmp_path / "train.csv"
            path.write_text("\n".join(lines), encoding="utf-8")
            return read_records(path, ListRules(prefix="/p", separator=separator, counts=(count,)))

        return read

    def test_plain_and_other_lines_give_the_same_as_all_read_slowly(self, read):
        lines = ["a.mp4 1", "b/c d.mp4 0", "", "  b/x.avi 3 ", '"b/q 2" 3', "/abs/é.mp4 4", "b/4 5"]
        paths = ["a.mp4", "b/c d.mp4", "b/x.avi", "b/q 2", "/abs/é.mp4", "b/4"]
        records = read(*lines)
        assert isinstance(records, PackedRecords)
        assert [record.path for record in records] == [
            path if path[0] == "/" else f"/p/{path}" for path in paths
        ]
        assert [record.label for record in records] == [1, 0, 3, 3, 4, 5]

    def test_the_separator_may_be_in_a_path(self, read):
        (_, record) = read("a.mp4,1", "b,c/d,3.mp4,2", separator=",")
        assert record == Record("/p/b,c/d,3.mp4", 2)

    @pytest.mark.parametrize(
        "line, reason",
        [
            ("b/c.mp4 9", "label 9 is not within 0..8"),
            ("b/c.mp4", "no label"),
            ("no://b/c.mp4 1", "'no://b/c.mp4' cannot be read"),
        ],
    )
    def test_a_wrong_line_far_down_is_named(self, read, line, reason):
        with pytest.raises(ValueError, match=f"train.csv:3: .*{reason}"):
            read("a.mp4 1", "a/b.mp4 2", line, "d.mp4 1")
