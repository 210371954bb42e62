"""The choice of a task."""

from slowfast.config.node import ConfigNode
from slowfast.tasks.adaptive import build_adaptive
from slowfast.tasks.base import Task
from slowfast.tasks.classification import build_classification
from slowfast.tasks.detection import build_detection
from slowfast.tasks.multi_label import build_multi_label


def build_task(cfg: ConfigNode) -> Task:
    """The task that the config asks for."""
    if cfg.DETECTION.ENABLE:
        return build_detection(cfg)
    if cfg.ADAPTIVE.ENABLE:
        return build_adaptive(cfg)
    return build_multi_label(cfg) if cfg.DATA.MULTI_LABEL else build_classification(cfg)
