"""Mean and spread over tested runs: python tools/average_results.py RUN_1 RUN_2 ... [--out X.csv]

RUN is an OUTPUT_DIR, for instance of one of the official splits 1-3 of UCF101, HMDB51 or JHMDB.
"""

import argparse
import sys

from slowfast.evaluation.summary import as_table, summarize, write_summary


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="OUTPUT_DIR of a tested run")
    parser.add_argument(
        "--metrics", nargs="+", default=[], metavar="NAME", help="such as top1_acc; all by default"
    )
    parser.add_argument("--out", metavar="FILE", help="also write a .json or .csv file")
    args = parser.parse_args(argv)
    try:
        summaries = summarize(args.runs, args.metrics)
        if args.out:
            write_summary(args.out, summaries, args.runs)
    except (ValueError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(as_table(summaries, args.runs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
