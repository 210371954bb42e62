"""Processes that cannot meet: one line that says where, how long, and what to do."""

import socket
import time

import pytest
import torch
from torch.distributed import DistError

from slowfast.runtime.launch import launch
from slowfast.runtime.peers import LostProcess, first_words, free_address, meet, named_losses
from slowfast.utils import distributed


def meet_at(url, *, rank=0, minutes=0.02):
    meet("gloo", url, rank=rank, world_size=2, gpu=None, minutes=minutes)


def test_a_port_in_use_is_named():
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(OSError, match=f"{url} is in use by another program.* --init_method"):
            meet_at(url)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_never_comes_is_told_with_the_address(rank):
    url = free_address()
    with pytest.raises(LostProcess, match=f"process {rank} of 2 on .* waited . s .* at {url}"):
        meet_at(url, rank=rank)


def test_other_errors_keep_their_traceback():
    with pytest.raises(RuntimeError, match="shapes"), named_losses(1):
        raise RuntimeError("shapes differ")


def test_words_of_a_library_are_shortened():
    error = RuntimeError("[/a/pair.cc:561] Connection closed by peer [::1]:3. Check it. GLHF!\nx")
    assert first_words(error) == "Connection closed by peer [::1]:3"


def test_several_machines_without_an_address_are_told_what_is_missing(toy_cfg, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    cfg = toy_cfg("NUM_GPUS", 1, "NUM_SHARDS", 2)
    with pytest.raises(ValueError, match="NUM_SHARDS: 2 machines.*--init_method tcp://HOST:PORT"):
        launch([print], cfg)


def test_torchruns_names_without_an_address_are_told_what_is_missing(toy_cfg, monkeypatch):
    for name, value in {"RANK": 0, "WORLD_SIZE": 2, "LOCAL_RANK": 0, "MASTER_PORT": 1}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(ValueError, match="^MASTER_ADDR: not in the environment"):
        launch([print], toy_cfg())


def _main_works(rank, folder):
    with distributed.main_process_alone() as is_main:
        assert is_main == (rank == 0)
        if is_main:
            time.sleep(0.3)
            (folder / "made").touch()
    assert (folder / "made").exists()
    try:
        with distributed.main_process_alone() as is_main:
            if is_main:
                raise ValueError("a mistake")
    except (ValueError, DistError) as error:
        (folder / f"error_{rank}").write_text(str(error))


def test_others_wait_for_the_main_process_and_hear_of_its_failure(run_in_two, tmp_path):
    run_in_two(_main_works, tmp_path)
    errors = [(tmp_path / f"error_{rank}").read_text() for rank in (0, 1)]
    assert errors == ["a mistake", "the main process failed"]
