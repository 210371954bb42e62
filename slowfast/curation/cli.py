"""How the tools over many videos run and end."""

import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from slowfast.utils.logging import setup_logging

_INTERRUPTED = 128 + signal.SIGINT


def run_command(run: Callable[[], int], logger: logging.Logger) -> int:
    """The exit code that `run` returns; 1 after a mistake, which is logged in one line."""
    setup_logging(None, is_main=True)
    sys.stdout.reconfigure(errors="backslashreplace")  # file names need not be UTF-8
    try:
        return run()
    except (ValueError, OSError) as error:
        logger.error("%s: %s", type(error).__name__, error)
        return 1
    except KeyboardInterrupt:
        logger.error("interrupted; the same command goes on where this one ended")
        return _INTERRUPTED


def leave(code: int) -> NoReturn:
    """End the process with an exit code, at once after an interruption."""
    if code == _INTERRUPTED:
        sys.stdout.flush()
        os._exit(code)  # an orderly end of torch takes a second
    sys.exit(code)
