"""tools/dataset.py on planted faults, kills and mistakes."""

import csv
import json
import os
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest

from slowfast.datasets.decoding.video import scan_video
from slowfast.datasets.synthetic import write_video
from tests.helpers.processes import start_tool, wait_until
from tools import dataset


@pytest.fixture
def run(run_tool, tmp_path, monkeypatch):
    """Function (words) -> (exit code, all that was printed), in an empty folder."""
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    return partial(run_tool, dataset)


@pytest.fixture(scope="module")
def planted(tmp_path_factory, video_dir):
    """Folder of good and bad videos and of lists with mistakes, and the faults: (kind, line)."""
    folder = tmp_path_factory.mktemp("planted")
    (folder / "sub dir").mkdir()
    for number in range(4):
        shutil.copy(video_dir / f"video{number}.mp4", folder / "sub dir" / f"good{number}.mp4")
    shutil.copy(video_dir / "video1.mp4", folder / "again.mp4")
    shutil.copy(video_dir / "video7.mp4", folder / "held_out.mp4")
    shutil.copy(video_dir / "video7.mp4", folder / "leak.mp4")
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("not a video" * 100)
    content = (video_dir / "video4.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(content[: len(content) // 2])  # its index is at the end
    write_video(folder / "short.mp4", np.zeros((7, 48, 64, 3), np.uint8))
    content = bytearray((video_dir / "video5.mp4").read_bytes())
    start, end = content.index(b"mdat") + 4, content.index(b"moov")
    content[(start + end) // 2 : (start + end) // 2 + 150] = bytes(150)
    (folder / "damaged.mp4").write_bytes(content)
    lines = [
        *("sub dir/good0.mp4 0", "sub dir/good1.mp4 1", "sub dir/good2.mp4 2"),
        *("again.mp4 1", "leak.mp4 0", "empty.mp4 0", "text.mp4 1", "cut.mp4 2", "short.mp4 0"),
        *("damaged.mp4 1", "nowhere.mp4 2", "sub dir/good3.mp4 x", "sub dir/good3.mp4 9"),
        *("", "./sub dir/good0.mp4 1"),
    ]
    (folder / "train.csv").write_text("\r\n".join(lines))
    (folder / "val.csv").write_text("held_out.mp4 0\nsub dir/good2.mp4 2\n")
    faults = {
        *(("duplicate", 4), ("in train and val", 5), ("in train and val", 3)),
        *(("unreadable", 6), ("unreadable", 7), ("unreadable", 8), ("short", 9)),
        *(("damaged", 10), ("missing", 11), ("wrong label", 12), ("wrong label", 13)),
        *(("same path twice", 15), ("class without a video", 0)),
    }
    return folder, faults


def _check(run, folder, *words):
    lists = [folder / "train.csv", folder / "val.csv"]
    clip = ("--clip", 8, 1, "--num-classes", 4, "--workers", 2)
    return run("check", "--csv", *lists, "--videos", folder, *clip, *words)


@pytest.mark.slow
def test_check_finds_every_planted_fault_and_nothing_else(run, planted):
    folder, faults = planted
    code, output = _check(run, folder)
    report = json.loads(Path("dataset_check/report.json").read_text())
    found = [(fault["kind"], fault["line"]) for fault in report["faults"]]
    assert sorted(found) == sorted(faults), output
    assert code == 1 and "13 faults" in output and "in train and val" in output
    assert report["counts"]["unreadable"] == 3 and report["counts"]["no frames"] == 0
    assert report["splits"]["train"]["classes"] == {"0": 4, "1": 5, "2": 3, "3": 0}
    with open("dataset_check/faults.csv", newline="") as file:
        assert len(list(csv.reader(file))) == 14


@pytest.mark.slow
def test_fix_writes_what_can_be_used_and_never_twice(run, planted, tmp_path):
    folder, _ = planted
    for name in ("train.csv", "val.csv"):
        shutil.copy(folder / name, tmp_path / name)
    lists = ("--csv", tmp_path / "train.csv", tmp_path / "val.csv", "--videos", folder)
    code, output = run("check", *lists, "--num-classes", 4, "--clip", 8, 1, "--fix")
    assert code == 1 and "4 of 14 lines" in output
    fixed = (tmp_path / "train.fixed.csv").read_text().split("\n")
    names = ["sub dir/good0.mp4 0", "sub dir/good1.mp4 1", "short.mp4 0", "damaged.mp4 1"]
    assert [line.strip() for line in fixed if line] == names
    assert (tmp_path / "val.fixed.csv").read_text() == (folder / "val.csv").read_text()
    code, output = run("check", *lists, "--fix")
    assert code == 1 and "train.fixed.csv is there already" in output


@pytest.mark.slow
def test_fix_of_one_kind_keeps_the_rest(run, planted, tmp_path):
    folder, _ = planted
    shutil.copy(folder / "val.csv", tmp_path / "val.csv")
    run("check", "--csv", tmp_path / "val.csv", "--videos", folder, "--fix", "short")
    assert (tmp_path / "val.fixed.csv").read_text() == ""


@pytest.mark.slow
def test_good_lists_pass(run, video_dir):
    lists = ("--csv", video_dir / "train.csv", video_dir / "val.csv", "--clip", 8, 2)
    code, output = run("check", *lists)
    assert code == 0 and "0 faults" in output


def _wait_for_lines(path, count, process):
    wait_until(lambda: path.exists() and path.read_bytes().count(b"\n") >= count, process)


@pytest.fixture(scope="module")
def many(tmp_path_factory, video_dir):
    """Folder of 120 videos with a list."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(120):
        shutil.copy(video_dir / f"video{number % 8}.mp4", folder / f"{number}.mp4")
    (folder / "train.csv").write_text("".join(f"{number}.mp4 0\n" for number in range(120)))
    return folder


@pytest.mark.slow
def test_a_killed_check_goes_on_where_it_was(many, tmp_path, run):
    words = ("check", "--csv", many / "train.csv", "--output", tmp_path / "out", "--workers", 1)
    process = start_tool("dataset.py", *words)
    state = tmp_path / "out" / "state.jsonl"
    _wait_for_lines(state, 5, process)
    process.kill()
    process.communicate()
    num_known = len(state.read_text().splitlines())
    assert 5 <= num_known < 120
    run(*words)
    keys = [json.loads(line)[0] for line in state.read_text().splitlines()[num_known - 1 :]]
    assert len(keys) - (120 - num_known) in (0, 1) and len(set(keys)) == len(keys)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["counts"] | {"duplicate": 0, "short": 0} == dict.fromkeys(report["counts"], 0)
    assert report["counts"]["duplicate"] == 112


@pytest.mark.slow
def test_a_killed_prepare_goes_on_and_leaves_whole_files_alone(many, tmp_path, run):
    output = tmp_path / "small"
    words = ("prepare", "--videos", many, "--csv", many / "train.csv", "--output", output)
    process = start_tool("dataset.py", *words, "--workers", 1)
    _wait_for_lines(output / "prepare.jsonl", 5, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    done = {path: path.stat().st_mtime_ns for path in output.glob("*.mp4")}
    assert 5 <= len(done) < 120
    code, printed = run(*words, "--workers", 2)
    assert code == 0, printed
    changed = [path for path, time_ns in done.items() if path.stat().st_mtime_ns != time_ns]
    assert len(changed) <= 1  # made, but not yet noted
    assert sorted(path.name for path in output.iterdir()) == sorted(
        ["prepare.jsonl", "train.csv", *(f"{number}.mp4" for number in range(120))]
    )
    assert (output / "train.csv").read_text() == (many / "train.csv").read_text()


@pytest.mark.slow
def test_ctrl_c_ends_within_a_second_and_says_how_to_go_on(many, tmp_path):
    words = ("prepare", "--videos", many, "--output", tmp_path / "small")
    process = start_tool("dataset.py", *words, "--workers", 2)
    _wait_for_lines(tmp_path / "small" / "prepare.jsonl", 3, process)
    start = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    printed, _ = process.communicate(timeout=20)
    assert time.monotonic() - start < 1
    assert process.returncode == 130 and "goes on" in printed and "Traceback" not in printed
    assert not list((tmp_path / "small").glob(".*"))


@pytest.mark.slow
def test_prepare_converts_what_is_readable_and_names_the_rest(run, planted, tmp_path):
    folder, _ = planted
    output = tmp_path / "small"
    lists = ("--csv", folder / "train.csv", folder / "val.csv", "--videos", folder)
    code, printed = run("prepare", *lists, "--output", output, "--short-side", 32, "--gop", 4)
    assert code == 1 and "5 failures" in printed
    with open(output / "failures.csv", newline="") as file:
        names = [Path(path).name for path, _ in list(csv.reader(file))[1:]]
    assert sorted(names) == ["cut.mp4", "empty.mp4", "nowhere.mp4", "text.mp4", "train.csv:12"]
    made = sorted(path.relative_to(output).as_posix() for path in output.rglob("*.mp4"))
    good = [f"sub dir/good{number}.mp4" for number in range(4)]
    assert made == sorted(
        [*good, "again.mp4", "damaged.mp4", "held_out.mp4", "leak.mp4", "short.mp4"]
    )
    assert scan_video(str(output / "damaged.mp4")).num_frames == 25
    with av.open(str(output / "again.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.height, stream.width, stream.average_rate) == (32, 42, 30)
        keys = [packet.is_keyframe for packet in container.demux(stream) if packet.size]
    assert len(keys) == 21 and all(any(keys[n : n + 4]) for n in range(18))
    lines = (output / "val.csv").read_text()
    assert lines == "held_out.mp4 0\nsub dir/good2.mp4 2\n"


@pytest.mark.slow
def test_prepare_makes_frames_and_their_list(run, video_dir, tmp_path, numbered_frames):
    videos = tmp_path / "videos"
    videos.mkdir()
    write_video(videos / "my clip.mp4", numbered_frames(9), fps=3)
    shutil.copy(video_dir / "video0.mp4", videos / "b.mp4")
    (videos / "val.csv").write_text("my clip.mp4 7\nb.mp4 2\n")
    words = ("--csv", videos / "val.csv", "--output", tmp_path / "images", "--frames")
    code, printed = run("prepare", *words, "--short-side", 24, "--fps", 6)
    assert code == 0, printed
    lines = (tmp_path / "images" / "val.csv").read_text().splitlines()
    assert lines[0].split() == "original_vido_id video_id frame_id path labels".split()
    assert lines[1] == 'my_clip 0 0 my_clip/my_clip_000001.jpg "7"'
    assert lines[19] == 'b 1 0 b/b_000001.jpg "2"' and len(lines) == 1 + 18 + 4
    assert len(list((tmp_path / "images" / "my_clip").glob("*.jpg"))) == 18


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check"], "either --cfg or --csv"),
        (["check", "--csv", "nowhere.csv"], "nowhere.csv"),
        (["check", "--cfg", "nowhere.yaml"], "nowhere.yaml"),
        (["check", "--cfg", "x.yaml", "--fix"], "--fix"),
        (["check", "--csv", "a/x.csv", "b/x.csv"], "--csv"),
        (["check", "--cfg", "x.yaml", "--clip", "8", "1"], "--clip: no effect with --cfg"),
        (
            ["check", "--cfg", "x.yaml", "--num-classes", "4", "--videos", "a", "--separator", ","],
            "--videos, --separator, --num-classes: no effect with --cfg",
        ),
        (["check", "MODEL.NUM_CLASSES", "4", "--csv", "x.csv"], "MODEL.NUM_CLASSES: KEY VALUE has"),
        (["check", "--csv", "x.csv", "--splits", "val"], "--splits: no effect with --csv"),
        (["prepare", "--output", "o", "--csv", "/no.csv"], "No such file or directory: '/no.csv'"),
        (
            ["prepare", "--output", "o", "--videos", "video", "--fps", "6"],
            "--fps: no effect without",
        ),
        (["prepare", "--output", "o", "--videos", "video", "--frames", "--crf", "9"], "--crf: no"),
        (["prepare", "--output", "o", "--videos", "video", "--frames", "--gop", "9"], "--gop: no"),
        (["prepare", "--output", "o", "--videos", "video", "--separator", ","], "--separator: no"),
        (["prepare", "--output", "out"], "--videos"),
        (["prepare", "--output", "out", "--videos", "empty"], "no video"),
        (["prepare", "--output", "empty/out", "--videos", "empty"], "--output"),
        (["prepare", "--output", "full", "--videos", "video"], "full"),
        (["prepare", "--output", "out", "--videos", "video", "--gop", "0"], "gop"),
        (["index", "--output", "i.npz", "--videos", "empty"], "no video"),
        (["show", "--cfg", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_mistakes_are_one_line(run, words, message):
    for name in ("empty", "full", "video"):
        Path(name).mkdir()
    for name in ("full/mine.txt", "video/a.mp4"):
        Path(name).touch()
    code, output = run(*words)
    assert code == 1 and message in output and len(output.splitlines()) == 1, output


@pytest.mark.slow
def test_index_notes_what_a_config_can_name(run, video_dir):
    code, output = run("index", "--videos", video_dir, "--output", "index.npz")
    assert code == 0 and "8 videos, 0 of them unreadable" in output
    assert Path("index.npz").stat().st_size > 0


@pytest.mark.slow
def test_check_by_config_reads_its_lists(run, toy_yaml):
    code, output = run("check", "--cfg", toy_yaml, "DATA.SAMPLING_RATE", 3)
    assert code == 0 and "0 faults" in output, output
    code, output = run("check", "--cfg", toy_yaml, "DATA.SAMPLING_RATE", 4)
    assert code == 1 and "12 frames, a clip spans 16" in output


def test_show_draws_a_picture(run, toy_yaml):
    code, output = run("show", "--cfg", toy_yaml, "--num", 2, "--output", "sheets/a.png")
    assert code == 0 and "2 samples" in output, output
    assert Path("sheets/a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_kinetics_lists_are_made_of_official_ones(run, video_dir):
    header = "label,youtube_id,time_start,time_end,split\n"
    Path("videos").mkdir()
    shutil.copy(video_dir / "video0.mp4", "videos/-a_000001_000011.mp4")
    Path("official.csv").write_text(f"{header}sit,-a,1,11,train\nrun,b,2,12,train\n")
    lists = ("--train", "official.csv", "--val", "official.csv")
    code, output = run("kinetics-lists", *lists, "--videos", "videos", "--output", "ours")
    assert code == 0 and "missing" in output, output
    assert Path("ours/classes.txt").read_text().split() == ["run", "sit"]
    code, output = run("check", "--csv", "ours/train.csv", "--videos", "videos", "--clip", 4, 2)
    assert code == 0, output
