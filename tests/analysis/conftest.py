"""A network whose scores are known."""

import pytest
import torch
from torch import nn

from slowfast.adaptive.budget import load_table, table_path
from slowfast.config.cli import load_cfg
from slowfast.engine.test import test as run_test


class OrderSeer(nn.Module):
    """Scores of classes 0 and 1: does the clip get brighter, or darker? One still picture: 0."""

    def forward(self, clips, _boxes=None):
        light = clips[0].mean((1, 3, 4))  # N,C,T,H,W -> N,T
        change = light[:, -1] - light[:, 0]
        return torch.stack([change, -change], dim=1)


@pytest.fixture
def order_seer():
    """A network that knows the arrow of time."""
    return OrderSeer()


@pytest.fixture
def small_run(budget_run, tmp_path):
    """OUTPUT_DIR of a run that was tested with the smallest TEST.BUDGET, and its row."""
    path, weights = budget_run
    row = min(load_table(table_path(weights), weights).rows, key=lambda row: row.gmacs)
    folder = tmp_path / "small"
    options = ["TEST.BUDGET", f"{row.gmacs}G", "TEST.CHECKPOINT_FILE_PATH", str(weights)]
    cfg = load_cfg(path, [*options, "OUTPUT_DIR", str(folder)])
    run_test(cfg)
    (folder / "config.yaml").write_text(cfg.dump())
    return folder, row
