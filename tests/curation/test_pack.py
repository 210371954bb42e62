"""Tars that tools/dataset.py pack writes, and their indices."""

import hashlib
import json
import os
import subprocess
import zlib

import pytest

from slowfast.curation import pack as packing
from slowfast.curation.pack import Source, Tar, is_written, plan_tars, write_tar, write_tars
from slowfast.datasets.decoding.tar_index import parse_index
from tools import dataset


@pytest.fixture
def folder(tmp_path):
    """Six files of 100 bytes, one with a long name of any letters, and a list of them."""
    (tmp_path / "set" / "jump high").mkdir(parents=True)
    names = ["a.mp4", "b.mp4", "jump high/c.mp4", "d.mp4", "e.mp4", f"{'é' * 70}/{'f' * 90}.mp4"]
    for number, name in enumerate(names):
        path = tmp_path / "set" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes([number]) * 100)
        os.utime(path, (1e9, 1e9))
    (tmp_path / "set/train.csv").write_text("".join(f"{n} {i}\n" for i, n in enumerate(names)))
    return tmp_path / "set"


@pytest.fixture
def pack(run_tool, folder, tmp_path, monkeypatch):
    """Function (*words, output="packed") -> exit code and text, of all files in tars of 3."""
    monkeypatch.setattr(dataset, "at_least", lambda _least: float)
    monkeypatch.setattr(packing, "run_parallel", run_here)

    def run(*words, output="packed"):
        given = ["--csv", folder / "train.csv", "--output", tmp_path / output, *words]
        return run_tool(dataset, "pack", *given, "--megabytes", "3e-4", "--workers", 1)

    return run


def run_here(function, items, *, workers):
    return ((item, function(item)) for item in items)


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.startswith("pack")}


def test_any_tar_reads_what_was_packed(pack, folder, tmp_path):
    assert pack()[0] == 0
    tars = sorted((tmp_path / "packed").glob("*.tar"))
    for tar in tars:
        subprocess.run(["tar", "xf", tar, "-C", tmp_path], check=True)
    assert len(tars) == 2
    assert (tmp_path / "jump high/c.mp4").read_bytes() == b"\2" * 100
    assert (tmp_path / ("é" * 70) / f"{'f' * 90}.mp4").read_bytes() == b"\5" * 100


def test_index_has_places_and_check_sums(pack, tmp_path):
    pack()
    for tar in (tmp_path / "packed").glob("*.tar"):
        data = tar.read_bytes()
        index = parse_index(tar.with_name(f"{tar.name}.json").read_bytes())
        assert (index.size, index.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        for member in index.members.values():
            bytes_of = data[member.start : member.start + member.size]
            assert len(set(bytes_of)) == 1 and zlib.crc32(bytes_of) == member.crc


def test_new_list_names_members(pack, tmp_path):
    pack()
    lines = (tmp_path / "packed/train.csv").read_text().splitlines()
    assert lines[1:4] == ["00000.tar/b.mp4 1", "00000.tar/jump high/c.mp4 2", "00001.tar/d.mp4 3"]


def test_shards_write_what_one_machine_writes(pack, tmp_path):
    pack()
    for number in range(2):
        assert pack("--shard", f"{number}/2", output="shared")[0] == 0
    assert not (tmp_path / "shared/train.csv").exists()
    assert pack("--merge", output="shared")[0] == 0
    assert contents(tmp_path / "shared") == contents(tmp_path / "packed")


def test_merge_names_the_shard_that_is_missing(pack):
    pack("--shard", "0/2", output="shared")
    code, text = pack("--merge", output="shared")
    assert code == 1 and "shards are missing or have not ended: 1/2 (1 tars)" in text, text


def test_what_is_there_is_not_written_again(pack, tmp_path, folder):
    pack()
    before = (tmp_path / "packed/00000.tar").stat().st_mtime_ns
    (tmp_path / "packed/00001.tar.json").unlink()  # killed before the index was there
    os.utime(folder / "e.mp4", (2e9, 2e9))
    pack()
    index = json.loads((tmp_path / "packed/00001.tar.json").read_text())
    assert (tmp_path / "packed/00000.tar").stat().st_mtime_ns == before
    assert index["members"]["e.mp4"][3] == 2e9


def test_missing_video_is_a_failure_and_the_others_are_packed(pack, folder, tmp_path):
    (folder / "b.mp4").unlink()
    code, text = pack()
    assert code == 1 and "5 videos in 2 tars" in text
    assert "b.mp4,FileNotFoundError" in (tmp_path / "packed/failures.csv").read_text()
    assert "b.mp4" not in (tmp_path / "packed/train.csv").read_text()


def test_address_is_not_packed(run_tool, tmp_path):
    (tmp_path / "a.csv").write_text("http://localhost/a.mp4 1\n")
    words = ["--csv", tmp_path / "a.csv", "--output", tmp_path / "packed"]
    code, text = run_tool(dataset, "pack", *words)
    assert code == 1 and "http://localhost/a.mp4: an address or member of a tar; give files" in text


def test_folder_of_another_pack_is_refused(pack, tmp_path):
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed/00007.tar").touch()
    code, text = pack()
    assert code == 1 and "holds 00007.tar, which these videos do not make" in text


def test_large_video_has_a_tar_of_its_own(folder):
    names = {str(folder / name): name for name in ("a.mp4", "b.mp4")}
    tars, failed = plan_tars(names, 10)
    assert [[s.name for s in tar.sources] for tar in tars] == [["a.mp4"], ["b.mp4"]] and not failed


def test_video_that_changes_meanwhile_leaves_no_tar(folder, tmp_path):
    tar = Tar("0.tar", (Source(str(folder / "a.mp4"), "a.mp4", 99, 10**9),))
    with pytest.raises(OSError, match="changed while it was packed"):
        write_tar(tar, folder=folder, output=tmp_path)
    assert not is_written(tar, tmp_path) and not (tmp_path / "0.tar").exists()


@pytest.mark.slow
def test_workers_that_fail_leave_the_other_tars(folder, tmp_path):
    names = {str(folder / name): name for name in ("a.mp4", "b.mp4")}
    (tar, other), _ = plan_tars(names, 10)
    wrong = Tar("00001.tar", (other.sources[0]._replace(size=7),))
    done, reasons = write_tars([tar, wrong], tmp_path / "out", workers=1)
    assert done == [tar] and "changed while it was packed" in reasons[f"{tmp_path}/out/00001.tar"]
    assert not list((tmp_path / "out").glob(".partial*"))
