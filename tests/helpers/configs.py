"""Configs from a few values."""

from collections.abc import Mapping

from slowfast.config.defaults import get_cfg
from slowfast.config.node import ConfigNode


def cfg_with(values: Mapping[str, object]) -> ConfigNode:
    """The defaults with values by their full keys."""
    cfg = get_cfg()
    cfg.merge_from_list([word for item in values.items() for word in item])
    return cfg
