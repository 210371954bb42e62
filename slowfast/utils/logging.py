"""Log lines: to the console and a file from the main process, only errors from the others."""

import logging
from pathlib import Path

from tqdm.contrib.logging import _TqdmLoggingHandler

_FORMAT = "[%(asctime)s %(levelname).1s] %(message)s"


def setup_logging(output_dir: str | Path | None, *, is_main: bool) -> None:
    """Send log lines to the console, and with their debug detail to OUTPUT_DIR/stdout.log.

    The console handler writes past progress bars. Calling again replaces the earlier set-up.
    """
    logger = logging.getLogger("slowfast")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    console = _TqdmLoggingHandler()
    console.setLevel(logging.INFO if is_main else logging.ERROR)
    console.setFormatter(logging.Formatter(_FORMAT, datefmt="%H:%M:%S"))
    logger.addHandler(console)
    if is_main and output_dir is not None:
        logger.addHandler(_file_handler(Path(output_dir) / "stdout.log"))


def _file_handler(path: Path) -> logging.Handler:
    path.parent.mkdir(parents=True, exist_ok=True)
    # File names need not be UTF-8: such bytes are written as in \udce9.
    handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter(_FORMAT))
    return handler
