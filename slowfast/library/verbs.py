"""Training and testing from Python: `slowfast.train` and `slowfast.test`."""

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slowfast.config.cli import AnyConfig, Overrides, load_cfg, override_words
from slowfast.config.node import ConfigNode
from slowfast.library.results import TestResult, TrainResult
from slowfast.library.run import run_config
from slowfast.runtime.stop import STOP_SIGNALS, Interrupted
from slowfast.utils.logging import own_logging, setup_logging

logger = logging.getLogger(__name__)


def train(config: AnyConfig, overrides: Overrides = ()) -> TrainResult:
    """Train, and test if TEST.ENABLE is set, like `slowfast train`; give the results.

    `config` and `overrides` are as for `load_cfg`; TRAIN.ENABLE is set. Everything is written to
    OUTPUT_DIR, and the run goes on from the last checkpoint there.

    NUM_GPUS above 1 starts a process for each GPU. A script then needs
    `if __name__ == "__main__":` around the call; a notebook does not. Put your own models and
    datasets into a module that IMPORTS names.

    Mistakes raise ValueError. Ctrl-C saves and raises KeyboardInterrupt; the same call goes on.
    """
    cfg = load_cfg(config, [*override_words(overrides), "TRAIN.ENABLE", True])
    _run(cfg, "train")
    folder = Path(cfg.OUTPUT_DIR)
    return TrainResult(folder, TestResult(folder) if cfg.TEST.ENABLE else None)


def test(config: AnyConfig, overrides: Overrides = ()) -> TestResult:
    """Test, like `slowfast test`; give the results.

    `config` and `overrides` are as for `load_cfg`. TEST.CHECKPOINT_FILE_PATH names the weights; if
    it is empty, the last checkpoint in OUTPUT_DIR is tested. The rest is as for `train`.
    """
    cfg = load_cfg(config, [*override_words(overrides), "TRAIN.ENABLE", False, "TEST.ENABLE", True])
    _run(cfg, "test")
    return TestResult(Path(cfg.OUTPUT_DIR))


# pytest would take a function of this name for a test wherever it is imported.
test.__test__ = False  # type: ignore[attr-defined]


def _run(config: ConfigNode, verb: str) -> None:
    if threading.current_thread() is not threading.main_thread():
        raise ValueError(
            f"slowfast.{verb}: only the main thread of Python can stop and save at Ctrl-C; call it "
            "there, or start a process of its own"
        )
    with own_logging(), _as_call():
        setup_logging(None, is_main=True)
        run_config(config, [f"slowfast.{verb}", "in", Path(sys.argv[0]).name or "Python"])


@contextmanager
def _as_call() -> Iterator[None]:
    """Raise errors of a call where a run in a process of its own would end it."""
    try:
        yield
    except Interrupted:
        raise KeyboardInterrupt("stopped; the same call goes on from here") from None
    except SystemExit as error:  # of a process that was spawned
        if error.code in {128 + number for number in STOP_SIGNALS}:
            raise KeyboardInterrupt("stopped; the same call goes on from here") from None
        raise RuntimeError(
            f"a process of the run ended with exit code {error.code}; the lines above say why"
        ) from None
