"""A network that is given whole clips and looks at reduced ones."""

from torch import Tensor, nn

from slowfast.models.configuration import Configuration, Reduce


class ReducedNetwork(nn.Module):
    """`network`, which sees of whole clips `reduce(clips, configuration)`."""

    def __init__(self, network: nn.Module, configuration: Configuration, reduce: Reduce):
        super().__init__()
        self.network, self.configuration, self.reduce = network, configuration, reduce

    def forward(self, clips: list[Tensor], boxes: Tensor | None = None) -> Tensor:
        """What `network` says of the reduced clips."""
        return self.network(self.reduce(clips, self.configuration), boxes)
