"""Display matrices: frames are turned and mirrored as players show them."""

import itertools
import struct

import av
import numpy as np
import pytest
from av.filter import Graph

from slowfast.datasets.decoding.convert import Orientation, read_orientation
from slowfast.datasets.decoding.video import open_video
from slowfast.datasets.synthetic import write_video
from tests.helpers.videos import read_frames

_IDENTITY = (1, 0, 0, 1)
# FFmpeg's filters that show a picture, by (a, b, c, d) of the matrix.
FILTERS = {
    (1, 0, 0, 1): [],
    (-1, 0, 0, 1): [("hflip", "")],
    (1, 0, 0, -1): [("vflip", "")],
    (-1, 0, 0, -1): [("hflip", ""), ("vflip", "")],
    (0, 1, 1, 0): [("transpose", "cclock_flip")],
    (0, 1, -1, 0): [("transpose", "clock")],
    (0, -1, 1, 0): [("transpose", "cclock")],
    (0, -1, -1, 0): [("transpose", "clock_flip")],
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A video of noise, 48 x 64, of which no turned picture is like another."""
    path = tmp_path_factory.mktemp("turned") / "plain.mp4"
    noise = np.random.default_rng(0).integers(0, 255, (3, 12, 16, 3), dtype=np.uint8)
    write_video(path, noise.repeat(4, 1).repeat(4, 2))
    return path


def with_matrix(path, matrix, folder):
    """A copy of an mp4 with another a, b, c, d in the matrix of its track."""
    content = path.read_bytes()
    head, _, rest = content.rpartition(_packed(_IDENTITY))
    (folder / "shown.mp4").write_bytes(head + _packed(matrix) + rest)
    return folder / "shown.mp4"


def _packed(matrix):
    a, b, c, d = (round(value * 65536) for value in matrix)
    return struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)


def shown_by_ffmpeg(path, filters):
    """Frames of a file after filters of FFmpeg, in RGB."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            graph = Graph()
            links = [graph.add_buffer(template=container.streams.video[0])]
            links += [graph.add(name, args) for name, args in filters]
            graph.link_nodes(*links, graph.add("buffersink")).configure()
            graph.push(frame)
            yield graph.pull().to_ndarray(format="rgb24")


@pytest.mark.parametrize("matrix", FILTERS)
def test_all_eight_orientations_are_shown_as_ffmpeg_shows_them(matrix, plain, tmp_path):
    path = with_matrix(plain, matrix, tmp_path)
    expected = np.stack(list(shown_by_ffmpeg(path, FILTERS[matrix])))
    # Colours of neighbours are mixed before the picture is turned here, and after it there.
    assert np.abs(read_frames(path, range(3)).astype(int) - expected).mean() < 1
    with open_video(path) as video:
        assert np.abs(np.stack(list(video.frames())).astype(int) - expected).mean() < 1


def test_orientations_differ():
    picture = np.arange(4).reshape(2, 2, 1)
    shown = {
        Orientation(*parts)(picture).tobytes() for parts in itertools.product([0, 1], repeat=3)
    }
    assert len(shown) == 8


@pytest.mark.parametrize(
    "matrix, like",
    [
        ((0.01, 1, -1, 0.01), (0, 1, -1, 0)),
        ((2, 0, 0, -2), (1, 0, 0, -1)),
        ((0, 0, 0, 0), (1, 0, 0, 1)),
    ],
)
def test_scaled_and_slightly_turned_matrices_are_taken_for_the_nearest(
    matrix, like, plain, tmp_path
):
    shown = read_frames(with_matrix(plain, matrix, tmp_path), [0])
    (tmp_path / "like").mkdir()
    expected = read_frames(with_matrix(plain, like, tmp_path / "like"), [0])
    np.testing.assert_array_equal(shown, expected)


def test_the_short_side_is_of_the_picture_that_is_shown(plain, tmp_path):
    path = with_matrix(plain, (0, 1, 1, 0), tmp_path)
    assert read_frames(path, [0]).shape == (1, 64, 48, 3)
    assert read_frames(path, [0], short_side=30).shape == (1, 40, 30, 3)


class _Frame:
    """A frame with side data of a kind that PyAV does not know."""

    def __init__(self, rotation):
        self.rotation = rotation

    @property
    def side_data(self):
        raise ValueError("29 is not a valid Type")


@pytest.mark.parametrize("quarters", range(4))
def test_a_frame_with_unknown_side_data_is_turned(quarters):
    picture = np.arange(6).reshape(2, 3, 1)
    shown = read_orientation(_Frame(90 * quarters if quarters < 3 else -90))(picture)
    np.testing.assert_array_equal(shown, np.rot90(picture, quarters))
