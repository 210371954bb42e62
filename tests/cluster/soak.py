"""Memory and open files while a loader and a prediction work for long: both must stay flat.

python -m tests.cluster.soak [--clips 10000] [--epochs 200] [--videos 2000]

The clips are lines over 50 tiny files, so that an hour of one core is enough. A line for each
tenth: megabytes (Pss) and open files of the process and its workers. Exit code 1 where they grow.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch

from slowfast.checkpoint import files
from slowfast.config.cli import load_cfg
from slowfast.datasets.build import build_loader
from slowfast.datasets.synthetic import write_video
from slowfast.engine.predict import Predictor
from slowfast.models import build_model
from tests.cluster.elastic import CONFIG
from tests.cluster.memory import measure

NUM_FILES, NUM_ROWS = 50, 10
CROPS = ["DATA.TRAIN_CROP_SIZE", "32", "DATA.TEST_CROP_SIZE", "32"]
SMALL = [*CROPS, "DATA.TRAIN_JITTER_SCALES", "[32, 36]", "DATA_LOADER.NUM_WORKERS", "2"]
MAX_GROWTH = 1.05  # of the memory, from the second tenth on: the first fills caches
SLACK = 8  # files, as videos and pipes are open for a moment


def make_set(folder: Path, num_clips: int) -> None:
    """A YAML, 50 videos of 8 frames, and a list of so many lines over them."""
    rng = np.random.default_rng(0)
    for number in range(NUM_FILES):
        write_video(folder / f"{number}.mp4", rng.integers(0, 255, (8, 32, 32, 3), np.uint8))
    lines = "".join(f"{number % NUM_FILES}.mp4 {number % 2}\n" for number in range(num_clips))
    for split in ("train", "val", "test"):
        (folder / f"{split}.csv").write_text(lines)
    (folder / "toy.yaml").write_text(CONFIG)


def say(what: str, rows: list[tuple[float, int]]) -> None:
    megabytes, count = measure(os.getpid())
    rows.append((megabytes, count))
    print(f"{what}: {megabytes:.0f} MB, {count} open files", flush=True)


def load(folder: Path, num_epochs: int) -> list[tuple[float, int]]:
    """Passes over the training set; memory and files after each tenth of them."""
    options = ["DATA.PATH_TO_DATA_DIR", str(folder), "TRAIN.BATCH_SIZE", "50", *SMALL]
    loader, rows = build_loader(load_cfg(folder / "toy.yaml", options), "train"), []
    for epoch in range(num_epochs):
        loader.batch_sampler.set_epoch(epoch)
        for batch in loader:
            assert not batch["failures"], batch["failures"]
        if (epoch + 1) % max(num_epochs // NUM_ROWS, 1) == 0:
            say(f"loader, {epoch + 1} of {num_epochs} epochs", rows)
    return rows


def predict(folder: Path, num_videos: int) -> list[tuple[float, int]]:
    """One prediction of many videos; memory and files meanwhile."""
    options = ["TEST.BATCH_SIZE", "4", "TEST.NUM_ENSEMBLE_VIEWS", "2", *SMALL]
    weights, paths = folder / "weights.pyth", []
    files.save(
        weights, {"model_state": build_model(load_cfg(folder / "toy.yaml", options)).state_dict()}
    )
    for number in range(num_videos):
        paths.append(folder / f"link_{number}.mp4")
        paths[-1].symlink_to(folder / f"{number % NUM_FILES}.mp4")
    predictor, rows, is_over = (
        Predictor(folder / "toy.yaml", weights, options=options),
        [],
        threading.Event(),
    )
    predictor.predict(paths[:100])

    def watch() -> None:
        begin = time.monotonic()
        while not is_over.wait(0.5):
            say(f"predict, {time.monotonic() - begin:.0f} s", rows)

    thread = threading.Thread(target=watch)
    thread.start()
    results = predictor.predict(paths)
    is_over.set()
    thread.join()
    assert len(results) == num_videos and not any(result.error for result in results)
    return rows


def is_flat(rows: list[tuple[float, int]]) -> bool:
    """Whether the last third has no more than the second."""
    rows = rows[len(rows) // 5 :]
    parts = np.array_split(np.array(rows), 2)
    (memory, count), (last, last_count) = (part.max(axis=0) for part in parts)
    return last <= MAX_GROWTH * memory and last_count <= count + SLACK


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--videos", type=int, default=2_000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        make_set(Path(name), args.clips)
        found = [load(Path(name), args.epochs)] if args.epochs else []
        found += [predict(Path(name), args.videos)] if args.videos else []
    return 0 if all(map(is_flat, found)) else 1


if __name__ == "__main__":
    sys.exit(main())
