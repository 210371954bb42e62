"""A run's numbers: one JSON line each, on the console, in TensorBoard and in a tracker."""

import logging
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from slowfast.config.node import ConfigNode
from slowfast.runtime.tracking.tracker import Tracker, build_tracker
from slowfast.utils.distributed import is_main_process
from slowfast.utils.io import json_text

logger = logging.getLogger(__name__)


class RunLog:
    """Writes dicts of numbers to OUTPUT_DIR/log.jsonl; only the main process writes anything.

    NaN and infinity, as in the gradient norm of a step that loss scaling skips, become null.
    `tensorboard_dir` None leaves TensorBoard out. A `with` block closes the log, and tells the
    tracker whether the run has failed.
    """

    def __init__(
        self, output_dir: Path, *, tensorboard_dir: Path | None, tracker: Tracker | None = None
    ):
        self._path = Path(output_dir) / "log.jsonl"
        self._tracker = tracker
        self._writer = None
        if is_main_process():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if tensorboard_dir is not None:
                self._writer = SummaryWriter(str(tensorboard_dir))

    def write(self, values: dict, *, step: int) -> None:
        """Log one line; `values["_type"]` prefixes its scalars' names, `step` is their x axis."""
        if not is_main_process():
            return
        line = json_text({key: _rounded(value) for key, value in values.items()})
        logger.info("json_stats: %s", line)
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(f"{line}\n")
        if self._writer is not None:
            for key, value in values.items():
                if isinstance(value, float):
                    self._writer.add_scalar(f"{values['_type']}/{key}", value, step)
            self._writer.flush()
        if self._tracker is not None:
            self._tracker.values(values["_type"], values, step=step)

    def table(self, path: Path) -> None:
        """Give the tracker a csv, where there are both."""
        if self._tracker is not None:
            self._tracker.table(path)

    def close(self, *, has_failed: bool = False) -> None:
        """Close TensorBoard's file, and end the tracker's run."""
        if self._writer is not None:
            self._writer.close()
        if self._tracker is not None:
            self._tracker.close(has_failed=has_failed)

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(has_failed=kind is not None)


def _rounded(value):
    return float(f"{value:.6g}") if isinstance(value, float) else value


def build_run_log(cfg: ConfigNode) -> RunLog:
    """The log of the run in OUTPUT_DIR."""
    directory = None
    if cfg.TENSORBOARD.ENABLE:
        directory = Path(cfg.OUTPUT_DIR) / (cfg.TENSORBOARD.LOG_DIR or "tensorboard")
    output_dir, tracker = Path(cfg.OUTPUT_DIR), build_tracker(cfg)
    return RunLog(output_dir, tensorboard_dir=directory, tracker=tracker)
