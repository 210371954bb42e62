"""Mistakes in single values and between keys, found before anything is built or opened."""

from slowfast.config.checks import adaptive, clips, datasets, processes, s3d, solver, tasks
from slowfast.config.checks.datasets import (
    DETECTION_DATASETS,
    FLOW_DATASETS,
    MULTI_LABEL_DATASETS,
    SPLIT_DATASETS,
)
from slowfast.config.checks.rules import check_cfg, register_exclusion, register_rule

# Each of these modules registers its rules when it is imported.
_OURS = (adaptive, clips, datasets, processes, s3d, solver, tasks)

__all__ = [
    "DETECTION_DATASETS",
    "FLOW_DATASETS",
    "MULTI_LABEL_DATASETS",
    "SPLIT_DATASETS",
    "check_cfg",
    "register_exclusion",
    "register_rule",
]
