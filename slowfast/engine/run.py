"""A training run: its parts, built from the config, at the point where it goes on."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import bf16_compress_hook
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parallel import DistributedDataParallel

from slowfast.checkpoint import files
from slowfast.checkpoint.classes import ClassList, build_class_list, match_classes
from slowfast.checkpoint.initialize import initialize_from
from slowfast.checkpoint.writer import CheckpointWriter
from slowfast.config.derived import accumulation_steps, class_counts, clips_of_statistics
from slowfast.config.node import ConfigNode, flatten
from slowfast.datasets.balance import build_class_weights
from slowfast.datasets.build import build_dataset, build_loader
from slowfast.datasets.class_report import class_remarks, count_examples
from slowfast.datasets.packed_records import digest
from slowfast.datasets.reading import WatchedLoader
from slowfast.engine.resume import check_agreement, plan_steps, resume
from slowfast.engine.schedule import NormSchedule
from slowfast.engine.state import TrainState
from slowfast.engine.step import SeededPasses, TrainStep, steps_late
from slowfast.evaluation.evaluator import Evaluator
from slowfast.models import build_model
from slowfast.models.batch_norm import ONE_VALUE
from slowfast.models.build import build_meta_inputs
from slowfast.models.norm import norms_of_one_position
from slowfast.models.slimmable import make_slimmable
from slowfast.runtime.compilation import compile_parts
from slowfast.runtime.device import build_autocast, build_device, place_model
from slowfast.runtime.memory import PeakMemory
from slowfast.runtime.peak import build_clip_load
from slowfast.runtime.run_log import RunLog, build_run_log
from slowfast.runtime.stop import SaveClock, StopRequest
from slowfast.runtime.unreadable import UnreadableVideos
from slowfast.solver.ema import ModelEma
from slowfast.solver.lr_schedule import build_lr_schedule
from slowfast.solver.multigrid import Schedule, build_schedule
from slowfast.solver.optimizer import build_optimizer
from slowfast.tasks import Task, build_evaluator, build_task
from slowfast.utils import distributed
from slowfast.utils.seeding import derive_seed

logger = logging.getLogger(__name__)


@dataclass
class Run:
    """Everything that the epochs of a training run share.

    frozen: names of the modules that stay in evaluation mode. steps: optimizer steps of every
    epoch. lr_at: from a fractional epoch to its learning rate. accumulation: batches of a step.
    num_precise_batches: for precise batch norm, 0 without it. num_kept: how many of the latest
    checkpoints stay, 0 for all. patience: epochs without improvement before the end, 0 for all.
    clip_load: see `build_clip_load`.
    """

    output_dir: Path
    cfg_text: str
    device: torch.device
    autocast: torch.autocast
    log: RunLog
    task: Task
    train_loader: WatchedLoader
    val_loader: WatchedLoader
    evaluator: Evaluator
    state: TrainState
    frozen: list[str]
    schedule: Schedule
    norms: NormSchedule
    steps: list[int]
    lr_at: Callable[[float], float]
    train_step: TrainStep
    unreadable: UnreadableVideos
    accumulation: int
    num_precise_batches: int
    seed: int
    log_period: int
    num_kept: int
    patience: int
    clock: SaveClock
    clip_load: float = 0.0
    stop: StopRequest = field(default_factory=StopRequest)
    writer: CheckpointWriter = field(default_factory=CheckpointWriter)
    memory: PeakMemory = field(default_factory=PeakMemory)


def wrap_distributed(
    model: nn.Module,
    device: torch.device,
    *,
    gradients: str = "float32",
    **options: bool,
) -> nn.Module:
    """The model, inside DistributedDataParallel in a group of processes, even of one.

    gradients: number type in which they travel. The other options are DistributedDataParallel's.
    """
    if not distributed.is_distributed():
        return model
    device_ids = [device] if device.type == "cuda" else None
    network = DistributedDataParallel(model, device_ids=device_ids, **options)
    if gradients == "bfloat16":
        network.register_comm_hook(None, bf16_compress_hook)
    return network


def freeze_modules(model: nn.Module, prefixes: list[str]) -> list[str]:
    """Turn off the gradients of all modules whose name starts with a prefix; returns their names.

    "s1" means s1 and s1.*, not s10. ValueError when a prefix names nothing.
    """
    frozen = []
    for prefix in prefixes:
        found = {
            name: module
            for name, module in model.named_modules()
            if name == prefix or name.startswith(f"{prefix}.")
        }
        if not found:
            names = [name for name, _ in model.named_children()]
            raise ValueError(
                f"TRAIN.FREEZE: {prefix!r} names no module; the first level is {names}"
            )
        for module in found.values():
            module.requires_grad_(False)
        frozen += found
    return frozen


def freeze_batch_norm(model: nn.Module) -> list[str]:
    """Turn off the gradients of every batch norm; returns the names of these modules."""
    found = {name: m for name, m in model.named_modules() if isinstance(m, _NormBase)}
    for module in found.values():
        module.requires_grad_(False)
    return list(found)


def freeze(model: nn.Module, prefixes: list[str], *, has_frozen_norms: bool) -> list[str]:
    """Freeze the modules of the prefixes and, if asked to, all batch norms; returns their names.

    ValueError when nothing is left to train.
    """
    frozen = freeze_modules(model, prefixes)
    if has_frozen_norms:
        frozen += freeze_batch_norm(model)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(f"TRAIN.FREEZE: {prefixes} leaves nothing to train")
    return frozen


def refuse_single_values(
    model: nn.Module, frozen: Iterable[str], inputs: tuple, device: torch.device
) -> None:
    """ValueError where a batch norm of a single clip would get one value per channel.

    `inputs` are like those of a training step, of one clip. Frozen norms do without statistics.
    """
    clips, boxes = inputs
    clips = [torch.zeros(clip.shape, device=device) for clip in clips]
    boxes = None if boxes is None else torch.zeros(boxes.shape, device=device)
    names = [name for name in norms_of_one_position(model, clips, boxes) if name not in frozen]
    if names:
        raise ValueError(f"{ONE_VALUE}; it is {', '.join(names[:3])}")


def build_state(cfg: ConfigNode, device: torch.device) -> tuple[TrainState, list[str]]:
    """Model, optimizer and the rest at epoch 0, and the names of modules in evaluation mode."""
    # Without the rank: all processes begin with the same weights.
    torch.manual_seed(derive_seed("init", cfg.RNG_SEED))
    model = place_model(build_model(cfg), device, cfg.MEMORY_FORMAT)
    if cfg.ADAPTIVE.ENABLE:
        make_slimmable(model)
    frozen = freeze(model, cfg.TRAIN.FREEZE, has_frozen_norms=cfg.MODEL.FROZEN_BN)
    if clips_of_statistics(cfg.TRAIN, cfg.BN, cfg.NUM_GPUS, cfg.NUM_SHARDS) == 1:
        inputs = build_meta_inputs(cfg, cfg.DATA.TRAIN_CROP_SIZE)
        refuse_single_values(model, frozen, inputs, device)
    if cfg.TRAIN.COMPILE:
        compile_parts(model, mode=cfg.TRAIN.COMPILE_MODE, seconds=cfg.TRAIN.COMPILE_SECONDS)
    needs_scaling = cfg.TRAIN.MIXED_PRECISION and cfg.TRAIN.AMP_DTYPE == "float16"
    state = TrainState(
        model,
        build_optimizer(cfg, model),
        torch.amp.GradScaler(device.type, enabled=needs_scaling),
        ema=ModelEma(model, cfg.TRAIN.EMA_DECAY) if cfg.TRAIN.EMA_DECAY else None,
    )
    return state, frozen


def begin(cfg: ConfigNode, state: TrainState, norms: NormSchedule) -> None:
    """Resume the run in OUTPUT_DIR; if there is none, initialise the weights from the file named.

    With TRAIN.AUTO_RESUME False an earlier run's checkpoints are set aside.
    """
    classes = build_class_list(cfg, state.class_names)
    norms.to_epoch(0)
    if cfg.TRAIN.AUTO_RESUME:
        settings, output_dir = dict(flatten(cfg)), Path(cfg.OUTPUT_DIR)
        if resume(state, output_dir, norms.to_epoch, settings=settings, classes=classes):
            return
    elif distributed.is_main_process() and (aside := files.set_aside(cfg.OUTPUT_DIR)):
        logger.warning("TRAIN.AUTO_RESUME is False: the checkpoints found are now in %s", aside)
    for module, path in build_starts(cfg, state.model):
        initialize_from(
            module,
            path,
            clear_name_patterns=cfg.TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN,
            min_coverage=cfg.TRAIN.CHECKPOINT_MIN_COVERAGE,
            classes=classes,
        )
    if state.ema is not None:
        state.ema = ModelEma(state.model, cfg.TRAIN.EMA_DECAY)


def build_starts(cfg: ConfigNode, model: nn.Module) -> list[tuple[nn.Module, str]]:
    """Parts of the model and the files that fill them; a detector may have one for each part."""
    whole, of_proposals = cfg.TRAIN.CHECKPOINT_FILE_PATH, cfg.DETECTION.RPN_CHECKPOINT
    if not of_proposals:
        return [(model, whole)] if whole else []
    trunk = [(model.trunk, whole)] if whole else []
    return [*trunk, (model.proposals.body, of_proposals)]


def build_loaders(cfg: ConfigNode) -> tuple[WatchedLoader, WatchedLoader]:
    """Loaders of training and validation; the log says what is odd about their classes."""
    train, val = build_loader(cfg, "train"), build_loader(cfg, "val")
    for remark in class_remarks(train.dataset, val.dataset, class_counts(cfg.MODEL.NUM_CLASSES)):
        logger.warning("%s", remark)
    is_other = cfg.TEST.DATASET != cfg.TRAIN.DATASET
    # A mistake in its list shows before days of training; one process alone has read it before.
    if cfg.TEST.ENABLE and (is_other or distributed.is_distributed()):
        tested = build_dataset(cfg, "test")
        if is_other:
            names = build_class_list(cfg, tested.class_names)
            _check_tested_classes(train.dataset.class_names, names)
    return train, val


def _check_tested_classes(names: list[str] | None, tested: ClassList | None) -> None:
    """ValueError where the test after the training would refuse the classes."""
    if not names or tested is None:
        return
    match = match_classes(names, tested)
    if match.order is None:
        raise ValueError(
            "TEST.DATASET: its classes are not those of TRAIN.DATASET, whose network is to be "
            f"tested: {match.differences()} (the weights are those to be trained, the data is the "
            "test's). Correct the names, or set TEST.ENABLE False, or DATA.MATCH_CLASSES False to "
            "go by the numbers of the classes"
        )


def build_train_step(
    cfg: ConfigNode, state: TrainState, passes: SeededPasses, unreadable: UnreadableVideos
) -> TrainStep:
    """The training step of the state, over all processes."""
    return TrainStep(
        state,
        wrap_distributed(
            state.model,
            passes.device,
            gradients=cfg.DDP.GRADIENTS,
            gradient_as_bucket_view=cfg.DDP.BUCKET_VIEW,
            static_graph=cfg.DDP.STATIC_GRAPH,
        ),
        passes,
        unreadable,
        clip_value=cfg.SOLVER.CLIP_GRAD_VAL,
        clip_norm=cfg.SOLVER.CLIP_GRAD_L2NORM,
        num_late=steps_late(passes.device),
    )


def build_run(cfg: ConfigNode) -> Run:
    """The run in OUTPUT_DIR, resumed or new (see `begin`)."""
    device, schedule = build_device(cfg), build_schedule(cfg)
    train_loader, val_loader = build_loaders(cfg)
    autocast, task, log = build_autocast(cfg, device), build_task(cfg), build_run_log(cfg)
    if (weights := build_class_weights(cfg, train_loader.dataset)) is not None:
        task.weigh_classes(weights.to(device))
    state, frozen = build_state(cfg, device)
    dataset = train_loader.dataset
    state.class_names, state.list_digest = dataset.class_names, digest(dataset.records)
    state.num_examples = count_examples(dataset, class_counts(cfg.MODEL.NUM_CLASSES))
    norms = NormSchedule(state, schedule)
    begin(cfg, state, norms)
    check_agreement(state, dict(flatten(cfg)))
    accumulation = accumulation_steps(cfg.TRAIN, cfg.NUM_SHARDS)
    steps = plan_steps(state, schedule, train_loader.batch_sampler, accumulation=accumulation)
    unreadable = UnreadableVideos(dataset.records, max_share=cfg.DATA.MAX_UNREADABLE_SHARE)
    passes = SeededPasses(task, device=device, autocast=autocast, seed=cfg.RNG_SEED)
    return Run(
        output_dir=Path(cfg.OUTPUT_DIR),
        cfg_text=cfg.dump(),
        device=device,
        autocast=autocast,
        log=log,
        task=task,
        train_loader=train_loader,
        val_loader=val_loader,
        evaluator=build_evaluator(cfg, val_loader.dataset),
        state=state,
        frozen=frozen,
        schedule=schedule,
        norms=norms,
        steps=steps,
        lr_at=build_lr_schedule(cfg),
        train_step=build_train_step(cfg, state, passes, unreadable),
        unreadable=unreadable,
        accumulation=accumulation,
        num_precise_batches=cfg.BN.NUM_BATCHES_PRECISE if cfg.BN.USE_PRECISE_STATS else 0,
        seed=cfg.RNG_SEED,
        log_period=cfg.LOG_PERIOD,
        num_kept=cfg.TRAIN.KEEP_CHECKPOINTS,
        patience=cfg.TRAIN.PATIENCE,
        clock=SaveClock(cfg.TRAIN.CHECKPOINT_MINUTES),
        clip_load=build_clip_load(cfg, device),
    )
