"""Start and memory of a run over a list of 10 million lines, with 8 processes of 8 workers.

python -m tests.cluster.long_list [--lines 10000000] [--ranks 8] [--workers 8] [--forms plain ...]

The processes meet, read the list together as those of a training do, and have workers that ask for
records in the order of an epoch; videos are not read. Not collected by pytest: minutes, gigabytes.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch.utils.data import DataLoader, Dataset

from slowfast.datasets.annotations.kinetics import ListRules, read_records
from slowfast.datasets.loader import SampleKey, ShardedBatchSampler
from slowfast.datasets.read_once import read_once
from slowfast.datasets.records import Annotations
from slowfast.runtime.launch import run_in_processes
from slowfast.utils import distributed
from tests.cluster.memory import children, megabytes, own_megabytes

FORMS = {
    "plain": "train/class_{}/clip_{:08d}.mp4 {}",
    "quoted": '"train/class {}/clip_{:08d}.mp4" {}',
    "parts": "train/class_{}/clip_{:08d}.mp4 1.5 7.25 {}",
}
BATCH_SIZE, NUM_BATCHES = 64, 200


class Paths(Dataset):
    """Lengths of the paths of records: what of a dataset is under test."""

    def __init__(self, records):
        self.records = records

    def __getitem__(self, key: SampleKey) -> int:
        return len(self.records[key.index].path)


def write_list(path: Path, form: str, num_lines: int) -> None:
    with open(path, "w") as file:
        for start in range(0, num_lines, 100_000):
            numbers = range(start, min(start + 100_000, num_lines))
            file.writelines(FORMS[form].format(i % 400, i, i % 400) + "\n" for i in numbers)


def start(rank: int, folder: Path, count: int, num_workers: int) -> None:
    """One of the processes; the first prints what was measured."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=count)
    before, begin = megabytes(os.getpid()), time.perf_counter()
    rules, path = ListRules(counts=(400,)), folder / "train.csv"
    records = read_once(lambda: Annotations(read_records(path, rules))).records
    read_seconds = time.perf_counter() - begin
    size = {"rank": rank, "world_size": count}
    sampler = ShardedBatchSampler(len(records), BATCH_SIZE, shuffle=True, **size)
    loader = iter(DataLoader(Paths(records), batch_sampler=sampler, num_workers=num_workers))
    next(loader)
    seconds = time.perf_counter() - begin
    for _ in range(NUM_BATCHES):
        next(loader)
    dist.barrier()
    own = [own_megabytes(pid) for pid in children(os.getpid()) if Path(f"/proc/{pid}").exists()]
    pss = [megabytes(os.getpid()), *(megabytes(pid) for pid in children(os.getpid())[:num_workers])]
    rows = distributed.gather_objects((before, own_megabytes(os.getpid()), sum(pss), max(own[:-1])))
    if rank == 0:
        before, main, total, worker = np.array(rows).sum(axis=0)
        own = f"before {before / count:.0f}, with the list {main / count:.0f} MB"
        print(f"read {read_seconds:.0f} s, first batch {seconds:.0f} s")
        print(f"memory of a process's own: {own}, of a worker {worker / count:.0f} MB")
        print(f"all {count * (1 + num_workers)} processes (Pss): {total:.0f} MB")
    dist.barrier()
    del loader
    dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=10_000_000)
    parser.add_argument("--ranks", type=int, default=8)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--forms", nargs="+", default=["plain"], choices=FORMS)
    args = parser.parse_args()
    for form in args.forms:
        with tempfile.TemporaryDirectory() as name:
            write_list(Path(name, "train.csv"), form, args.lines)
            print(f"{form}, {args.lines} lines, {args.ranks} processes x {args.workers} workers:")
            run_in_processes(start, (Path(name), args.ranks, args.workers), args.ranks)


if __name__ == "__main__":
    main()
