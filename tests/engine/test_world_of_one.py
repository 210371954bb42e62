"""A process that torchrun starts alone forms a group, and learns what a plain process learns."""

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from slowfast.engine import run as run_module
from slowfast.engine.train import train
from slowfast.runtime.launch import launch
from slowfast.runtime.peers import free_address


@pytest.fixture
def torchrun_of_one(monkeypatch):
    place = {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 1, "LOCAL_WORLD_SIZE": 1}
    address, port = free_address().removeprefix("tcp://").split(":")
    for name, value in {**place, "MASTER_ADDR": address, "MASTER_PORT": port}.items():
        monkeypatch.setenv(name, str(value))


@pytest.fixture
def networks(monkeypatch):
    """What every run trains through, in order."""
    found, wrap = [], run_module.wrap_distributed

    def noted(*args, **options):
        found.append(wrap(*args, **options))
        return found[-1]

    monkeypatch.setattr(run_module, "wrap_distributed", noted)
    return found


@pytest.mark.slow
def test_group_of_one_learns_the_weights_of_a_plain_run(
    toy_cfg, tmp_path, networks, torchrun_of_one
):
    options = ["SOLVER.MAX_EPOCH", 1, "TRAIN.EVAL_PERIOD", 1, "BN.NUM_BATCHES_PRECISE", 2]
    plain = train(toy_cfg(*options, "OUTPUT_DIR", tmp_path / "plain")).model.state_dict()
    found = []
    runs = [lambda cfg: found.append(train(cfg).model.state_dict())]
    launch(runs, toy_cfg(*options, "OUTPUT_DIR", tmp_path / "group"))
    is_wrapped = [isinstance(network, DistributedDataParallel) for network in networks]
    assert is_wrapped == [False, True]
    for name, value in found[0].items():
        assert torch.equal(value, plain[name]), name
