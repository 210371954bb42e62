"""Name what happens in videos.

python tools/predict.py clip.mp4 folder/ --cfg X3D_M.yaml --checkpoint x3d_m.pyth \
    --classes names.txt --output results.json NUM_GPUS 0 TEST.BATCH_SIZE 4
python tools/predict.py clip.mp4 --cfg A3D_X3D_M.yaml --checkpoint a3d_x3d_m.pyth --budget 2G
"""

import argparse
import logging
import re
import sys
import time
from pathlib import Path

from tabulate import tabulate

from slowfast.engine.predict_videos import (
    Predictor,
    VideoResult,
    check_output,
    find_videos,
    printable,
    write_results,
)
from slowfast.runtime.stop import StopRequest
from slowfast.utils.logging import setup_logging
from slowfast.utils.video_names import is_video

logger = logging.getLogger("slowfast.predict")

_KEY = re.compile(r"[A-Z][A-Z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)*")


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code: 0 if at least one video could be read."""
    args = parse_args(argv)
    setup_logging(None, is_main=True)
    try:
        return run(args)
    except (ValueError, OSError) as error:
        logger.error("%s: %s", type(error).__name__, error)
        return 1


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Words that look like config keys, and not like videos, begin the overrides."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("words", nargs="+", metavar="VIDEO_OR_FOLDER", help="then KEY VALUE ...")
    parser.add_argument("--cfg", required=True, metavar="FILE", help="YAML file of the model")
    parser.add_argument("--checkpoint", required=True, metavar="FILE", help="its weights")
    parser.add_argument(
        "--classes", metavar="FILE", help=".txt or .json of class names (default: the weights' own)"
    )
    parser.add_argument("--topk", type=int, default=5, help="classes named (default: %(default)s)")
    parser.add_argument("--views", type=int, help="clips per video (default: the YAML's)")
    parser.add_argument("--crops", type=int, choices=(1, 3), help="crops (default: the YAML's)")
    parser.add_argument("--output", metavar="FILE", help="results as .json or .csv")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument(
        "--budget",
        metavar="4G",
        help="run an adaptive network at its best configuration of so many multiply-adds per clip",
    )
    budget.add_argument("--latency", metavar="50ms", help="the same with so much time per clip")
    parser.add_argument(
        "--table", metavar="FILE", help="of tools/budget.py (default: beside the weights)"
    )
    args = parser.parse_intermixed_args(argv)
    starts = (place for place, word in enumerate(args.words) if _is_key(word))
    first_key = next(starts, len(args.words))
    args.videos, args.options = args.words[:first_key], args.words[first_key:]
    for key, value in (
        ("TEST.NUM_ENSEMBLE_VIEWS", args.views),
        ("TEST.NUM_SPATIAL_CROPS", args.crops),
        ("TEST.BUDGET", args.latency if args.budget is None else args.budget),
        ("TEST.BUDGET_TABLE", args.table),
    ):
        args.options += [key, value] if value is not None else []
    if args.budget == "":
        parser.error("--budget: is empty")
    if args.latency is not None and not args.latency.endswith("ms"):
        parser.error(f"--latency: {args.latency!r} is not a time such as 50ms")
    if not args.videos:
        parser.error("name at least one video or folder before the overrides")
    return args


def _is_key(word: str) -> bool:
    path = Path(word)
    is_file = path.exists() or is_video(word)
    return not is_file and _KEY.fullmatch(word) is not None


def run(args: argparse.Namespace) -> int:
    """Predict, print a table, write the file."""
    if args.output:
        check_output(args.output)
    videos = find_videos(args.videos)
    predictor = Predictor(args.cfg, args.checkpoint, classes=args.classes, options=args.options)
    start = time.perf_counter()
    with StopRequest() as stop:
        results = predictor.predict(videos, topk=args.topk, stop=stop)
    seconds = time.perf_counter() - start
    print(tabulate(table_rows(results), headers=["video", "class", "score"], floatfmt=".3f"))
    num_read = sum(not result.error for result in results)
    views = f"{predictor.views.num_clips} x {len(predictor.views.crops)}"
    logger.info(
        "%d of %d videos predicted, %d unreadable; %s views, %.1f s",
        *(num_read, len(videos), len(results) - num_read, views, seconds),
    )
    if args.output:
        about = {"config": args.cfg, "checkpoint": args.checkpoint, "views": views}
        if predictor.row:
            about["configuration"] = str(predictor.row.configuration)
        about |= {"num_videos": len(videos), "was_interrupted": bool(stop.signum)}
        write_results(args.output, results, about)
        logger.info("results: %s", args.output)
    if stop.signum:
        return 128 + stop.signum
    return 0 if num_read else 1


def table_rows(results: list[VideoResult]) -> list[list]:
    """A line per class; the video stands in its first line."""
    rows = []
    for result in results:
        lines = [[p.name, p.score] for p in result.predictions]
        lines = lines or [[f"unreadable: {result.error}", None]]
        rows += [["" if rank else printable(result.path), *line] for rank, line in enumerate(lines)]
    return rows


if __name__ == "__main__":
    sys.exit(main())
