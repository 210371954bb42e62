"""Scores of several runs: which videos are the same, and what their sum is worth."""

import json

import numpy as np
import pytest
import torch

from slowfast.evaluation.fusion import RunScores, fuse, match_videos, read_scores
from slowfast.evaluation.video_scores import VideoScores

PATHS = ["rgb/x/a.mp4", "rgb/y/b.mp4", "rgb/y/c.mp4"]


def run(scores, name="rgb", *, paths=PATHS, labels=(0, 1, 1), seen=None, is_probability=True):
    scores = np.array(scores, dtype=float)
    seen = np.ones(len(paths), bool) if seen is None else np.array(seen)
    return RunScores(name, scores, seen, list(paths), np.array(labels), is_probability)


RGB = [[0.6, 0.4], [0.7, 0.3], [0.2, 0.8]]
FLOW = [[0.35, 0.65], [0.05, 0.95], [0.4, 0.6]]


def top1(fusion):
    return [round(row["top1_acc"], 1) for row in fusion.rows]


class TestMatching:
    @pytest.mark.parametrize(
        ("first", "second", "order"),
        [
            (PATHS, ["f/b", "f/c", "f/a"], [2, 0, 1]),
            (["a/1.mp4", "b/1.mp4"], ["q/b/1", "q/a/1"], [1, 0]),
            (["a/1.mp4"], ["q/b/1.avi"], [0]),
            (["v1.0.mp4", "v1.1.mp4"], ["f/v1.1", "f/v1.0"], [1, 0]),
            (["a.mp4", "b.mp4", "a.mp4"], ["f/a", "f/a", "f/b"], [0, 2, 1]),
        ],
    )
    def test_is_by_the_end_of_the_path(self, first, second, order):
        assert match_videos([first, second]) == [list(range(len(first))), order]

    @pytest.mark.parametrize(
        ("second", "message"),
        [
            (["f/a", "f/b"], "run 2 lacks 1 of 3 videos: c;"),
            (["f/a", "f/b", "f/c", "f/d"], "run 1 lacks 1 of 4 videos: d;"),
        ],
    )
    def test_names_what_has_no_partner(self, second, message):
        with pytest.raises(ValueError, match=message):
            match_videos([PATHS, second])


class TestFusion:
    def test_is_the_weighted_mean(self):
        runs = [run(RGB), run(FLOW, "flow")]
        assert top1(fuse(runs, [1, 1])) == [66.7, 66.7, 66.7]
        fusion = fuse(runs, [2, 1])
        assert top1(fusion) == [66.7, 66.7, 100.0]
        assert [row["run"] for row in fusion.rows] == ["rgb", "flow", "fused"]
        assert [row["weight"] for row in fusion.rows] == [2, 1, 3]
        assert (fusion.num_videos, fusion.num_left_out) == (3, 0)

    def test_follows_the_paths_not_the_order(self):
        other = run(FLOW[::-1], paths=["f/y/c", "f/y/b", "f/x/a"], labels=[1, 1, 0])
        assert top1(fuse([run(RGB), other], [2, 1])) == [66.7, 66.7, 100.0]

    def test_leaves_out_what_a_run_could_not_read(self):
        nan = [[np.nan] * 2, *FLOW[1:]]
        fusion = fuse([run(RGB), run(nan, seen=[False, True, True])], [1, 1])
        assert top1(fusion) == [50.0, 100.0, 100.0]
        assert (fusion.num_videos, fusion.num_left_out) == (2, 1)

    @pytest.mark.parametrize(
        ("other", "weights", "message"),
        [
            (run(FLOW, "flow", labels=[0, 0, 1]), [1, 1], "flow: 1 videos have another label.*b"),
            (run(np.ones((3, 4)) / 4), [1, 1], "number of classes"),
            (run(FLOW, "flow", is_probability=False), [1, 1], "flow: .* no probabilities"),
            (run(FLOW), [1], "--weights: .* are 1 for 2 runs"),
            (run(FLOW), [1, -1], "--weights"),
            (run(FLOW), [0, 0], "--weights"),
            (run(FLOW), [1, float("nan")], "--weights"),
            (run(FLOW, seen=[False] * 3), [1, 1], "no video was read by all"),
        ],
    )
    def test_of_what_does_not_fit_is_refused(self, other, weights, message):
        with pytest.raises(ValueError, match=message):
            fuse([run(RGB), other], weights)


@pytest.fixture
def folder(tmp_path):
    """A tested run: two views of three videos, of which the last one was unreadable."""
    views = VideoScores(3, 2, 2)
    rows = torch.tensor([[0.6, 0.4], [0.2, 0.8], [0.5, 0.5], [0.9, 0.1]])
    views.add(torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1]), rows)
    views.save_npz(tmp_path / "test_scores.npz", PATHS, [0, 1, 1])
    return tmp_path


def test_scores_are_the_mean_of_the_views(folder):
    scores = read_scores(folder)
    np.testing.assert_allclose(scores.scores[:2], [[0.4, 0.6], [0.7, 0.3]], atol=1e-6)
    assert scores.seen.tolist() == [True, True, False] and scores.is_probability
    assert scores.paths == PATHS and scores.labels.tolist() == [0, 1, 1]


def test_views_are_joined_as_in_the_test(folder):
    (folder / "test_results.json").write_text(json.dumps({"ensemble": "max"}))
    scores = read_scores(folder / "test_scores.npz")
    np.testing.assert_allclose(scores.scores[:2], [[0.6, 0.8], [0.9, 0.5]], atol=1e-6)
    assert not scores.is_probability


def test_files_without_scores_are_named(tmp_path):
    with pytest.raises(ValueError, match="test_scores.npz: no scores here"):
        read_scores(tmp_path)
    (tmp_path / "x.npz").write_text("text")
    with pytest.raises(ValueError, match="x.npz: is not a file of scores"):
        read_scores(tmp_path / "x.npz")


def test_several_labels_per_video_are_refused(tmp_path):
    views = VideoScores(1, 1, 2)
    views.save_npz(tmp_path / "test_scores.npz", ["a"], [[1, 1]])
    with pytest.raises(ValueError, match="several labels"):
        read_scores(tmp_path)
