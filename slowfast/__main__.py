"""The command `slowfast`: one name for each tool."""

import difflib
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from slowfast.utils.cli import make_parser, typed_as


@dataclass(frozen=True)
class Tool:
    """A file of tools/, a line of help, and words that stand before those of the user."""

    file: str
    summary: str
    words: tuple[str, ...] = ()


COMMANDS = {
    "demo": Tool("demo", "make videos, train and test a small network: the whole way in minutes"),
    "train": Tool("train", "train on a folder of your videos, or as a config says, and test"),
    "test": Tool(
        "run_net", "test trained weights", ("TRAIN.ENABLE", "False", "TEST.ENABLE", "True")
    ),
    "predict": Tool("predict", "say what happens in videos, long videos and live streams"),
    "report": Tool("report", "write the page of a run, or the comparison of several"),
    "dataset": Tool("dataset", "check, prepare, index and pack video sets"),
    "configs": Tool("configs", "list the shipped recipes"),
    "info": Tool("model_info", "count parameters and multiply-adds"),
    "export": Tool("export", "write a network for ONNX Runtime, OpenVINO or the Hub"),
    "zoo": Tool("zoo", "list, fetch and check published weights"),
    "convert": Tool("convert_checkpoint", "convert weights of others, average and strip own ones"),
    "analyze": Tool("analyze", "look into trained networks"),
    "budget": Tool("budget", "run one adaptive network at any budget"),
    "expand": Tool("expand", "search for a network by progressive expansion"),
    "study": Tool("study", "train networks with several seeds, and make one table"),
    "sweep": Tool("sweep", "train a config with other values and several seeds, and compare"),
    "average": Tool("average_results", "mean and spread over tested runs"),
    "ensemble": Tool("ensemble", "add up the scores of tested runs"),
    "flow": Tool("flow", "compute optical flow of video sets"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code of the tool that the first word names."""
    name, *words = [*(sys.argv[1:] if argv is None else argv), ""]
    if name not in COMMANDS:
        return _without_tool(name)
    tool = COMMANDS[name]
    names = {other.file: f"slowfast {key}" for key, other in reversed(COMMANDS.items())}
    names["run_net"] = "slowfast train"  # which calls it where there is a config
    with typed_as(f"slowfast {name}", {**names, tool.file: f"slowfast {name}"}):
        module = importlib.import_module(f"slowfast.tools.{tool.file}")
        return module.main([*tool.words, *words[:-1]])


def _without_tool(name: str) -> int:
    """Show the names, or refuse a name that is none."""
    width = max(map(len, COMMANDS))
    lines = [f"  {key:{width}}  {tool.summary}" for key, tool in COMMANDS.items()]
    parser = make_parser(
        "Train, test and compare efficient video networks.",
        prog="slowfast",
        usage="slowfast COMMAND ...",
        epilog="\n".join(["commands, each with a -h of its own:", *lines]),
    )
    version = importlib.import_module("slowfast").__version__
    parser.add_argument("--version", action="version", version=version)
    if name.startswith("-"):
        parser.parse_args([name])
    if not name:
        parser.print_help()
        return 2
    near = difflib.get_close_matches(name, COMMANDS, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(COMMANDS)}"
    parser.error(f"{name!r} is not a command; {hint}")


if __name__ == "__main__":
    sys.exit(main())
