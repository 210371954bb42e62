"""Names of weights: a file, a folder of the Hugging Face Hub, or a name such as hf:user/name.

A way to fetch weights is a row of `SCHEMES`.
"""

import importlib
from pathlib import Path

# Of a folder of the Hub, as transformers and huggingface_hub call them; the config is ours.
WEIGHTS, CONFIG, CLASSES, CARD = "model.safetensors", "config.yaml", "classes.txt", "README.md"

# The word before the colon -> "module:function", which gets what stands after it, and gives a file.
SCHEMES = {"hf": "slowfast.zoo.hub:fetch", "zoo": "slowfast.zoo.weights:fetch"}


def is_name(text: str | Path) -> bool:
    """Whether weights are named that are fetched, not a file."""
    scheme, colon, _ = str(text).partition(":")
    return bool(colon) and scheme in SCHEMES


def local_file(name: str | Path) -> Path:
    """The file of weights that a name means; those of the network are fetched, or in the cache.

    A folder with model.safetensors means this file; any other path stays as it is, there or not.
    ValueError says why weights cannot be fetched, and the way by hand.
    """
    scheme, _, rest = str(name).partition(":")
    if is_name(name):
        module, _, function = SCHEMES[scheme].partition(":")
        return getattr(importlib.import_module(module), function)(rest)
    path = Path(name)
    return path / WEIGHTS if (path / WEIGHTS).is_file() else path


def config_beside(path: Path) -> Path | None:
    """The config of weights in a folder of the Hub; None for other files."""
    config = path.with_name(CONFIG)
    return config if path.name == WEIGHTS and config.is_file() else None
