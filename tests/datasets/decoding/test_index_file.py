import os
import pickle
import shutil
import zlib
from types import SimpleNamespace

import numpy as np
import pytest

from slowfast.datasets.decoding import index_file
from slowfast.datasets.decoding.index_file import (
    load_index,
    open_index,
    pack_index,
    unpack_index,
    write_index,
)
from slowfast.datasets.decoding.video import scan_video
from slowfast.datasets.records import Record, frame_files


@pytest.fixture
def folder(tmp_path, video_dir):
    """A folder with three videos, 0.mp4 to 2.mp4."""
    (tmp_path / "data").mkdir()
    for number in range(3):
        shutil.copy(video_dir / f"video{number}.mp4", tmp_path / "data" / f"{number}.mp4")
    return tmp_path / "data"


@pytest.fixture
def videos(folder):
    return [str(folder / f"{number}.mp4") for number in range(3)]


def test_packing_loses_nothing(video_dir):
    index = scan_video(video_dir / "video0.mp4")
    assert index.key_times and unpack_index(pack_index(index)) == index


def test_packing_an_index_without_times(tmp_path, numbered_frames):
    import av

    with av.open(str(tmp_path / "v.avi"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for picture in numbered_frames(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode(None))
    index = scan_video(tmp_path / "v.avi")
    assert index.pts == () and unpack_index(pack_index(index)) == index


def test_regular_times_take_little_room():
    index = index_file.VideoIndex(30_000, 30.0, index_file.array("q", range(0, 15_360_000, 512)))
    assert len(pack_index(index)) < 1000


def test_what_is_found_is_what_a_scan_gives(tmp_path, videos):
    assert write_index(tmp_path / "index", videos) == {}
    loaded = load_index(tmp_path / "index")
    assert len(loaded) == 3
    assert all(loaded.find(video) == scan_video(video) for video in videos)


def test_paths_may_be_relative_or_absolute(folder, videos, monkeypatch):
    monkeypatch.chdir(folder.parent)
    write_index("data/index", ["data/0.mp4", videos[1]])
    loaded = load_index("data/index")
    assert loaded.find("data/1.mp4") and loaded.find("data/../data/0.mp4")
    monkeypatch.chdir(folder)
    assert loaded.find("0.mp4") and loaded.find(videos[0])


def test_index_moves_with_its_videos(folder, videos):
    write_index(folder / "index", videos)
    moved = folder.rename(folder.with_name("elsewhere"))
    assert load_index(moved / "index").find(moved / "2.mp4") is not None


def test_names_of_any_kind(folder):
    names = ["-ü.mp4", "a b,c.mp4", os.fsdecode(b"\xff\xfe.mp4")]
    videos = [str(folder / name) for name in names]
    for video in videos:
        shutil.copy(folder / "0.mp4", video)
    assert write_index(folder / "index", videos) == {}
    assert all(load_index(folder / "index").find(video) for video in videos)


def test_unknown_changed_and_missing_videos_are_not_found(folder, videos):
    write_index(folder / "index", videos[:2])
    loaded = load_index(folder / "index")
    os.utime(videos[0])
    os.remove(videos[1])
    assert [loaded.find(video) for video in videos] == [None, None, None]


def test_unreadable_videos_are_reported_and_left_out(folder, videos):
    (folder / "1.mp4").write_text("no video")
    failures = write_index(folder / "index", [*videos, "none.mp4"])
    assert failures.keys() == {videos[1], "none.mp4"}
    assert failures["none.mp4"] == "FileNotFoundError: No such file or directory"
    assert len(load_index(folder / "index")) == 2


def test_only_new_and_changed_videos_are_scanned_again(folder, videos, monkeypatch):
    write_index(folder / "index", videos[:2])
    os.utime(videos[0])
    scanned, scan = [], index_file.scan_video
    monkeypatch.setattr(index_file, "scan_video", lambda p, **_: scanned.append(p) or scan(p))
    write_index(folder / "index", videos[1:] + videos[:1])
    assert sorted(scanned) == [videos[0], videos[2]]
    assert all(load_index(folder / "index").find(video) for video in videos)


def test_what_is_done_survives_an_interruption(folder, videos, monkeypatch):
    scan = index_file.scan_video

    def interrupted(path, **_):
        if path == videos[2]:
            raise KeyboardInterrupt
        return scan(path)

    monkeypatch.setattr(index_file, "scan_video", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_index(folder / "index", videos)
    assert len(load_index(folder / "index")) == 2


def test_what_is_done_is_saved_now_and_then(folder, videos, monkeypatch):
    known = []

    def run(function, paths):
        for path in paths:
            yield path, function(path)
            known.append(len(load_index(folder / "index")))

    monkeypatch.setattr(index_file, "_SECONDS_BETWEEN_SAVES", 0)
    write_index(folder / "index", videos, run=run)
    assert known == [1, 2, 3]


def test_results_may_come_in_any_order_or_fail(folder, videos):
    def run(function, paths):
        yield paths[2], function(paths[2])
        yield paths[1], SimpleNamespace(reason="WorkerDied: SIGSEGV")
        yield paths[0], function(paths[0])

    failures = write_index(folder / "index", videos, run=run)
    assert failures == {videos[1]: "WorkerDied: SIGSEGV"}
    loaded = load_index(folder / "index")
    assert [loaded.find(video) is None for video in videos] == [False, True, False]


def test_an_index_without_videos(tmp_path):
    write_index(tmp_path / "index", [])
    assert load_index(tmp_path / "index").find("a.mp4") is None


@pytest.mark.parametrize("content", [b"", b"text", pickle.dumps({}), b"PK\x03\x04"])
def test_other_files_are_refused_and_not_overwritten(content, tmp_path, videos):
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(ValueError, match="other' is not an index file"):
        load_index(tmp_path / "other")
    with pytest.raises(ValueError, match="is not an index file"):
        write_index(tmp_path / "other", videos)
    assert (tmp_path / "other").read_bytes() == content


@pytest.mark.slow
def test_an_index_file_that_unpacks_to_far_more_is_refused_before_it_is(tmp_path):
    np.savez_compressed(tmp_path / "bomb.npz", version=2, packed=np.zeros(1 << 26, np.uint8))
    with pytest.raises(ValueError, match="is not an index file .*would unpack to 671"):
        load_index(tmp_path / "bomb.npz")


def test_the_index_of_one_video_is_unpacked_up_to_a_limit(monkeypatch):
    monkeypatch.setattr(index_file, "_MAX_UNPACKED", 1000)
    with pytest.raises(ValueError, match="an index of more than 1000 bytes"):
        unpack_index(zlib.compress(bytes(5000)))


def test_a_video_whose_entry_is_bad_is_not_found(tmp_path, videos, monkeypatch):
    monkeypatch.setattr(index_file, "pack_index", lambda index: b"not packed")
    write_index(tmp_path / "index", videos)
    assert load_index(tmp_path / "index").find(videos[0]) is None


def test_the_key_names_the_file(tmp_path, videos):
    path = str(tmp_path / "index")
    write_index(path, videos)
    assert open_index("", []) is None
    assert len(open_index(path, [])) == 3
    with pytest.raises(ValueError, match="DATA.INDEX_FILE: .*none"):
        open_index(str(tmp_path / "none"), [])


def test_an_index_of_other_videos_is_named(tmp_path, videos, caplog):
    path = str(tmp_path / "index")
    write_index(path, videos[:1])
    open_index(path, [Record(video) for video in videos])
    open_index(path, [Record("1", frames=frame_files(["1/1.jpg"]))])
    assert not caplog.text
    open_index(path, [Record(f"{number}.mp4") for number in range(250)])
    assert "index knows none of 84 videos, for example 0.mp4" in caplog.text
