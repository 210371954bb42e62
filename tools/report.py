"""Write the report of a run, also of one that is still training: report.py RUN

RUN is an OUTPUT_DIR; its report.html is one file that opens in a browser, without a network.

python tools/report.py outputs/demo
python tools/report.py outputs/demo --output demo.html
"""

import argparse
import sys
from pathlib import Path

from slowfast.utils.cli import add_output, make_parser, parse, run_tool


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = make_parser(__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="its OUTPUT_DIR")
    add_output(parser, "the page (default: RUN/report.html)", type=Path)
    return run_tool(run, parse(parser, argv))


def run(args: argparse.Namespace) -> None:
    """Write the page of one run."""
    from slowfast.analysis.report.build import write_report

    if len(args.runs) > 1:
        raise ValueError(f"RUN: {len(args.runs)} runs were given; a report is of one")
    print(f"report: {write_report(args.runs[0], args.output)}")


if __name__ == "__main__":
    sys.exit(main())
