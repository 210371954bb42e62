r"""Train on your own videos: a folder for each class, or a csv of paths and labels.

The split, the clips, the batch, the learning rate and the rest are chosen from the videos and the
machine, printed with their reasons, and written to RUN/own.yaml. Ends with a test and its report.
The same command goes on with an interrupted run.

slowfast train my_videos
slowfast train my_videos --from weights.pyth --out runs/a SOLVER.MAX_EPOCH 20
slowfast train my_videos --group "person[0-9]+"
slowfast train --cfg X.yaml KEY VALUE ...     as a config says; its options: --cfg X.yaml -h
"""

import argparse
import json
import os
import sys
from pathlib import Path

from slowfast.tools import run_net
from slowfast.utils.cli import add_overrides, looks_like_key, make_parser, parse, run_tool

_EPILOG = "docs/own_videos.md says what is chosen, and why"


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if _is_for_config(words):
        return run_net.main(["TRAIN.ENABLE", "True", *words])
    parser = make_parser(__doc__, epilog=_EPILOG)
    parser.add_argument("videos", metavar="FOLDER_OR_CSV", help="the videos with their classes")
    parser.add_argument(
        "--from", dest="weights", default="", metavar="FILE", help="weights to start from"
    )
    parser.add_argument(
        "--cfg",
        dest="recipe",
        default="",
        metavar="FILE",
        help="YAML with the network (default: the one in the weights, else a small one)",
    )
    parser.add_argument(
        "--out", metavar="DIR", help="folder of the run (default: runs/ and the videos' name)"
    )
    parser.add_argument(
        "--group",
        default="",
        metavar="REGEX",
        help="part of the path, e.g. a person, whose videos stay together in the split",
    )
    parser.add_argument(
        "--held-out",
        type=_share,
        default=0.15,
        metavar="SHARE",
        help="of each class for validation, and as much for the test (default: %(default)s)",
    )
    add_overrides(parser)
    interrupted = "interrupted; the same command goes on from here"
    return run_tool(run, parse(parser, words), interrupted=interrupted)


def _is_for_config(words: list[str]) -> bool:
    """Whether --cfg stands there without videos, which would come first."""
    options = {word.partition("=")[0] for word in words if word.startswith("--")}
    is_own = options & {"--from", "--out", "--group", "--held-out"}
    has_videos = words and not (words[0].startswith("-") or looks_like_key(words[0]))
    return bool(options & {"--cfg", "--help-config"}) and not is_own and not has_videos


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 0.4:
        raise argparse.ArgumentTypeError(f"{value} is not above 0, up to 0.4")
    return value


def run(args: argparse.Namespace) -> int:
    """Prepare the run, then train, test and report; the exit code."""
    from slowfast.own.prepare import prepare_run

    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise ValueError(
            "torchrun: own videos are prepared by one process; run slowfast train without it, stop "
            "it when it trains, and start torchrun with --cfg RUN/own.yaml"
        )
    name = Path(args.videos).expanduser().resolve().name.removesuffix(".csv")
    out = args.out or os.path.join("runs", name)
    config = prepare_run(
        args.videos,
        out,
        weights=args.weights,
        recipe=args.recipe,
        group=args.group,
        held_out=args.held_out,
        overrides=args.overrides,
    )
    code = run_net.main(["--cfg", str(config)])
    if not code:
        _tell(Path(out))
    return code


def _tell(out: Path) -> None:
    if (out / "test_results.json").exists():  # TEST.ENABLE False: there is none
        results = json.loads((out / "test_results.json").read_text())
        key, title = ("map", "mAP") if "map" in results else ("top1_acc", "top-1")
        print(f"Test on {results['num_videos']} videos: {title} {results[key]:.1f} %")
    if (out / "report.html").exists():
        print(f"Report: {out / 'report.html'}")
    print(f"Predict: slowfast predict VIDEO --run {out}")


if __name__ == "__main__":
    sys.exit(main())
