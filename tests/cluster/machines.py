"""Two machines for scripts: two network namespaces with a cable between them, or this one twice."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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
_CABLE = "cable"


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


@dataclass(frozen=True)
class Machine:
    """Address of a machine, and its network namespace, "" for that of this process."""

    address: str
    namespace: str = ""

    def start(
        self, words: Sequence[str], log: Path, variables: Mapping[str, str] | None = None
    ) -> subprocess.Popen:
        """Start Python with these words, in a session of its own; what it says goes to `log`."""
        prefix = ["ip", "netns", "exec", self.namespace] if self.namespace else []
        env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        env |= variables or {}
        env["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
        if self.namespace:
            env["GLOO_SOCKET_IFNAME"] = _CABLE
        with open(log, "a") as file:
            return subprocess.Popen(
                [*prefix, sys.executable, *words],
                env=env,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def cut(self) -> None:
        """Pull the cable: the other machine is told nothing."""
        _ip("-n", self.namespace, "link", "set", _CABLE, "down")

    def plug(self) -> None:
        """Put the cable in again."""
        _ip("-n", self.namespace, "link", "set", _CABLE, "up")


@contextmanager
def this_machine_twice() -> Iterator[list[Machine]]:
    """Two machines of one address."""
    yield [Machine("localhost"), Machine("localhost")]


@contextmanager
def two_namespaces() -> Iterator[list[Machine]]:
    """Two machines that see each other and nothing else; needs root and Debian's iproute2."""
    machines = [Machine(f"10.77.0.{number + 1}", f"slowfast{number}") for number in range(2)]
    first, second = (machine.namespace for machine in machines)
    try:
        for machine in machines:
            _ip("netns", "add", machine.namespace)
        peer = ["peer", "name", _CABLE, "netns", second]
        _ip("link", "add", _CABLE, "netns", first, "type", "veth", *peer)
        for machine in machines:
            _ip("-n", machine.namespace, "addr", "add", f"{machine.address}/24", "dev", _CABLE)
            _ip("-n", machine.namespace, "link", "set", "lo", "up")
            machine.plug()
        yield machines
    finally:
        for machine in machines:
            subprocess.run(["ip", "netns", "del", machine.namespace], stderr=subprocess.DEVNULL)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.create_server(("localhost", 0)) as server:
        return server.getsockname()[1]


def end(process: subprocess.Popen) -> None:
    """SIGKILL to a process and all below it, as a machine that loses its power."""
    pids = [process.pid]
    for pid in pids:  # grows
        found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True)
        pids += map(int, found.stdout.split())
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.wait()


def wait_until(is_so, log: Path, *, seconds: float = 180) -> None:
    """Wait for `is_so()`; ends the script with the log where it takes too long."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {seconds:.0f} s:\n{log.read_text()[-3000:]}")
        time.sleep(0.2)
