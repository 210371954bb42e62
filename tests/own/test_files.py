"""Files of a run: lists that the datasets read, and requests that go on or are refused."""

from pathlib import Path

import pytest

from slowfast.datasets.annotations.kinetics import ListRules, read_rows
from slowfast.datasets.records import Record
from slowfast.own.files import CONFIG, find_config, write_lists, write_request
from slowfast.own.videos import OwnVideos


@pytest.mark.parametrize("name", ["a b.mp4", "a,1.mp4", 'say "hi".mp4', "7", "take 5,3", "é.mp4"])
@pytest.mark.parametrize("labels", [(2,), (0, 2)])
def test_lists_are_read_as_they_were_written(tmp_path, name, labels):
    record = Record(f"/videos/{name}", labels=labels)
    videos = OwnVideos(Path("/videos"), list("abc"), {"train": [record]}, is_multi_label=True)
    write_lists(tmp_path, videos, [])
    rules = ListRules("labels", ",", counts=(3,), is_multi_label=True)
    (row,) = read_rows(tmp_path / "lists/train.csv", rules)
    assert (row.video.path, row.video.labels, row.problem) == (name, labels, "")


@pytest.fixture
def begun(tmp_path):
    """A run that was begun by the request {"from": "a"}."""
    (tmp_path / CONFIG).touch()
    write_request(tmp_path, {"from": "a"})
    return tmp_path


def test_same_request_goes_on(begun):
    assert find_config(begun, {"from": "a"}) == begun / CONFIG


def test_another_request_begins_anew_where_nothing_was_trained(begun):
    assert find_config(begun, {"from": "b"}) is None


def test_another_request_is_refused_where_something_was_trained(begun):
    (begun / "checkpoints").mkdir()
    (begun / "checkpoints/checkpoint_epoch_00001.pyth").touch()
    with pytest.raises(ValueError, match="begun in another way \\(from: 'a' -> 'b'\\)"):
        find_config(begun, {"from": "b"})
