"""Shares of the work, and what the merge finds of them."""

import argparse
import json
import os
import shutil
import signal

import pytest

from slowfast.curation.shards import Shard, files_of_shards, parse_shard, refuse_unfinished
from slowfast.curation.workers import StateFile
from slowfast.datasets.decoding.index_file import load_index
from tests.helpers.processes import start_tool, wait_until
from tools import dataset, flow


@pytest.mark.parametrize("count", [1, 2, 7])
def test_each_video_is_in_one_share(count):
    names = [f"class {n % 3}/video{n}.mp4" for n in range(700)] + ["odd\udce9.mp4"]
    shards = [Shard(number, count) for number in range(count)]
    assert all(sum(shard.has(name) for shard in shards) == 1 for name in names)
    sizes = [sum(map(shard.has, names)) for shard in shards]
    assert sum(sizes) == 701 and min(sizes) > 0.7 * 701 / count


def test_shares_are_the_same_on_all_machines_and_versions():
    assert [name for name in "abcdefgh" if Shard(0, 3).has(name)] == ["c", "f"]


@pytest.mark.parametrize("text", ["", "1", "2/2", "0/0", "-1/2", "1/2/3", "a/b", "1.0/2"])
def test_words_that_name_no_shard_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="0/"):
        parse_shard(text)


def test_files_of_shards_are_beside_the_one_of_all(tmp_path):
    path = tmp_path / "prepare.jsonl"
    for name in ("prepare.jsonl", "prepare.x-of-2.jsonl", "other.0-of-2.jsonl"):
        (tmp_path / name).touch()
    mine = Shard(1, 12).file(path)
    mine.touch()
    assert mine.name == "prepare.1-of-12.jsonl" and files_of_shards(path) == {mine: 12}
    assert Shard(0, 1).file(path) == path and files_of_shards(tmp_path / "no" / "x.jsonl") == {}


def test_missing_shards_are_named_with_what_to_do(tmp_path):
    path = tmp_path / "state.jsonl"
    refuse_unfinished([], path)
    with pytest.raises(ValueError, match="no --shard has worked here"):
        refuse_unfinished(["d"], path)
    Shard(1, 3).file(path).touch()
    with pytest.raises(ValueError, match=r"2/3 \(1 videos\); for example d\. .*--shard 2/3"):
        refuse_unfinished(["d"], path)
    Shard(1, 2).file(path).touch()
    with pytest.raises(ValueError, match="shares of 2 and 3 worked here"):
        refuse_unfinished(["d"], path)


def test_a_value_of_any_shard_counts_more_than_a_failure(tmp_path):
    path = tmp_path / "state.jsonl"
    for number, key in enumerate("ab"):
        with Shard(number, 2).open_state(path) as state:
            state.add(key, number)
            state.add_failure("ba"[number], "not mine")
            state.add_failure("c", "broken")
    with StateFile(path, also=files_of_shards(path)) as state:
        assert state.values == {"a": 0, "b": 1} and state.failures["c"] == "broken"


@pytest.fixture
def videos(tmp_path, video_dir):
    """Folder of eight videos, one of them broken, and a list with a missing one."""
    folder = tmp_path / "videos"
    (folder / "sub").mkdir(parents=True)
    for number in range(7):
        place = folder / ("sub" if number % 2 else "") / f"{number}.mp4"
        shutil.copy(video_dir / f"video{number}.mp4", place)
    (folder / "7.mp4").write_text("not a video")
    lines = [f"{'sub/' * (n % 2)}{n}.mp4 {n % 3}\n" for n in range(7)]
    (folder / "train.csv").write_text("".join([*lines, "7.mp4 0\n", "8.mp4 1\n"]))
    return folder


def _in_two(tool, *words):
    """Two processes at once, a shard each: their exit codes and all that they print."""
    both = [start_tool(tool, *words, "--workers", 1, "--shard", f"{n}/2") for n in range(2)]
    printed = [process.communicate(timeout=120)[0] for process in both]
    return [process.returncode for process in both], "".join(printed)


def _content(folder, *, ends=("csv", "json", "mp4", "npz", "jpg")):
    """Bytes of files by name, but not of shards."""
    paths = [path for path in folder.rglob("*.*") if path.suffix[1:] in ends]
    return {p.relative_to(folder): p.read_bytes() for p in paths if "-of-" not in p.name}


@pytest.mark.slow
def test_two_prepare_in_one_folder_and_the_merge_is_the_run_of_one(run_tool, videos, tmp_path):
    both, alone = tmp_path / "both", tmp_path / "alone"
    words = ("prepare", "--csv", videos / "train.csv", "--short-side", 24, "--output")
    codes, printed = _in_two("dataset.py", *words, both)
    assert sorted(codes) in ([0, 1], [1, 1]) and "Traceback" not in printed, printed
    assert not (both / "train.csv").exists() and not list(both.glob(".*"))
    code, printed = run_tool(dataset, *words, both, "--merge")
    assert code == 1 and "7 videos" in printed and "2 failures" in printed, printed
    assert run_tool(dataset, *words, alone, "--workers", 1)[0] == 1
    assert _content(both) == _content(alone)
    # Alone after shards: nothing is left to do.
    times = {path: path.stat().st_mtime_ns for path in both.rglob("*.mp4")}
    run_tool(dataset, *words, both, "--workers", 1)
    assert {path: path.stat().st_mtime_ns for path in times} == times


@pytest.mark.slow
def test_two_prepare_all_in_one_folder_and_both_end_well(videos, tmp_path):
    output = tmp_path / "images"
    words = ("--videos", videos / "sub", "--output", output, "--frames", "--workers", 1)
    both = [start_tool("dataset.py", "prepare", *words) for _ in range(2)]
    printed = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], printed
    assert sorted(path.name for path in output.iterdir()) == ["1", "3", "5", "prepare.jsonl"]


@pytest.mark.slow
def test_a_killed_shard_is_named_and_goes_on(run_tool, videos, tmp_path):
    output = tmp_path / "small"
    words = ("prepare", "--csv", videos / "train.csv", "--short-side", 24, "--output", output)
    assert run_tool(dataset, *words, "--workers", 1, "--shard", "0/2")[0] in (0, 1)
    code, printed = run_tool(dataset, *words, "--merge")
    assert code == 1 and "--shard 1/2" in printed and "Traceback" not in printed, printed
    process = start_tool("dataset.py", *words, "--workers", 1, "--shard", "1/2")
    state = output / "prepare.1-of-2.jsonl"
    wait_until(lambda: state.exists() and state.read_text().count("\n") >= 1, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert run_tool(dataset, *words, "--workers", 1, "--shard", "1/2")[0] in (0, 1)
    assert "7 videos" in run_tool(dataset, *words, "--merge")[1]
    assert len((output / "train.csv").read_text().splitlines()) == 7
    assert not list(output.glob(".*"))


@pytest.mark.slow
def test_two_check_in_one_folder_and_the_report_is_that_of_one(run_tool, videos, tmp_path):
    both, alone = tmp_path / "both", tmp_path / "alone"
    words = ("check", "--csv", videos / "train.csv", "--output")
    assert _in_two("dataset.py", *words, both)[0] != [0, 0]
    assert not (both / "report.json").exists()
    assert run_tool(dataset, *words, both, "--merge")[0] == 1
    assert run_tool(dataset, *words, alone, "--workers", 1)[0] == 1
    assert _content(both) == _content(alone)
    assert json.loads((both / "report.json").read_text())["counts"]["unreadable"] == 1
    assert run_tool(dataset, *words, both, "--shard", "0/2", "--fix")[1].count("--fix") == 1


@pytest.mark.slow
def test_two_index_one_folder_and_the_merge_knows_all(run_tool, videos):
    path = videos / "index.npz"
    words = ("index", "--videos", videos, "--output", path)
    assert sorted(_in_two("dataset.py", *words)[0]) == [0, 1] and not path.exists()
    code, printed = run_tool(dataset, *words, "--merge")
    assert code == 1 and "8 videos, 1 of them unreadable" in printed
    assert (
        load_index(path).find(str(videos / "sub" / "1.mp4")).num_frames
        and len(load_index(path)) == 7
    )
    (videos / "index.1-of-2.npz").unlink()
    path.unlink()
    code, printed = run_tool(dataset, *words, "--merge")
    assert code == 1 and "1/2" in printed and "Traceback" not in printed, printed


@pytest.mark.slow
def test_two_compute_flow_in_one_folder(run_tool, videos, tmp_path):
    output = tmp_path / "flow"
    words = ("--csv", videos / "train.csv", "--output", output, "--short-side", 16)
    codes, printed = _in_two("flow.py", *words)
    assert 1 in codes and "Traceback" not in printed, printed
    assert not (output / "train.csv").exists()
    code, printed = run_tool(flow, *words, "--merge")
    assert code == 1 and "flow of 7 videos" in printed, printed
    assert len((output / "train.csv").read_text().splitlines()) == 7
    shutil.rmtree(output / "0")
    code, printed = run_tool(flow, *words, "--merge")
    assert code == 1 and "/2 (1 videos)" in printed and "for example 0." in printed, printed
