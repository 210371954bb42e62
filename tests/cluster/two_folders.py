"""Two machines without a shared folder: started by hand, both killed in mid-epoch, started again.

python -m tests.cluster.two_folders                 # two processes that share the network
python -m tests.cluster.two_folders --namespaces    # as root: each in a network of its own

Half a minute of two cores; the last line says whether both machines end with the same weights.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import torch
from torch.utils._pytree import tree_leaves

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

EPOCHS = 12


def start(folder: Path, machine: Machine, meeting: str, number: int) -> subprocess.Popen:
    """One machine of a run of two, with a folder of its own."""
    keys = {
        "DATA.PATH_TO_DATA_DIR": folder,
        "OUTPUT_DIR": folder / f"run{number}",
        "DATA.TRAIN_CROP_SIZE": 32,
        "DATA.TEST_CROP_SIZE": 32,
        "SOLVER.MAX_EPOCH": EPOCHS,
        "TRAIN.CHECKPOINT_PERIOD": 3,
        "DIST_TIMEOUT_MINUTES": 0.5,
        "IMPORTS": "[tests.cluster.keep_weights]",
    }
    words = [str(word) for item in keys.items() for word in item]
    shard = ["--num_shards", "2", "--shard_id", str(number), "--init_method", f"tcp://{meeting}"]
    tool = [str(ROOT / "tools/run_net.py"), "--cfg", str(folder / "toy.yaml"), *shard]
    keep = {"KEEP_WEIGHTS": str(folder / f"end{number}.pth")}
    return machine.start([*tool, *words], folder / f"machine{number}.log", keep)


def tensors(content: object) -> list[torch.Tensor]:
    """All tensors in nested dictionaries and lists."""
    return [leaf for leaf in tree_leaves(content) if isinstance(leaf, torch.Tensor)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--namespaces", action="store_true")
    network = two_namespaces if parser.parse_args().namespaces else this_machine_twice
    with tempfile.TemporaryDirectory() as name, network() as machines:
        folder = Path(name)
        make_set(folder)
        log = folder / "machine0.log"

        def start_both() -> list[subprocess.Popen]:
            meeting = f"{machines[0].address}:{free_port()}"
            return [start(folder, m, meeting, number) for number, m in enumerate(machines)]

        both = start_both()
        try:
            wait_until(lambda: '"epoch": "5/' in log.read_text(), log)
        finally:
            for process in both:
                end(process)
        print("killed both in epoch 5")
        both = start_both()
        try:
            print("exit codes", [process.wait(timeout=240) for process in both])
        finally:
            for process in both:
                end(process)
        print([line for line in log.read_text().splitlines() if "resumed from" in line][-1])
        ends = [torch.load(folder / f"end{number}.pth", weights_only=True) for number in range(2)]
        first, second = map(tensors, ends)
        same = [torch.equal(a, b) for a, b in zip(first, second, strict=True)]
        print(f"{sum(same)} of {len(same)} tensors of network and optimizer are the same on both")


if __name__ == "__main__":
    main()
