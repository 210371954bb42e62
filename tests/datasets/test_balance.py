"""Rare classes: in the order of an epoch, and in the weights of the loss."""

from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from slowfast.datasets.balance import (
    BalancedOrder,
    balanced_weights,
    build_class_weights,
    count_labels,
)
from slowfast.datasets.build import build_batch_sampler, build_dataset
from slowfast.datasets.loader import ShardedBatchSampler
from slowfast.datasets.records import Record, TimedLabels
from slowfast.engine.train import train
from slowfast.tasks import build_task

# 9 videos of class 0, 2 of class 1, 1 of class 3, none of class 2.
LABELS = [0] * 9 + [1, 3, 1]


def drawn(seed=0):
    return BalancedOrder(LABELS)(np.random.default_rng(seed))


def keys(rank=0, world_size=1, batch_size=6, epoch=0, start=0):
    sampler = ShardedBatchSampler(
        *(12, batch_size),
        shuffle=True,
        seed=1,
        rank=rank,
        world_size=world_size,
        order=BalancedOrder(LABELS),
    )
    sampler.set_epoch(epoch)
    sampler.set_start(start)
    return list(sampler)


def test_classes_come_equally_often_in_an_epoch_of_the_usual_length():
    assert Counter(LABELS[index] for index in drawn()) == {0: 4, 1: 4, 3: 4}


def test_what_is_left_over_goes_to_classes_by_lot():
    order = BalancedOrder([0, 0, 0, 1, 1, 2, 2, 2])
    counts = [
        Counter([0, 0, 0, 1, 1, 2, 2, 2][index] for index in order(np.random.default_rng(seed)))
        for seed in range(20)
    ]
    assert {tuple(sorted(count.values())) for count in counts} == {(2, 3, 3)}
    assert len({tuple(sorted(count.items())) for count in counts}) == 3


def test_no_video_comes_again_before_all_of_its_class_came():
    for seed in range(10):
        times = Counter(drawn(seed).tolist())
        assert max(times[index] for index in range(9)) == 1
        assert (times[9], times[11], times[10]) == (2, 2, 4)


def test_the_order_is_mixed_and_another_in_each_epoch():
    first = [key.index for batch in keys() for key in batch]
    assert first == [key.index for batch in keys() for key in batch]
    assert first != [key.index for batch in keys(epoch=1) for key in batch]
    assert [LABELS[index] for index in first] != sorted(LABELS[index] for index in first)


def test_any_number_of_processes_shares_the_same_order():
    parts = zip(keys(0, 2, 3), keys(1, 2, 3), strict=True)
    assert [first + second for first, second in parts] == keys()


def test_an_epoch_can_be_entered_later():
    assert keys(start=1, batch_size=4) == keys(batch_size=4)[1:]


def test_a_video_that_comes_again_has_the_next_number():
    seen = Counter()
    for key in (key for batch in keys() for key in batch):
        assert key.repeat == seen[key.index]
        seen[key.index] += 1
    assert max(seen.values()) == 4


def test_a_video_that_comes_again_gives_another_clip(toy_cfg):
    dataset = build_dataset(toy_cfg(), "train")
    first, again, same = (dataset[(0, 1, None, repeat)].clips[0] for repeat in (0, 1, 0))
    assert first.equal(same) and first.equal(dataset[(0, 1)].clips[0])
    assert not first.equal(again)


def test_only_training_is_balanced(toy_cfg):
    cfg = toy_cfg("DATA.SAMPLER", "balanced")
    dataset = build_dataset(cfg, "train")
    dataset.records = dataset.records[:5]  # classes 0, 1, 2, 0, 1
    batches = list(build_batch_sampler(cfg, "train", dataset))
    assert [len(batch) for batch in batches] == [4]
    assert max(Counter(key.index for batch in batches for key in batch).values()) <= 2
    validated = [key.index for batch in build_batch_sampler(cfg, "val", dataset) for key in batch]
    assert validated == list(range(5))


def test_balanced_weights_are_1_on_average_over_the_labels():
    num_videos = np.array([9, 2, 0, 1])
    weights = balanced_weights(num_videos)
    np.testing.assert_allclose(weights, [12 / 27, 2, 1, 4])
    assert (weights * num_videos).sum() == pytest.approx(12)
    assert balanced_weights(np.array([0, 0])).tolist() == [1, 1]


def test_labels_of_every_kind_are_counted():
    spans = TimedLabels(((1, 0, 4), (3, 5, 9), (1, 6, 9)))
    records = [Record("a", 1), Record("b", labels=(0, 3)), Record("c", spans=spans), Record("d")]
    assert count_labels(records, [4])[0].tolist() == [1, 2, 0, 2]
    pairs = [Record("a", labels=(1, 0)), Record("b", labels=(1, 2))]
    assert [counts.tolist() for counts in count_labels(pairs, [2, 3])] == [[0, 2], [1, 0, 1]]


def test_weights_are_those_of_the_list_or_of_the_training_videos(toy_cfg, caplog):
    dataset = build_dataset(toy_cfg(), "train")  # 3, 3 and 2 videos
    assert build_class_weights(toy_cfg(), dataset) is None
    listed = build_class_weights(toy_cfg("TRAIN.CLASS_WEIGHTS", "[1, 0, 2.5]"), dataset)
    assert listed.tolist() == [1, 0, 2.5]
    caplog.set_level("INFO")
    balanced = build_class_weights(toy_cfg("TRAIN.CLASS_WEIGHTS", "balanced"), dataset)
    torch.testing.assert_close(balanced, torch.tensor([8 / 9, 8 / 9, 4 / 3]))
    assert "from 0.889 to 1.33; 0 classes have no video" in caplog.text


LOGITS = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
WEIGHTS = torch.tensor([1.0, 2.0, 0.5])


def loss_of(cfg, labels, weights=None, logits=LOGITS):
    task = build_task(cfg)
    if weights is not None:
        task.weigh_classes(weights)
    batch = {"clips": [torch.zeros(len(labels), 3, 1, 1, 1)], "labels": labels}
    return task.loss(lambda clips: logits, batch, np.random.default_rng(0))[0]


def test_a_weight_multiplies_the_loss_of_a_clip(toy_cfg):
    labels = torch.tensor([0, 1, 1, 2])
    losses = F.cross_entropy(LOGITS, labels, reduction="none")
    torch.testing.assert_close(
        loss_of(toy_cfg(), labels, WEIGHTS), (losses * WEIGHTS[labels]).mean()
    )


def test_the_loss_of_two_processes_is_that_of_one(toy_cfg):
    labels = torch.tensor([0, 1, 1, 2])
    halves = [
        loss_of(toy_cfg(), labels[part], WEIGHTS, LOGITS[part]) for part in (slice(2), slice(2, 4))
    ]
    torch.testing.assert_close(sum(halves) / 2, loss_of(toy_cfg(), labels, WEIGHTS))


@pytest.mark.parametrize("options", [[], ["MODEL.LABEL_SMOOTHING", 0.2], ["MIXUP.ENABLE", True]])
@pytest.mark.parametrize("name", ["cross_entropy", "bce_logit"])
def test_weights_of_1_change_nothing(toy_cfg, name, options):
    cfg, labels = toy_cfg("MODEL.LOSS_FUNC", name, *options), torch.tensor([0, 1, 1, 2])
    torch.testing.assert_close(loss_of(cfg, labels, torch.ones(3)), loss_of(cfg, labels))


def one_by_one(name, clip, label, smoothing):
    """The loss of a clip by the book, times the weight of its label."""
    smooth = F.one_hot(torch.tensor(label), 3) * (1 - smoothing) + smoothing / 3
    if name == "cross_entropy":
        return WEIGHTS[label] * F.cross_entropy(LOGITS[clip], smooth)
    return WEIGHTS[label] * F.binary_cross_entropy_with_logits(LOGITS[clip], smooth)


@pytest.mark.parametrize("name", ["cross_entropy", "bce_logit"])
def test_a_smoothed_label_has_the_weight_of_its_class(toy_cfg, name):
    labels = [0, 1, 1, 2]
    cfg = toy_cfg("MODEL.LOSS_FUNC", name, "MODEL.LABEL_SMOOTHING", 0.2)
    expected = sum(one_by_one(name, clip, label, 0.2) for clip, label in enumerate(labels)) / 4
    torch.testing.assert_close(loss_of(cfg, torch.tensor(labels), WEIGHTS), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("name", ["cross_entropy", "bce_logit"])
def test_mixed_labels_have_their_shares_of_the_weights(toy_cfg, name, smoothing):
    labels = [0, 1, 1, 2]
    cfg = toy_cfg(
        *("MODEL.LOSS_FUNC", name, "MIXUP.ENABLE", True, "MIXUP.CUTMIX_ALPHA", 0),
        *("MIXUP.LABEL_SMOOTH_VALUE", smoothing),
    )
    rng = np.random.default_rng(0)
    rng.uniform()
    share = rng.beta(0.8, 0.8)
    expected = sum(
        share * one_by_one(name, clip, labels[clip], smoothing)
        + (1 - share) * one_by_one(name, clip, labels[3 - clip], smoothing)
        for clip in range(4)
    )
    torch.testing.assert_close(loss_of(cfg, torch.tensor(labels), WEIGHTS), expected / 4)


def test_labels_that_are_smoothed_away_have_no_weight(toy_cfg):
    cfg = toy_cfg("MIXUP.ENABLE", True, "MIXUP.LABEL_SMOOTH_VALUE", 1)
    labels = torch.tensor([0, 1, 1, 2])
    torch.testing.assert_close(loss_of(cfg, labels, WEIGHTS), loss_of(cfg, labels))


def test_labels_that_hold_are_weighed_where_there_are_several(many_cfg):
    labels = torch.tensor([[1.0, 0, 1], [0, 1, 0], [0, 0, 0], [1, 1, 1]])
    terms = F.binary_cross_entropy_with_logits(LOGITS, labels, reduction="none")
    expected = (terms * torch.where(labels > 0, WEIGHTS, 1.0)).mean()
    torch.testing.assert_close(loss_of(many_cfg(), labels, WEIGHTS), expected)


def test_tasks_without_weights_refuse_them(box_cfg):
    with pytest.raises(ValueError, match="TRAIN.CLASS_WEIGHTS: must be empty, as Detection"):
        build_task(box_cfg()).weigh_classes(WEIGHTS)


@pytest.mark.slow
def test_a_run_learns_with_weights_and_a_balanced_order(toy_cfg):
    plain, weighed, balanced = (
        train(toy_cfg("SOLVER.MAX_EPOCH", 1, *options)).history[-1]["train_loss"]
        for options in (
            [],
            ["TRAIN.CLASS_WEIGHTS", "[2, 2, 2]", "TRAIN.AUTO_RESUME", False],
            ["DATA.SAMPLER", "balanced", "TRAIN.AUTO_RESUME", False],
        )
    )
    assert weighed > 1.5 * plain and balanced != plain
