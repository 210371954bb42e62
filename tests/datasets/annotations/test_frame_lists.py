"""Frame lists: what people's files look like, and what is said about broken ones."""

import pytest

from slowfast.datasets.annotations.frame_lists import read_frame_list

HEADER = "original_vido_id video_id frame_id path labels"


@pytest.fixture
def read(write_files, tmp_path):
    def read(rows, header=HEADER, end="\n", **options):
        write_files({"train.csv": end.join([header, *rows]).encode(errors="surrogateescape")})
        return read_frame_list(tmp_path / "train.csv", "/data", **options)

    return read


def paths(video):
    return [video.frames.path(number) for number in range(video.frames.count)]


def test_frames_are_in_the_order_of_the_list(read):
    videos = read(['b 0 0 b/9.jpg ""', 'b 0 1 b/2.jpg ""', 'a 1 0 a/1.jpg ""'])
    assert list(videos) == ["b", "a"]
    assert paths(videos["b"]) == ["/data/b/9.jpg", "/data/b/2.jpg"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n", "\r\n \r\n"])
def test_line_ends_blank_lines_and_a_missing_last_newline(read, end):
    videos = read(["-5KQ66BBWC4 0 0 v/v_000001.jpg 3", "-5KQ66BBWC4 0 1 v/v_000002.jpg 3"], end=end)
    video = videos["-5KQ66BBWC4"]
    assert paths(video) == ["/data/v/v_000001.jpg", "/data/v/v_000002.jpg"]
    assert video.labels.spans == ((3, 0, 1),)


@pytest.mark.parametrize("text, labels", [('""', set()), ('""""', set()), ('"59,147"', {59, 147})])
def test_quotes_of_any_number_are_stripped(read, text, labels):
    assert read([f"a 0 0 a/1.jpg {text}"])["a"].labels.all() == labels


def test_labels_of_frames_become_spans(read):
    rows = ['"1"', '"1,4"', '""', '"1,4"', '"4"']
    video = read([f"a 0 {n} a/{n}.jpg {labels}" for n, labels in enumerate(rows)])["a"]
    assert set(video.labels.spans) == {(1, 0, 1), (4, 1, 1), (1, 3, 3), (4, 3, 4)}


def test_lines_of_a_video_need_not_stand_together(read):
    videos = read(["a 0 0 a/1.jpg 5", "b 1 0 b/1.jpg 6", "a 0 1 a/2.jpg 7"])
    assert paths(videos["a"]) == ["/data/a/1.jpg", "/data/a/2.jpg"]
    assert videos["a"].labels.spans == ((5, 0, 0), (7, 1, 1))


def test_absolute_paths_stay(read):
    assert paths(read(["a 0 0 /frames/1.jpg 5"])["a"]) == ["/frames/1.jpg"]


def test_paths_that_count_up_are_not_stored(read):
    frames = read([f"a 0 {n} a/{n:05d}.jpg 0" for n in range(1, 4)])["a"].frames
    assert frames.names == () and frames.count == 3


def test_names_that_are_not_utf8_keep_their_bytes(read):
    (path,) = paths(read(["a 0 0 caf\udce9.jpg 0"])["a"])
    assert path.encode(errors="surrogateescape") == b"/data/caf\xe9.jpg"


@pytest.mark.parametrize(
    "row, reason",
    [
        ("a 0 0 a/1.jpg", "4 fields in 'a 0 0 a/1.jpg', not 5"),
        ('a 0 0 my a/1.jpg ""', "6 fields .* paths have no spaces"),
        ('a 0 0 a/1.jpg "run"', "the labels '\"run\"' are not integers"),
        ("a 0 0 a/1.jpg -1", "the labels '-1' are not integers"),
        ('a 0 0 a/1.jpg "3,9"', r"label 9 is not within 0..8 \(MODEL.NUM_CLASSES 9\)"),
    ],
)
def test_bad_line_is_named(read, row, reason):
    with pytest.raises(ValueError, match=f"train.csv:4: {reason}"):
        read(["b 0 0 b/1.jpg 8", "", row], num_classes=9)


def test_missing_header_is_named(read):
    with pytest.raises(ValueError, match="train.csv:1: 'a 0 0 a/1.jpg 0' is not the header"):
        read([], header="a 0 0 a/1.jpg 0")


def test_list_without_frames(read):
    with pytest.raises(ValueError, match="train.csv: the list holds no frames"):
        read([])
