"""The network of a config with the weights of a file, ready for evaluation."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from slowfast.adaptive.budget import TableRow, choose_point
from slowfast.adaptive.calibration_file import calibration_path, load_calibration
from slowfast.checkpoint.initialize import CoverageReport, load_for_test
from slowfast.config.node import ConfigNode
from slowfast.models import build_model
from slowfast.models.fold import build_folded
from slowfast.models.operating_point import (
    OperatingPoint,
    ReducedNetwork,
    build_full_point,
    build_reduce,
)
from slowfast.models.slimmable import narrow
from slowfast.runtime.device import place_model


def build_statistics(
    cfg: ConfigNode, checkpoint: str | Path, configuration: OperatingPoint, settings: dict
) -> Mapping[str, Tensor] | None:
    """Batch-norm statistics of a configuration; None: the whole network has those of its weights.

    settings: of their calibration. ValueError when they have not been measured.
    """
    if configuration == build_full_point(cfg, cfg.DATA.TEST_CROP_SIZE):
        return None
    try:
        return load_calibration(checkpoint, settings).statistics[str(configuration)]
    except KeyError:
        raise ValueError(
            f"{calibration_path(checkpoint)}: has no batch-norm statistics of {configuration}, "
            f"measured with {settings}; `tools/budget.py table` measures them"
        ) from None


def build_configured(
    cfg: ConfigNode,
    model: nn.Module,
    configuration: OperatingPoint,
    statistics: Mapping[str, Tensor] | None,
) -> nn.Module:
    """The network that `model` is at a configuration, on its own; it is given whole clips."""
    network = narrow(model, configuration.width, statistics)
    return ReducedNetwork(network, configuration, build_reduce(cfg))


def build_network(
    cfg: ConfigNode, checkpoint: str | Path, device: torch.device
) -> tuple[nn.Module, CoverageReport, TableRow | None]:
    """The network of a config with the weights of a file, for evaluation on the device.

    It is that of TEST.BUDGET, whose row of the table comes third, else the whole network and None.
    CheckpointError unless all weights fit.
    """
    model = place_model(build_model(cfg), device)
    patterns = cfg.TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN
    report = load_for_test(model, checkpoint, clear_name_patterns=patterns)
    if not cfg.TEST.BUDGET:
        return build_folded(cfg, model), report, None
    row, settings = choose_point(cfg, checkpoint)
    statistics = build_statistics(cfg, checkpoint, row.configuration, settings)
    model = build_configured(cfg, model, row.configuration, statistics)
    return build_folded(cfg, model), report, row
