"""Tasks: the loss of a training step; the evaluators beside them; the one evaluation loop."""

from slowfast.tasks.base import Task
from slowfast.tasks.build import build_evaluator, build_task

__all__ = ["Task", "build_evaluator", "build_task"]
