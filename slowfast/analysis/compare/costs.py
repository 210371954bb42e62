"""Costs of runs: size of the network, arithmetic of a clip and of a video, time of the training."""

import logging
import math
from dataclasses import dataclass, replace

from slowfast.analysis.pareto import build_cost, tested_point
from slowfast.analysis.report.run_folder import RunFolder, number
from slowfast.config.node import ConfigNode

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cost:
    """params in millions; gmacs of a clip at the test crop; num_views: clips x crops of a video.

    epochs: done in training; seconds: these took, without validation. NaN where it is not known.
    """

    params: float
    gmacs: float
    num_views: int
    epochs: float = math.nan
    seconds: float = math.nan

    @property
    def video_gmacs(self) -> float:
        """Of all views of a video."""
        return self.gmacs * self.num_views


class Costs:
    """Costs of many runs; the network of a config is counted once."""

    def __init__(self):
        self._known: dict[str, Cost] = {}

    def of(self, run: RunFolder) -> Cost:
        """The cost of a run; of a network that cannot be built NaN, with a warning."""
        config = run.config
        key = f"{config.MODEL} {config.DATA} {config.TEST} {run.results.get('configuration')}"
        if key not in self._known:
            self._known[key] = self._count(config, run)
        epochs, seconds = training_time(run)
        return replace(self._known[key], epochs=epochs, seconds=seconds)

    def _count(self, config: ConfigNode, run: RunFolder) -> Cost:
        num_views = config.TEST.NUM_ENSEMBLE_VIEWS * config.TEST.NUM_SPATIAL_CROPS
        try:
            at = tested_point(run.path) if run.results else None
            gmacs, params = build_cost(config, at)
        except (ValueError, RuntimeError, KeyError) as error:
            logger.warning("%s: its cost is not known (%s)", run.path, error)
            return Cost(math.nan, math.nan, num_views)
        return Cost(params, gmacs, num_views)


def training_time(run: RunFolder) -> tuple[float, float]:
    """(Epochs done, seconds of training); an epoch that was done again counts once."""
    seconds = {
        str(row.get("epoch")): number(row.get("seconds")) for row in run.lines_of("train_epoch")
    }
    if not seconds:
        return math.nan, math.nan
    last = list(seconds)[-1].partition("/")[0]
    return float(last) if last.isdecimal() else math.nan, math.fsum(seconds.values())
