import os
import signal

import pytest
import torch

from slowfast.config.defaults import get_cfg
from slowfast.datasets.build import build_loader
from slowfast.datasets.clip_dataset import NoReadableVideo, Sample
from slowfast.datasets.loader import ShardedBatchSampler, collate, collate_by_size
from slowfast.datasets.records import Record
from slowfast.utils.clip_shapes import BatchShape

# A short cycle: crops 8, 11 and 16 of 4, 2 and 1 clips.
CYCLE = [BatchShape(4, 2, 8), BatchShape(2, 2, 11), BatchShape(1, 2, 16)]


def train_batches(rank=0, world_size=1, batch_size=6, epoch=0, start=0, shapes=(None,)):
    sampler = ShardedBatchSampler(
        20, batch_size, shuffle=True, seed=1, rank=rank, world_size=world_size
    )
    sampler.set_epoch(epoch, shapes)
    sampler.set_start(start)
    return list(sampler)


def test_training_takes_each_sample_once_in_a_drawn_order():
    batches = train_batches()
    indices = [key.index for batch in batches for key in batch]
    assert len(batches) == 3 and len(set(indices)) == 18 and indices != sorted(indices)


def test_training_order_depends_on_the_epoch():
    assert train_batches(epoch=1) == train_batches(epoch=1) != train_batches(epoch=2)


def test_samples_carry_the_epoch():
    assert {key.epoch for batch in train_batches(epoch=5) for key in batch} == {5}


def test_processes_share_the_global_batch_in_order():
    parts = zip(train_batches(0, 2, 3), train_batches(1, 2, 3), strict=True)
    assert [first + second for first, second in parts] == train_batches()


def test_batches_go_through_the_shapes_and_keys_carry_them():
    batches = train_batches(shapes=CYCLE)
    # 2 cycles of 7, then 4 and 2 of the 6 samples that are left.
    assert [len(batch) for batch in batches] == [4, 2, 1, 4, 2, 1, 4, 2]
    assert [{key.shape for key in batch} for batch in batches] == [{CYCLE[n % 3]} for n in range(8)]
    indices = [key.index for batch in batches for key in batch]
    assert sorted(indices) == list(range(20))


def test_a_batch_that_is_not_full_ends_the_epoch_though_a_smaller_one_would_fit():
    sampler = ShardedBatchSampler(10, 1, shuffle=True)
    sampler.set_epoch(0, CYCLE)
    assert [len(batch) for batch in sampler] == [4, 2, 1]
    assert len(sampler) == sampler.num_batches(CYCLE) == 3


def test_processes_take_the_same_shape_at_each_step():
    parts = [train_batches(rank, 2, shapes=CYCLE) for rank in range(2)]
    wide = [BatchShape(2 * shape.num_clips, *shape[1:]) for shape in CYCLE]
    joined = [first + second for first, second in zip(*parts, strict=True)]
    whole = train_batches(shapes=wide)
    assert len(joined) == 3
    for ours, expected in zip(joined, whole, strict=True):
        assert [key[:2] for key in ours] == [key[:2] for key in expected]
        assert len({key.shape for key in ours}) == 1


def test_start_leaves_out_batches_of_a_cycle():
    assert train_batches(shapes=CYCLE, start=4) == train_batches(shapes=CYCLE)[4:]


def test_start_leaves_out_the_first_batches():
    assert train_batches(start=2) == train_batches()[2:]


def test_setting_the_epoch_starts_from_its_first_batch():
    sampler = ShardedBatchSampler(20, 6, shuffle=True)
    sampler.set_start(2)
    sampler.set_epoch(1)
    assert len(list(sampler)) == len(sampler) == 3


def test_setting_the_epoch_does_not_disturb_an_iteration_under_way():
    sampler = ShardedBatchSampler(20, 6, shuffle=True)
    expected = list(sampler)
    iterator = iter(sampler)
    found = [next(iterator)]
    sampler.set_epoch(1)
    assert found + list(iterator) == expected


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_evaluation_takes_everything_once(world_size):
    shards = [
        ShardedBatchSampler(7, 2, shuffle=False, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    batches = [list(shard) for shard in shards]
    assert [len(shard) for shard in shards] == [len(part) for part in batches]
    indices = [key.index for part in batches for batch in part for key in batch]
    assert sorted(indices) == list(range(7))
    assert [key.index for batch in batches[0] for key in batch] == list(range(0, 7, world_size))


def sample(index, num_views=1, failures=()):
    clips = [torch.full((num_views, 3, 2, 4, 4), index, dtype=torch.uint8)] if num_views else []
    return Sample(clips, label=10 + index, index=index, failures=list(failures))


def test_collate_repeats_what_is_said_of_a_video_for_its_views():
    batch = collate([sample(0, 2), sample(3, 2)])
    assert batch["clips"][0].shape == (4, 3, 2, 4, 4)
    assert batch["clips"][0][:, 0, 0, 0, 0].tolist() == [0, 0, 3, 3]
    assert batch["labels"].tolist() == [10, 10, 13, 13]
    assert batch["indices"].tolist() == [0, 0, 3, 3]
    assert batch["views"].tolist() == [0, 1, 0, 1]


def test_collate_leaves_out_what_is_unreadable():
    batch = collate([sample(0, 0, [(0, "moov")]), sample(1), sample(2, 1, [(5, "zero")])])
    assert batch["indices"].tolist() == [1, 2]
    assert batch["failures"] == [(0, "moov"), (5, "zero")]


def test_collate_of_nothing_readable():
    batch = collate([sample(0, 0, [(0, "moov")])])
    assert batch["clips"] == [] and batch["failures"] == [(0, "moov")]
    for name in ("labels", "indices", "views"):
        assert batch[name].shape == (0,) and batch[name].dtype == torch.int64


def test_collate_stacks_multi_hot_labels():
    first, second = sample(0, 2), sample(3)
    first.label, second.label = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    labels = collate([first, second])["labels"]
    assert labels.tolist() == [[1, 0], [1, 0], [0, 1]] and labels.dtype == torch.float32


def boxed(index, num_boxes, height=4):
    """A sample with boxes, of which the first one of the record was dropped."""
    boxed = sample(index)
    boxed.clips = [torch.full((1, 3, 2, height, 4), index, dtype=torch.uint8)]
    boxed.boxes = torch.arange(4.0).repeat(num_boxes, 1) + index
    boxed.box_numbers = torch.arange(1, num_boxes + 1)
    boxed.box_labels = torch.eye(5)[:num_boxes]
    return boxed


def test_boxes_know_their_clip_and_their_record():
    batch = collate([sample(9, 0, [(9, "moov")]), boxed(7, 2), boxed(4, 0), boxed(5, 1)])
    assert batch["boxes"].tolist() == [[0, 7, 8, 9, 10], [0, 7, 8, 9, 10], [2, 5, 6, 7, 8]]
    assert batch["box_indices"].tolist() == [7, 7, 5]
    assert batch["box_numbers"].tolist() == [1, 2, 1]
    assert batch["box_labels"].equal(torch.eye(5)[[0, 1, 0]])


def test_a_batch_may_have_no_boxes_at_all():
    batch = collate([boxed(7, 0), boxed(4, 0)])
    assert batch["boxes"].shape == (0, 5) and batch["box_labels"].shape == (0, 5)
    assert batch["boxes"].dtype == torch.float32
    for name in ("box_indices", "box_numbers"):
        assert batch[name].shape == (0,) and batch[name].dtype == torch.int64


def test_without_detection_there_are_no_boxes():
    assert "boxes" not in collate([sample(0)])


def test_batches_by_size():
    samples = [sample(1, 0, [(1, "moov")]), boxed(2, 1), boxed(3, 1, height=6), boxed(4, 2)]
    first, second = collate_by_size(samples)
    assert first["indices"].tolist() == [2, 4] and first["failures"] == [(1, "moov")]
    assert first["boxes"][:, 0].tolist() == [0, 1, 1]
    assert second["indices"].tolist() == [3] and second["failures"] == []
    assert second["boxes"][:, 0].tolist() == [0]


def test_batches_by_size_of_nothing_readable():
    (batch,) = collate_by_size([sample(1, 0, [(1, "moov")])])
    assert batch["clips"] == [] and batch["failures"] == [(1, "moov")]


@pytest.fixture
def cfg(video_dir):
    cfg = get_cfg()
    cfg.DATA.PATH_TO_DATA_DIR = str(video_dir)
    cfg.DATA.INPUT_CHANNEL_NUM = [3]
    cfg.DATA.NUM_FRAMES, cfg.DATA.SAMPLING_RATE = 4, 2
    cfg.DATA.TRAIN_JITTER_SCALES = [32, 40]
    cfg.DATA.TRAIN_CROP_SIZE = cfg.DATA.TEST_CROP_SIZE = 32
    cfg.MODEL.NUM_CLASSES = 4
    cfg.NUM_GPUS = 0
    cfg.TRAIN.BATCH_SIZE = 2
    cfg.TEST.BATCH_SIZE, cfg.TEST.NUM_ENSEMBLE_VIEWS, cfg.TEST.NUM_SPATIAL_CROPS = 8, 2, 3
    return cfg


def load_epoch(cfg, num_workers, bad_file):
    cfg.DATA_LOADER.NUM_WORKERS = num_workers
    loader = build_loader(cfg, "train")
    loader.dataset.records = [*loader.dataset.records, Record(str(bad_file), 0)]
    loader.batch_sampler.num_samples += 1
    batches = []
    for epoch in (0, 1):
        loader.batch_sampler.set_epoch(epoch)
        batches += list(loader)
    return batches


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [1, 2])
def test_batches_do_not_depend_on_the_number_of_workers(cfg, num_workers, tmp_path):
    bad_file = tmp_path / "missing.mp4"
    expected = load_epoch(cfg, 0, bad_file)
    found = load_epoch(cfg, num_workers, bad_file)
    assert len(found) == len(expected) == 6
    assert any(batch["failures"] for batch in expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours["failures"] == theirs["failures"]
        for name in ("labels", "indices", "views"):
            assert torch.equal(ours[name], theirs[name])
        assert torch.equal(ours["clips"][0], theirs["clips"][0])


def test_loading_leaves_the_global_generator_alone(cfg):
    cfg.DATA_LOADER.NUM_WORKERS = 0
    state = torch.get_rng_state()
    list(build_loader(cfg, "train"))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_test_batch_holds_whole_videos(cfg):
    cfg.DATA_LOADER.NUM_WORKERS = 0
    batches = list(build_loader(cfg, "test"))
    assert [batch["indices"].tolist() for batch in batches] == [[0] * 6, [1] * 6]
    assert batches[0]["views"].tolist() == list(range(6))


def test_validation_uses_the_training_batch_size(cfg):
    cfg.DATA_LOADER.NUM_WORKERS = 0
    (batch,) = build_loader(cfg, "val")
    assert batch["clips"][0].shape == (2, 3, 4, 32, 32)


def test_fewer_videos_than_a_batch(cfg):
    cfg.TRAIN.BATCH_SIZE = 7
    with pytest.raises(ValueError, match="TRAIN.BATCH_SIZE: 7 needs 7 clips .* holds 6 videos"):
        build_loader(cfg, "train")


class _Probe(torch.utils.data.Dataset):
    """Tells from inside a worker how it is set up."""

    def __len__(self):
        return 1

    def __getitem__(self, _key):
        is_ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        in_own_group = os.getpgid(0) == os.getpid()
        state = [torch.get_num_threads(), is_ignored, in_own_group]
        return Sample([torch.tensor([[state]])], 0, 0)


def probe_loader(dataset):
    from slowfast.datasets.loader import make_loader

    return make_loader(dataset, ShardedBatchSampler(1, 1, shuffle=False), num_workers=1)


def test_workers_use_one_thread_and_leave_signals_to_the_main_process():
    (batch,) = probe_loader(_Probe())
    assert batch["clips"][0].flatten().tolist() == [1, 1, 1]


class _Hopeless(_Probe):
    def __getitem__(self, _key):
        raise NoReadableVideo("3 videos in a row are unreadable:\n  a.mp4: moov: NoReadableVideo")


def test_an_error_of_a_worker_keeps_its_own_words():
    with pytest.raises(NoReadableVideo, match=r"^3 videos in a row are unreadable:\n  a.mp4"):
        list(probe_loader(_Hopeless()))
