"""The whole way in minutes: make motion videos, train a small VoV3D, test it both ways in time."""

import argparse
import json
import os
import sys
from pathlib import Path

from slowfast.shipped import CONFIGS
from slowfast.tools import run_net
from slowfast.utils.cli import add_output, make_parser, parse, run_tool

CONFIG = CONFIGS / "demo" / "vov3d_motion.yaml"


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = make_parser(__doc__)
    parser.add_argument("--data", default="data/motion", metavar="DIR", help="folder of the videos")
    add_output(parser, "folder of checkpoints and results", metavar="DIR", default="outputs/demo")
    return run_tool(run, parse(parser, argv))


def run(args: argparse.Namespace) -> int:
    """Exit code of the first step that fails."""
    from tabulate import tabulate

    output = Path(args.output)
    common = ["--cfg", str(CONFIG), "DATA.PATH_TO_DATA_DIR", args.data]
    _make_videos(args.data)
    code = run_net.main([*common, "OUTPUT_DIR", str(output)])
    if code:
        return code
    backwards = ["TRAIN.ENABLE", "False", "TEST.REVERSE_TIME", "True"]
    backwards += ["TEST.CHECKPOINT_FILE_PATH", _results(output)["checkpoint"]]
    code = run_net.main([*common, "OUTPUT_DIR", str(output / "backwards"), *backwards])
    if code:
        return code
    rows = []
    for title, folder in (("forwards", output), ("backwards", output / "backwards")):
        results = _results(folder)
        rows.append([title, results["num_videos"], results["views"], results["top1_acc"]])
    print(tabulate(rows, headers=["held-out videos played", "videos", "views", "top-1 %"]))
    print(
        "Each class is another one played backwards, so a network that sees the order of frames\n"
        "must fail on the second row: it names the opposite motion.\n"
        f"Files: {output}/test_results.json, test_results.csv, history.csv, checkpoints/\n"
        f"Report: {output}/report.html, which any browser opens"
    )
    return 0


def _make_videos(folder: str) -> None:
    from slowfast.datasets.synthetic import MotionSettings, make_dataset

    try:
        make_dataset(folder, MotionSettings(), workers=min(os.cpu_count() or 1, 8))
    except (OSError, ValueError) as error:
        # make_dataset names the option of its own tool.
        raise ValueError(f"--data: {str(error).removeprefix('--output: ')}") from error


def _results(folder: Path) -> dict:
    return json.loads((folder / "test_results.json").read_text())


if __name__ == "__main__":
    sys.exit(main())
