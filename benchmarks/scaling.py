"""How time grows: python benchmarks/scaling.py [step loader start detections] [--threads 1]

step: a training step with the clips of a batch, their frames, their pixels. loader: clips per
second with 1, 2 and 4 workers. start: reading a list of videos. detections: mAP of boxes. A line
ends with the exponent of a power law, fitted to the larger half of its sizes; the exit code is 1
where one is above 1.1.
"""

import argparse
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
MOST = 1.1  # exponent
_DEMO = Path(__file__).parents[1] / "configs/demo/x3d_motion.yaml"

Work = Callable[[], object]


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Slope of log time over log size, by least squares, of the larger half of the sizes.

    Of small sizes the constant part of the time would hide how it grows.
    """
    first = (len(sizes) - 1) // 2
    return float(np.polyfit(np.log(sizes[first:]), np.log(seconds[first:]), 1)[0])


def time_in_rounds(works: Sequence[Work], *, rounds: int) -> list[float]:
    """Least seconds of the processor of each, taking turns, after one round to warm up.

    The least: what else runs on the machine only adds.
    """
    times: list[list[float]] = [[] for _ in works]
    for number in range(rounds + 1):
        for work, seconds in zip(works, times, strict=True):
            start = time.process_time()
            work()
            if number:
                seconds.append(time.process_time() - start)
    return [min(seconds) for seconds in times]


def grows(title: str, sizes: Sequence[int], works: Sequence[Work], *, rounds: int) -> tuple:
    """(Line of times, exponent)."""
    seconds = time_in_rounds(works, rounds=rounds)
    slope = exponent(sizes, seconds)
    pairs = zip(sizes, seconds, strict=True)
    shown = ", ".join(f"{size}: {1000 * value:.0f} ms" for size, value in pairs)
    return f"{title}: {shown}; exponent {slope:.2f}", slope


def step_lines(cfg_path: str, *, rounds: int) -> Iterator[tuple[str, float]]:
    """Training steps that grow in one direction, from 4 clips of 8 x 64 x 64."""
    sizes = {"clips": (4, 8, 16, 32), "frames": (8, 16, 32, 64), "crop": (32, 64, 96, 128)}
    for name, values in sizes.items():
        works = [_step(cfg_path, **{name: value}) for value in values]
        shown = [value * value for value in values] if name == "crop" else values
        title = "training step by " + ("pixels of a frame" if name == "crop" else name)
        yield grows(title, shown, works, rounds=rounds)


def _step(cfg_path: str, clips: int = 4, frames: int = 8, crop: int = 64) -> Work:
    from benchmarks.model import build_contenders
    from slowfast.config.cli import load_cfg

    options = ["NUM_GPUS", 0, "DATA.NUM_FRAMES", frames]
    options += ["DATA.TRAIN_CROP_SIZE", crop, "DATA.TEST_CROP_SIZE", crop]
    options += ["DATA.TRAIN_JITTER_SCALES", [256, 320]]
    ours, _ = build_contenders(load_cfg(cfg_path, options), batch=clips)
    return ours.train_step


def start_lines(*, rounds: int) -> Iterator[tuple[str, float]]:
    """The training split of lists of 10,000 to 640,000 videos; only the first file exists."""
    from slowfast.config.cli import load_cfg
    from slowfast.datasets.build import build_dataset

    lengths, works = tuple(10_000 * 2**n for n in range(7)), []
    with tempfile.TemporaryDirectory() as folder:
        for length in lengths:
            place = Path(folder, str(length))
            place.mkdir()
            lines = (f"videos/class_{n % 8}/{n:08d}.mp4 {n % 8}\n" for n in range(length))
            (place / "train.csv").write_text("".join(lines))
            (place / "videos/class_0").mkdir(parents=True)
            (place / "videos/class_0/00000000.mp4").touch()  # one has to be there
            cfg = load_cfg(str(_DEMO), ["DATA.PATH_TO_DATA_DIR", str(place)])
            works.append(lambda cfg=cfg: build_dataset(cfg, "train"))
        yield grows("start by videos of the list", lengths, works, rounds=rounds)


def detection_lines(*, rounds: int) -> Iterator[tuple[str, float]]:
    """Both measures, of 12 detections and 3 boxes in each frame, in 80 classes."""
    from slowfast.evaluation.ava import ava_average_precisions, frame_average_precisions

    counts = (50_000, 100_000, 200_000, 400_000, 800_000)
    kinds = {
        "AVA mAP": (ava_average_precisions, "score_sorted"),
        "frame-mAP": (frame_average_precisions, "voc"),
    }
    tables = [draw_boxes(count) for count in counts]
    for name, (measure, definition) in kinds.items():
        works = [
            lambda pair=pair, measure=measure, definition=definition: measure(
                *pair, definition=definition
            )
            for pair in tables
        ]
        yield grows(f"{name} by detections", counts, works, rounds=rounds)


def draw_boxes(count: int) -> tuple:
    """So many random detections, and the ground truth of their frames."""
    from slowfast.utils.box_table import BoxTable, BoxTruth

    rng = np.random.default_rng(0)

    def table(rows: int, per_frame: int, *, has_scores: bool) -> BoxTable:
        keys = np.array([f"video{n // 900:04d},{n % 900:04d}" for n in range(rows // per_frame)])
        corners = rng.uniform(0, 0.6, (rows, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(0.1, 0.4, (rows, 2))], 1)
        scores = rng.uniform(size=rows) if has_scores else None
        keys = np.repeat(keys, per_frame)[:rows]
        return BoxTable(keys, boxes[: len(keys)], rng.integers(80, size=len(keys)), scores)

    truth = table(count // 4, 3, has_scores=False)
    classes = {number: str(number) for number in range(80)}
    detections = table(count // 12 * 12, 12, has_scores=True)
    return detections, BoxTruth(truth, classes)


def loader_lines(*, rounds: int) -> Iterator[tuple[str, float]]:
    """Clips per second of the clock; no exponent, as the machine's processors set a limit."""
    from benchmarks.data import FPS, make_video, our_dataset, our_training_views
    from slowfast.datasets.clips.samplers import SpanSampler
    from slowfast.datasets.loader import ShardedBatchSampler, make_loader
    from slowfast.datasets.records import Record

    shown, num_clips = [], 48
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/video.mp4"
        make_video(path, gop=250)
        views = our_training_views(SpanSampler(16, 5, FPS), scales=(256, 320), size=224)
        for workers in (1, 2, 4):
            dataset = our_dataset([Record(path, 0)] * num_clips, views)
            batches = ShardedBatchSampler(num_clips, 4, shuffle=True)
            loader = make_loader(dataset, batches, num_workers=workers)
            seconds = []
            for _ in range(rounds + 1):
                start = time.perf_counter()
                for _batch in loader:
                    pass
                seconds.append(time.perf_counter() - start)
            shown.append(f"{workers}: {num_clips / statistics.median(seconds[1:]):.1f} clips/s")
            del loader
    yield "loader by workers (H.264, 340 x 256): " + ", ".join(shown), 0.0


PARTS = {"step": step_lines, "loader": loader_lines, "start": start_lines}
PARTS["detections"] = detection_lines


def main(argv: Sequence[str] | None = None) -> int:
    """Print a line for each direction; 1 where an exponent is above the limit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}: all")
    parser.add_argument("--cfg", default=str(_DEMO), help="network of step (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    args = parser.parse_args(argv)
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"{', '.join(sorted(unknown))}: is not one of {', '.join(PARTS)}")

    import torch

    torch.set_num_threads(args.threads)
    logging.getLogger("slowfast").setLevel(logging.ERROR)
    slopes = []
    for name in args.parts or PARTS:
        options = {"cfg_path": args.cfg} if name == "step" else {}
        for line, slope in PARTS[name](rounds=args.rounds, **options):
            print(line, flush=True)
            slopes.append(slope)
    above = sum(slope > MOST for slope in slopes)
    print(f"{above} exponents above {MOST}")
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main())
