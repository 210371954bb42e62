"""What is learned: the loss of a training step, the scores of a prediction, the metrics."""

from slowfast.tasks.base import Task
from slowfast.tasks.build import build_task

__all__ = ["Task", "build_task"]
