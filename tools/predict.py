"""Name what happens in videos.

python tools/predict.py clip.mp4 folder/ --cfg X3D_M.yaml --checkpoint x3d_m.pyth \
    --classes names.txt --output results.json NUM_GPUS 0 TEST.BATCH_SIZE 4
torchrun --nproc_per_node 4 tools/predict.py folder/ --cfg X3D_M.yaml --checkpoint x3d_m.pyth \
    --output results.json NUM_GPUS 0
python tools/predict.py clip.mp4 --cfg A3D_X3D_M.yaml --checkpoint a3d_x3d_m.pyth --budget 2G
python tools/predict.py clip.mp4 --cfg X3D_M.yaml --checkpoint x3d_m.xml --backend openvino
"""

import argparse
import logging
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from slowfast.utils.cli import (
    add_cfg,
    add_checkpoint,
    add_output,
    add_overrides,
    make_parser,
    parse,
    run_tool,
)

logger = logging.getLogger("slowfast.predict")

_LEAST_VIDEOS = 16  # for a process on a GPU of its own: fewer are done before it has started


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code: 0 if at least one video could be read."""
    return run_tool(run, parse_args(argv))


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Views, crops and budgets become overrides of the config."""
    parser = make_parser(__doc__)
    parser.add_argument("videos", nargs="+", metavar="VIDEO_OR_FOLDER")
    add_cfg(parser, "YAML file of the model")
    add_checkpoint(parser)
    add_output(parser, "results as .json or .csv")
    parser.add_argument(
        "--classes", metavar="FILE", help=".txt or .json of class names (default: the weights' own)"
    )
    parser.add_argument("--topk", type=int, default=5, help="classes named (default: %(default)s)")
    parser.add_argument("--views", type=int, help="clips per video (default: the YAML's)")
    parser.add_argument("--crops", type=int, choices=(1, 3), help="crops (default: the YAML's)")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument(
        "--budget",
        metavar="4G",
        help="run an adaptive network at its best operating point of so many multiply-adds a clip",
    )
    budget.add_argument("--latency", metavar="50ms", help="the same with so much time per clip")
    parser.add_argument(
        "--table", metavar="FILE", help="of tools/budget.py (default: beside the weights)"
    )
    parser.add_argument(
        "--backend",
        choices=("torch", "onnxruntime", "openvino"),
        default="torch",
        help="runs a checkpoint that tools/export.py wrote, on the CPU (default: %(default)s)",
    )
    add_overrides(parser)
    args = parse(parser, argv)
    if args.backend != "torch":
        args.overrides += ["NUM_GPUS", 0]
    for key, value in (
        ("TEST.NUM_ENSEMBLE_VIEWS", args.views),
        ("TEST.NUM_SPATIAL_CROPS", args.crops),
        ("TEST.BUDGET", args.latency if args.budget is None else args.budget),
        ("TEST.BUDGET_TABLE", args.table),
    ):
        args.overrides += [key, value] if value is not None else []
    if args.budget == "":
        parser.error("--budget: is empty")
    if args.latency is not None and not args.latency.endswith("ms"):
        parser.error(f"--latency: {args.latency!r} is not a time such as 50ms")
    return args


def run(args: argparse.Namespace) -> int:
    """Predict in one process, or in several for many videos."""
    from slowfast.config.cli import load_cfg
    from slowfast.engine.predict import check_output, find_videos
    from slowfast.runtime.launch import launch_tool

    if args.output:
        check_output(args.output)
    videos = find_videos(args.videos)
    cfg = load_cfg(args.cfg, args.overrides)
    most = len(videos) // _LEAST_VIDEOS
    return launch_tool(partial(predict, args, videos), cfg, most_gpus=most)


def predict(args: argparse.Namespace, videos: list[Path], placing: list) -> int:
    """Predict; the main process shows the results. placing: overrides of this process."""
    from slowfast.engine.predict import Predictor
    from slowfast.runtime.stop import StopRequest
    from slowfast.utils import distributed

    videos = distributed.from_main(videos)
    options = [*args.overrides, *placing]
    predictor = Predictor(
        args.cfg, args.checkpoint, classes=args.classes, options=options, backend=args.backend
    )
    start = time.perf_counter()
    with StopRequest() as stop:
        results = predictor.predict(videos, topk=args.topk, stop=stop)
    seconds = time.perf_counter() - start
    if distributed.is_main_process():
        show(args, predictor, results, num_videos=len(videos), seconds=seconds, stop=stop)
    if stop.signum:
        return stop.exit_code
    return 0 if any(not result.error for result in results) else 1


def show(
    args: argparse.Namespace,
    predictor: Any,
    results: list,
    *,
    num_videos: int,
    seconds: float,
    stop: Any,
) -> None:
    """Print a table, write the file."""
    from tabulate import tabulate

    from slowfast.engine.predict import write_results

    print(tabulate(table_rows(results), headers=["video", "class", "score"], floatfmt=".3f"))
    num_read = sum(not result.error for result in results)
    views = f"{predictor.views.num_clips} x {len(predictor.views.crops)}"
    logger.info(
        "%d of %d videos predicted, %d unreadable; %s views, %.1f s",
        *(num_read, num_videos, len(results) - num_read, views, seconds),
    )
    if args.output:
        about = {"config": args.cfg, "checkpoint": args.checkpoint, "views": views}
        about |= {"backend": args.backend} if args.backend != "torch" else {}
        about |= predictor.views.sizes() | predictor.precision
        if predictor.row:
            about["configuration"] = str(predictor.row.point)
        about |= {"num_videos": num_videos, "was_interrupted": bool(stop.signum)}
        write_results(args.output, results, about)
        logger.info("results: %s", args.output)


def table_rows(results: list) -> list[list]:
    """A line per class of each VideoResult; the video stands in its first line.

    Of several targets the number stands before the class.
    """
    from slowfast.engine.predict import printable

    rows = []
    for result in results:
        lines = [
            [f"{p.target}: {p.name}" if p.target else p.name, p.score] for p in result.predictions
        ]
        lines = lines or [[f"unreadable: {result.error}", None]]
        rows += [["" if rank else printable(result.path), *line] for rank, line in enumerate(lines)]
    return rows


if __name__ == "__main__":
    sys.exit(main())
