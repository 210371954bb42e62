"""Efficient video recognition: one config tree, one model registry, one clip dataset.

result = slowfast.train("X3D_M.yaml", ["OUTPUT_DIR", "runs/a"])
for name, score in result.predictor()("video.mp4"):
    print(f"{score:.3f} {name}")

model = slowfast.build_model(slowfast.load_cfg("X3D_M.yaml"))
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slowfast.config.cli import load_cfg
    from slowfast.datasets.build import build_dataset, build_loader
    from slowfast.engine.predict import Predictor
    from slowfast.library.results import TestResult, TrainResult
    from slowfast.library.verbs import test, train
    from slowfast.models.build import build_model

__version__ = "0.1.0"

# Imported when first asked for, so that `import slowfast` costs nothing.
_HOMES = {
    "Predictor": "slowfast.engine.predict",
    "TestResult": "slowfast.library.results",
    "TrainResult": "slowfast.library.results",
    "build_dataset": "slowfast.datasets.build",
    "build_loader": "slowfast.datasets.build",
    "build_model": "slowfast.models.build",
    "load_cfg": "slowfast.config.cli",
    "test": "slowfast.library.verbs",
    "train": "slowfast.library.verbs",
}
__all__ = [
    "Predictor",
    "TestResult",
    "TrainResult",
    "build_dataset",
    "build_loader",
    "build_model",
    "load_cfg",
    "test",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
