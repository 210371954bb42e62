import numpy as np
import pytest
import torch

from benchmarks import data as benchmark_data
from benchmarks import loader as benchmark_loader
from slowfast.datasets.clips.samplers import SpanSampler
from slowfast.datasets.decoding.open import open_frames


@pytest.fixture
def few_frames(monkeypatch, numbered_frames):
    for module in (benchmark_data, benchmark_loader):
        monkeypatch.setattr(module, "draw_frames", lambda: numbered_frames(30))
    monkeypatch.setattr(benchmark_loader, "SECONDS", 1)


def test_every_store_holds_the_same_frames(few_frames, tmp_path, numbered_frames, frame_number):
    for record in benchmark_loader.write_stores(tmp_path).values():
        with open_frames(record) as video:
            assert video.index.num_frames == 30
            assert [frame_number(frame) for frame in video.read([0, 29])] == [0, 29]


def test_the_plain_way_gives_the_same_clip_of_images_and_video(few_frames, tmp_path):
    stores = benchmark_loader.write_stores(tmp_path)
    sampler = SpanSampler(4, 2, 30)
    clips = []
    for record in stores.values():
        frames = benchmark_loader.open_plain(record)
        rng = np.random.default_rng(0)
        clips.append(
            benchmark_data.plain_training_clip(frames, sampler, rng, scales=(32, 40), size=32)
        )
    for clip in clips:
        assert clip.shape == (3, 4, 32, 32) and clip.dtype == torch.float32
        torch.testing.assert_close(clip, clips[0], atol=40, rtol=0)


@pytest.mark.slow
def test_table_has_a_line_per_store(few_frames):
    clip = {"frames": 16, "rate": 5, "crop_size": 32, "short_side": (32, 40)}
    sizes = {"workers": 0, "num_clips": 2, "batch_size": 2, "repeats": 1}
    lines = benchmark_loader.run_loader(**clip, **sizes).splitlines()[2:]
    assert [line.split(",")[0] for line in lines] == ["webm", "frame folder", "mp4", "mp4"]
    assert all(line.endswith(" x") for line in lines)
