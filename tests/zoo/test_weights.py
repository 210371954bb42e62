import hashlib
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from slowfast.utils.io import read_json
from slowfast.zoo import weights
from slowfast.zoo.names import local_file
from slowfast.zoo.weights import cache_folder, cached_path, fetch, named_weights
from tests.zoo.conftest import SOON, send


def test_a_file_is_fetched_once(zoo, site):
    row = zoo()
    path = fetch("X3D_S")
    assert (path, path.read_bytes()) == (cached_path(row), site.content)
    assert local_file("zoo:x3d_s") == path
    assert len(site.requests) == 1


def test_of_several_processes_one_fetches(zoo, site):
    zoo()
    site.days = [partial(send, most=1000)]
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(lambda _: fetch("X3D_S", patience=SOON), range(4)))
    assert len(paths) == 1
    assert site.ranges == [None, "bytes=1000-"]


def test_the_hash_of_the_publisher_is_compared(zoo, site):
    digest = hashlib.sha256(site.content).hexdigest()
    zoo(sha256=digest[:8])
    assert read_json(f"{fetch('X3D_S')}.json")["sha256"] == digest


def test_a_file_of_another_hash_than_the_publisher_s_is_removed(zoo):
    row = zoo(sha256="00000000")
    with pytest.raises(ValueError, match=r"its publisher gives 00000000: .* is removed"):
        fetch("X3D_S")
    assert not cached_path(row).exists()


def test_a_file_that_has_changed_since_its_first_use_is_removed(zoo, site):
    zoo()
    path = fetch("X3D_S")
    path.write_bytes(b"other")
    with pytest.raises(ValueError, match="at its first use it was .* is removed"):
        fetch("X3D_S")
    assert fetch("X3D_S").read_bytes() == site.content


def test_a_change_that_keeps_size_and_time_is_found_when_asked_for(zoo, site):
    zoo()
    path = fetch("X3D_S")
    status = path.stat()
    path.write_bytes(site.content[::-1])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert fetch("X3D_S") == path
    with pytest.raises(ValueError, match="at its first use it was"):
        fetch("X3D_S", is_thorough=True)


def test_a_new_file_at_the_address_is_refused_until_its_record_is_removed(zoo, site):
    zoo()
    path = fetch("X3D_S")
    path.unlink()
    site.content = b"new"
    with pytest.raises(ValueError, match=r"to accept the new one, remove .*X3D_S\.pyth\.json"):
        fetch("X3D_S")
    Path(f"{path}.json").unlink()
    assert fetch("X3D_S").read_bytes() == b"new"


def test_a_file_behind_a_page_is_to_be_fetched_by_hand(zoo, site):
    row = zoo(suffix=".pth", address="https://drive.example/open?id=1")
    path = cached_path(row)
    with pytest.raises(ValueError, match=f"open {row.address[:20]}.* put the file at {path}"):
        fetch("X3D_S")
    path.write_bytes(b"weights")
    assert fetch("X3D_S") == path
    assert not site.requests


def test_a_changed_file_that_was_fetched_by_hand_stays(zoo):
    path = cached_path(zoo(suffix=".pth"))
    path.parent.mkdir()
    path.write_bytes(b"weights")
    fetch("X3D_S")
    path.write_bytes(b"others")
    with pytest.raises(ValueError, match=r"If the new file is meant, remove .*\.json"):
        fetch("X3D_S")
    assert path.exists()


def test_without_a_network_the_way_by_hand_is_said(zoo, monkeypatch):
    row = zoo(address="http://weights.example/x3d_s.pyth")
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *a, **k: (_ for _ in ()).throw(socket.gaierror())
    )
    by_hand = f"open {row.address} in a browser, and put the file at {cached_path(row)}"
    with pytest.raises(ValueError, match=f"no connection to weights.example.*{by_hand}"):
        fetch("X3D_S")


def test_a_cache_that_cannot_be_written_gives_what_it_has(zoo, monkeypatch):
    path = cached_path(zoo())
    path.parent.mkdir()
    path.write_bytes(b"weights")

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(weights.FileLock, "acquire", refuse)
    monkeypatch.setattr(weights, "write_json", refuse)
    assert fetch("X3D_S") == path


def test_a_cache_that_cannot_be_written_and_has_nothing_is_named(zoo, monkeypatch, tmp_path):
    zoo()
    (tmp_path / "file").touch()
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ValueError, match="cannot be written.*SLOWFAST_CACHE"):
        fetch("X3D_S")


def test_a_name_that_is_none(zoo):
    with pytest.raises(ValueError, match="zoo:X3D_Z: there are no such.* did you mean X3D_S"):
        fetch("X3D_Z")


def test_the_cache_lies_where_torch_hub_has_its_own(monkeypatch):
    monkeypatch.delenv("SLOWFAST_CACHE", raising=False)
    monkeypatch.setenv("TORCH_HOME", "/models/torch")
    assert cache_folder() == Path("/models/torch/hub/slowfast")


def test_weights_are_known_by_name_and_by_their_file(zoo):
    row = zoo()
    names = ["zoo:x3d_s", Path("zoo:X3D_S"), cached_path(row), "X3D_S.pyth", "hf:me/X3D_S"]
    assert [named_weights(name) for name in names] == [row, row, row, None, None]


def test_other_names_are_paths():
    assert local_file("C:/weights/x.pyth") == Path("C:/weights/x.pyth")
