import pytest
import torch

from benchmarks import data as benchmark_data
from slowfast.datasets.clips.samplers import SpanSampler
from slowfast.datasets.clips.views import EvalViews, read_then_scale
from slowfast.datasets.decoding.video import open_video
from slowfast.datasets.records import Record


def test_both_ways_load_the_same_test_views(video_dir):
    sampler, path = SpanSampler(4, 2, 30), str(video_dir / "video0.mp4")
    plain = benchmark_data.PlainViews(sampler, num_clips=2, num_crops=3, size=32)
    how = {"num_clips": 2, "num_crops": 3, "short_side": 32, "crop_size": 32}
    ours = EvalViews(sampler, **how, read=read_then_scale)
    with open_video(path) as video:
        expected = torch.stack(ours(video, Record(path), None).clips)
    torch.testing.assert_close(plain.load(path), expected)
    assert len(plain.decode_seconds) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "run, options, works",
    [
        (benchmark_data.run_data, {"short_side": (256, 320)}, ["training clip"]),
        (benchmark_data.run_test, {"clips": 10, "crops": 3}, ["decoding", "whole item"]),
    ],
)
def test_table_has_a_line_per_video_and_work(run, options, works, monkeypatch):
    monkeypatch.setattr(benchmark_data, "make_video", _make_small_video)
    lines = run(frames=16, rate=5, crop_size=64, repeats=1, **options).splitlines()[2:]
    assert len(lines) == 2 * len(works)
    for line, work in zip(lines, works * 2, strict=True):
        assert work in line and line.endswith(" x")


def _make_small_video(path, *, gop):
    frames = torch.randint(0, 255, (30, 64, 80, 3), dtype=torch.uint8).numpy()
    benchmark_data.write_video(path, frames, gop=gop)
