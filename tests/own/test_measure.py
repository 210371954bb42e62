"""Lengths of videos, and those that cannot be read."""

from pathlib import Path

import pytest

from slowfast.curation.probe import Facts, measure
from slowfast.datasets.records import Record
from slowfast.own import measure as module
from slowfast.own.videos import ALL, OwnVideos


@pytest.fixture
def videos(monkeypatch):
    """Four videos of 1, 2, 3 and 4 s, of which the last cannot be read."""
    facts = {f"{n}.mp4": Facts(num_frames=25 * n, fps=25.0) for n in (1, 2, 3)}
    facts["4.mp4"] = Facts(error="NoFrames: none")

    def run_here(_function, records, *, workers):
        yield from ((record, facts[record.path]) for record in records)

    monkeypatch.setattr(module, "run_parallel", run_here)
    records = [Record(path, number % 2) for number, path in enumerate(facts)]
    return OwnVideos(Path("/nowhere"), ["a", "b"], {ALL: records}, is_multi_label=False)


def test_videos_that_cannot_be_read_are_named_and_left_out(videos, caplog):
    readable, lengths, unreadable = module.measure_videos(videos, workers=1)
    assert [record.path for record in readable.records] == ["1.mp4", "2.mp4", "3.mp4"]
    assert (lengths.median, lengths.short) == (2.0, 1.0)
    assert unreadable == [("4.mp4", "NoFrames: none")]
    assert "1 of 4 videos cannot be read and are left out" in caplog.text


def test_of_many_videos_some_are_measured_and_all_are_kept(videos, monkeypatch):
    monkeypatch.setattr(module, "MOST_MEASURED", 2)
    readable, lengths, unreadable = module.measure_videos(videos, workers=1)
    assert lengths.num_measured + len(unreadable) == 2
    assert len(readable.records) == 4 - len(unreadable)


def test_length_is_that_of_decoding_all_frames(video_dir):
    facts = measure(Record(str(video_dir / "video3.mp4")))
    assert (facts.num_frames, facts.fps, facts.error) == (23, 30.0, "")


def test_file_that_is_no_video_has_a_reason(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    assert "InvalidData" in measure(Record(str(tmp_path / "a.mp4"))).error
