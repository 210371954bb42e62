import logging
from functools import partial

import pytest

from slowfast.datasets.annotations import kinetics
from slowfast.datasets.annotations.kinetics import ListRules, build_kinetics, read_records
from slowfast.datasets.records import Record
from tests.helpers.annotation_files import build_annotations


@pytest.fixture
def write_list(tmp_path):
    def write(content, **options):
        path = tmp_path / "train.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_records(path, ListRules(**{"prefix": "/p", "counts": (4,), **options}))

    return write


def test_blank_lines_windows_ends_and_a_missing_last_newline(write_list):
    records = write_list("a.mp4 0\r\n\r\n  \nb.mp4 1")
    assert records == [Record("/p/a.mp4", 0), Record("/p/b.mp4", 1)]


def test_byte_order_mark_is_no_part_of_the_first_path(write_list):
    assert write_list("\ufeffa.mp4 0\n") == [Record("/p/a.mp4", 0)]


def test_names_that_are_not_utf8_reach_the_file_system(write_list):
    (record,) = write_list(b"caf\xe9.mp4 0\n")
    assert record.path.encode(errors="surrogateescape") == b"/p/caf\xe9.mp4"


def test_names_whose_letters_are_composed_in_another_way_are_found(write_list, tmp_path):
    (tmp_path / "cafe\u0301.mp4").touch()
    (record,) = write_list("caf\u00e9.mp4 0\n", prefix="")
    assert record.path == str(tmp_path / "cafe\u0301.mp4")


def test_repeated_lines_are_kept(write_list):
    assert len(write_list("a.mp4 0\na.mp4 0\n")) == 2


def test_paths_start_from_the_folder_of_the_list(write_list, tmp_path):
    assert write_list("a.mp4 0\n", prefix="") == [Record(str(tmp_path / "a.mp4"), 0)]


def test_absolute_paths_stay(write_list):
    assert write_list("/q/a.mp4 0\n") == [Record("/q/a.mp4", 0)]


@pytest.mark.parametrize("kind, times", [("labels", ""), ("parts", " 1.5 12")])
def test_lines_that_are_read_quickly_give_the_same_records(write_list, monkeypatch, kind, times):
    quoted = ['"my dir/a b.mp4"', '"c.mp4"', "d/e.mp4", "caf\u00e9/\u65e5\u672c.mp4", "d/x y.avi"]
    odd = ['" f.mp4"', "g\u3000.mp4", "caf\u00e9", '"h ""i"".mp4"']
    start = [f"{number}.mp4{times} 0\n" for number in range(100)]
    quick = "".join([*start, *(f"{path}{times} 3\n" for path in quoted)])
    rest = [[*start, f"{path}{times} 3\n"] for path in odd]
    contents = [quick, *map("".join, rest)]
    found, added = [], []
    add = kinetics.PlainLines.add
    monkeypatch.setattr(
        kinetics.PlainLines, "add", lambda *args: added.append(add(*args)) or added[-1]
    )
    found = [list(write_list(content, kind=kind)) for content in contents]
    assert added[0] and not any(added[1:])
    monkeypatch.setattr(kinetics.PlainLines, "add", lambda *args: False)
    for content, records in zip(contents, found, strict=True):
        assert list(write_list(content, kind=kind)) == records


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


def test_format_is_told(write_list, caplog):
    with caplog.at_level(logging.INFO):
        write_list("a.mp4 0\n")
    assert "train.csv: lines are `path label` (DATA.LIST_FORMAT auto)" in caplog.text


def test_several_labels_of_a_video(write_list):
    records = write_list("a.mp4 0 3\nb.mp4 1,2\nc.mp4 0\n", is_multi_label=True)
    assert [(r.label, r.labels) for r in records] == [(-1, (0, 3)), (-1, (1, 2)), (-1, (0,))]


def test_a_label_of_each_target(write_list):
    records = write_list("a.mp4 3 6\nb.mp4 0 0\n", counts=(4, 7))
    assert [(r.label, r.labels) for r in records] == [(-1, (3, 6)), (-1, (0, 0))]


@pytest.mark.parametrize(
    ("content", "options", "reason"),
    [
        ("a.mp4 0 3\n", {}, "train.csv:1: 'a.mp4 0 3' has 2 numbers"),
        ("a.mp4 0\nb.mp4 1 3\n", {}, "train.csv:2: 'b.mp4 1 3' has 2 numbers"),
        ("a.mp4 0 0\n", {"is_multi_label": True}, "train.csv:1: label 0 stands there twice"),
        ("a.mp4 0 4\n", {"is_multi_label": True}, "train.csv:1: label 4 is not within 0..3"),
        ("a.mp4 1 7\n", {"counts": (4, 7)}, "label 2 7 is not within 0..6 .*CLASSES .4, 7., its e"),
        ("a.mp4 1\nb.mp4 4\n", {}, "train.csv:2: label 4 .*are labels counted from 1"),
        ("a.mp4 1 0\nb.mp4 4 1\n", {"counts": (4, 7)}, "are labels counted from 1"),
        ("no://a/b.mp4 1\n", {}, "train.csv:1: the path 'no://a/b.mp4' cannot be read"),
        ("a.mp4\t0\n", {}, "train.csv:1: .*tabs: set DATA.PATH_LABEL_SEPARATOR"),
        ("v\\a.mp4 0\n", {}, r"train.csv:1: none of its videos exists; 'v\\\\a.mp4' is not there"),
        ("a.mp4 0 1\n", {"kind": "parts"}, "train.csv:1: 'a.mp4 0 1' is not `path start end"),
    ],
)
def test_line_is_refused_with_what_to_do(content, options, reason, write_list):
    with pytest.raises(ValueError, match=reason):
        write_list(content, **options)


def test_label_beyond_the_classes_where_0_occurs_is_no_shifted_list(write_list):
    with pytest.raises(ValueError) as error:
        write_list("a.mp4 0\nb.mp4 4\n")
    assert "counted from 1" not in str(error.value)


def test_utf16_is_named(write_list):
    with pytest.raises(ValueError, match="train.csv:1: the text is UTF-16.*UTF-8"):
        write_list("a.mp4 0\n".encode("utf-16"))


def test_tab_as_a_shell_gives_it(tmp_path, video_dir):
    (tmp_path / "train.csv").write_text(f"{video_dir}/video0.mp4\t0\n")
    assert build(tmp_path, PATH_LABEL_SEPARATOR="\\t").records[0].label == 0


def test_prefix_and_paths_in_the_home_folder(tmp_path, video_dir, monkeypatch):
    monkeypatch.setenv("HOME", str(video_dir))
    (tmp_path / "train.csv").write_text("video0.mp4 0\n$HOME/video1.mp4 0\n")
    paths = [record.path for record in build(tmp_path, PATH_PREFIX="~").records]
    assert paths == [str(video_dir / "video0.mp4"), str(video_dir / "video1.mp4")]


@pytest.fixture
def frame_folders(write_files, tmp_path):
    """Folders f0 and f1 of 3 images each in tmp_path, f2 without any."""
    write_files({f"f{folder}/img_{n:05d}.jpg": None for folder in range(2) for n in range(1, 4)})
    (tmp_path / "f2").mkdir()
    return tmp_path


def test_list_of_frame_folders(frame_folders, caplog):
    (frame_folders / "train.csv").write_text("f0 3 0\nf1 3 1\nf2 0 2\n")
    records = build(frame_folders).records
    assert [len(record.frames) for record in records] == [3, 3, 0]
    assert records[1].frames.path(2) == str(frame_folders / "f1/img_00003.jpg")
    assert [record.label for record in records] == [0, 1, 2]
    assert "another number" not in caplog.text


def test_folders_without_numbers_of_frames(frame_folders):
    (frame_folders / "train.csv").write_text("f0 0\nf1 1\n")
    assert [len(record.frames) for record in build(frame_folders).records] == [3, 3]


def test_other_numbers_of_frames_are_counted_once(frame_folders, caplog):
    (frame_folders / "train.csv").write_text("f0 300 0\nf1 2 1\nf1 3 1\n")
    build(frame_folders)
    (line,) = [line for line in caplog.messages if "another number" in line]
    assert "2 of 3 folders" in line and f"{frame_folders}/f0: 3, not 300; the images count" in line


def test_video_file_in_a_list_of_frame_folders_is_refused(tmp_path, video_dir):
    (tmp_path / "train.csv").write_text(f"{video_dir}/video0.mp4 20 0\n")
    with pytest.raises(ValueError, match="video0.mp4' is a file, but a line is `path num_frames"):
        build(tmp_path, LIST_FORMAT="frames")


def test_frame_rate_of_folders(frame_folders):
    (frame_folders / "train.csv").write_text("f0 3 0\n")
    assert build(frame_folders, FRAMES_FPS=12.5).records[0].frames.fps == 12.5


def test_parts_of_a_file(tmp_path, video_dir):
    path = video_dir / "video0.mp4"
    (tmp_path / "train.csv").write_text(f"{path} 0.0 0.25 1\n{path} 0.25 0.5 2\n")
    records = build(tmp_path).records
    assert [(r.part, r.label) for r in records] == [((0.0, 0.25), 1), ((0.25, 0.5), 2)]


def test_whole_seconds_are_parts_where_the_config_says_so(tmp_path, video_dir):
    (tmp_path / "train.csv").write_text(f"{video_dir}/video0.mp4 0 1 3\n")
    assert build(tmp_path, LIST_FORMAT="parts").records == [
        Record(f"{video_dir}/video0.mp4", 3, part=(0.0, 1.0))
    ]


def test_parts_of_folders_need_a_frame_rate(frame_folders):
    (frame_folders / "train.csv").write_text("f0 0.0 0.5 0\n")
    with pytest.raises(ValueError, match=r"f0 \[0, 0.5\]' is a part .*DATA.FRAMES_FPS"):
        build(frame_folders)
    (record,) = build(frame_folders, FRAMES_FPS=4.0).records
    assert (record.part, len(record.frames), record.frames.fps) == ((0.0, 0.5), 3, 4.0)
