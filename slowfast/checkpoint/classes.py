"""Classes of weights and classes of data: matched by their names, whatever their order.

A network says numbers. That 3 is "jump" stands in the checkpoint, and in the data's own list of
classes; where both have the same names in another order, the rows of the classifier are moved.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from slowfast.checkpoint.convert import State
from slowfast.config.derived import class_counts
from slowfast.config.node import ConfigNode
from slowfast.utils.classifier import classifier_name

_NUM_SHOWN = 5
_IGNORED = re.compile(r"[\s_\-\[\]()'\"’]+")  # where names differ only in these they are the same
_Key = tuple[int, str, int]  # target, name, and how many of the target had the same one before


@dataclass(frozen=True)
class ClassList:
    """Names of the data's classes in the order of their numbers.

    counts: classes of each target; several stand one after another.
    """

    names: Sequence[str]
    counts: Sequence[int]


@dataclass(frozen=True)
class ClassMatch:
    """Comparison of the classes of weights with those of data.

    order: for each class of the data the row of the weights that has its name; None where not all
    names are the same. num_shared: how many are. respelt: (weights, data) of names that differ in
    case, spaces and the like. only_weights, only_data: names without a partner.
    """

    order: tuple[int, ...] | None
    num_shared: int
    respelt: tuple[tuple[str, str], ...]
    only_weights: tuple[str, ...]
    only_data: tuple[str, ...]

    @property
    def num_moved(self) -> int:
        """Number of classes of the data that have another number in the weights."""
        return sum(row != place for place, row in enumerate(self.order or ()))

    def remarks(self) -> list[str]:
        """Lines for the log, of classes that are all the same."""
        lines = []
        if self.num_moved:
            lines.append(
                f"{self.num_moved} of {len(self.order)} classes have another number in the weights "
                "than in the data; they are matched by their names"
            )
        if self.respelt:
            ours = ", ".join(f"{old!r} is {new!r}" for old, new in self.respelt[:_NUM_SHOWN])
            lines.append(
                f"{len(self.respelt)} class names are spelt in another way in the weights and "
                f"count as the same: {ours}{_more(self.respelt)}"
            )
        return lines

    def differences(self) -> str:
        """Say how far the names agree, and name some that do not."""
        total = self.num_shared + len(self.only_data)
        parts = [f"{self.num_shared} of the data's {total} class names are among the weights'"]
        for whose, names in (("the weights", self.only_weights), ("the data", self.only_data)):
            if names:
                shown = ", ".join(map(repr, names[:_NUM_SHOWN]))
                parts.append(f"only {whose} have {shown}{_more(names)}")
        return "; ".join(parts)


def _more(items: Sequence) -> str:
    return f" and {len(items) - _NUM_SHOWN} more" if len(items) > _NUM_SHOWN else ""


def match_classes(names: Sequence[str], classes: ClassList) -> ClassMatch:
    """Compare the names of weights with those of data, within each target.

    Exact names count first. Else case, spaces, underscores, hyphens, brackets and quotes do not,
    unless that would make two classes of a list the same.
    """
    data = list(classes.names)
    # AVA's lists leave some classes out: "class 7" in place 7 may have any name in the other list.
    found = _filled(names, data)
    data = _filled(data, found)
    counts = classes.counts if len(names) == len(data) == sum(classes.counts) else None
    rows, wanted = (_keys(each, counts or [len(each)], str) for each in (found, data))
    if set(rows) != set(wanted):
        plain = [_keys(each, counts or [len(each)], _plain) for each in (found, data)]
        if not any(repeat for keys in plain for _, _, repeat in keys):
            rows, wanted = plain
    places = {key: row for row, key in enumerate(rows)}
    order = [places.get(key) for key in wanted]
    pairs = [(found[row], name) for row, name in zip(order, data, strict=True) if row is not None]
    shared = set(rows) & set(wanted)
    is_same = len(rows) == len(wanted) == len(shared)
    return ClassMatch(
        order=tuple(order) if is_same else None,
        num_shared=len(shared),
        respelt=tuple(pair for pair in pairs if pair[0] != pair[1]),
        only_weights=tuple(n for n, key in zip(found, rows, strict=True) if key not in shared),
        only_data=tuple(n for n, key in zip(data, wanted, strict=True) if key not in shared),
    )


def _filled(names: Sequence[str], others: Sequence[str]) -> list[str]:
    """Names, with those of the other list in place of "class 1" at the first place, and so on."""
    if len(names) != len(others):
        return list(names)
    pairs = enumerate(zip(names, others, strict=True), start=1)
    return [other if name == f"class {number}" else name for number, (name, other) in pairs]


def _keys(names: Sequence[str], counts: Sequence[int], spell) -> list[_Key]:
    targets = [target for target, count in enumerate(counts) for _ in range(count)]
    seen: Counter = Counter()
    keys = []
    for target, name in zip(targets, map(spell, names), strict=True):
        keys.append((target, name, seen[target, name]))
        seen[target, name] += 1
    return keys


def _plain(name: str) -> str:
    return _IGNORED.sub("", unicodedata.normalize("NFC", name)).casefold()


def move_rows(state: State, order: Sequence[int], *, classifier: str) -> State:
    """`state` with the rows of the layer `classifier` in this order."""
    rows = {
        name: value[list(order)]
        for name, value in state.items()
        if name.startswith(f"{classifier}.") and value.ndim and len(value) == len(order)
    }
    return {**state, **rows}


def target_counts(model: nn.Module) -> tuple[int, ...] | None:
    """Classes of each target of a model, mostly one; None where its classifier is another one."""
    layer = dict(model.named_modules()).get(classifier_name(model))
    return getattr(layer, "class_counts", None) or getattr(model, "class_counts", None)


def num_rows(state: State, *, classifier: str) -> int | None:
    """Rows of the layer `classifier`, or of each of several below it; None where there is none."""
    is_one = re.compile(rf"{re.escape(classifier)}\.(?:\d+\.)?weight").fullmatch
    weights = [value for name, value in state.items() if is_one(name)]
    return len(weights[0]) if weights else None


def build_class_list(cfg: ConfigNode, names: Sequence[str] | None) -> ClassList | None:
    """The data's classes as they are compared with those of weights.

    None where they are not: without names, and with DATA.MATCH_CLASSES False.
    """
    if not names or not cfg.DATA.MATCH_CLASSES:
        return None
    return ClassList(list(names), class_counts(cfg.MODEL.NUM_CLASSES))
