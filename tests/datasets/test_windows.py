"""Lists of members of tars and of addresses, from the list to batches."""

import pickle
import re
import shutil
from dataclasses import replace

import pytest
import torch

from slowfast.config.cli import load_cfg
from slowfast.curation.pack import plan_tars, write_tar
from slowfast.datasets.annotations.list_files import look_for_files
from slowfast.datasets.build import build_dataset, build_loader
from slowfast.datasets.clip_dataset import NoReadableVideo
from slowfast.datasets.packed_records import digest, pack
from slowfast.datasets.records import Record
from slowfast.datasets.windows import absent_members, add_windows


@pytest.fixture(scope="module")
def packed(toy_set, tmp_path_factory):
    """Folder of tars of four videos each with all videos of the toy set, and its lists."""
    folder = tmp_path_factory.mktemp("packed")
    videos = sorted(toy_set.glob("*.mp4"))
    for tar in plan_tars({str(path): path.name for path in videos}, 20_000)[0]:
        write_tar(tar, folder=folder / "..", output=folder)
    assert len(list(folder.glob("*.tar"))) > 1
    return folder


def test_members_get_their_places_and_keep_their_names(packed):
    records = [Record(str(packed / "*.tar/train_1.mp4"), 1), Record("/plain.mp4", 0)]
    found = add_windows(records, seconds=9)
    assert found[0] == replace(records[0], window=found[0].window) and found[1] == records[1]
    assert found[0].window.file.endswith(".tar") and digest(found) == digest(records)
    assert pickle.loads(pickle.dumps(found)) == found
    assert add_windows(records[1:], seconds=9) == records[1:]


def test_member_that_is_not_there_is_named_with_its_line(packed, tmp_path):
    (tmp_path / "train.csv").write_text("\n*.tar/train_0.mp4 0\n\n*.tar/no.mp4 1\n")
    records = [Record(str(packed / "*.tar" / name)) for name in ("train_0.mp4", "no.mp4")]
    found = add_windows(pack(records), seconds=9)
    assert list(absent_members(found)) == [1]
    (missing,) = look_for_files(found, tmp_path, tmp_path / "train.csv")
    name = f"{packed}/*.tar/no.mp4 ({tmp_path}/train.csv:4)"
    assert missing == (name, "not a member of its tar")


def test_tar_that_cannot_be_read_stops_at_once(tmp_path):
    with pytest.raises(ValueError, match=r"no\.tar cannot be read: FileNotFoundError: there is no"):
        add_windows([Record(f"{tmp_path}/no.tar/a.mp4")], seconds=9)


def test_index_that_is_none_is_named(packed, tmp_path):
    shutil.copy(packed / "00000.tar", tmp_path)
    (tmp_path / "00000.tar.json").write_text("[]")
    with pytest.raises(ValueError, match=r"00000\.tar\.json: not the index of a tar"):
        add_windows([Record(f"{tmp_path}/00000.tar/a.mp4")], seconds=9)


@pytest.mark.slow
def test_objects_that_are_not_there_are_found_before_training(toy_set, bucket, tmp_path):
    url = bucket(toy_set)
    names = [f"train_{number}.mp4" for number in range(8)]
    records = [Record(f"{url}/{name}") for name in [*names, "no.mp4"]]
    found = [(f"{url}/no.mp4", f"FileNotFoundError: there is no {url}/no.mp4")]
    assert look_for_files(pack(records), tmp_path) == found
    assert look_for_files(records[-2:], tmp_path) == found


def test_store_that_cannot_be_read_stops_the_search(deaf_server, tmp_path):
    with pytest.raises(ValueError, match="cannot be read: TimeoutError: no answer"):
        look_for_files([Record(f"{deaf_server}/a.mp4")], tmp_path, seconds=0.5)


def batches(cfg, start=0):
    loader = build_loader(cfg, "train")
    loader.batch_sampler.set_epoch(1)
    loader.batch_sampler.set_start(start)
    return [(batch["clips"][0], batch["indices"].tolist()) for batch in loader]


@pytest.fixture
def make_cfg(toy_yaml):
    return lambda *words: load_cfg(toy_yaml, [str(word) for word in words])


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "start"), [(0, 0), pytest.param(2, 1, marks=pytest.mark.slow)])
def test_batches_from_a_store_are_those_of_plain_files(
    make_cfg, packed, bucket, workers, start, tmp_path
):
    options = ["DATA.PATH_PREFIX", f"{bucket(packed)}/*.tar", "DATA.CACHE_DIR", tmp_path / "cache"]
    plain = batches(make_cfg())
    stored = batches(make_cfg(*options, "DATA_LOADER.NUM_WORKERS", workers), start)
    assert len(stored) == len(plain) - start > 0
    for (clips, indices), (other_clips, other_indices) in zip(plain[start:], stored, strict=True):
        torch.testing.assert_close(clips, other_clips, rtol=0, atol=0)
        assert indices == other_indices
    assert any((tmp_path / "cache").glob("ranges/*/*"))


def test_store_that_falls_silent_ends_the_run_at_once(make_cfg, toy_set, deaf_server, tmp_path):
    rows = [f"{deaf_server}/{number}.mp4 0\n" for number in range(8)]
    (tmp_path / "train.csv").write_text("".join(rows))
    words = ["DATA.PATH_TO_DATA_DIR", tmp_path, "DATA.READ_TIMEOUT", 0.5]
    with pytest.raises(NoReadableVideo, match=r"0\.mp4: TimeoutError: no answer .* within 0.4 s"):
        build_dataset(make_cfg(*words), "train")[0]


@pytest.mark.slow
def test_list_may_name_members_and_addresses(make_cfg, packed, toy_set, bucket, tmp_path):
    url = bucket(toy_set)
    rows = [
        f"{url}/train_0.mp4",
        f"{packed}/*.tar/train_1.mp4",
        f"tar://train_2.mp4::{packed}/*.tar",
    ]
    lines = [f"{row} {number % 3}\n" for number, row in enumerate(rows * 2)]
    (tmp_path / "train.csv").write_text("".join(lines))
    dataset = build_dataset(make_cfg("DATA.PATH_TO_DATA_DIR", tmp_path), "train")
    samples = [dataset[number] for number in range(3)]
    assert [sample.failures for sample in samples] == [[]] * 3
    assert [sample.index for sample in samples] == [0, 1, 2]


@pytest.mark.parametrize(
    ("words", "mistake"),
    [
        (["CACHE_GB", 3], "DATA.CACHE_GB: 3.0 has no effect without DATA.CACHE_DIR"),
        (["CACHE_DIR", "s3://b"], "DATA.CACHE_DIR: 's3://b' must be a folder of this machine"),
        (
            ["PATH_PREFIX", "s3://b", "INDEX_FILE", "i.npz"],
            "INDEX_FILE: 'i.npz' must be empty",
        ),
        (["PATH_PREFIX", "d/*.tar", "SOURCE", "frames"], "SOURCE: 'frames' must be 'videos' with"),
    ],
)
def test_keys_that_do_not_go_together_are_refused(make_cfg, words, mistake):
    words = [f"DATA.{word}" if number % 2 == 0 else word for number, word in enumerate(words)]
    with pytest.raises(ValueError, match=re.escape(mistake)):
        make_cfg(*words)


def test_cache_of_what_is_on_disks_is_warned_of(make_cfg, tmp_path, caplog):
    build_dataset(make_cfg("DATA.CACHE_DIR", tmp_path), "val")
    assert "has no effect on the val split, which is on disks" in caplog.text
