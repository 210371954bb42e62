"""One frame for all tools: their arguments, their start, a user's mistakes, Ctrl-C, exit codes.

What a tool takes is known before torch is imported, so that -h and mistakes in words cost nothing.
"""

import argparse
import importlib
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from slowfast.shipped import config_argument, names_recipe
from slowfast.utils.system import num_usable_cores
from slowfast.utils.video_names import is_video

INTERRUPTED = 128 + signal.SIGINT
READER_LEFT = 128 + 13  # SIGPIPE, which Windows does not have

_KEY = re.compile(r"[A-Z][A-Z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)*")
_TOOL_FILE = re.compile(
    r"(?P<launcher>torchrun [^\n]*?)?(?:python )?\b(?:tools/)?(?P<file>\w+)\.py\b"
)


@dataclass(frozen=True)
class Command:
    """One of several things that a tool does; `run` gets the arguments and gives an exit code.

    None is 0. A run that needs torch imports it when it is called.
    """

    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int | None]


@dataclass(frozen=True)
class Typed:
    """Words of the user for a tool: `prog`, and what to call each file of tools/ in texts."""

    prog: str
    names: Mapping[str, str]


_TYPED: ContextVar[Typed | None] = ContextVar("typed", default=None)


@contextmanager
def typed_as(prog: str, names: Mapping[str, str]) -> Iterator[None]:
    """Let tools call themselves, in help and messages, as the user calls them."""
    token = _TYPED.set(Typed(prog, names))
    try:
        yield
    finally:
        _TYPED.reset(token)


def as_typed(text: str) -> str:
    """The text with the names of the user: `slowfast report` for `python tools/report.py`."""
    typed = _TYPED.get()

    def rename(match: re.Match) -> str:
        name, launcher = typed.names.get(match["file"]), match["launcher"] or ""
        return match[0] if name is None else f"{launcher}{'-m ' if launcher else ''}{name}"

    return _TOOL_FILE.sub(rename, text) if typed else text


def command_words(file: str, argv: Sequence[str] | None) -> list[str]:
    """The command of a tool, to be written down; `file` is the tool's."""
    if typed := _TYPED.get():
        return [*typed.names[Path(file).stem].split(), *(argv or [])]
    return sys.argv if argv is None else [file, *argv]


class _Parser(argparse.ArgumentParser):
    def format_help(self) -> str:
        return as_typed(super().format_help())


def make_parser(description: str | None, **settings: Any) -> argparse.ArgumentParser:
    """A parser whose help keeps the lines of the description; options are never shortened."""
    if typed := _TYPED.get():
        settings = {"prog": typed.prog, **settings}
    return _Parser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        **settings,
    )


def parse_command(
    description: str | None, commands: Mapping[str, Command], argv: Sequence[str] | None
) -> tuple[Command, argparse.Namespace]:
    """The command that the first word names, and its arguments from the others."""
    width = max(map(len, commands))
    summaries = [f"  {name:{width}}  {command.summary}" for name, command in commands.items()]
    epilog = "\n".join(["commands, each with a -h of its own:", *summaries])
    parser = make_parser(description, epilog=epilog)
    parser.add_argument("command", choices=commands, metavar="{" + ",".join(commands) + "} ...")
    words = list(sys.argv[1:] if argv is None else argv)
    name = parser.parse_args(words[:1]).command
    command = commands[name]
    own = make_parser(command.summary, prog=f"{parser.prog} {name}")
    command.add_arguments(own)
    return command, parse(own, words[1:])


def looks_like_key(word: str) -> bool:
    """True for DATA.NUM_FRAMES and the like, unless there is a file or recipe of this name."""
    is_key = _KEY.fullmatch(word) is not None and not is_video(word) and not Path(word).exists()
    return is_key and ("." in word or not names_recipe(word))


def parse(
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None = None,
    *,
    is_key: Callable[[str], bool] = looks_like_key,
) -> argparse.Namespace:
    """The arguments, in any order.

    With `add_overrides`, `overrides` are the words KEY VALUE ... of the config. They begin with a
    word that looks like a config key (`is_key`) and is no file, or after --opts, and end at the
    next option.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if all(action.dest != "overrides" for action in parser._actions):
        return parser.parse_intermixed_args(words)
    words, overrides = _split_overrides(parser, words, is_key)
    args = parser.parse_intermixed_args(words)
    args.overrides = overrides
    return args


def _split_overrides(
    parser: argparse.ArgumentParser, words: Sequence[str], is_key: Callable[[str], bool]
) -> tuple[list[str], list[str]]:
    """All other words, and the overrides.

    Where a tool has no inputs that stand alone, a word that belongs to no option begins them too.
    """
    options = parser._option_string_actions
    has_inputs = any(not a.option_strings and a.dest != "overrides" for a in parser._actions)
    others, overrides = [], []
    is_override, num_values, takes_more = False, 0, has_inputs
    for word in words:
        name, equals, _ = word.partition("=")
        if word == "--opts":
            is_override, num_values = True, 0
        elif name in options:
            is_override, takes_more = False, has_inputs or options[name].nargs in ("+", "*")
            num_values = 0 if equals else _least_values(options[name])
            others.append(word)
        elif num_values:
            num_values -= 1
            others.append(word)
        elif is_override or word.strip():  # a blank word is no input, but may be a value
            is_override |= is_key(word) or not takes_more
            (overrides if is_override else others).append(word)
    return others, overrides


def _least_values(option: argparse.Action) -> int:
    return {None: 1, "+": 1, "*": 0, "?": 0}.get(option.nargs, option.nargs)


def at_least(least: int) -> Callable[[str], int]:
    """A type for argparse, which names the argument in its message."""

    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is not at least {least}")
        return value

    return number


def add_cfg(
    parser: argparse.ArgumentParser,
    help: str = "YAML file of the network",
    *,
    required: bool = True,
) -> None:
    """--cfg, a config: a file, or the name of a shipped recipe."""
    parser.add_argument(
        "--cfg",
        type=config_argument,
        required=required,
        metavar="FILE",
        help=f"{help}, or name of a shipped recipe",
    )


def add_checkpoint(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """--checkpoint, the weights."""
    words = "its weights: a file or zoo:NAME"
    parser.add_argument("--checkpoint", required=required, metavar="FILE", help=words)


def add_output(
    parser: argparse.ArgumentParser,
    help: str,
    *,
    metavar: str = "FILE",
    alias: str = "--out",
    **settings: Any,
) -> None:
    """--output, where results go; the alias is its earlier name."""
    parser.add_argument("--output", alias, metavar=metavar, help=help, **settings)


def add_mixed_sets(parser: argparse.ArgumentParser) -> None:
    """--mixed-sets, which takes runs that were tested on different sets."""
    parser.add_argument(
        "--mixed-sets",
        action="store_true",
        help="take runs that were tested on different videos or classes, too",
    )


def add_threads(parser: argparse.ArgumentParser, *, default: int | None = None) -> None:
    """--threads, which `run_tool` sets."""
    parser.add_argument(
        "--threads",
        type=at_least(1),
        default=default,
        metavar="N",
        help=f"of the CPU (default: {default or 'as torch'})",
    )


def add_repeats(parser: argparse._ActionsContainer, *, default: int, least: int = 1) -> None:
    """--repeats, rounds of what is timed."""
    none = "" if least else "; 0: no latency"
    parser.add_argument(
        "--repeats",
        type=at_least(least),
        default=default,
        metavar="N",
        help=f"timed rounds (default: %(default)s{none})",
    )


def add_workers(parser: argparse.ArgumentParser) -> None:
    """--workers, processes; by default one per core that this one may use."""
    parser.add_argument(
        "--workers",
        type=at_least(1),
        default=num_usable_cores(),
        metavar="N",
        help="processes (default: one per core)",
    )


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """KEY VALUE ..., which `parse` takes out of all words; the last argument of a tool."""
    parser.add_argument(
        "overrides",
        nargs="*",
        default=[],
        metavar="KEY VALUE",
        help="override the config, also after --opts",
    )


def imported_later(place: str) -> Callable[[argparse.Namespace], Any]:
    """The function "module:name", imported when it is called; gets all arguments by their names."""

    def call(args: argparse.Namespace) -> Any:
        module, _, name = place.partition(":")
        given = {key: value for key, value in vars(args).items() if key != "threads"}
        return getattr(importlib.import_module(module), name)(**given)

    return call


def run_tool(
    run: Callable[[argparse.Namespace], int | None],
    args: argparse.Namespace,
    *,
    interrupted: str = "interrupted",
) -> int:
    """The exit code of `run(args)`: 1 after a user's mistake, 130 after Ctrl-C, one line for each.

    The traceback of a mistake is in OUTPUT_DIR/stdout.log where a run has one.
    """
    from slowfast.utils.logging import setup_logging

    logger = logging.getLogger("slowfast.tool")
    setup_logging(None, is_main=os.environ.get("RANK", "0") == "0")  # torchrun starts several
    sys.stdout.reconfigure(errors="backslashreplace")  # file names need not be UTF-8
    try:
        with _threads(getattr(args, "threads", None)):
            code = run(args) or 0
        sys.stdout.flush()
        return code
    except (ValueError, OSError) as error:
        if isinstance(error, BrokenPipeError) and _reader_left():
            return READER_LEFT
        logger.debug("traceback of the error below", exc_info=True)
        logger.error("%s: %s", type(error).__name__, as_typed(str(error)))
        return 1
    except KeyboardInterrupt:
        logger.error(interrupted)
        return INTERRUPTED


def _reader_left() -> bool:
    """Whether nobody reads the output any more, as after `| head`; then it goes nowhere."""
    try:
        sys.stdout.write("\n")  # what failed before is lost: a flush alone may succeed
        sys.stdout.flush()
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        return True
    return False


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    if count is None:
        yield
        return
    import torch

    previous = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(previous)


def leave(code: int) -> NoReturn:
    """End the process with an exit code, at once after an interruption."""
    if code == INTERRUPTED:
        sys.stdout.flush()
        os._exit(code)  # an orderly end of torch takes a second
    sys.exit(code)
