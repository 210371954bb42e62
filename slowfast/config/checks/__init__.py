"""Mistakes in single values and between keys, found before anything is built or opened."""

from slowfast.config.checks import adaptive, clips, processes, s3d, solver, tasks
from slowfast.config.checks.rules import check_cfg, register_exclusion, register_rule

# Each of these modules registers its rules when it is imported.
_OURS = (adaptive, clips, processes, s3d, solver, tasks)

__all__ = ["check_cfg", "register_exclusion", "register_rule"]
