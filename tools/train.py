r"""Train on your own videos: a folder for each class, or a csv of paths and labels.

The split, the clips, the batch, the learning rate and the rest are chosen from the videos and the
machine, printed with their reasons, and written to RUN/own.yaml. Ends with a test and its report.
The same command goes on with an interrupted run.

slowfast train my_videos
slowfast train my_videos --from weights.pyth --out runs/a SOLVER.MAX_EPOCH 20
slowfast train my_videos --from runs/a --out runs/b
slowfast train my_videos --group "person[0-9]+"
slowfast train --cfg X.yaml KEY VALUE ...     as a config says; its options: --cfg X.yaml -h
"""

import argparse
import json
import os
import sys
from functools import partial
from pathlib import Path

from slowfast.config.cli import add_import
from slowfast.tools import run_net
from slowfast.utils.cli import add_overrides, looks_like_key, make_parser, parse, run_tool

_FEW = 30  # test videos below which an accuracy says little
_USAGE = """\
%(prog)s FOLDER_OR_CSV [options] [KEY VALUE ...]
       %(prog)s --cfg FILE [options] [KEY VALUE ...]"""
_EPILOG = "docs/own_videos.md says what is chosen, and why"


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if _is_for_config(words):
        return run_net.main(["TRAIN.ENABLE", "True", *words])
    parser = make_parser(__doc__, epilog=_EPILOG, usage=_USAGE)
    parser.add_argument("videos", metavar="FOLDER_OR_CSV", help="the videos with their classes")
    parser.add_argument(
        "--from",
        dest="weights",
        default="",
        metavar="WEIGHTS",
        help="to start from: a FILE, the folder of a RUN (its best), zoo:NAME or hf:USER/NAME",
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
    add_import(parser)
    add_overrides(parser)
    interrupted = "interrupted; the same command goes on from here"
    return run_tool(
        run, parse(parser, words, is_key=partial(_is_key, words)), interrupted=interrupted
    )


def _is_for_config(words: list[str]) -> bool:
    """Whether --cfg stands there without videos, which would come first."""
    options = {word.partition("=")[0] for word in words if word.startswith("--")}
    is_own = options & {"--from", "--out", "--group", "--held-out"}
    has_videos = words and not (words[0].startswith("-") or looks_like_key(words[0]))
    return bool(options & {"--cfg", "--help-config"}) and not is_own and not has_videos


def _is_key(words: list[str], word: str) -> bool:
    """Whether it is a config key; README.md in front of all is a path, there or not."""
    return looks_like_key(word) and (word != words[0] or word.isupper())


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
        overrides=_overrides(args.overrides, args.imports),
    )
    code = run_net.main(["--cfg", str(config)])
    if not code:
        _tell(Path(out))
    return code


def _overrides(words: list[str], imports: list[str]) -> list:
    """KEY, VALUE, ... with the modules of --import, files by their whole paths."""
    if not imports:
        return words
    if "IMPORTS" in words[::2]:
        raise ValueError("--import: IMPORTS is given, too; name all modules in one of the two")
    paths = [os.path.abspath(name) if name.endswith(".py") else name for name in imports]
    return [*words, "IMPORTS", paths]


def _tell(out: Path) -> None:
    if (out / "test_results.json").exists():  # TEST.ENABLE False: there is none
        results = json.loads((out / "test_results.json").read_text())
        key, title = ("map", "mAP") if "map" in results else ("top1_acc", "top-1")
        count = results["num_videos"]
        interval = _interval(results[key], count) if key == "top1_acc" else ""
        print(f"Test on {count} videos: {title} {results[key]:.1f} %{interval}")
        if count < _FEW:
            print(f"Warning: {count} test videos show little; {_FEW} or more are better")
    if (out / "report.html").exists():
        print(f"Report: {out / 'report.html'}")
    print(f"Predict: slowfast predict VIDEO --run {out}")


def _interval(percent: float, count: int) -> str:
    from slowfast.analysis.report.numbers import wilson_interval

    if not count:
        return ""
    low, high = wilson_interval(round(percent / 100 * count), count)
    return f" (95 % interval {100 * low:.0f} to {100 * high:.0f})"


if __name__ == "__main__":
    sys.exit(main())
