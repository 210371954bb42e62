"""Efficient video recognition: one config tree, one model registry, one clip dataset.

predictor = slowfast.Predictor("X3D_M.yaml", "x3d_m.pyth", classes="kinetics400.txt")
for name, score in predictor("video.mp4"):
    print(f"{score:.3f} {name}")

model = slowfast.build_model(slowfast.load_cfg("X3D_M.yaml"))
"""

import importlib

__version__ = "0.1.0"

# Imported when first asked for, so that `import slowfast` costs nothing.
_HOMES = {
    "Predictor": "slowfast.engine.predict",
    "build_model": "slowfast.models.build",
    "load_cfg": "slowfast.config.cli",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
