"""What two processes have to agree on."""

import logging
import os
import shutil
import signal

import torch
import torch.distributed as dist

from slowfast.engine import test as test_module
from slowfast.engine.launch import run_in_processes
from slowfast.engine.train import train
from slowfast.utils.logging import setup_logging


def _train_and_test(rank, folder, train_cfg, test_cfg):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    setup_logging(folder / "run", is_main=rank == 0)
    state = train(train_cfg)
    torch.save(state.ema.module.state_dict(), folder / f"average_{rank}.pt")
    if rank == 1:  # only this process is asked to stop
        predict = test_module.predict_views

        def interrupted(*args, **kwargs):
            os.kill(os.getpid(), signal.SIGTERM)
            return predict(*args, **kwargs)

        test_module.predict_views = interrupted
    try:
        test_module.test(test_cfg)
    except SystemExit as stopped:
        (folder / f"stopped_{rank}").write_text(str(stopped.code))
    dist.barrier()
    dist.destroy_process_group()
    logging.shutdown()


def test_two_processes_agree(toy_set, toy_cfg, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(toy_set, damaged)
    (damaged / "val_1.mp4").write_text("not a video")  # of the second process
    options = ["DATA.PATH_TO_DATA_DIR", damaged, "SOLVER.MAX_EPOCH", 1, "TRAIN.EMA_DECAY", 0.5]
    run_in_processes(_train_and_test, (tmp_path, toy_cfg(*options), toy_cfg(*options)), 2)
    averages = [torch.load(tmp_path / f"average_{rank}.pt") for rank in (0, 1)]
    for name, value in averages[0].items():
        assert torch.equal(value, averages[1][name]), name
    # A stop of one process ends the test in both, without a result that looks whole.
    assert (tmp_path / "stopped_1").read_text() == str(128 + signal.SIGTERM)
    assert (tmp_path / "stopped_0").exists()
    assert not (tmp_path / "run/test_results.json").exists()
    assert "val_1.mp4" in (tmp_path / "run/stdout.log").read_text()
