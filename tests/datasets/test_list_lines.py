import os
import re

import pytest

from slowfast.datasets.list_lines import (
    Disk,
    LineFormat,
    line_hint,
    local_path,
    path_hint,
    recognise,
)
from slowfast.utils.video_names import is_video

LINES = {
    "path and label": ("a/b.mp4 3", " ", ("a/b.mp4", (3,))),
    "spaces in the path": ("air drumming/my clip.mp4 3", " ", ("air drumming/my clip.mp4", (3,))),
    "a name that ends in a number": ('"clips/take 5" 2', " ", ("clips/take 5", (2,))),
    "a name that is a number": ("17 2", " ", ("17", (2,))),
    "several spaces": ("a.mp4    3  ", " ", ("a.mp4", (3,))),
    "comma": ("dir/a,b.mp4,3", ",", ("dir/a,b.mp4", (3,))),
    "comma and space": ("a b.mp4, 3", ",", ("a b.mp4", (3,))),
    "tab": ("a b.mp4\t3", "\t", ("a b.mp4", (3,))),
    "quotes": ('"a b, c.mp4","3"', ",", ("a b, c.mp4", (3,))),
    "quotes within quotes": ('"the ""a"".mp4" 3', " ", ('the "a".mp4', (3,))),
    "an id that begins with a dash": ("-3B32lodo2M.mp4 0", " ", ("-3B32lodo2M.mp4", (0,))),
    "carriage return": ("a.mp4 3\r\n", " ", ("a.mp4", (3,))),
}


@pytest.mark.parametrize("name", LINES)
def test_line_of_one_label(name):
    line, separator, expected = LINES[name]
    assert LineFormat("labels", separator).parse(line)[:2] == expected


LABELS = {
    "spaces": ("a.mp4 0 3 7", " "),
    "commas": ("a.mp4 0,3,7", " "),
    "commas and spaces": ("a.mp4 0, 3, 7", " "),
    "a comma as separator": ("a.mp4,0,3,7", ","),
    "quoted in a csv": ('a.mp4,"0,3,7"', ","),
    "tabs and commas": ("a.mp4\t0,3,7", "\t"),
}


@pytest.mark.parametrize("name", LABELS)
def test_line_of_several_labels(name):
    line, separator = LABELS[name]
    assert LineFormat("labels", separator, None).parse(line)[:2] == ("a.mp4", (0, 3, 7))


def test_line_with_a_label_of_each_target():
    assert LineFormat("labels", " ", 2).parse("a.mp4 5 60").labels == (5, 60)


@pytest.mark.parametrize("line", ["abseiling/xyz 300 0", '"abseiling/xyz" 300 0'])
def test_line_of_a_frame_folder(line):
    video = LineFormat("frames", " ").parse(line)
    assert (video.path, video.num_frames, video.labels) == ("abseiling/xyz", 300, (0,))


@pytest.mark.parametrize("times", ["61.5 63", "1:01.5 1:03.00", "00:01:01.50 00:01:03.00"])
def test_line_of_a_part(times):
    video = LineFormat("parts", " ", 2).parse(f"v/P01.mp4 {times} 4 9")
    assert video == ("v/P01.mp4", (4, 9), None, (61.5, 63.0))


@pytest.mark.parametrize(
    ("kind", "num_labels", "line", "reason"),
    [
        ("labels", 1, "c.mp4 0 3", "2 numbers.*DATA.MULTI_LABEL.*NUM_CLASSES.*LIST_FORMAT frames"),
        ("labels", 1, "c.mp4 0 3 1", "3 numbers.*LIST_FORMAT parts .* start and end in seconds"),
        ("labels", 1, "c.mp4 0,3", "has 2 numbers"),
        ("labels", 1, "c.mp4 \uff13", "the label .* is not an integer"),
        (
            *("labels", 2, "c.mp4 3"),
            "1 number, but a line is `path label label` with 2 labels; set MODEL.NUM_CLASSES to",
        ),
        ("frames", 1, "c 3", "is not `path num_frames label`"),
        ("frames", 1, "c -3 1", "number of frames '-3'"),
        ("frames", 1, "c 3.5 1", "number of frames '3.5'"),
        ("parts", 1, "c.mp4 2 1", "is not `path start end label`"),
        ("parts", 1, "c.mp4 2.0 2.0 1", "from 2.0 to 2.0 s .* must end after its start"),
        ("parts", 1, "c.mp4 -1 2.0 1", "the time '-1' is not in seconds from 0"),
        ("labels", None, "c.mp4 1 2.5", "the label '2.5' is not an integer"),
        ("labels", 1, "c.mp4 0,", "the label '0,' is not an integer"),
    ],
)
def test_line_of_another_format_is_refused(kind, num_labels, line, reason):
    with pytest.raises(ValueError, match=reason):
        LineFormat(kind, " ", num_labels).parse(line)


def test_long_line_is_shortened():
    with pytest.raises(ValueError) as error:
        LineFormat("labels", " ").parse("x" * 10_000)
    assert len(str(error.value)) < 300


@pytest.fixture
def kind_of(tmp_path):
    """Function (lines, labels of a line) -> kind; v.mp4 is a file, f a folder of 2 images."""
    (tmp_path / "v.mp4").touch()
    (tmp_path / "f").mkdir()
    disk = Disk(
        is_folder=lambda name: (tmp_path / name).is_dir(),
        exists=lambda name: (tmp_path / name).exists(),
        num_images=lambda name: 2,
        is_video_name=is_video,
    )
    return lambda lines, num_labels=1: recognise(lines, " ", num_labels, disk)


@pytest.mark.parametrize(
    ("lines", "num_labels", "kind"),
    [
        (["v.mp4 3"], 1, "labels"),
        (["f 3"], 1, "labels"),
        (["v.mp4 2 3"], 1, "labels"),
        (["v.mp4 2 3"], 2, "labels"),
        (["f 2 3"], 1, "frames"),
        (["f 2 3"], 2, "labels"),
        (["f 2 3 4"], 2, "frames"),
        (["gone 2 3"], 1, "frames"),
        (["gone.mp4 2 3"], 1, "labels"),
        (["v.mp4 0 2 3", "v.mp4 2.5 4 3"], 1, "parts"),
        (["v.mp4 0 2 3"], 1, "labels"),
        (["v.mp4 0:00:01 0:00:02 3"], 1, "parts"),
        (["v.mp4 0.0 2.0 3 4"], 2, "parts"),
        (["v.mp4 0 2 3", "v.mp4 1"], None, "labels"),
        (["v.mp4 0.0 2.0 3 1"], None, "parts"),
        (["f 2 3 1"], None, "frames"),
        (["f 1 3"], None, "labels"),
        ([], 1, "labels"),
    ],
)
def test_kind_is_recognised(lines, num_labels, kind, kind_of):
    assert kind_of(lines, num_labels) == kind


def test_format_shows_its_fields():
    assert str(LineFormat("parts", " ", None)) == "path start end label ..."
    assert str(LineFormat("labels", ",", 2)) == "path,label,label"


BAD_LINES = [
    ("v/a.mp4,1", " ", r"commas: set DATA.PATH_LABEL_SEPARATOR ','"),
    ("v/a.mp4\t1", " ", r"tabs: set DATA.PATH_LABEL_SEPARATOR '\\t'"),
    ("v/a.mp4;1", " ", r"semicolons"),
    ("v/a.mp4 1", ",", r"spaces: set DATA.PATH_LABEL_SEPARATOR ' '"),
    ("label,youtube_id,time_start,time_end,split", " ", "kinetics-lists"),
    ("label,youtube_id,time_start,time_end,split", ",", "kinetics-lists"),
    ("abseiling,_4YTwq0-73Y,21,31,train", ",", "kinetics-lists"),
    (",path,label", ",", "header.*index=False"),
    ("video label", " ", "header"),
    ("# videos of Monday", " ", "no comments"),
    ("v/a.mp4\u00a01", " ", "no-break"),
    ("v/a.mp4,nan", ",", "the label is empty"),
    ("v/a.mp4,", ",", "the line ends in ','"),
    ("v/a.mp4,0,", ",", "the line ends in ','"),
    ("0 v/a.mp4", " ", "the label seems to stand first"),
    ('{"v/a.mp4": 0}', " ", "JSON"),
    ("v/a.mp4 0,", " ", "remove the ','"),
    ("v/a.mp4 2.0", " ", "write 2: pandas"),
    ("v/a.mp4 0.75", " ", "values to regress"),
    ("v/a.mp4 +1", " ", "write 1"),
    ("v/a.mp4 jump", " ", "classes.txt: write its number, 1"),
    ("v/a.mp4 [0,3]", " ", "without brackets"),
    ("v/a.mp4 0.0 1.0", " ", "look like the times of a part: the label follows"),
    ("v/a.mp4,3,train", ",", "'train' seems to be a split"),
    ("v/a.mp4 swim", " ", "labels are numbers from 0"),
]


@pytest.mark.parametrize(("line", "separator", "hint"), BAD_LINES)
def test_cause_of_a_line_that_cannot_be_read(line, separator, hint):
    assert re.search(hint, line_hint(line, 1, separator, {"walk": 0, "jump": 1}))


def test_paths_that_a_shell_would_expand(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("DATA", "/d")
    assert local_path("~/v/a.mp4") == "/home/me/v/a.mp4"
    assert local_path("$HOME/a.mp4") == "/home/me/a.mp4"
    assert local_path("${DATA}/a.mp4") == "/d/a.mp4"
    assert local_path("file:///d/my%20clip.mp4") == "/d/my clip.mp4"


@pytest.mark.parametrize("name", ["a$HOME.mp4", "$5.mp4", "v/~a.mp4", "a:b.mp4", "100%.mp4"])
def test_names_with_signs_stay(name):
    assert local_path(name) == name


@pytest.mark.parametrize("name", ["http://host/a.mp4", "memory://b/a.mp4"])
def test_addresses_stay(name):
    assert local_path(name) == name


def test_address_of_a_member_is_its_path_behind_the_tar():
    assert local_path("tar://c/a.mp4::memory://b/x.tar") == "memory://b/x.tar/c/a.mp4"
    assert local_path("tar://a.mp4::~/x.tar") == f"{os.path.expanduser('~')}/x.tar/a.mp4"


@pytest.mark.parametrize(("name", "reason"), [("no://a.mp4", "not known"), ("gs://a", "gcsfs")])
def test_address_that_nothing_reads_is_refused(name, reason):
    with pytest.raises(ValueError, match=f"the path {name!r} cannot be read: .*{reason}"):
        local_path(name)


def test_unset_variable_is_named():
    with pytest.raises(ValueError, match="'.NO_SUCH_FOLDER/a.mp4' begins with a variable"):
        local_path("$NO_SUCH_FOLDER/a.mp4")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("v\\a.mp4", "backslashes"),
        ("C:\\v\\a.mp4", "Windows"),
        ("C:/v/a.mp4", "Windows"),
        ("'a.mp4'", "single quotes"),
        ("a.mp4,", "ends in ','"),
        ("0,v/a.mp4", "column of line numbers"),
        ("#a.mp4", "no comments"),
        ("v/a.mp4 0.5-1.0", "v/a.mp4': the text after it is not understood"),
        ("v/a", "there is 'a.mp4': write names with their suffix"),
    ],
)
def test_cause_of_a_path_that_leads_nowhere(name, hint, tmp_path):
    (tmp_path / "v").mkdir()
    (tmp_path / "v/a.mp4").touch()
    assert hint in path_hint(name, os.path.join(tmp_path, name))
