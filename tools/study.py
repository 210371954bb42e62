"""Train networks with several seeds, test them forwards and backwards, and make one table.

Sizes, latency of one clip, accuracy with mean and spread over the seeds, of clips whose frames are
in order, reversed, or one alone. Whatever stops it, the same command goes on where it was.

python tools/study.py --cfg configs/demo/*_motion.yaml --output outputs/study --seeds 3 --jobs 2
python tools/study.py --cfg A.yaml B.yaml --output FOLDER DATA.PATH_TO_DATA_DIR data/my_set
"""

import argparse
import sys

from slowfast.shipped import config_argument
from slowfast.utils.cli import add_output, add_overrides, at_least, make_parser, parse, run_tool


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "--cfg",
        nargs="+",
        type=config_argument,
        required=True,
        metavar="YAML",
        help="of the networks, files or names of shipped recipes",
    )
    add_output(parser, "folder of the study", metavar="FOLDER", required=True)
    parser.add_argument("--seeds", type=at_least(1), default=3, help="runs of each (default: 3)")
    parser.add_argument("--jobs", type=at_least(1), default=1, help="runs at once (default: 1)")
    parser.add_argument(
        "--repeats", type=at_least(1), default=50, help="clips for the latency (default: 50)"
    )
    add_overrides(parser)
    return run_tool(
        run, parse(parser, argv), interrupted="interrupted; the same command goes on from here"
    )


def run(args: argparse.Namespace) -> None:
    """Make the study and print its table."""
    from slowfast.analysis.study import run_study

    text = run_study(
        args.cfg,
        args.overrides,
        output=args.output,
        num_seeds=args.seeds,
        num_jobs=args.jobs,
        repeats=args.repeats,
    )
    print(text)
    print(f"files: {args.output}/study.csv, .md, .png")


if __name__ == "__main__":
    sys.exit(main())
