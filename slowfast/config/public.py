"""A config that can be given away: without the paths of the machine that it was used on."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from slowfast.config.defaults import DEFAULTS
from slowfast.config.node import flatten
from slowfast.config.yaml_file import parse_plain

# Keys of places, whatever their values look like, by the ends of their names.
_PLACES = re.compile(r"(?:_DIR|_PATH|_FILE|_PREFIX|_CHECKPOINT|_TABLE|_PROJECT)$")
_LOCAL = re.compile(r"[/~]|\\\\|[A-Za-z]:[\\/]|file:")


def public_config(text: str) -> str:
    """The YAML text of a config, with the defaults in place of all paths of files and folders.

    Names of folders, of data lists, of weights to start from, and of projects of trackers go by
    their keys; of all other values those that begin as an absolute path does.
    """
    defaults = dict(flatten(DEFAULTS))

    def clean(tree: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        cleaned = {}
        for name, value in tree.items():
            key = f"{prefix}{name}"
            if isinstance(value, Mapping):
                cleaned[name] = clean(value, f"{key}.")
            elif isinstance(value, str) and _PLACES.search(key) or _has_local(value):
                cleaned[name] = defaults.get(key, "")
            else:
                cleaned[name] = value
        return cleaned

    return yaml.safe_dump(clean(parse_plain(text) or {}, ""))


def _has_local(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_has_local, value))
    return isinstance(value, str) and _LOCAL.match(value) is not None
