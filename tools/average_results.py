"""Mean and spread over tested runs: average_results.py RUN_1 RUN_2 ... [--output X.csv]

RUN is an OUTPUT_DIR, for instance of one of the official splits 1-3 of UCF101, HMDB51 or JHMDB.
"""

import argparse
import sys

from slowfast.utils.cli import add_mixed_sets, add_output, make_parser, parse, run_tool


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = make_parser(__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="OUTPUT_DIR of a tested run")
    add_output(parser, "also write a .json or .csv file")
    parser.add_argument(
        "--metrics", nargs="+", default=[], metavar="NAME", help="such as top1_acc; all by default"
    )
    add_mixed_sets(parser)
    return run_tool(run, parse(parser, argv))


def run(args: argparse.Namespace) -> None:
    """Print a table, write the file."""
    from slowfast.evaluation.summary import as_table, summarize, write_summary

    summaries = summarize(args.runs, args.metrics, may_differ=args.mixed_sets)
    if args.output:
        write_summary(args.output, summaries, args.runs)
    print(as_table(summaries, args.runs))


if __name__ == "__main__":
    sys.exit(main())
