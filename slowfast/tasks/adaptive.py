"""One label per video, for a network that runs at many widths, frames and crops."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from slowfast.config.node import ConfigNode
from slowfast.models.operating_point import OperatingPoint, Reduce, build_reduce
from slowfast.models.slimmable import width
from slowfast.tasks.base import TrainPass
from slowfast.tasks.classification import (
    Classification,
    OneLabelLoss,
    build_classification_options,
)

# (logits of a sub-network, logits of the full network, labels) -> loss.
SubLoss = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class SubNetworks:
    """The sub-networks of a step: `num_random` of a random width, and the narrowest.

    Each has frames and a crop of its own.
    """

    min_width: float
    num_random: int
    frames: Sequence[int]
    crops: Sequence[int]

    def draw(self, rng: np.random.Generator) -> list[OperatingPoint]:
        """The sub-networks of one step."""
        widths = [*rng.uniform(self.min_width, 1.0, self.num_random).tolist(), self.min_width]
        return [
            OperatingPoint(share, int(rng.choice(self.frames)), int(rng.choice(self.crops)))
            for share in widths
        ]


class Adaptive(Classification):
    """The sandwich of A3D (arXiv 2011.12384, section 3): full, random and narrowest network.

    The full network learns from the labels on whole clips, then each sub-network, by `sub_loss`, on
    clips that `reduce` makes of them; the gradients are added up. The network has to be slimmable,
    and is judged at full size. Only its passes move running statistics; those of the sub-networks
    are measured after training (adaptive.calibrate).

    sub_loss: None leaves the pass of the full network out, and all learn from the labels. Running
    statistics have to be measured then (BN.USE_PRECISE_STATS). The rest is for Classification.
    """

    def __init__(
        self, sub_networks: SubNetworks, sub_loss: SubLoss | None, *, reduce: Reduce, **options
    ):
        super().__init__(**options)
        self._sub_networks = sub_networks
        self._sub_loss = sub_loss
        self._reduce = reduce

    def train_passes(
        self,
        network: nn.Module,
        batch: dict,
        rng: np.random.Generator,
        shared_rng: np.random.Generator,
    ) -> list[TrainPass]:
        """The full network, then the sub-networks, whose losses are also summed as `sub_loss`.

        All processes train the same sub-networks: their gradients, and statistics of synchronised
        batch norms, are of the same channels.
        """
        batch, targets = self._mixed(batch, rng)
        points = self._sub_networks.draw(shared_rng)
        if self._sub_loss is None:
            return [
                partial(self._from_labels, network, batch, targets, point, share=1 / len(points))
                for point in points
            ]
        full_logits: list[Tensor] = []  # of the first pass, for the others

        def full() -> tuple[Tensor, dict[str, Tensor]]:
            logits = network(*self.inputs(batch)).float()
            full_logits.append(logits.detach())
            return self._loss(logits, targets), self._accuracies(logits, targets)

        def narrow(point: OperatingPoint) -> tuple[Tensor, dict[str, Tensor]]:
            logits = self._logits(network, batch, point)
            loss = self._sub_loss(logits, full_logits[0], targets)
            return loss, {"sub_loss": loss.detach().double() * len(targets)}

        return [full, *(partial(narrow, point) for point in points)]

    def _logits(self, network: nn.Module, batch: dict, point: OperatingPoint) -> Tensor:
        """Logits of a sub-network, which moves no running statistics."""
        clips = self._reduce(batch["clips"], point)
        with width(network, point.width, moves_statistics=False):
            return network(*self.inputs({**batch, "clips": clips})).float()

    def _from_labels(
        self,
        network: nn.Module,
        batch: dict,
        targets: Tensor,
        point: OperatingPoint,
        *,
        share: float,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One pass of a sub-network alone; its accuracies count by the share of the passes."""
        logits = self._logits(network, batch, point)
        accuracies = self._accuracies(logits, targets)
        return self._loss(logits, targets), {key: share * a for key, a in accuracies.items()}


def distillation(temperature: float) -> SubLoss:
    """KL divergence of a sub-network's scores from the full network's, both softened.

    Scaled by the square of the temperature, so that gradients do not depend on it much (Hinton et
    al., arXiv 1503.02531).
    """

    def sub_loss(logits: Tensor, full_logits: Tensor, _targets: Tensor) -> Tensor:
        divergence = F.kl_div(
            F.log_softmax(logits / temperature, dim=1),
            F.log_softmax(full_logits / temperature, dim=1),
            log_target=True,
            reduction="batchmean",
        )
        return divergence * temperature**2

    return sub_loss


def from_labels(loss: OneLabelLoss) -> SubLoss:
    """Sub-networks learn from the labels, as the full network does."""
    return lambda logits, _full_logits, targets: loss(logits, targets)


def build_adaptive(cfg: ConfigNode) -> Adaptive:
    """The task of ADAPTIVE.ENABLE."""
    sizes, options = cfg.ADAPTIVE, build_classification_options(cfg)
    sub_loss = distillation(sizes.TEMPERATURE) if sizes.DISTILL else from_labels(options["loss"])
    return Adaptive(
        SubNetworks(sizes.MIN_WIDTH, sizes.NUM_RANDOM, sizes.FRAMES, sizes.CROPS),
        sub_loss if sizes.FULL_PASS else None,
        reduce=build_reduce(cfg),
        **options,
    )
