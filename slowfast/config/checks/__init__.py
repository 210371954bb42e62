"""Mistakes in single values and between keys, found before anything is built or opened."""

from slowfast.config.checks import clips, tasks, training, transformer
from slowfast.config.checks.rules import check_cfg, register_exclusion, register_rule
from slowfast.config.foreign import register_names

# Each of these modules registers its rules when it is imported.
_OURS = (clips, tasks, training, transformer)

__all__ = ["check_cfg", "register_exclusion", "register_names", "register_rule"]
