"""tools/flow.py: kills, mistakes, a config's videos."""

import os
import signal

import pytest

from slowfast.datasets.synthetic import write_video
from tests.helpers.paths import ROOT
from tests.helpers.processes import start_tool, wait_until
from tools import flow


@pytest.fixture
def many(tmp_path, numbered_frames):
    """Folder of 16 videos of 4 to 7 frames with a list."""
    folder = tmp_path / "many"
    for number in range(16):
        write_video(folder / f"{number}.mp4", numbered_frames(4 + number % 4, 32, 32))
    (folder / "train.csv").write_text("".join(f"{number}.mp4 0\n" for number in range(16)))
    return folder


def _wait_for_folders(output, count, process):
    wait_until(lambda: len(list(output.glob("*/flow.json"))) >= count, process)


@pytest.mark.slow
def test_a_killed_run_goes_on_and_leaves_whole_folders_alone(run_tool, many, tmp_path):
    output = tmp_path / "flow"
    words = ("--csv", many / "train.csv", "--output", output, "--short-side", 16)
    process = start_tool("flow.py", *words, "--workers", 1)
    _wait_for_folders(output, 3, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    done = {path: path.stat().st_mtime_ns for path in output.glob("*/flow.json")}
    assert 3 <= len(done) < 16 and not (output / "train.csv").exists()
    assert run_tool(flow, *words, "--workers", 2)[0] == 0
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in done.items())
    names = [*(str(number) for number in range(16)), "train.csv"]
    assert sorted(path.name for path in output.iterdir()) == sorted(names)
    for number in range(16):
        num_pairs = 3 + number % 4
        assert len(list((output / str(number)).iterdir())) == 2 * num_pairs + 1
    assert (output / "train.csv").read_text().splitlines()[11] == "11 6 0"


@pytest.mark.slow
def test_ctrl_c_ends_at_once_and_says_how_to_go_on(many, tmp_path):
    words = ("--csv", many / "train.csv", "--output", tmp_path / "flow", "--short-side", 16)
    process = start_tool("flow.py", *words, "--workers", 1)
    _wait_for_folders(tmp_path / "flow", 1, process)
    os.killpg(process.pid, signal.SIGINT)
    printed, _ = process.communicate(timeout=20)
    assert process.returncode == 130 and "goes on" in printed and "Traceback" not in printed
    assert not list((tmp_path / "flow").glob(".*"))


@pytest.mark.slow
def test_the_videos_of_a_config_become_lists_of_flow(run_tool, toy_yaml, toy_set, tmp_path):
    output = tmp_path / "flow"
    words = ("--cfg", toy_yaml, "--output", output, "--short-side", "16", "TRAIN.ENABLE", "False")
    assert run_tool(flow, *words, "--workers", 1)[0] == 0
    lines = [f"test_{number} 11 {number % 3}" for number in range(5)]
    assert (output / "test.csv").read_text().splitlines() == lines
    assert not (output / "train.csv").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--output", "out"], "give --cfg, --csv or --videos"),
        (["--output", "out", "--csv", "nowhere.csv"], "nowhere.csv"),
        (["--output", "out", "--cfg", "nowhere.yaml"], "nowhere.yaml"),
        (["--output", "out", "--videos", "."], "no video"),
        (["--output", "out", "--videos", ".", "--short-side", "3"], "--short-side: 3"),
    ],
)
def test_mistakes_are_one_line(run_tool, words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, output = run_tool(flow, *words)
    assert code == 1 and message in output and len(output.splitlines()) == 1, output


@pytest.mark.parametrize("dataset", ["charades", "ava"])
def test_sets_that_cannot_use_flow_are_refused(run_tool, dataset, tmp_path):
    config = ROOT / f"configs/tiny/{dataset}.yaml"
    code, output = run_tool(flow, "--cfg", config, "--output", tmp_path / "flow")
    assert code == 1 and f"{dataset!r}: flow is for the datasets ['kinetics'" in output
