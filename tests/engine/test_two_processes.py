"""What two processes have to agree on."""

import logging
import os
import shutil
import signal

import numpy as np
import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from slowfast.engine import test as test_module
from slowfast.engine.run import freeze_batch_norm
from slowfast.engine.train import train
from slowfast.models import build_model
from slowfast.tasks import build_task
from slowfast.tasks.evaluate import EvaluationLoop
from slowfast.utils.logging import setup_logging

pytestmark = pytest.mark.slow


def _train_and_test(rank, folder, cfg):
    setup_logging(folder / "run", is_main=rank == 0)
    state = train(cfg)
    torch.save(state.ema.module.state_dict(), folder / f"average_{rank}.pt")
    if rank == 1:  # only this process is asked to stop
        run = EvaluationLoop.run

        def interrupted(*args, **kwargs):
            os.kill(os.getpid(), signal.SIGTERM)
            return run(*args, **kwargs)

        EvaluationLoop.run = interrupted
    try:
        test_module.test(cfg)
    except SystemExit as stopped:
        (folder / f"stopped_{rank}").write_text(str(stopped.code))
    logging.shutdown()


def test_two_processes_agree(run_in_two, toy_set, toy_cfg, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(toy_set, damaged)
    (damaged / "val_1.mp4").write_text("not a video")  # of the second process
    options = ["DATA.PATH_TO_DATA_DIR", damaged, "SOLVER.MAX_EPOCH", 1, "TRAIN.EMA_DECAY", 0.5]
    run_in_two(_train_and_test, tmp_path, toy_cfg(*options))
    averages = [torch.load(tmp_path / f"average_{rank}.pt") for rank in (0, 1)]
    for name, value in averages[0].items():
        assert torch.equal(value, averages[1][name]), name
    # A stop of one process ends the test in both, without a result that looks whole.
    for rank in (0, 1):
        assert (tmp_path / f"stopped_{rank}").read_text() == str(128 + signal.SIGTERM)
    assert not (tmp_path / "run/test_results.json").exists()
    assert "val_1.mp4" in (tmp_path / "run/stdout.log").read_text()


def _step_with_boxes_in_one(rank, folder, cfg):
    torch.manual_seed(0)
    network = DistributedDataParallel(build_model(cfg))
    boxes = torch.tensor([[0, 8, 8, 40, 40.0]])[rank:]  # none in the second process
    batch = {
        "clips": [torch.randn(1, 3, cfg.DATA.NUM_FRAMES, 64, 64)],
        "boxes": boxes,
        "box_labels": torch.ones(len(boxes), cfg.MODEL.NUM_CLASSES),
    }
    loss, _ = build_task(cfg).loss(network, batch, np.random.default_rng(0))
    loss.backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    torch.save((loss.detach(), gradients), folder / f"step_{rank}.pt")


def test_process_without_boxes_takes_part_in_the_step(run_in_two, box_cfg, tmp_path):
    run_in_two(_step_with_boxes_in_one, tmp_path, box_cfg())
    (first, gradients), (second, others) = (torch.load(tmp_path / f"step_{r}.pt") for r in (0, 1))
    assert first > 0 and second == 0
    assert any(gradient.any() for gradient in gradients)
    assert all(torch.equal(one, other) for one, other in zip(gradients, others, strict=True))


def _detector_step(rank, folder, cfg, count):
    """Save the gradients of a clip with two boxes and one without, in one process or in two."""
    torch.manual_seed(0)
    model = build_model(cfg).train()
    for name in freeze_batch_norm(model):
        model.get_submodule(name).eval()
    clips = torch.randn(2, 3, 4, 64, 64, generator=torch.Generator().manual_seed(1))
    boxes = torch.tensor([[0, 4, 4, 30, 60], [0, 34, 4, 62, 60.0]])
    labels, network = torch.eye(cfg.MODEL.NUM_CLASSES)[:2], model
    if count == 2:
        network, clips = DistributedDataParallel(model), clips[rank : rank + 1]
        boxes, labels = (boxes, labels) if rank == 0 else (boxes[:0], labels[:0])
    batch = {"clips": [clips], "boxes": boxes, "box_labels": labels, "labels": torch.zeros(2)}
    build_task(cfg).loss(network, batch, np.random.default_rng(0))[0].backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    torch.save(gradients, folder / f"detector_{count}_{rank}.pt")


def test_detector_learns_the_same_in_two_processes(run_in_two, detector_cfg, tmp_path):
    cfg = detector_cfg("DETECTION.NUM_SAMPLED", 128)  # all boxes: none is drawn
    _detector_step(0, tmp_path, cfg, 1)
    run_in_two(_detector_step, tmp_path, cfg, 2)
    one, *two = (torch.load(tmp_path / f"detector_{name}.pt") for name in ("1_0", "2_0", "2_1"))
    assert any(name.startswith("proposals.body") for name in one)
    for found in two:
        torch.testing.assert_close(found, one, rtol=1e-3, atol=1e-5)
