"""Name of a network's classifier, its last linear layer."""

from torch import nn

OURS = "head.projection"


def classifier_name(model: nn.Module) -> str:
    """`head.projection`, or what the model says in its attribute `classifier_name`."""
    return getattr(model, "classifier_name", OURS)
