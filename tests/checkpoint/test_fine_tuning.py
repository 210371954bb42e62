"""Fine-tuning as a run does it, beyond what comes out of the file."""

import pytest
import torch

from slowfast.checkpoint import files
from slowfast.engine.train import train


def _weights(state):
    return {name: value.clone() for name, value in state.model.named_parameters()}


@pytest.fixture
def start(toy_cfg, tmp_path):
    """The weights of a run of no learning, and its checkpoint."""
    cfg = toy_cfg("OUTPUT_DIR", tmp_path / "start", "SOLVER.BASE_LR", 0.0, "SOLVER.MAX_EPOCH", 1)
    return _weights(train(cfg)), files.last_checkpoint(cfg.OUTPUT_DIR)


@pytest.mark.slow
def test_a_head_of_its_own_learning_rate_in_a_run(toy_cfg, start):
    before, path = start
    cfg = toy_cfg("TRAIN.CHECKPOINT_FILE_PATH", path, "SOLVER.HEAD_LR_FACTOR", 0.0)
    after = _weights(train(cfg))
    kept = {name for name in before if torch.equal(before[name], after[name])}
    assert kept == {"head.projection.weight", "head.projection.bias"}


@pytest.mark.slow
def test_frozen_stages_stay_as_the_file_has_them(toy_cfg, start):
    before, path = start
    cfg = toy_cfg("TRAIN.CHECKPOINT_FILE_PATH", path, "TRAIN.FREEZE", "['s1', 's2', 's3']")
    after = _weights(train(cfg))
    kept = {name[:3] for name in before if torch.equal(before[name], after[name])}
    assert kept == {"s1.", "s2.", "s3."}


@pytest.mark.slow
def test_the_factor_survives_resuming(toy_cfg):
    train(toy_cfg("SOLVER.HEAD_LR_FACTOR", 3.0, "SOLVER.MAX_EPOCH", 1))
    groups = train(toy_cfg("SOLVER.HEAD_LR_FACTOR", 3.0)).optimizer.param_groups
    assert groups[-1]["lr"] == 3 * groups[0]["lr"] > 0
