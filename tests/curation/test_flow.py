"""Computed flow against known motion, and what becomes of lists of videos."""

import csv
import json
import os
import shutil
import socket
import subprocess

import numpy as np
import pytest

from slowfast.curation import flow
from slowfast.curation.config_splits import build_splits
from slowfast.curation.contact_sheet import draw_contact_sheet
from slowfast.curation.flow import (
    FlowSettings,
    compute_flow,
    name_folders,
    write_flow,
)
from slowfast.curation.flow_lists import make_flow_lists, read_flow_lists
from slowfast.curation.probe import examine
from slowfast.datasets.build import build_dataset
from slowfast.datasets.decoding.flow import open_flow
from slowfast.datasets.records import Record
from slowfast.datasets.synthetic import write_video


def texture(shift_x, shift_y, height=64, width=80):
    """A frame of a smooth texture without end that moved by so many pixels; H,W,3."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:height, :width]
    waves = np.zeros((height, width))
    for _ in range(24):
        frequency, angle = rng.uniform(0.01, 0.08), rng.uniform(0, 2 * np.pi)
        way = np.cos(angle) * (x - shift_x) + np.sin(angle) * (y - shift_y)
        waves += np.cos(2 * np.pi * frequency * way + rng.uniform(0, 2 * np.pi))
    grey = np.clip(127.5 + 127.5 * waves / 12, 0, 255).round().astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


@pytest.mark.parametrize("step", [(3, -2), (0.5, 0.25), (-1.5, 4), (0, 0)])
def test_flow_of_a_moving_texture_is_its_way(step):
    frames = [texture(number * step[0], number * step[1]) for number in range(3)]
    flows = list(compute_flow(iter(frames)))
    assert len(flows) == 2
    for found in flows:
        error = np.hypot(*np.moveaxis(found - np.array(step), -1, 0))
        assert found.shape == (64, 80, 2) and np.median(error) < 0.1
        assert error[8:-8, 8:-8].max() < 0.25


def test_jpeg_files_keep_a_smooth_flow_within_a_quarter_of_a_pixel(tmp_path):
    y, x = np.mgrid[:64, :80]
    ways = np.stack([8 * np.sin(x / 9) + y / 16, 15 * np.cos(y / 12)], -1)
    assert write_flow([ways, -ways], tmp_path) == 2
    stored = open_flow(str(tmp_path)).read([0, 1]) * np.float32(40 / 255) - 20
    error = np.abs(stored - np.stack([ways, -ways]))
    assert error.mean() < 0.08 and error.max() < 0.35


def test_flow_beyond_the_bound_is_cut_off(tmp_path):
    write_flow([np.full((16, 16, 2), [50.0, -50.0])], tmp_path)
    assert open_flow(str(tmp_path)).read([0])[0, 3, 3].tolist() == [255, 0]


def test_folders_are_named_after_videos():
    paths = ["/r/a b.mp4", "/r/c/d.avi", "/r/c/e.mp4", "/r/c/e.avi", "/r/v1.0", "/q/x.mp4"]
    names = ["a b", "c/d", "c/e.mp4", "c/e.avi", "v1.0", "q/x"]
    assert list(name_folders(paths, "/r").values()) == names


@pytest.fixture(autouse=True)
def one_process(monkeypatch):
    """What processes would do, in this one."""

    def run(function, items, *, workers):
        return ((item, function(item)) for item in items)

    monkeypatch.setattr(flow, "run_parallel", run)


@pytest.fixture
def videos(tmp_path):
    """Folder of three good videos and others; train.csv lists most of them."""
    folder = tmp_path / "videos"
    for number, name in enumerate(("a b.mp4", "sub/c.mp4", "d.mp4")):
        frames = [texture(number * time, 0, 32, 40) for time in range(4 + number)]
        write_video(folder / name, frames, fps=10)
    write_video(folder / "short.mp4", [texture(0, 0, 32, 40)])
    (folder / "bad.mp4").write_text("no video")
    lines = ("a b.mp4 1", "sub/c.mp4 0", "short.mp4 0", "bad.mp4 1", "none.mp4 1", "d.mp4 x")
    (folder / "train.csv").write_text("\n".join(lines))
    (folder / "classes.txt").write_text("still\nmoving\n")
    return folder


def test_a_folder_that_holds_other_videos_has_another_name():
    paths = ["/r/a.mp4", "/r/a/b.mp4", "/r/c/d.mp4", "/r/c.mp4", "/r/c/d/e.avi"]
    names = ["a.mp4", "a/b", "c/d.mp4", "c.mp4", "c/d/e"]
    assert list(name_folders(paths, "/r").values()) == names


def make(lists, output, *, videos="", short_side=0):
    lists, root, problems = read_flow_lists(lists, videos, output, separator=" ")
    settings = FlowSettings(short_side)
    return make_flow_lists(lists, root, output, settings, problems=problems, workers=1)


def times(output):
    return {path: path.stat().st_mtime_ns for path in output.rglob("flow.json")}


def test_a_list_of_videos_becomes_one_of_flow(videos, tmp_path):
    output = tmp_path / "flow"
    num_done, failures = make([videos / "train.csv"], output, short_side=16)
    assert num_done == 2
    reasons = {os.path.basename(path): reason.split(":")[0] for path, reason in failures}
    assert reasons == {
        "short.mp4": "TooShort",
        "bad.mp4": "InvalidDataError",
        "none.mp4": "missing",
        "train.csv:6": "wrong label",
    }
    with open(output / "failures.csv", newline="") as file:
        assert len(list(csv.reader(file))) == 5
    assert (output / "train.csv").read_text() == "a b 3 1\nsub/c 4 0\n"
    assert (output / "classes.txt").read_text() == "still\nmoving\n"
    video = open_flow(str(output / "sub/c"))
    assert (video.index.num_frames, video.index.fps) == (4, 10)
    assert video.read([0]).shape == (1, 16, 20, 2)
    assert sorted(path.name for path in output.iterdir()) == [
        *("a b", "classes.txt", "failures.csv", "sub", "train.csv")
    ]


@pytest.mark.slow
def test_what_is_done_is_done_again_only_if_video_or_settings_changed(
    videos, tmp_path, monkeypatch
):
    output = tmp_path / "flow"
    make([videos / "train.csv"], output)
    before = times(output)
    monkeypatch.chdir(tmp_path)
    make(["videos/train.csv"], output)
    assert times(output) == before
    write_video(videos / "a b.mp4", [texture(0, time, 32, 40) for time in range(7)])
    make([videos / "train.csv"], output)
    changed = [path.parent.name for path, time in times(output).items() if time != before[path]]
    assert changed == ["a b"]
    assert json.loads((output / "a b/flow.json").read_text())["num_frames"] == 6
    assert len(list((output / "a b").iterdir())) == 13
    make([videos / "train.csv"], output, short_side=16)
    assert not times(output).items() & before.items()


@pytest.mark.slow
def test_a_folder_of_videos_needs_no_list(videos, tmp_path):
    num_done, failures = make([], tmp_path / "flow", videos=str(videos))
    assert num_done == 3 and len(failures) == 2
    assert not list((tmp_path / "flow").glob("all.csv"))


def test_folders_of_others_are_left_alone(videos, tmp_path):
    (tmp_path / "flow/sub/c").mkdir(parents=True)
    (tmp_path / "flow/sub/c/mine.jpg").touch()
    _, failures = make([videos / "train.csv"], tmp_path / "flow")
    assert "not made by this program" in dict(failures)[str(videos / "sub/c.mp4")]
    assert (tmp_path / "flow/sub/c/mine.jpg").exists()


@pytest.mark.slow
def test_flow_done_again_leaves_that_of_other_videos_below_it(videos, tmp_path):
    """Of two runs, which do not know of each other's videos."""
    output, word = tmp_path / "flow", [texture(number, 0, 32, 40) for number in range(6)]
    for name, other in (("sub/c.mp4", "sub.mp4"), ("d.mp4", "d/e.mp4")):
        write_video(videos / other, word)
        for part in (name, other):
            (videos / "one.csv").write_text(f"{part} 0\n")
            assert make([videos / "one.csv"], output) == (1, [])
    write_video(videos / "d.mp4", word[:3])
    make([videos / "train.csv"], output)
    (videos / "one.csv").write_text("d.mp4 0\n")
    assert make([videos / "one.csv"], output) == (1, [])
    assert open_flow(str(output / "d")).index.num_frames == 2
    assert len(list((output / "d").glob("*.*"))) == 5
    for name, length in (("d/e", 5), ("sub", 5), ("sub/c", 4)):
        assert open_flow(str(output / name)).index.num_frames == length


def test_an_empty_list_is_not_written(videos, tmp_path, caplog):
    with caplog.at_level("INFO"):
        make([videos / "train.csv"], tmp_path / "flow")
    assert "train.csv: 2 of 5 lines" in caplog.text
    before = (tmp_path / "flow/train.csv").read_text()
    (videos / "train.csv").write_text("bad.mp4 1\n")
    make([videos / "train.csv"], tmp_path / "flow")
    assert (tmp_path / "flow/train.csv").read_text() == before


def test_unfinished_folders_go_only_if_their_run_was_killed(videos, tmp_path):
    host, output = socket.gethostname(), tmp_path / "flow"
    ended = subprocess.Popen(["true"])
    ended.wait()
    kept = [f".partial-{host}-{os.getppid()}-x", f".partial-other-host-{ended.pid}-y"]
    for name in (*kept, f".partial-{host}-{ended.pid}-z"):
        (output / name / "1").mkdir(parents=True)
    make([videos / "train.csv"], output)
    assert sorted(path.name for path in output.glob(".*")) == sorted(kept)
    assert all((output / name / "1").exists() for name in kept)


def test_a_list_is_never_replaced(videos):
    with pytest.raises(ValueError, match="--output: .* holds .*train.csv"):
        make([videos / "train.csv"], videos)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="--short-side: 8"):
        FlowSettings(8)


@pytest.mark.slow
def test_flow_can_be_checked_and_shown(videos, tmp_path, toy_cfg):
    make([videos / "train.csv"], tmp_path / "flow")
    for name in ("val.csv", "test.csv"):
        shutil.copy(tmp_path / "flow/train.csv", tmp_path / "flow" / name)
    facts = examine(Record(str(tmp_path / "flow/a b"), is_flow=True))
    assert (facts.num_frames, facts.fps, facts.error, facts.damage) == (3, 10, "", "")
    cfg = toy_cfg(
        *("DATA.MODALITY", "flow", "DATA.INPUT_CHANNEL_NUM", "[2]", "MODEL.NUM_CLASSES", 2),
        *("DATA.MEAN", "[0.5, 0.5]", "DATA.STD", "[0.1, 0.1]"),
        *("DATA.PATH_TO_DATA_DIR", tmp_path / "flow"),
    )
    (split,), _ = build_splits(cfg, ["val"])
    assert [entry.labels for entry in split.entries] == [(1,), (0,)]
    drawn = {"num": 2, "seed": 0, "counts": (2,)}
    assert draw_contact_sheet(tmp_path / "sheet.png", build_dataset(cfg, "val"), **drawn) == 2


def test_an_opencv_without_flow_is_named(videos, tmp_path, monkeypatch):
    monkeypatch.delattr("cv2.optflow")
    with pytest.raises(ValueError, match="opencv-contrib-python-headless"):
        make([videos / "train.csv"], tmp_path / "flow")
