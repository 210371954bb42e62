import numpy as np
import pytest

from slowfast.analysis.compare.tested_runs import compare
from tests.helpers.tested_run import write_tested_run

RIGHT = np.arange(12) % 4 > 0


def seeds(folder, numbers, *options):
    """Runs of one config that have different videos right."""
    return [
        write_tested_run(folder / f"seed_{n}", np.roll(RIGHT, n), ["RNG_SEED", n, *options])
        for n in numbers
    ]


def test_runs_that_differ_in_seed_and_folder_are_one_config(tmp_path):
    runs = seeds(tmp_path / "a", (0, 1)) + seeds(tmp_path / "b", (0,), "SOLVER.BASE_LR", 0.5)
    found = compare(runs).groups
    assert [group.title for group in found] == ["a (2 seeds)", "b/seed_0"]


def test_share_of_a_video_is_the_mean_of_the_seeds(tmp_path):
    (group,) = compare(seeds(tmp_path, (0, 1))).groups
    assert group.shares[:4].tolist() == [0.5, 0.5, 1, 1]


def test_videos_in_another_order_and_folder_are_matched(tmp_path):
    first = write_tested_run(tmp_path / "a", RIGHT)
    backwards = [f"/elsewhere/{n:03}.mp4" for n in range(12)][::-1]
    labels = (np.arange(12) % 6)[::-1]
    second = write_tested_run(tmp_path / "b", RIGHT[::-1], labels=labels, paths=backwards)
    one, other = compare([first, second]).runs
    assert (one.is_right == other.is_right).all()


def test_missing_videos_are_named(tmp_path):
    first = write_tested_run(tmp_path / "a", RIGHT)
    second = write_tested_run(tmp_path / "b", RIGHT[:10])
    with pytest.raises(ValueError, match=r"lacks 2 of 12 videos: 010, 011.*run 1 is a"):
        compare([first, second])


def test_another_label_is_named(tmp_path):
    first = write_tested_run(tmp_path / "a", RIGHT)
    labels = np.arange(12) % 6
    labels[3] = 5
    second = write_tested_run(tmp_path / "b", RIGHT, labels=labels)
    with pytest.raises(ValueError, match=r"1 videos have another label.*003.mp4: 5 and 3"):
        compare([first, second])


def test_a_name_for_two_configs_is_refused(tmp_path):
    (first,) = seeds(tmp_path / "a", (0,))
    (second,) = seeds(tmp_path / "b", (0,), "SOLVER.BASE_LR", 0.5)
    with pytest.raises(ValueError, match="net: names two configs"):
        compare([f"net={first}", f"net={second}"])


def test_a_run_given_twice_is_refused(tmp_path):
    (run,) = seeds(tmp_path, (0,))
    with pytest.raises(ValueError, match="given twice"):
        compare([run, f"again={run}"])
