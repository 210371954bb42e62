"""Two torchrun agents as two machines: one is killed, the other goes on, and it comes back.

python -m tests.cluster.elastic                  # two agents that share the network
python -m tests.cluster.elastic --namespaces     # as root: each in a network of its own
python -m tests.cluster.elastic --namespaces --cable    # and its cable is pulled as it dies

One or two minutes of two cores; exit code 0 and a line for each fact. Not collected by pytest, as
it measures torch's elastic agent as much as this project.
"""

import argparse
import json
import re
import subprocess
import tempfile
import time
from pathlib import Path

from tests.cluster.machines import (
    Machine,
    end,
    free_port,
    make_set,
    this_machine_twice,
    two_namespaces,
    wait_until,
)
from tests.helpers.paths import ROOT

SECONDS_OF_SAVING = 3  # TRAIN.CHECKPOINT_MINUTES 0.05


def start_agent(folder: Path, machine: Machine, meeting: str, number: int) -> subprocess.Popen:
    """torchrun with one process."""
    elastic = ["--nnodes", "1:2", "--nproc-per-node", "1", "--max-restarts", "3", "--rdzv-id", "x"]
    elastic += ["--rdzv-backend", "c10d", "--rdzv-endpoint", meeting]
    elastic += ["--rdzv-conf", f"is_host={int(number == 0)},last_call_timeout=5"]
    elastic += ["--local-addr", machine.address]
    keys = {
        "DATA.PATH_TO_DATA_DIR": folder,
        "OUTPUT_DIR": folder / "run",
        "DATA.TRAIN_CROP_SIZE": 32,
        "DATA.TEST_CROP_SIZE": 32,
        "TRAIN.CHECKPOINT_MINUTES": SECONDS_OF_SAVING / 60,
        "DIST_TIMEOUT_MINUTES": 0.5,
    }
    words = [str(word) for item in keys.items() for word in item]
    tool = [str(ROOT / "tools/run_net.py"), "--cfg", str(folder / "toy.yaml"), *words]
    words = ["-m", "torch.distributed.run", *elastic, *tool]
    return machine.start(words, folder / f"machine{number}.log")


class Watch:
    """The log of a run, from the first machine."""

    def __init__(self, folder: Path):
        self.folder, self.text = folder, folder / "machine0.log"
        self.log = folder / "run/log.jsonl"

    def lines(self) -> list[dict]:
        """Its steps and epochs."""
        if not self.log.exists():
            return []
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def wait(self, *, resumptions: int) -> float:
        """Wait for 20 steps after it was resumed so often; the seconds that took."""
        begun, seen = time.monotonic(), len(self.lines())

        def goes_on() -> bool:
            is_resumed = self.text.read_text().count("resumed from") >= resumptions
            return is_resumed and len(self.lines()) > seen + 20

        wait_until(goes_on, self.text)
        return time.monotonic() - begun

    def steps(self) -> tuple[int, int]:
        """Steps done, and those of an epoch."""
        line = [line for line in self.lines() if line["_type"] == "train_iter"][-1]
        epoch = int(line["epoch"].split("/")[0])
        step, of = map(int, line["iter"].split("/"))
        return (epoch - 1) * of + step, of

    def say(self, what: str, seconds: float, *, done_before: int = 0) -> None:
        """One line: the steps of an epoch, and where the run went on."""
        _, of = self.steps()
        resumed = re.findall(r"(\d+) epochs and (\d+) steps done", self.text.read_text())
        about = ""
        if done_before:
            epochs, steps = map(int, resumed[-1])
            first = epochs * of + steps
            about = f", resumed after {first} steps of {done_before}: {done_before - first} lost"
        print(f"{what}: {of} steps an epoch{about}; 20 steps in {seconds:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--namespaces", action="store_true")
    parser.add_argument("--cable", action="store_true")
    args = parser.parse_args()
    network = two_namespaces if args.namespaces else this_machine_twice
    with tempfile.TemporaryDirectory() as name, network() as machines:
        folder = Path(name)
        make_set(folder)
        meeting = f"{machines[0].address}:{free_port()}"
        agents = [start_agent(folder, m, meeting, number) for number, m in enumerate(machines)]
        watch = Watch(folder)
        try:
            watch.say("two machines", watch.wait(resumptions=0))
            if args.cable:
                machines[1].cut()
            end(agents.pop())
            done, _ = watch.steps()
            watch.say("one was killed", watch.wait(resumptions=1), done_before=done)
            if args.cable:
                machines[1].plug()
            agents.append(start_agent(folder, machines[1], meeting, 1))
            wait_until(lambda: watch.text.read_text().count("resumed from") >= 2, watch.text)
            done, _ = watch.steps()
            watch.say("it came back", watch.wait(resumptions=2), done_before=done)
        finally:
            for agent in agents:
                end(agent)


if __name__ == "__main__":
    main()
