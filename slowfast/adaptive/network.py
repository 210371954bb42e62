"""The network of a config with the weights of a file, ready for evaluation.

Also of networks that are not adaptive: it stands here because TEST.BUDGET may choose a part of one.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from slowfast.adaptive.budget import (
    TABLE_KEYS,
    TableRow,
    choose_point,
    table_path,
    timing_device_name,
)
from slowfast.adaptive.calibration_file import build_settings, calibration_path, load_calibration
from slowfast.checkpoint.classes import build_class_list
from slowfast.checkpoint.initialize import CoverageReport, load_for_test
from slowfast.config.derived import NETWORK_KEYS, is_in, plain, precision_of_tests
from slowfast.config.node import ConfigNode, flatten
from slowfast.models import build_model
from slowfast.models.build import build_meta_inputs
from slowfast.models.fold import fold_batch_norm
from slowfast.models.operating_point import (
    OperatingPoint,
    Reduce,
    ReducedNetwork,
    build_full_point,
    build_reduce,
)
from slowfast.models.slimmable import narrow
from slowfast.runtime.device import place_model

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedNetwork:
    """A model for evaluation, and what became of the file's weights.

    row: what TEST.BUDGET chose, None for the whole network.
    """

    model: nn.Module
    report: CoverageReport
    row: TableRow | None

    @property
    def class_names(self) -> list[str] | None:
        """Names that training put into the file; None if there are none."""
        return self.report.class_names


def cut_network(
    model: nn.Module,
    point: OperatingPoint,
    statistics: Mapping[str, Tensor] | None,
    reduce: Reduce,
) -> ReducedNetwork:
    """The network that `model` is at an operating point, on its own; it is given whole clips.

    statistics: batch-norm statistics to use; None keeps the model's own.
    """
    return ReducedNetwork(narrow(model, point.width, statistics), point, reduce)


def find_statistics(
    checkpoint: str | Path, point: OperatingPoint, settings: dict
) -> Mapping[str, Tensor]:
    """Measured batch-norm statistics of an operating point; ValueError when there are none.

    settings: config values by key with which they must have been measured (see `build_settings`).
    """
    try:
        return load_calibration(checkpoint, settings).statistics[str(point)]
    except KeyError:
        raise ValueError(
            f"{calibration_path(checkpoint)}: has no batch-norm statistics of {point}, "
            f"measured with {settings}; `tools/budget.py table` measures them"
        ) from None


def other_network(trained: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Sentences on the keys of the network that differ from those of its training.

    Networks may compute other things from tensors of the same names and shapes. Both mappings are
    by full key; weights of other programs have no config, {}.
    """
    return [
        f"{key}: {now[key]!r}, but the weights were trained with {value!r}"
        for key, value in trained.items()
        if key in now and is_in(key, NETWORK_KEYS) and plain(value) != plain(now[key])
    ]


def load_for_evaluation(
    cfg: ConfigNode,
    checkpoint: str | Path,
    device: torch.device,
    *,
    class_names: Sequence[str] | None = None,
) -> LoadedNetwork:
    """The network of a config with the weights of a file, its batch norms folded, on the device.

    It is the one that TEST.BUDGET chooses, else the whole network. Its classes are in the order of
    `class_names`, the data's; None: of the file. CheckpointError unless all weights fit, and all
    classes.
    """
    model = place_model(build_model(cfg), device, cfg.MEMORY_FORMAT)
    patterns, row = cfg.TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN, None
    precision = precision_of_tests(cfg.TEST.PRECISION, cfg.TRAIN)
    classes = build_class_list(cfg, class_names)
    report = load_for_test(model, checkpoint, clear_name_patterns=patterns, classes=classes)
    for line in other_network(report.config, dict(flatten(cfg))):
        logger.warning("%s: %s", checkpoint, line)
    if cfg.TEST.BUDGET:
        row, settings = choose_point(
            cfg.TEST.BUDGET,
            cfg.TEST.BUDGET_TABLE or table_path(checkpoint),
            checkpoint,
            settings=build_settings(cfg, TABLE_KEYS),
            device=timing_device_name(device, precision),
            precision=precision,
        )
        at, statistics = row.point, None
        # The whole network has the statistics of its weights.
        if at != build_full_point(cfg, cfg.DATA.TEST_CROP_SIZE):
            statistics = find_statistics(checkpoint, at, settings)
        model = cut_network(model, at, statistics, build_reduce(cfg))
    folded = fold_batch_norm(model, *build_meta_inputs(cfg, cfg.DATA.TEST_CROP_SIZE))
    return LoadedNetwork(folded, report, row)
