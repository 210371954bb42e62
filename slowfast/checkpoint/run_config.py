"""The config of the run that wrote a checkpoint."""

import yaml


def was_adaptive(content: dict) -> bool | None:
    """ADAPTIVE.ENABLE in training; False where the config has no such key, None without a config.

    content: of the checkpoint file.
    """
    text = content.get("cfg")
    if not isinstance(text, str) or not text:
        return None
    return bool((yaml.safe_load(text) or {}).get("ADAPTIVE", {}).get("ENABLE", False))
