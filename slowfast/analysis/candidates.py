"""Candidates of an expansion: their configs, and what they cost."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from slowfast.analysis.expansion import (
    AXES,
    Rules,
    Shape,
    Space,
    build_gmacs,
    build_space,
    build_training_keys,
)
from slowfast.config.cli import load_cfg

logger = logging.getLogger(__name__)

# Names of candidates that are no expansion.
START, CONTRACTED = "start", "contracted"


@dataclass(frozen=True)
class Candidate:
    """A network of a step. axis: of AXES, START or CONTRACTED. gmacs: of a clip, params: millions.

    run: name of the candidate whose run it shares, as a rule its own.
    """

    step: int
    axis: str
    shape: Shape
    gmacs: float
    params: float
    run: str

    @property
    def name(self) -> str:
        """Name of its files."""
        return f"gamma_{self.axis}" if self.axis in AXES else self.axis

    @property
    def sub_folder(self) -> str:
        """Folder of its step below that of the search."""
        return CONTRACTED if self.axis == CONTRACTED else f"step_{self.step:02d}"


def describe(shape: Shape) -> str:
    """A shape in words."""
    return (
        f"{shape.frames} x {shape.stride:g} frames, crop {shape.crop}, width {shape.width:g}, "
        f"bottleneck {shape.bottleneck:g}, depth {shape.depth:g}"
    )


def cost_text(gmacs: float) -> str:
    """A cost in words."""
    return f"{gmacs:.4g} GMACs" if gmacs >= 0.1 else f"{1e3 * gmacs:.4g} MMACs"


class Networks:
    """Configs and costs of the networks around a start. path: YAML of the start."""

    def __init__(self, path: str | Path, overrides: Sequence = ()):
        self.path, self.overrides = path, list(overrides)
        self.start = load_cfg(path, self.overrides)
        self.space: Space = build_space(self.start)
        self.sizes = cache(self._sizes)

    def gmacs(self, shape: Shape) -> float:
        """GMACs of a clip."""
        return self.sizes(shape)[0]

    def _sizes(self, shape: Shape) -> tuple[float, float]:
        cfg = self.start.clone()
        cfg.defrost()
        cfg.merge_from_list([word for pair in self.space.keys(shape).items() for word in pair])
        return build_gmacs(cfg)

    def candidate(self, step: int, axis: str, shape: Shape, run: str = "") -> Candidate:
        """A candidate with its costs, with the run of another one or one of its own."""
        found = Candidate(step, axis, shape, *self.sizes(shape), run)
        return found if run else replace(found, run=found.name)

    def first(self) -> Candidate:
        """The start, step 0."""
        return self.candidate(0, START, self.space.start)

    def candidates(self, step: int, shape: Shape, axes: Sequence[str]) -> list[Candidate]:
        """One for each axis that can grow; equal ones share a run."""
        runs: dict[Shape, str] = {}
        found = []
        for axis in axes:
            larger = self.space.expand(shape, axis, self.gmacs)
            if larger is None:
                logger.info(
                    "gamma_%s is left out: DATA.SAMPLING_RATE %g has no frames in between",
                    *(axis, shape.stride),
                )
                continue
            found.append(self.candidate(step, axis, larger, runs.get(larger, "")))
            runs[larger] = found[-1].run
        return found

    def contracted(self, before: Shape, last: Candidate, target: float) -> Candidate:
        """The last network, less of its last expansion; of the shape `before` if that is nearer."""
        shape = self.space.contract(before, last.shape, last.axis, self.gmacs, target)
        return self.candidate(last.step, CONTRACTED, shape)

    def keys(self, candidate: Candidate, *, has_rules: bool) -> dict[str, Any]:
        """All keys of a candidate's config that differ from the start."""
        keys = {"TRAIN.ENABLE": True, "TRAIN.AUTO_RESUME": True}
        keys |= {"TEST.ENABLE": True, "TEST.CHECKPOINT_FILE_PATH": ""}
        keys |= self.space.keys(candidate.shape)
        if has_rules:
            keys |= build_training_keys(self.start, Rules.of_step(candidate.step))
        return keys
