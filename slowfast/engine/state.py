"""Everything that changes while a run trains, and how it is written and resumed."""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from slowfast.checkpoint import files
from slowfast.checkpoint.classes import ClassList, match_classes, target_counts
from slowfast.checkpoint.convert import split_sub_bn
from slowfast.checkpoint.files import was_adaptive
from slowfast.solver.ema import ModelEma

logger = logging.getLogger(__name__)

# Checkpoints written in mid-epoch before sums had names hold a list, count last, whose length tells
# the task: names and factors.
_UNNAMED = {
    2: {"loss": 1},
    4: {"loss": 1, "top1_acc": 100, "top5_acc": 100},
    5: {"loss": 1, "top1_acc": 100, "top5_acc": 100, "sub_loss": 1},
}


@dataclass
class Sums:
    """Sums by name over `count` clips, or boxes; within a step the values are 0-d tensors."""

    values: dict[str, float | Tensor] = field(default_factory=dict)
    count: float = 0.0

    def add(self, other: "Sums") -> None:
        """Add those of further clips; a name that one side lacks is 0 there."""
        for name, value in other.values.items():
            self.values[name] = self.values.get(name, 0.0) + value
        self.count += other.count

    def means(self) -> dict[str, float]:
        """Sums over the count; 0 where nothing was counted."""
        return {name: value / max(self.count, 1) for name, value in self.values.items()}


def read_sums(saved: dict | list[float]) -> Sums:
    """The sums in a checkpoint; unnamed in those written in mid-epoch before sums had names."""
    if isinstance(saved, dict):
        return Sums(**saved)
    if not saved:  # at the end of an epoch
        return Sums()
    *values, count = saved
    factors = _UNNAMED[len(saved)].items()
    return Sums({n: f * v for (n, f), v in zip(factors, values, strict=True)}, count)


@dataclass
class TrainState:
    """Model, optimizer and progress of a run.

    `epoch` is the number of finished epochs and `step` the finished optimizer steps of the epoch
    under way; `sums` are what those steps added up, `lr` is the last one's rate.
    `class_names`, and `num_examples`, those of each class in training, travel with the weights, for
    predictions and tests; None where unknown.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    ema: ModelEma | None = None
    epoch: int = 0
    step: int = 0
    sums: Sums = field(default_factory=Sums)
    lr: float = 0.0
    best: dict = field(default_factory=dict)
    history: list[dict] = field(default_factory=list)
    class_names: list[str] | None = None
    num_examples: list[int] | None = None

    @property
    def models(self) -> list[nn.Module]:
        """The model, and its moving average when there is one."""
        return [self.model] if self.ema is None else [self.model, self.ema.module]

    def finish_epoch(self, summary: dict) -> None:
        """Count the epoch under way as done; `summary` is its row of the history."""
        self.history.append(summary)
        self.epoch, self.step, self.sums = self.epoch + 1, 0, Sums()

    def state_dict(self, cfg_text: str) -> dict:
        """PySlowFast's keys (`epoch` is the 0-based last finished epoch), and ours beside them."""
        model_state, split_state = split_sub_bn(self.model.state_dict())
        state = {
            "epoch": self.epoch - 1,
            "model_state": model_state,
            "optimizer_state": self.optimizer.state_dict(),
            "cfg": cfg_text,
            "scaler_state": self.scaler.state_dict(),
            "step": self.step,
            "sums": asdict(self.sums),
            "lr": self.lr,
            "sub_bn_state": split_state,
            "best": self.best,
            "history": self.history,
        }
        if self.ema is not None:
            state["ema_state"] = self.ema.state_dict()
        if self.class_names is not None:
            state["class_names"] = self.class_names
        if self.num_examples is not None:
            state["num_examples"] = self.num_examples
        if counts := target_counts(self.model):
            state["class_counts"] = list(counts)
        return state

    def load_state_dict(self, state: dict, path: Path) -> None:
        """Restore everything; ValueError when the file belongs to another model or optimizer."""
        if "step" not in state:
            raise ValueError(
                f"{path} was not written by this program, so this run cannot go on from it; "
                "to start from its weights set TRAIN.CHECKPOINT_FILE_PATH to it and choose an "
                "empty OUTPUT_DIR"
            )
        try:
            self.model.load_state_dict({**state["model_state"], **state["sub_bn_state"]})
            self.optimizer.load_state_dict(state["optimizer_state"])
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f"{path} holds another model or optimizer than this config; choose another "
                f"OUTPUT_DIR, or set "
                f"TRAIN.AUTO_RESUME False to start anew: {str(error)[:1000]}"
            ) from error
        self.scaler.load_state_dict(state["scaler_state"])
        if self.ema is not None:
            if "ema_state" not in state:
                raise ValueError(
                    f"TRAIN.EMA_DECAY: {path} has no moving average; it was trained without"
                )
            self.ema.load_state_dict(state["ema_state"])
        self.epoch, self.step = state["epoch"] + 1, state["step"]
        self.sums, self.lr = read_sums(state["sums"]), state["lr"]
        self.best, self.history = state["best"], state["history"]
        self.class_names = self.class_names or state.get("class_names")


def save_epoch(state: TrainState, output_dir: Path, cfg_text: str, *, keep: int) -> Path:
    """Write the checkpoint of a finished epoch, and drop what is older than the last `keep`."""
    path = files.checkpoint_path(output_dir, state.epoch - 1)
    files.save(path, state.state_dict(cfg_text))
    files.interrupted_path(output_dir).unlink(missing_ok=True)
    files.prune(output_dir, keep)
    return path


def save_interrupted(state: TrainState, output_dir: Path, cfg_text: str) -> Path:
    """Write the state in the middle of an epoch."""
    path = files.interrupted_path(output_dir)
    files.save(path, state.state_dict(cfg_text))
    return path


def resume(
    state: TrainState,
    output_dir: Path,
    prepare: Callable[[int], None],
    *,
    is_adaptive: bool,
    classes: ClassList | None = None,
) -> bool:
    """Go on from the furthest checkpoint of this run; False when there is none.

    `prepare(epoch)` is called before loading, with the number of finished epochs. `is_adaptive` is
    ADAPTIVE.ENABLE, `classes` are those of the data, None: not compared. ValueError when the run
    was begun with the other value, or with other classes.
    """
    candidates = [files.last_checkpoint(output_dir), files.interrupted_path(output_dir)]
    loaded = [(files.load(path), path) for path in candidates if path and path.exists()]
    if not loaded:
        return False
    content, path = max(loaded, key=lambda item: (item[0]["epoch"], item[0].get("step", 0)))
    _check_classes(content, path, classes)
    prepare(content["epoch"] + 1)
    state.load_state_dict(content, path)
    if is_adaptive != bool(was_adaptive(content, path)):
        raise ValueError(
            f"ADAPTIVE.ENABLE: {is_adaptive}, but the run in {output_dir} was trained with "
            f"{not is_adaptive} ({path.name}); choose another OUTPUT_DIR, or set "
            "TRAIN.AUTO_RESUME False to start anew"
        )
    logger.info("resumed from %s: %d epochs and %d steps done", path, state.epoch, state.step)
    return True


def _check_classes(content: dict, path: Path, classes: ClassList | None) -> None:
    """ValueError unless the classes of the checkpoint are those of the data, in their order."""
    names = content.get("class_names")
    if classes is None or not names:
        return
    match = match_classes(names, classes)
    if match.order is None or match.num_moved:
        how = match.differences() if match.order is None else match.remarks()[0]
        raise ValueError(
            f"{path}: this run was begun with other classes than the data has now, and cannot go "
            f"on with these: {how}. Put the old list of classes back, choose another OUTPUT_DIR "
            "(with TRAIN.CHECKPOINT_FILE_PATH to start from these weights), or set "
            "DATA.MATCH_CLASSES False to go by the numbers of the classes"
        )
