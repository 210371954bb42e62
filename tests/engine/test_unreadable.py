import pytest

from slowfast.engine.unreadable import UnreadableVideos


def test_each_video_is_named_once_and_written(tmp_path, caplog):
    videos = UnreadableVideos(["a.mp4", "b.mp4", "c.mp4"])
    assert videos.note([(1, "InvalidDataError: moov")]) == 1
    assert videos.note([(1, "InvalidDataError: moov")]) == 1
    videos.merge()
    assert videos.note([(1, "InvalidDataError: moov")]) == 0
    videos.write(tmp_path / "list.csv")
    assert (tmp_path / "list.csv").read_text().split() == [
        "path,reason",
        "b.mp4,InvalidDataError:",
        "moov",
    ]


def test_too_large_a_share_stops_and_names_them():
    videos = UnreadableVideos(["a.mp4", "b.mp4"], max_share=0.4)
    videos.note([(0, "InvalidDataError: moov")])
    with pytest.raises(ValueError, match="(?s)MAX_UNREADABLE_SHARE: 1 of 2.*0.4.*a.mp4: Invalid"):
        videos.merge()


def test_nothing_unreadable_writes_no_file(tmp_path):
    UnreadableVideos(["a.mp4"]).write(tmp_path / "list.csv")
    assert not (tmp_path / "list.csv").exists()
