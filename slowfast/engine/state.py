"""Everything that changes while a run trains, and how it is written and resumed."""

import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from slowfast.checkpoint import files
from slowfast.checkpoint.classes import target_counts
from slowfast.checkpoint.convert import split_sub_bn
from slowfast.solver.ema import ModelEma
from slowfast.solver.optimizer import load_state_by_name, parameter_names
from slowfast.utils import distributed

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
    under way; `sums` are what those steps added up, `lr` is the last one's rate. An epoch that was
    begun with steps of another size counts its steps anew: `skipped` clips and a share `progress`
    of it were done before. `step_sizes` are the clips of its steps, over and over, `num_steps`
    their number.
    `class_names`, and `num_examples`, those of each class in training, travel with the weights, for
    predictions and tests; None where unknown. `list_digest` tells the training list from others.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    ema: ModelEma | None = None
    epoch: int = 0
    step: int = 0
    skipped: int = 0
    progress: float = 0.0
    step_sizes: list[int] = field(default_factory=list)
    num_steps: int = 0
    sums: Sums = field(default_factory=Sums)
    lr: float = 0.0
    best: dict = field(default_factory=dict)
    history: list[dict] = field(default_factory=list)
    class_names: list[str] | None = None
    num_examples: list[int] | None = None
    list_digest: str = ""

    @property
    def models(self) -> list[nn.Module]:
        """The model, and its moving average when there is one."""
        return [self.model] if self.ema is None else [self.model, self.ema.module]

    @property
    def samples(self) -> int:
        """Clips of the epoch under way that were trained, over all processes."""
        if not self.step_sizes:
            return self.skipped
        cycles, rest = divmod(self.step, len(self.step_sizes))
        return self.skipped + cycles * sum(self.step_sizes) + sum(self.step_sizes[:rest])

    @property
    def share_done(self) -> float:
        """Share of the epoch under way that is done."""
        share = self.step / self.num_steps if self.num_steps else 0.0
        return self.progress + (1 - self.progress) * share

    def finish_epoch(self, summary: dict) -> None:
        """Count the epoch under way as done; `summary` is its row of the history."""
        self.history.append(summary)
        self.epoch, self.step, self.sums = self.epoch + 1, 0, Sums()
        self.skipped, self.progress = 0, 0.0

    def state_dict(self, cfg_text: str) -> dict:
        """PySlowFast's keys (`epoch` is the 0-based last finished epoch), and ours beside them."""
        model_state, split_state = split_sub_bn(self.model.state_dict())
        state = {
            "epoch": self.epoch - 1,
            "model_state": model_state,
            "optimizer_state": self.optimizer.state_dict(),
            "optimizer_names": parameter_names(self.optimizer, self.model),
            "cfg": cfg_text,
            "scaler_state": self.scaler.state_dict(),
            "sums": asdict(self.sums),
            "sub_bn_state": split_state,
            **{name: getattr(self, name) for name in _PLAIN},
            "samples": self.samples,
            "world_size": distributed.world_size(),
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
        """Restore everything; ValueError when the file belongs to another model or optimizer.

        state: as `check_content` lets it pass.
        """
        try:
            self.model.load_state_dict({**state["model_state"], **state["sub_bn_state"]})
            _load_optimizer(self.optimizer, self.model, state)
        except (RuntimeError, ValueError, KeyError) as error:
            raise ValueError(
                f"{path} holds another model or optimizer than this config; choose another "
                f"OUTPUT_DIR, or set "
                f"TRAIN.AUTO_RESUME False to start anew: {str(error)[:1000]}"
            ) from error
        if state["scaler_state"] and self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler_state"])
        self._load_ema(state)
        self.epoch = state["epoch"] + 1
        self.sums = read_sums(state["sums"])
        self.class_names = self.class_names or state.get("class_names")
        for name in _PLAIN:
            setattr(self, name, state.get(name, getattr(self, name)))

    def _load_ema(self, state: dict) -> None:
        if self.ema is None:
            return
        if "ema_state" in state:
            self.ema.load_state_dict(state["ema_state"])
        else:
            logger.warning("TRAIN.EMA_DECAY: the moving average begins with the weights of now")
            self.ema = self.ema.restarted(self.model)


# Attributes that a checkpoint holds as they are.
_PLAIN = ("step", "skipped", "progress", "step_sizes", "num_steps", "lr", "best", "history")
_PLAIN += ("list_digest",)


def _load_optimizer(optimizer: torch.optim.Optimizer, model: nn.Module, state: dict) -> None:
    saved, now = state["optimizer_state"], optimizer.state_dict()
    names = state.get("optimizer_names")
    if names is None:  # written before parameters were named there: they must be grouped alike
        sizes = [[len(group["params"]) for group in s["param_groups"]] for s in (saved, now)]
        if sizes[0] != sizes[1]:
            raise ValueError(f"groups of {sizes[0]} parameters, not of {sizes[1]}")
        names = parameter_names(optimizer, model)
    load_state_by_name(optimizer, model, saved, names)


def save_epoch(content: dict, output_dir: Path, *, keep: int, is_best: bool) -> Path:
    """Write the checkpoint of a finished epoch, and drop what is older than the last `keep`.

    content: of `TrainState.state_dict`. The best epoch gets a second name.
    """
    path = files.checkpoint_path(output_dir, content["epoch"])
    files.save(path, content)
    if is_best:
        files.link(path, files.best_path(output_dir))
    files.interrupted_path(output_dir).unlink(missing_ok=True)
    files.prune(output_dir, keep)
    return path
