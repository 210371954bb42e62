import numpy as np
import pytest
import torch

from slowfast.evaluation.metrics import topk_accuracies
from slowfast.evaluation.video_scores import VideoScores

VIDEOS, VIEWS, CLASSES = 4, 6, 3


def _scores():
    return torch.randn(VIDEOS, VIEWS, CLASSES, generator=torch.Generator().manual_seed(0))


def _filled(pairs, scores=None):
    """VideoScores with these (video, view) pairs, one batch."""
    table = VideoScores(VIDEOS, VIEWS, CLASSES)
    scores = _scores() if scores is None else scores
    indices, views = torch.tensor(list(pairs)).reshape(-1, 2).unbind(1)
    table.add(indices, views, scores[indices, views])
    return table


ALL = [(video, view) for video in range(VIDEOS) for view in range(VIEWS)]


def test_sum_over_views():
    scores, seen = _filled(ALL).ensemble("sum")
    torch.testing.assert_close(scores, _scores().double().sum(1))
    assert seen.all()


def test_max_over_views_also_below_zero():
    table = _filled(ALL, _scores() - 1e12)
    torch.testing.assert_close(table.ensemble("max")[0], (_scores() - 1e12).double().amax(1))


def test_the_order_of_adding_does_not_matter():
    expected = _filled(ALL).ensemble("sum")[0]
    assert torch.equal(_filled(reversed(ALL)).ensemble("sum")[0], expected)


def test_a_view_that_comes_twice_counts_once():
    expected = _filled(ALL).ensemble("sum")[0]
    assert torch.equal(_filled(ALL + ALL[:7]).ensemble("sum")[0], expected)


def test_merge_of_shares_equals_the_whole():
    expected = _filled(ALL).ensemble("sum")[0]
    shares = [_filled(ALL[0::2]), _filled(ALL[1::2]), _filled(ALL[:5])]
    shares[0].merge(shares)
    assert torch.equal(shares[0].ensemble("sum")[0], expected)


def test_videos_without_views_are_not_seen():
    scores, seen = _filled([(0, 0), (0, 1), (2, 5)]).ensemble("sum")
    assert seen.tolist() == [True, False, True, False]
    torch.testing.assert_close(scores[0], _scores()[0, :2].double().sum(0))


def test_ensemble_over_some_views():
    scores, seen = _filled(ALL[:-1]).ensemble("sum", views=[5, 1])
    torch.testing.assert_close(scores[:3], _scores()[:3, [1, 5]].double().sum(1))
    torch.testing.assert_close(scores[3], _scores()[3, 1].double())
    assert seen.all()


def test_unknown_method_names_the_key():
    with pytest.raises(
        ValueError, match=r"DATA.ENSEMBLE_METHOD: 'mean' is not one of \['max', 'sum'\]"
    ):
        _filled(ALL).ensemble("mean")


def test_bfloat16_scores_can_be_added():
    table = _filled(ALL, _scores().bfloat16())
    torch.testing.assert_close(table.ensemble("sum", [0])[0], _scores()[:, 0].bfloat16().double())


def _accuracies_by_views(table, labels, num_crops, method="sum"):
    labels = torch.tensor(labels)
    return table.metrics_by_views(
        lambda scores, seen: topk_accuracies(scores, labels[seen]), num_crops, method=method
    )


def test_metrics_by_views_take_uniform_clips_and_the_centre_crop():
    """Two clips x three crops; only clip 1, centre crop (view 4) is right for every video."""
    scores = torch.zeros(VIDEOS, VIEWS, CLASSES)
    scores[:, :, 0] = 1.0
    scores[:, 4, 2] = 1.5
    rows = _accuracies_by_views(_filled(ALL, scores), [2, 2, 2, 0], 3)
    table = {(row["clips"], row["crops"]): row["top1_acc"] for row in rows}
    assert table == {(1, 1): 75.0, (2, 1): 25.0, (1, 3): 25.0, (2, 3): 25.0}


def test_metrics_by_views_count_seen_videos_only():
    rows = _accuracies_by_views(_filled(ALL[:VIEWS]), [0] * VIDEOS, 1, method="max")
    assert [row["clips"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert {row["videos"] for row in rows} == {1}


def test_the_full_row_is_the_ensemble_of_all_views():
    table, labels = _filled(ALL), [0, 1, 2, 0]
    last = _accuracies_by_views(table, labels, 3)[-1]
    hits = (table.ensemble("sum")[0].argmax(1) == torch.tensor(labels)).double().mean()
    assert (last["clips"], last["crops"], last["top1_acc"]) == (2, 3, 100 * hits.item())


def test_npz_round_trip(tmp_path):
    table = _filled(ALL[:-VIEWS])
    paths, labels = ["a b.mp4", "ü.mp4", "c.mp4", "broken.mp4"], [0, 1, 2, 0]
    table.save_npz(tmp_path / "scores.npz", paths, labels)
    loaded, loaded_paths, loaded_labels = VideoScores.load_npz(tmp_path / "scores.npz")
    assert (loaded_paths, loaded_labels) == (paths, labels)
    for ours, theirs in zip(table.ensemble("sum"), loaded.ensemble("sum"), strict=True):
        assert torch.equal(ours, theirs)


def test_npz_shows_what_was_not_seen(tmp_path):
    _filled(ALL[:VIEWS]).save_npz(tmp_path / "scores.npz", ["p"] * VIDEOS, [0] * VIDEOS)
    with np.load(tmp_path / "scores.npz") as content:
        assert content["scores"].shape == (VIDEOS, VIEWS, CLASSES)
        assert np.isnan(content["scores"][1:]).all() and not content["seen"][1:].any()


def test_npz_keeps_several_labels_per_video(tmp_path):
    labels = [[0, 1, 1], [0, 0, 0], [1, 0, 0], [0, 0, 1]]
    _filled(ALL).save_npz(tmp_path / "scores.npz", ["p"] * VIDEOS, labels)
    assert VideoScores.load_npz(tmp_path / "scores.npz")[2] == labels
