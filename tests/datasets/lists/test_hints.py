import os
import re

import pytest

from slowfast.datasets.lists.hints import line_hint, local_path, path_hint

LINES = [
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
    ("v/a.mp4,", ",", "the label is empty"),
    ("v/a.mp4 0,", " ", "remove the ','"),
    ("v/a.mp4 2.0", " ", "write 2: pandas"),
    ("v/a.mp4 0.75", " ", "values to regress"),
    ("v/a.mp4 +1", " ", "write 1"),
    ("v/a.mp4 jump", " ", "classes.txt: write its number, 1"),
    ("v/a.mp4 swim", " ", "labels are numbers from 0"),
]


@pytest.mark.parametrize(("line", "separator", "hint"), LINES)
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


@pytest.mark.parametrize("name", ["http://host/a.mp4", "https://host/a.mp4", "s3://b/a.mp4"])
def test_addresses_are_refused(name):
    with pytest.raises(ValueError, match="is an address, not a file: download"):
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
        ("v/a", "there is 'a.mp4': write names with their suffix"),
    ],
)
def test_cause_of_a_path_that_leads_nowhere(name, hint, tmp_path):
    (tmp_path / "v").mkdir()
    (tmp_path / "v/a.mp4").touch()
    assert hint in path_hint(name, os.path.join(tmp_path, name))
