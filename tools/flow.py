"""Compute the optical flow of videos (TV-L1) as JPEG files, for DATA.MODALITY flow.

python tools/flow.py --csv data/k400/train.csv data/k400/val.csv --output data/k400_flow
python tools/flow.py --videos data/videos --output data/flow
python tools/flow.py --cfg configs/SSv1/vov3d/vov3d_M_F16.yaml --output data/ssv1_flow \\
    DATA.PATH_TO_DATA_DIR data/ssv1

The same command goes on where it was interrupted or killed. On several machines: --shard 0/4 to
3/4, then --merge (docs/clusters.md).
"""

# Workers are spawned and import this file: what is slow to import is imported by what needs it.
import argparse
import logging

from slowfast.curation.shards import add_shard
from slowfast.utils.cli import (
    add_cfg,
    add_output,
    add_overrides,
    add_workers,
    leave,
    make_parser,
    parse,
    run_tool,
)

logger = logging.getLogger("slowfast.flow")

_NUM_SHOWN = 20


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code: 0 if there is flow of every video."""
    interrupted = "interrupted; the same command goes on where this one ended"
    return run_tool(run, parse_args(argv), interrupted=interrupted)


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Videos are those of a config, of lists, or of a folder."""
    parser = make_parser(__doc__)
    add_cfg(parser, "YAML file whose videos are taken", required=False)
    add_output(parser, "folder of the flow", metavar="DIR", required=True)
    parser.add_argument("--csv", nargs="+", default=[], metavar="FILE", help="lists `path label`")
    parser.add_argument(
        "--videos",
        default="",
        metavar="DIR",
        help="where paths of --csv start (default: the list's folder); without --csv or --cfg all "
        "videos below it",
    )
    parser.add_argument("--separator", default=" ", help="of path and label (default: a space)")
    parser.add_argument(
        "--short-side",
        type=int,
        default=256,
        metavar="PIXELS",
        help="all videos are scaled to it; 0 keeps every size (default: %(default)s)",
    )
    add_workers(parser)
    add_shard(parser)
    add_overrides(parser)
    args = parse(parser, argv)
    if args.cfg and (args.csv or args.videos):
        parser.error("give --cfg, or --csv and --videos")
    if args.overrides and not args.cfg:
        parser.error(f"unknown words {args.overrides}: KEY VALUE are for --cfg")
    return args


def run(args: argparse.Namespace) -> int:
    """Exit code 1 if a video failed."""
    from tabulate import tabulate

    from slowfast.config.cli import load_cfg
    from slowfast.curation import flow_lists
    from slowfast.curation.flow import FlowSettings

    settings, problems = FlowSettings(args.short_side), []
    if args.cfg:
        lists, root = flow_lists.build_flow_lists(load_cfg(args.cfg, args.overrides), args.output)
    else:
        lists, root, problems = flow_lists.read_flow_lists(
            args.csv, args.videos, args.output, separator=args.separator
        )
    how = {"problems": problems, "workers": args.workers, "shard": args.shard}
    num_done, failures = flow_lists.make_flow_lists(lists, root, args.output, settings, **how)
    if failures:
        print(tabulate(failures[:_NUM_SHOWN], ["video", "reason"]))
    if args.shard.is_share:
        logger.info("shard %s: once all have ended, --merge writes lists", args.shard)
    logger.info(
        "flow of %d videos in %s, %d failures%s",
        *(num_done, args.output, len(failures)),
        ", all in failures.csv" if failures else "",
    )
    return 1 if failures else 0


if __name__ == "__main__":
    leave(main())
