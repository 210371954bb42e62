"""From the config to a task and to the evaluator of its scores."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from slowfast.config.checks.rules import register_rule
from slowfast.config.derived import finds_boxes, kind_of_labels
from slowfast.config.node import ConfigNode
from slowfast.datasets.clip_dataset import ClipDataset
from slowfast.evaluation.evaluator import Evaluator
from slowfast.tasks.adaptive import build_adaptive
from slowfast.tasks.base import Task
from slowfast.tasks.classification import build_classification, build_one_label_evaluator
from slowfast.tasks.detection import (
    build_box_evaluator,
    build_detection,
    build_detector,
    build_found_box_evaluator,
)
from slowfast.tasks.multi_label import build_multi_label, build_multi_label_evaluator
from slowfast.tasks.several_targets import build_several_targets, build_targets_evaluator
from slowfast.utils.registry import Registry


@dataclass(frozen=True)
class TaskParts:
    """Builders of a task and of its evaluator.

    build_evaluator: (cfg, dataset of the split that is judged) -> Evaluator.
    """

    build_task: Callable[[ConfigNode], Task]
    build_evaluator: Callable[[ConfigNode, ClipDataset], Evaluator]


_SWITCHES = ("DETECTION", "ADAPTIVE.ENABLE", "DATA.MULTI_LABEL", "MODEL.NUM_CLASSES")
_SAID = ("DETECTION.ENABLE", *_SWITCHES[1:])
_OURS = {
    "classification": TaskParts(build_classification, build_one_label_evaluator),
    "multi_label": TaskParts(build_multi_label, build_multi_label_evaluator),
    "several_targets": TaskParts(build_several_targets, build_targets_evaluator),
    "detection": TaskParts(build_detection, build_box_evaluator),
    "detector": TaskParts(build_detector, build_found_box_evaluator),
    "adaptive": TaskParts(build_adaptive, build_one_label_evaluator),
}
TASKS = Registry("TASK")
for _name, _parts in _OURS.items():
    TASKS.register(_name)(_parts)


def named_by_switches(
    detection: ConfigNode, is_adaptive: bool, is_multi_label: bool, num_classes: int | list[int]
) -> str:
    """The task of DETECTION, ADAPTIVE.ENABLE, DATA.MULTI_LABEL and MODEL.NUM_CLASSES."""
    if finds_boxes(detection):
        return "detector"
    if is_adaptive and not detection.ENABLE:
        return "adaptive"
    return kind_of_labels(detection.ENABLE, is_multi_label, num_classes)


@register_rule("TASK", *_SWITCHES)
def check_task(name: str, *switches: Any) -> Iterator[str]:
    """A task is in the table; ours go by switches that decide on much else, too."""
    expected = named_by_switches(*switches)
    if name and name not in TASKS:
        yield f"TASK: {name!r} is not one of {sorted(TASKS)}"
    elif name in _OURS and name != expected:
        yield f"TASK: {name!r} must be {expected!r} or '': so say {', '.join(_SAID)}"


def build_parts(cfg: ConfigNode) -> TaskParts:
    """The row of the task that the config asks for."""
    switches = cfg.DETECTION, cfg.ADAPTIVE.ENABLE, cfg.DATA.MULTI_LABEL
    return TASKS.get(cfg.TASK or named_by_switches(*switches, cfg.MODEL.NUM_CLASSES))


def build_task(cfg: ConfigNode) -> Task:
    """The task that the config asks for."""
    task = build_parts(cfg).build_task(cfg)
    task.layout = cfg.MEMORY_FORMAT
    return task


def build_evaluator(cfg: ConfigNode, dataset: ClipDataset) -> Evaluator:
    """The evaluator of a split."""
    return build_parts(cfg).build_evaluator(cfg, dataset)
