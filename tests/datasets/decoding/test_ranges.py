"""Videos in tars and behind addresses: the frames of plain files, and what can go wrong."""

import shutil
import tarfile
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from slowfast.curation.pack import plan_tars, write_tar
from slowfast.datasets.decoding import open as opening
from slowfast.datasets.decoding import ranges, stores
from slowfast.datasets.decoding.open import open_frames
from slowfast.datasets.decoding.ranges import RangeCache, RangeFile, RangeReader
from slowfast.datasets.decoding.stores import NoAnswer, NoSuchObject, StoreError
from slowfast.datasets.decoding.tar_index import known_windows, read_windows
from slowfast.datasets.decoding.video import UnreadableVideo
from slowfast.datasets.records import Record, Window


@pytest.fixture(scope="module")
def packed(video_dir, tmp_path_factory):
    """Folder of two tars with the eight videos."""
    folder = tmp_path_factory.mktemp("packed")
    names = {str(video_dir / f"video{n}.mp4"): f"video{n}.mp4" for n in range(8)}
    total = sum((video_dir / name).stat().st_size for name in names.values())
    for tar in plan_tars(names, int(0.6 * total))[0]:
        write_tar(tar, folder=folder / "..", output=folder)
    assert len(list(folder.glob("*.tar"))) == 2
    return folder


@pytest.fixture
def count_requests(monkeypatch):
    """List of (address, first byte, bytes) of all that is asked of stores."""
    asked, real = [], stores.read_range

    def read(url, start, size, **options):
        asked.append((url, start, size))
        return real(url, start, size, **options)

    monkeypatch.setattr(stores, "read_range", read)
    return asked


def numbers(record, frame_number, **options):
    with open_frames(record, **options) as video:
        return [frame_number(frame) for frame in video.read([0, 5, 19])]


@pytest.mark.parametrize("name", ["00001.tar/video7.mp4", "0*.tar/video7.mp4"])
def test_member_of_a_tar_on_disk(packed, name, frame_number):
    assert numbers(Record(str(packed / name)), frame_number) == [0, 5, 19]


def test_tar_of_others_without_an_index(video_dir, tmp_path, frame_number):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(video_dir, ".")
    assert numbers(Record(str(tmp_path / "a.tar/video3.mp4")), frame_number) == [0, 5, 19]


def test_folder_with_the_name_of_a_tar(video_dir, tmp_path, frame_number):
    shutil.copytree(video_dir, tmp_path / "a.tar")
    assert numbers(Record(str(tmp_path / "a.tar/video3.mp4")), frame_number) == [0, 5, 19]


@pytest.mark.slow
def test_member_in_an_s3_store_comes_in_one_request(packed, bucket, frame_number, count_requests):
    url = bucket(packed)
    window = known_windows(f"{url}/00000.tar")["video1.mp4"]
    record = Record(f"{url}/00000.tar/video1.mp4", window=window)
    assert numbers(record, frame_number) == [0, 5, 19]
    assert count_requests == [(f"{url}/00000.tar", window.start, window.size)]


def test_object_in_an_s3_store(video_dir, bucket, frame_number):
    assert numbers(Record(f"{bucket(video_dir)}/video2.mp4"), frame_number) == [0, 5, 19]


@pytest.mark.parametrize("name", ["00000.tar/video1.mp4", "*.tar/video1.mp4"])
def test_member_in_memory(packed, name, frame_number):
    import fsspec

    system = fsspec.filesystem("memory")
    for path in packed.glob("0*"):
        system.pipe_file(f"/packed/{path.name}", path.read_bytes())
    assert numbers(Record(f"memory://packed/{name}"), frame_number) == [0, 5, 19]


def test_file_and_member_from_a_web_server(packed, video_dir, web_server, frame_number):
    assert numbers(Record(f"{web_server(video_dir)}/video1.mp4"), frame_number) == [0, 5, 19]
    address = f"{web_server(packed)}/00000.tar/video1.mp4"
    assert numbers(Record(address), frame_number) == [0, 5, 19]


def test_part_of_a_member(packed, frame_number):
    record = Record(str(packed / "00000.tar/video1.mp4"), part=(0.1, 0.5))
    with open_frames(record) as video:
        assert frame_number(video.read([0])[0]) == 3


def test_long_member_is_read_where_it_is_wanted(packed, monkeypatch, frame_number, count_requests):
    monkeypatch.setattr(ranges, "_AT_ONCE", 512)
    monkeypatch.setattr(ranges, "_BLOCK", 512)
    monkeypatch.setattr(opening, "_LONG_FILE", 512)
    record = Record(str(packed / "00000.tar/video1.mp4"))
    with open_frames(record) as video:
        assert video.index.key_times  # it was scanned, in blocks
        count_requests.clear()
        assert frame_number(video.read([18])[0]) == 18
    size = known_windows(str(packed / "00000.tar"))["video1.mp4"].size
    assert 0 < sum(size for *_, size in count_requests) < size


@pytest.mark.parametrize("length", [4, 5, 100])
def test_range_file_reads_like_a_file(length, monkeypatch):
    monkeypatch.setattr(ranges, "_AT_ONCE", length)
    monkeypatch.setattr(ranges, "_BLOCK", length)
    data = bytes(range(23))
    file = RangeFile(lambda start, size: data[start : start + size], len(data), "x")
    assert b"".join(iter(lambda: file.read(3), b"")) == data
    assert (file.seek(-3, 2), file.read(2), file.tell(), file.seek(-1, 1)) == (
        20,
        data[20:22],
        22,
        21,
    )
    assert (file.seek(99), file.read(1)) == (99, b"")


def test_empty_member_is_unreadable(tmp_path):
    (tmp_path / "a.mp4").touch()
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(tmp_path / "a.mp4", "a.mp4")
    with pytest.raises(UnreadableVideo, match="InvalidDataError"):
        with open_frames(Record(str(tmp_path / "a.tar/a.mp4"))):
            pass


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("00000.tar/video9.mp4", StoreError, "00000.tar has no member 'video9.mp4'"),
        ("00009.tar/video1.mp4", NoSuchObject, "there is no s3://"),
        ("video1.mp4", NoSuchObject, "there is no s3://"),
    ],
)
def test_nothing_of_the_name_in_a_store(packed, bucket, name, kind, reason):
    with pytest.raises(kind, match=reason):
        RangeReader().find(Record(f"{bucket(packed)}/{name}"))


@pytest.mark.parametrize(
    ("name", "reason"),
    [("no.mp4", "FileNotFoundError: there is no http"), ("forbidden.mp4", "403"), ("cut.mp4", "")],
)
def test_errors_of_a_web_server_are_one_line(video_dir, web_server, tmp_path, name, reason):
    shutil.copy(video_dir / "video1.mp4", tmp_path / "cut.mp4")
    with pytest.raises(StoreError, match=f".*{reason}") as error:
        with open_frames(Record(f"{web_server(tmp_path)}/{name}")):
            pass
    assert ": " in str(error.value) and "\n" not in str(error.value)


def test_server_that_does_not_answer_is_given_up(deaf_server):
    with pytest.raises(NoAnswer, match="no answer for http.* within 0.5 s"):
        stores.file_facts(f"{deaf_server}/a.mp4", seconds=0.5)


def test_missing_package_is_named():
    with pytest.raises(StoreError, match="gcsfs"):
        stores.file_facts("gs://bucket/a.mp4")


def test_other_bytes_than_those_of_the_index_are_refused(packed, tmp_path):
    shutil.copytree(packed, tmp_path / "set")
    window = read_windows(str(tmp_path / "set/00000.tar"))["video1.mp4"]
    with open(tmp_path / "set/00000.tar", "r+b") as file:
        file.seek(window.start + window.size // 2)
        file.write(b"?!")
    with pytest.raises(StoreError, match="WrongCheckSum"):
        with open_frames(Record(str(tmp_path / "set/00000.tar/video1.mp4"))):
            pass


def test_cache_gives_what_was_read_without_the_store(packed, bucket, tmp_path, count_requests):
    window = known_windows(f"{bucket(packed)}/00000.tar")["video1.mp4"]
    reader = RangeReader(RangeCache(str(tmp_path), 10**7))
    first, second = (reader.open(window, "a").read() for _ in range(2))
    assert first == second and zlib.crc32(first) == window.crc and len(count_requests) == 1


def test_damaged_file_of_the_cache_is_fetched_anew(packed, bucket, tmp_path, count_requests):
    window = known_windows(f"{bucket(packed)}/00000.tar")["video1.mp4"]
    reader = RangeReader(RangeCache(str(tmp_path), 10**7))
    first = reader.open(window, "a").read()
    (path,) = tmp_path.glob("*/*")
    path.write_bytes(bytes(window.size))
    assert reader.open(window, "a").read() == first and len(count_requests) == 2
    assert path.read_bytes() == first


@pytest.mark.slow
def test_cache_stays_within_its_size(tmp_path):
    cache = RangeCache(str(tmp_path), 640_000)

    def put(number):
        return cache.read(f"file {number}", 1000, lambda: bytes(1000))

    with ThreadPoolExecutor(4) as pool:
        assert all(len(data) == 1000 for data in pool.map(put, range(2000)))
    total = sum(path.stat().st_size for path in tmp_path.glob("*/*"))
    assert 400_000 < total <= 640_000


def test_cache_drops_what_was_not_used_for_longest(tmp_path, monkeypatch):
    monkeypatch.setattr(ranges, "_NUM_FOLDERS", 1)
    cache, asked = RangeCache(str(tmp_path), 10_500), []

    def put(number):
        cache.read(f"file {number}", 1000, lambda: asked.append(number) or bytes(1000))

    for number in range(20):
        put(number)
        put(0)
    assert asked == list(range(20))


def test_cache_in_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").touch()
    cache = RangeCache(str(tmp_path / "file"), 10**6)
    assert cache.read("a", 3, lambda: b"abc") == b"abc"


def test_unknown_window_of_a_url_changes_with_the_object(bucket, tmp_path):
    (tmp_path / "a").write_bytes(b"12")
    url = f"{bucket(tmp_path)}/a"
    window = RangeReader().find(Record(url))
    assert window[:4] == Window(url, 0, 2)[:4] and window.version
