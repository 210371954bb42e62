"""Compute the optical flow of videos (TV-L1) as JPEG files, for DATA.MODALITY flow.

python tools/flow.py --csv data/k400/train.csv data/k400/val.csv --output data/k400_flow
python tools/flow.py --videos data/videos --output data/flow
python tools/flow.py --cfg configs/SSv1/vov3d/vov3d_M_F16.yaml --output data/ssv1_flow \\
    DATA.PATH_TO_DATA_DIR data/ssv1

The same command goes on where it was interrupted or killed.
"""

# Workers are spawned and import this file: what is slow to import is imported by what needs it.
import argparse
import logging

from tabulate import tabulate

from slowfast.curation.cli import leave, run_command
from slowfast.curation.workers import default_workers
from slowfast.utils.arguments import at_least

logger = logging.getLogger("slowfast.flow")

_NUM_SHOWN = 20


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code: 0 if there is flow of every video."""
    args = parse_args(argv)
    return run_command(lambda: run(args), logger)


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--csv", nargs="+", default=[], metavar="FILE", help="lists `path label`")
    parser.add_argument(
        "--videos",
        default="",
        metavar="DIR",
        help="where paths of --csv start (default: the list's folder); without --csv or --cfg all "
        "videos below it",
    )
    parser.add_argument("--separator", default=" ", help="of path and label (default: a space)")
    parser.add_argument("--cfg", metavar="FILE", help="YAML file whose videos are taken")
    parser.add_argument("options", nargs="*", metavar="KEY VALUE", help="overrides of --cfg")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder of the flow")
    parser.add_argument(
        "--short-side",
        type=int,
        default=256,
        metavar="PIXELS",
        help="all videos are scaled to it; 0 keeps every size (default: %(default)s)",
    )
    parser.add_argument(
        "--workers",
        type=at_least(1),
        default=default_workers(),
        help="processes (default: one per core)",
    )
    args = parser.parse_intermixed_args(argv)
    if args.cfg and (args.csv or args.videos):
        parser.error("give --cfg, or --csv and --videos")
    if args.options and not args.cfg:
        parser.error(f"unknown words {args.options}: KEY VALUE are for --cfg")
    return args


def run(args: argparse.Namespace) -> int:
    """Exit code 1 if a video failed."""
    from slowfast.config.cli import load_cfg
    from slowfast.curation import flow_lists
    from slowfast.curation.flow import FlowSettings

    settings, problems = FlowSettings(args.short_side), []
    if args.cfg:
        lists, root = flow_lists.build_flow_lists(load_cfg(args.cfg, args.options), args.output)
    else:
        lists, root, problems = flow_lists.read_flow_lists(
            args.csv, args.videos, args.output, separator=args.separator
        )
    num_done, failures = flow_lists.make_flow_lists(
        lists, root, args.output, settings, problems=problems, workers=args.workers
    )
    if failures:
        print(tabulate(failures[:_NUM_SHOWN], ["video", "reason"]))
    logger.info(
        "flow of %d videos in %s, %d failures%s",
        *(num_done, args.output, len(failures)),
        ", all in failures.csv" if failures else "",
    )
    return 1 if failures else 0


if __name__ == "__main__":
    leave(main())
