"""Two torchrun agents as two machines: one is killed, the other goes on, and it comes back.

python -m tests.cluster.elastic

About a minute of two cores; exit code 0 and a line for each fact. Not collected by pytest, as it
measures torch's elastic agent as much as this project.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from slowfast.datasets.synthetic import write_video
from tests.helpers.paths import ROOT

CONFIG = """
MODEL: {MODEL_NAME: VoV3D, NUM_CLASSES: 2}
VOV3D: {NUM_MODULES: [1, 1, 1, 1], INNER_CH: 8, NUM_CONV: 2}
X3D: {DIM_C5: 16}
DATA: {NUM_FRAMES: 4, SAMPLING_RATE: 2, INPUT_CHANNEL_NUM: [3], TRAIN_JITTER_SCALES: [32, 40]}
TRAIN: {BATCH_SIZE: 4, GLOBAL_BATCH_SIZE: 8, EVAL_PERIOD: 1000, CHECKPOINT_PERIOD: 1}
TEST: {ENABLE: False}
SOLVER: {BASE_LR: 0.05, MAX_EPOCH: 1000}
DATA_LOADER: {NUM_WORKERS: 0}
NUM_GPUS: 0
LOG_PERIOD: 1
"""


def make_set(folder: Path) -> Path:
    """A YAML and 48 videos of noise."""
    rng, lines = np.random.default_rng(0), []
    for number in range(48):
        write_video(folder / f"{number}.mp4", rng.integers(0, 255, (12, 48, 64, 3), np.uint8))
        lines.append(f"{number}.mp4 {number % 2}\n")
    for split in ("train", "val", "test"):
        (folder / f"{split}.csv").write_text("".join(lines))
    (folder / "toy.yaml").write_text(CONFIG)
    return folder / "toy.yaml"


def start_machine(folder: Path, port: int, *, is_host: bool) -> subprocess.Popen:
    """A torchrun agent with one process; both are in a session of their own."""
    elastic = ["--nnodes", "1:2", "--nproc-per-node", "1", "--max-restarts", "3", "--rdzv-id", "x"]
    meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{port}"]
    meeting += ["--rdzv-conf", f"is_host={int(is_host)},last_call_timeout=5"]
    crops = ["DATA.TRAIN_CROP_SIZE", "32", "DATA.TEST_CROP_SIZE", "32"]
    data = ["DATA.PATH_TO_DATA_DIR", str(folder), "OUTPUT_DIR", str(folder / "run"), *crops]
    tool = [str(ROOT / "tools/run_net.py"), "--cfg", str(folder / "toy.yaml"), *data]
    env = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1", "OMP_NUM_THREADS": "1"}
    with open(folder / f"machine{int(not is_host)}.log", "a") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", *elastic, *meeting, *tool],
            env={**os.environ, **env, "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def end(agent: subprocess.Popen) -> None:
    """SIGKILL to an agent and its processes, as a machine that loses its power."""
    found = subprocess.run(["pgrep", "-P", str(agent.pid)], capture_output=True, text=True)
    for pid in (agent.pid, *map(int, found.stdout.split())):
        os.kill(pid, signal.SIGKILL)
    agent.wait()


def wait_for_step(folder: Path, *, after: int, resumptions: int) -> int:
    """The number of lines of the log, once it grew and the run was resumed so often."""
    log, text = folder / "run" / "log.jsonl", folder / "machine0.log"
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        lines = log.read_text().splitlines() if log.exists() else []
        if len(lines) > after + 20 and text.read_text().count("resumed from") >= resumptions:
            return len(lines)
        time.sleep(0.2)
    raise SystemExit(f"no step within three minutes:\n{text.read_text()[-3000:]}")


def say(folder: Path, what: str) -> None:
    """One line: the steps of an epoch, and the place where the run goes on."""
    text = (folder / "machine0.log").read_text()
    steps = re.findall(r'"iter": "\d+/(\d+)"', text)[-1]
    epoch = [json.loads(line) for line in (folder / "run/log.jsonl").read_text().splitlines()][-1]
    resumed = re.findall(r"(\d+ epochs and \d+ steps) done", text)[-1:]
    print(f"{what}: {steps} steps an epoch, in epoch {epoch['epoch']}, resumed after {resumed}")


def main() -> None:
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_set(folder)
        agents = [start_machine(folder, port, is_host=is_host) for is_host in (True, False)]
        try:
            seen = wait_for_step(folder, after=0, resumptions=0)
            say(folder, "two machines")
            end(agents.pop())
            seen = wait_for_step(folder, after=seen, resumptions=1)
            say(folder, "one was killed")
            agents.append(start_machine(folder, port, is_host=False))
            wait_for_step(folder, after=seen, resumptions=2)
            say(folder, "it came back")
        finally:
            for agent in agents:
                end(agent)


if __name__ == "__main__":
    main()
