"""Types of command-line arguments."""

import argparse
from collections.abc import Callable


def at_least(least: int) -> Callable[[str], int]:
    """A type for argparse, which names the argument in its message."""

    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is not at least {least}")
        return value

    return number


def add_timing_arguments(parser: argparse.ArgumentParser) -> None:
    """--repeats and --threads of what times clips."""
    parser.add_argument(
        "--repeats",
        type=at_least(0),
        default=20,
        help="timed clips (default: %(default)s; 0: no latency)",
    )
    add_threads(parser)


def add_threads(parser: argparse.ArgumentParser) -> None:
    """--threads, for torch.set_num_threads."""
    parser.add_argument("--threads", type=at_least(1), help="of the CPU (default: torch's)")
