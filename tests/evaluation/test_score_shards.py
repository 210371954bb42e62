"""Scores in files that grow: torn and lost rows, and what an evaluator makes of them."""

import numpy as np
import pytest
import torch

from slowfast.evaluation.score_shards import Shard, ShardedEvaluator, find_done, find_shards
from slowfast.evaluation.video_evaluator import LabelledVideos, OneLabelEvaluator

VIDEOS, VIEWS, CLASSES = 5, 2, 3


def _evaluator():
    videos = LabelledVideos(list("abcde"), torch.tensor([0, 1, 2, 0, 1]), None)
    sizes = {"num_views": VIEWS, "num_crops": 1, "num_classes": CLASSES}
    return OneLabelEvaluator(videos, **sizes, ensemble="sum", activation="none")


@pytest.fixture
def inner():
    return _evaluator()


def _batch(*videos, damaged=()):
    indices = torch.tensor(videos).repeat_interleave(VIEWS)
    return {
        "indices": indices,
        "views": torch.arange(VIEWS).repeat(len(videos)),
        "damaged": list(damaged),
    }


def _output(*videos):
    return torch.stack([torch.full((CLASSES,), v + w / 8) for v in videos for w in range(VIEWS)])


@pytest.fixture
def written(inner, tmp_path):
    """A file with the scores of videos 0, 2 and 4."""
    evaluator = ShardedEvaluator(inner, tmp_path, "a-0")
    evaluator.add(_batch(0, 2, damaged=[(2, 7, 30)]), _output(0, 2))
    evaluator.add(_batch(4), _output(4))
    return evaluator


def test_files_give_the_scores_of_all_processes_and_of_earlier_ones(written, inner, tmp_path):
    (earlier,) = written.scores
    again = ShardedEvaluator(inner, tmp_path, "b-0", [earlier])
    other = ShardedEvaluator(inner, tmp_path, "b-1")
    again.add(_batch(1), _output(1))
    other.add(_batch(3), _output(3))
    again.merge([other.scores])
    assert again.damages() == [(2, 7, 30)]
    again.evaluate()
    plain = _evaluator()
    plain.add(_batch(*range(VIDEOS)), _output(*range(VIDEOS)))
    for found, expected in zip(inner.join(), plain.join(), strict=True):
        assert torch.equal(found, expected)
    assert inner.scores.num_broken == {2: 7}


@pytest.mark.parametrize(
    ("harm", "done"),
    [
        (lambda content: content, [0, 2, 4]),
        (lambda content: content[:-1], [0, 2]),  # in the middle of a row
        (lambda content: content[: -len(content) // 6], [0, 2]),  # between two views
        (lambda content: content[:70] + bytes([content[70] ^ 1]) + content[71:], [2, 4]),
        (lambda content: bytes(80) + content[80:], [2, 4]),  # a page that was never written
    ],
)
def test_only_whole_videos_are_done(written, harm, done):
    (shard,) = written.scores
    shard.path.write_bytes(harm(shard.path.read_bytes()))
    assert np.flatnonzero(find_done([shard], VIDEOS)).tolist() == done


def test_other_files_of_the_folder_are_no_scores(written, tmp_path):
    (tmp_path / "about.json").write_text("{}")
    (tmp_path / "a1b2").touch()
    (tmp_path / "a-1.3").touch()  # of a process that was killed before its first batch
    assert find_shards(tmp_path) == [Shard(tmp_path / name) for name in ("a-0.3", "a-1.3")]
    assert find_done(find_shards(tmp_path), VIDEOS).sum() == 3
