from functools import partial

import pytest

from slowfast.datasets.annotations.kinetics import build_kinetics, parse_line, read_list
from slowfast.datasets.records import Record
from tests.helpers.annotation_files import build_annotations

LINES = {
    "path and label": ("a/b.mp4 3", " ", ("a/b.mp4", 3)),
    "spaces in the path": ("air drumming/my clip.mp4 3", " ", ("air drumming/my clip.mp4", 3)),
    "number of frames in between": ("abseiling/xyz 300 0", " ", ("abseiling/xyz", 0)),
    "frames and spaces": ("air drumming/xyz 300 0", " ", ("air drumming/xyz", 0)),
    "a name that ends in a number": ('"clips/take 5" 2', " ", ("clips/take 5", 2)),
    "several spaces": ("a.mp4    3  ", " ", ("a.mp4", 3)),
    "comma": ("dir/a,b.mp4,3", ",", ("dir/a,b.mp4", 3)),
    "comma and space": ("a b.mp4, 3", ",", ("a b.mp4", 3)),
    "tab": ("a b.mp4\t3", "\t", ("a b.mp4", 3)),
    "quotes": ('"a b, c.mp4","3"', ",", ("a b, c.mp4", 3)),
    "quotes within quotes": ('"the ""a"".mp4" 3', " ", ('the "a".mp4', 3)),
    "an id that begins with a dash": ("-3B32lodo2M.mp4 0", " ", ("-3B32lodo2M.mp4", 0)),
    "carriage return": ("a.mp4 3\r\n", " ", ("a.mp4", 3)),
}


@pytest.mark.parametrize("name", LINES)
def test_line(name):
    line, separator, expected = LINES[name]
    assert parse_line(line, separator) == expected


@pytest.fixture
def write_list(tmp_path):
    def write(content, **options):
        path = tmp_path / "train.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_list(path, **{"separator": " ", "prefix": "/p", "num_classes": 4, **options})

    return write


def test_blank_lines_windows_ends_and_a_missing_last_newline(write_list):
    records = write_list("a.mp4 0\r\n\r\n  \nb.mp4 1")
    assert records == [Record("/p/a.mp4", 0), Record("/p/b.mp4", 1)]


def test_byte_order_mark_is_no_part_of_the_first_path(write_list):
    assert write_list("\ufeffa.mp4 0\n") == [Record("/p/a.mp4", 0)]


def test_names_that_are_not_utf8_reach_the_file_system(write_list):
    (record,) = write_list(b"caf\xe9.mp4 0\n")
    assert record.path.encode(errors="surrogateescape") == b"/p/caf\xe9.mp4"


def test_repeated_lines_are_kept(write_list):
    assert len(write_list("a.mp4 0\na.mp4 0\n")) == 2


def test_paths_start_from_the_folder_of_the_list(write_list, tmp_path):
    assert write_list("a.mp4 0\n", prefix="") == [Record(str(tmp_path / "a.mp4"), 0)]


def test_absolute_paths_stay(write_list):
    assert write_list("/q/a.mp4 0\n") == [Record("/q/a.mp4", 0)]


@pytest.mark.parametrize(
    "line, reason",
    [
        ("b.mp4", "no label in 'b.mp4' .separator ' '"),
        ("my b.mp4", "the label 'b.mp4' is not an integer"),
        ("b.mp4 dancing", "the label 'dancing' is not an integer"),
        ("b.mp4 1.0", "the label '1.0' is not an integer"),
        ("b.mp4,1", "no label in 'b.mp4,1' .separator ' '"),
        ("b.mp4 4", r"label 4 is not within 0..3 \(MODEL.NUM_CLASSES 4\)"),
        ("b.mp4 -1", "label -1 is not within 0..3"),
    ],
)
def test_bad_line_is_named(line, reason, write_list):
    with pytest.raises(ValueError, match=f"train.csv:3: {reason}"):
        write_list(f"a.mp4 0\n\n{line}\n")


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_list_without_videos(content, write_list):
    with pytest.raises(ValueError, match="train.csv: the list holds no videos"):
        write_list(content)


build = partial(build_annotations, build_kinetics, num_classes=4)


def test_each_split_has_its_list(video_dir):
    annotations = build(video_dir, "val")
    assert [record.label for record in annotations.records] == [2, 3]
    assert annotations.records[0].path == str(video_dir / "video6.mp4")


def test_missing_list_names_the_key_and_what_is_there(tmp_path):
    (tmp_path / "val.csv").write_text("a.mp4 0\n")
    with pytest.raises(
        ValueError, match=r"DATA.PATH_TO_DATA_DIR: .* holds no train.csv .*\['val.csv'\]"
    ):
        build(tmp_path)


def test_missing_folder_names_the_key(tmp_path):
    with pytest.raises(ValueError, match="DATA.PATH_TO_DATA_DIR: .*none' holds no train.csv"):
        build(tmp_path / "none")


def test_list_of_which_no_video_exists_names_the_prefix(tmp_path):
    (tmp_path / "train.csv").write_text("a.mp4 0\nb.mp4 1\n")
    with pytest.raises(ValueError, match="none of its videos exists.*a.mp4.*DATA.PATH_PREFIX"):
        build(tmp_path)


def test_path_prefix_takes_the_place_of_the_folder(tmp_path, video_dir):
    (tmp_path / "train.csv").write_text("video0.mp4 0\n")
    records = build(tmp_path, PATH_PREFIX=str(video_dir)).records
    assert records == [Record(str(video_dir / "video0.mp4"), 0)]


def test_class_names_stand_beside_the_list(tmp_path, video_dir):
    (tmp_path / "train.csv").write_text(f"{video_dir}/video0.mp4 0\n")
    (tmp_path / "classes.txt").write_text("air drumming\nb\nc\nd\n")
    assert build(tmp_path).class_names == ["air drumming", "b", "c", "d"]


def test_class_names_may_be_missing(video_dir):
    assert build(video_dir).class_names is None


def test_number_of_class_names_is_checked(tmp_path, video_dir):
    (tmp_path / "train.csv").write_text(f"{video_dir}/video0.mp4 0\n")
    (tmp_path / "classes.txt").write_text("a\nb\n")
    with pytest.raises(ValueError, match="classes.txt: 2 class names, but MODEL.NUM_CLASSES is 4"):
        build(tmp_path)


def test_empty_separator_is_refused(video_dir):
    with pytest.raises(ValueError, match="DATA.PATH_LABEL_SEPARATOR"):
        build(video_dir, PATH_LABEL_SEPARATOR="")
