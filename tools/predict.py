"""Name what happens in videos.

python tools/predict.py clip.mp4 folder/ --run outputs/mine --output results.json
python tools/predict.py clip.mp4 folder/ --checkpoint zoo:X3D_S NUM_GPUS 0
python tools/predict.py clip.mp4 folder/ --cfg X3D_M.yaml --checkpoint x3d_m.pyth \\
    --classes names.txt --output results.json NUM_GPUS 0 TEST.BATCH_SIZE 4
torchrun --nproc_per_node 4 tools/predict.py folder/ --cfg X3D_M.yaml --checkpoint x3d_m.pyth \\
    --output results.json NUM_GPUS 0
python tools/predict.py clip.mp4 --cfg A3D_X3D_M.yaml --checkpoint a3d_x3d_m.pyth --budget 2G
python tools/predict.py clip.mp4 --cfg X3D_M.yaml --checkpoint x3d_m.xml --backend openvino

what happens when, in videos of any length, and live (docs/predict.md):
python tools/predict.py long.mp4 --run outputs/mine --window 2 --stride 1 --threshold 0.5 \\
    --output timeline.json --output timeline.png --overlay out.mp4 --features features.npz
python tools/predict.py rtsp://camera/1 --run outputs/mine --window 2 --stride 0.5
python tools/predict.py clip.mp4 --run outputs/ava --boxes boxes.csv --overlay out.mp4
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
    parser.add_argument(
        "videos",
        nargs="+",
        metavar="VIDEO_OR_FOLDER",
        help="or an address, the number of a camera, or - for the standard input",
    )
    parser.add_argument(
        "--run", metavar="OUTPUT_DIR", help="of a training: its config and its best checkpoint"
    )
    add_cfg(parser, "YAML file of the model (default: the checkpoint's own)", required=False)
    add_checkpoint(parser, required=False)
    add_output(
        parser,
        "results as .json or .csv, timelines also as .png; may be repeated",
        action="append",
        default=[],
    )
    parser.add_argument(
        "--classes",
        metavar="FILE",
        help=".txt or .json of class names, or a set: kinetics400, ... (default: the weights' own)",
    )
    parser.add_argument("--topk", type=int, default=5, help="classes named (default: %(default)s)")
    parser.add_argument("--views", type=int, help="clips per video (default: the YAML's)")
    parser.add_argument("--crops", type=int, choices=(1, 3), help="crops (default: the YAML's)")
    _add_speed(parser)
    _add_timeline(parser)
    add_overrides(parser)
    args = parse(parser, argv)
    if bool(args.run) == bool(args.checkpoint) or (args.run and args.cfg):
        parser.error("give --run OUTPUT_DIR, or --checkpoint and where it holds no config --cfg")
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


def _add_speed(parser: argparse.ArgumentParser) -> None:
    """Options of budgets and backends."""
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


def _add_timeline(parser: argparse.ArgumentParser) -> None:
    """Options of long videos, boxes and streams; any of the first five asks for windows."""
    add = parser.add_argument_group("what happens when").add_argument
    add("--window", type=float, metavar="S", help="seconds of a window (default: 2)")
    add("--stride", type=float, metavar="S", help="from one to the next (default: half of it)")
    add("--overlay", metavar="FILE", help="the video with labels, bars or boxes, as .mp4")
    add("--features", metavar="FILE", help="what the classifier gets in each window, as .npz")
    add("--boxes", metavar="CSV|detector", help="boxes for a network that classifies them")
    add(
        "--threshold",
        type=float,
        metavar="P",
        help="least score of a segment, below it there is nothing, and of a box's class",
    )
    add("--smooth", type=int, default=3, metavar="N", help="windows averaged (default: 3)")
    add("--shortest", type=float, default=0.0, metavar="S", help="seconds of a segment, at least")
    add("--detector-weights", metavar="FILE", help="of torchvision's, for --boxes detector")
    add("--seconds", type=float, metavar="S", help="leave a stream after so long")
    add("--keep-all", action="store_true", help="a stream that can wait: drop no frame of it")


def run(args: argparse.Namespace) -> int:
    """Predict in one process, or in several for many videos."""
    if args.run and not Path(args.run).is_dir():  # said before torch is imported
        raise ValueError(f"{args.run}: no such folder; --run takes the OUTPUT_DIR of a training")
    from slowfast.engine.predict import check_output, find_run, find_videos, load_predicted
    from slowfast.runtime.launch import launch_tool
    from slowfast.streams.source import is_stream

    if args.run:
        args.cfg, args.checkpoint = map(str, find_run(args.run))
    streams = [name for name in args.videos if is_stream(name)]
    asked = (args.window, args.stride, args.overlay, args.features, args.boxes)
    if streams or any(value is not None for value in asked):
        return run_windows(args, streams)
    for path in args.output:
        check_output(path)
    videos = find_videos(args.videos)
    cfg = load_predicted(args.cfg, args.checkpoint, args.overrides, backend=args.backend)
    most = len(videos) // _LEAST_VIDEOS
    return launch_tool(partial(predict, args, videos), cfg, most_gpus=most)


def run_windows(args: argparse.Namespace, streams: list[str]) -> int:
    """Predict windows of long videos, boxes of one, or the windows of a stream."""
    from slowfast.engine.predict import find_videos
    from slowfast.engine.predict_jobs import OutputFiles, TimelineSettings
    from slowfast.runtime.stop import StopRequest
    from slowfast.streams.source import open_source

    if streams and len(args.videos) > 1:
        raise ValueError(f"{streams[0]}: a stream is predicted alone, not with other videos")
    window = 2.0 if args.window is None else args.window
    settings = TimelineSettings(
        window, args.stride or window / 2, args.smooth, args.threshold or 0.0, args.shortest
    )
    videos = streams or [str(path) for path in find_videos(args.videos)]
    outputs = OutputFiles(args.output, args.overlay or "", args.features or "")
    outputs.check(len(videos), has_boxes=args.boxes is not None)
    if args.overlay and streams == ["-"]:
        raise ValueError("--overlay: reads a video twice, which - cannot; write it to a file first")
    if streams and not args.keep_all:
        source = open_source(streams[0])  # before the network: where nothing answers, say so soon
        if source.is_live:
            with StopRequest() as stop:
                return watch_stream(args, source, settings, stop)
        source.close()
    with StopRequest() as stop:
        found = (predict_boxes if args.boxes else predict_windows)(
            args, videos, settings, outputs, stop
        )
    return stop.exit_code if stop.signum else int(not found)


def make_predictor(args: argparse.Namespace, *, has_boxes: bool = False) -> Any:
    """The Predictor, or the one for boxes, of the arguments."""
    from slowfast.engine.predict import Predictor
    from slowfast.engine.predict_boxes import BoxPredictor

    return (BoxPredictor if has_boxes else Predictor)(
        args.cfg,
        args.checkpoint,
        classes=args.classes,
        options=args.overrides,
        backend=args.backend,
    )


def predict_windows(
    args: argparse.Namespace, videos: list[str], settings: Any, outputs: Any, stop: Any
) -> list:
    """Write timelines, and show their segments as a table."""
    from dataclasses import asdict, replace

    from tabulate import tabulate

    from slowfast.engine.predict_jobs import predict_timelines

    predictor = make_predictor(args)
    if predictor.has_many and args.threshold is None:
        settings = replace(settings, threshold=0.5)
    about = {"config": args.cfg, "checkpoint": args.checkpoint, **asdict(settings)}
    timelines = predict_timelines(
        predictor, videos, settings, outputs, about=about, is_stopped=stop.is_asked
    )
    rows = [
        ["" if number else t.path, s.start, s.end, t.name(s.label), s.score]
        for t in timelines
        for number, s in enumerate(t.segments)
    ]
    headers = ["video", "start", "end", "class", "score"]
    print(tabulate(rows, headers=headers, floatfmt=("", ".2f", ".2f", "", ".3f")))
    return timelines


def predict_boxes(
    args: argparse.Namespace, videos: list[str], settings: Any, outputs: Any, stop: Any
) -> list:
    """Write what the people in boxes do, and show it as a table."""
    from dataclasses import replace

    from tabulate import tabulate

    from slowfast.engine import predict_jobs
    from slowfast.engine.predict_boxes import box_texts

    if len(videos) > 1:
        raise ValueError(f"--boxes: of one video, but {len(videos)} are given")
    predictor = make_predictor(args, has_boxes=True)
    settings = replace(settings, stride=args.stride or 1.0)
    results = predict_jobs.predict_boxes(
        predictor,
        *(videos[0], args.boxes, settings, outputs),
        detector_weights=args.detector_weights,
        is_stopped=stop.is_asked,
    )
    texts = box_texts(results, predictor.class_names, settings.threshold)
    rows = [
        [result.time, ", ".join(f"{x:.2f}" for x in box), ", ".join(lines[:3])]
        for result, all_lines in zip(results, texts, strict=True)
        for box, lines in zip(result.boxes.tolist(), all_lines, strict=True)
    ]
    print(tabulate(rows, headers=["second", "box", "classes"]))
    return results


def watch_stream(args: argparse.Namespace, source: Any, settings: Any, stop: Any) -> int:
    """Print what happens in a live stream now, a line for each window."""
    from slowfast.engine.predict_jobs import predict_live

    refused = [f"--{name}" for name in ("overlay", "features", "boxes") if getattr(args, name)]
    tables = [path for path in args.output if not path.endswith(".csv")] + args.output[1:]
    if refused or tables:
        source.close()
        raise ValueError(
            f"{source.name}: of a live stream only one .csv can be written, not "
            f"{', '.join([*refused, *tables])}; --keep-all takes it as a video that ends"
        )
    count, delays = 0, []
    for found, best in predict_live(
        make_predictor(args),
        *(source, settings),
        path=(args.output or [""])[0],
        seconds=args.seconds,
        is_stopped=stop.is_asked,
    ):
        is_nothing = best[0].score < settings.threshold
        names = "nothing" if is_nothing else "  ".join(f"{p.name} {p.score:.2f}" for p in best[:3])
        state = f"delay {found.delay:.2f} s, {found.rate:.1f} frames/s, {found.num_dropped} dropped"
        print(f"{found.start:8.2f} - {found.end:8.2f} s  {names}  | {state}", flush=True)
        count, delays = count + 1, [*delays[-999:], found.delay]
    if delays:
        middle = sorted(delays)[len(delays) // 2]
        logger.info(
            "%s: %d windows, delay %.2f s (median), %.2f s (largest of the last %d)",
            *(source.name, count, middle, max(delays), len(delays)),
        )
    return stop.exit_code if stop.signum else int(not count)


def predict(args: argparse.Namespace, videos: list[Path], placing: list) -> int:
    """Predict; the main process shows the results. placing: overrides of this process."""
    from slowfast.runtime.stop import StopRequest
    from slowfast.utils import distributed

    videos = distributed.from_main(videos)
    args.overrides = [*args.overrides, *placing]
    predictor = make_predictor(args)
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
        for path in args.output:
            write_results(path, results, about)
            logger.info("results: %s", path)


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
