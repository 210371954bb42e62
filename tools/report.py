"""Write the report of a run, a comparison of several, or one table of all: report.py RUN ...

RUN is an OUTPUT_DIR. Its report.html can be made while the run is still training. Several runs,
tested on the same videos, are compared; those that differ only in their seed are taken together.
Pages are single files that open in a browser, without a network.

python tools/report.py outputs/demo
python tools/report.py outputs/a/seed_0 outputs/a/seed_1 B=outputs/b --output compare.html
python tools/report.py --table outputs
"""

import argparse
import sys
from pathlib import Path

from slowfast.utils.cli import add_output, make_parser, parse, run_tool


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = make_parser(__doc__)
    parser.add_argument("runs", nargs="*", metavar="[NAME=]RUN", help="its OUTPUT_DIR")
    add_output(
        parser,
        "the page or table (default: RUN/report.html, compare.html, FOLDER/runs.csv)",
        type=Path,
    )
    parser.add_argument("--table", metavar="FOLDER", help="put all runs below it into one csv")
    args = parse(parser, argv)
    if bool(args.runs) == bool(args.table):
        parser.error("give RUN ..., or --table FOLDER")
    return run_tool(run, args)


def run(args: argparse.Namespace) -> None:
    """Write the table, the page of one run, or the page that compares several."""
    if args.table:
        from slowfast.analysis.compare.gather import run_table

        print(run_table(args.table, args.output))
    elif len(args.runs) == 1:
        from slowfast.analysis.report.build import write_report

        print(f"report: {write_report(args.runs[0], args.output)}")
    else:
        from slowfast.analysis.compare.build import write_comparison

        print(f"comparison: {write_comparison(args.runs, args.output or Path('compare.html'))}")


if __name__ == "__main__":
    sys.exit(main())
