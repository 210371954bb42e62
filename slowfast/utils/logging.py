"""Log lines: to the console and a file from the main process, only errors from the others."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm.contrib.logging import _TqdmLoggingHandler

_FORMAT = "[%(asctime)s %(levelname).1s] %(message)s"
_OURS = "slowfast.run"  # name of our handlers


def setup_logging(output_dir: str | Path | None, *, is_main: bool) -> None:
    """Send log lines to the console, and with their debug detail to OUTPUT_DIR/stdout.log.

    The console handler writes past progress bars. Calling again replaces the earlier set-up;
    handlers of others stay.
    """
    logger = logging.getLogger("slowfast")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    _remove_ours(logger)
    console = _TqdmLoggingHandler()
    console.set_name(_OURS)
    console.setLevel(logging.INFO if is_main else logging.ERROR)
    console.setFormatter(logging.Formatter(_FORMAT, datefmt="%H:%M:%S"))
    logger.addHandler(console)
    if is_main and output_dir is not None:
        logger.addHandler(_file_handler(Path(output_dir) / "stdout.log"))


@contextmanager
def own_logging() -> Iterator[None]:
    """Give the log back as it was when the block ends, however often it was set up within."""
    logger = logging.getLogger("slowfast")
    before = [handler for handler in logger.handlers if handler.get_name() == _OURS]
    level, propagate = logger.level, logger.propagate
    for handler in before:
        logger.removeHandler(handler)  # not closed: it comes back
    try:
        yield
    finally:
        _remove_ours(logger)
        for handler in before:
            logger.addHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


def _remove_ours(logger: logging.Logger) -> None:
    for handler in list(logger.handlers):
        if handler.get_name() == _OURS:
            logger.removeHandler(handler)
            handler.close()


def _file_handler(path: Path) -> logging.Handler:
    path.parent.mkdir(parents=True, exist_ok=True)
    # File names need not be UTF-8: such bytes are written as in \udce9.
    handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    handler.set_name(_OURS)
    handler.setFormatter(logging.Formatter(_FORMAT))
    return handler
