"""Captions in a copy of a video, with its sound."""

from fractions import Fraction

import av
import numpy as np
import pytest

from slowfast.streams.overlay import Caption, Strip, draw_panel, enlarged, write_overlay


def write_with_sound(path, codec, *, num_frames=12):
    """Grey frames of 64 x 48 at 12 a second, and a second of a tone."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=12)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = out.add_stream(codec, rate=16000)
        sound.codec_context.layout = "mono"
        for _ in range(num_frames):
            picture = np.full((48, 64, 3), 128, np.uint8)
            out.mux(video.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        out.mux(video.encode(None))
        tone = (np.sin(np.arange(16000) / 5) * 9000).astype(np.int16)
        for start in range(0, 16000, 1000):
            frame = av.AudioFrame.from_ndarray(tone[None, start : start + 1000], "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 16000, start, Fraction(1, 16000)
            out.mux(sound.encode(frame))
        out.mux(sound.encode(None))


def read(path):
    """All frames, the codec of the sound, and its seconds."""
    with av.open(str(path)) as file:
        pictures = [f.to_ndarray(format="rgb24") for f in file.decode(video=0)]
    with av.open(str(path)) as file:
        sound = file.streams.audio[0]
        seconds = sum(f.samples / f.sample_rate for f in file.decode(sound))
        return np.stack(pictures), sound.codec_context.name, seconds


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "aac"), ("a.mkv", "pcm_s16le")])
def test_the_sound_stays_in_a_kind_that_players_take(tmp_path, name, codec):
    write_with_sound(tmp_path / name, codec)
    count = write_overlay(str(tmp_path / name), tmp_path / "out.mp4", lambda _: Caption("x"))
    pictures, kind, seconds = read(tmp_path / "out.mp4")
    assert count == len(pictures) == 12 and kind == "aac"
    assert seconds == pytest.approx(1, abs=0.15)
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_boxes_titles_and_the_strip_are_drawn_at_their_time(tmp_path):
    write_with_sound(tmp_path / "a.mp4", "aac")
    box = Caption(boxes=[((0.5, 0.5, 0.75, 0.75), ["run 0.9"])])

    def caption_at(seconds):
        return box if seconds >= 0.5 else Caption()

    strip = Strip([(0, 1, "#0000FF")], 1)
    write_overlay(str(tmp_path / "a.mp4"), tmp_path / "out.mp4", caption_at, strip)
    pictures, _, _ = read(tmp_path / "out.mp4")
    height, width = pictures.shape[1:3]
    assert (height, width) == enlarged(48, 64)
    edge = pictures[:, height // 2 + 20 : height * 3 // 4, width // 2 + 1].astype(int)
    is_yellow = (edge[..., 0] - edge[..., 2] > 60).mean(1) > 0.5
    assert list(is_yellow) == [False] * 6 + [True] * 6
    corner = pictures[0, -3, width // 2].astype(int)
    assert corner[2] > corner[0] + 60


def test_a_panel_shows_only_what_fits():
    small, empty = draw_panel(Caption("t", bars=[("a", 0.5)] * 9), (320, 240)), Caption()
    assert 0 < np.asarray(small)[..., 3].any(1).sum() < 110
    assert not np.asarray(draw_panel(empty, (320, 240)))[..., 3].any()


def test_large_videos_keep_their_size():
    assert enlarged(1080, 1921) == (1080, 1920) and min(enlarged(48, 64)) >= 320


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"out.gif: a video is written as .mp4"):
        write_overlay("a.mp4", tmp_path / "out.gif", lambda _: Caption())
