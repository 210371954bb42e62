"""Runs on a GPU: what only a GPU does, and results that are those of the CPU."""

import numpy as np
import pytest
import torch

from slowfast.adaptive.calibrate import calibrate
from slowfast.checkpoint import files
from slowfast.engine.test import test as run_test
from slowfast.engine.train import train
from slowfast.models import build_model
from slowfast.models.operating_point import OperatingPoint
from slowfast.models.slimmable import make_slimmable

pytestmark = pytest.mark.gpu

ON_GPU, ON_CPU = ["NUM_GPUS", 1, "TF32", False], ["NUM_GPUS", 0]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_mixed_precision_learns_with_everything_on(dtype, toy_cfg, cuda):
    options = [*ON_GPU, "TRAIN.MIXED_PRECISION", True, "TRAIN.AMP_DTYPE", dtype]
    options += ["TRAIN.EMA_DECAY", 0.5, "SOLVER.CLIP_GRAD_L2NORM", 5.0]
    options += ["BN.USE_PRECISE_STATS", True, "BN.NUM_BATCHES_PRECISE", 1]
    state = train(toy_cfg(*options, "TRAIN.ACCUMULATION_STEPS", 2))
    assert np.isfinite([row["train_loss"] for row in state.history]).all()
    assert all(value.is_cuda for value in state.ema.module.state_dict().values())
    assert state.scaler.is_enabled() == (dtype == "float16")


def test_a_deterministic_run_is_repeated_to_the_bit(toy_cfg, cuda, tmp_path):
    options = ["NUM_GPUS", 1, "DETERMINISTIC", True, "SOLVER.MAX_EPOCH", 1]
    one, two = (
        train(toy_cfg(*options, "OUTPUT_DIR", tmp_path / name)).model.state_dict()
        for name in ("one", "two")
    )
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.fixture
def weights(toy_cfg, tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "weights.pyth"
    files.save(path, {"model_state": build_model(toy_cfg()).state_dict()})
    return path


def test_scores_of_several_views_are_those_of_the_cpu(toy_cfg, cuda, weights, tmp_path):
    found = []
    for name, place in (("gpu", ON_GPU), ("cpu", ON_CPU)):
        folder = tmp_path / name
        run_test(toy_cfg(*place, "TEST.CHECKPOINT_FILE_PATH", weights, "OUTPUT_DIR", folder))
        with np.load(folder / "test_scores.npz", allow_pickle=False) as content:
            found.append({key: content[key] for key in content.files})
    for key, values in found[1].items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(found[0][key], values, rtol=1e-3, atol=1e-4)


def test_calibration_is_that_of_the_cpu(adaptive_cfg, cuda, tmp_path):
    point, found = OperatingPoint(0.5, 2, 32), []
    for name, place in (("gpu", ON_GPU), ("cpu", ON_CPU)):
        cfg = adaptive_cfg(*place, "TRAIN.BATCH_SIZE", 2, "MODEL.DROPOUT_RATE", 0.0)
        torch.manual_seed(0)
        path = tmp_path / f"{name}.pyth"
        files.save(path, {"model_state": make_slimmable(build_model(cfg)).state_dict()})
        found.append(calibrate(cfg, path, [point])[point])
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-4)
