"""Parameters, multiply-adds and activations of the modules of a network, counted by fvcore."""

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, nn

# fvcore counts these, too; MACs are those of convolutions, linear layers and matrix products.
_NOT_MACS = ("aten::batch_norm", "aten::layer_norm")


@dataclass(frozen=True)
class ModuleCost:
    """Costs of a module in one pass, of the modules inside it together.

    name: "" for the whole network. activations: values that convolutions, linear layers and matrix
    products give.
    """

    name: str
    params: int
    macs: int
    activations: int

    @property
    def depth(self) -> int:
        """Modules around it, itself included; 0 for the whole network."""
        return self.name.count(".") + 1 if self.name else 0


@torch.no_grad()
def count_by_module(
    model: nn.Module, clips: list[Tensor], boxes: Tensor | None = None
) -> list[ModuleCost]:
    """Costs of the whole network in evaluation, then of its modules in their order.

    Of clips and boxes only the shapes count; computes two passes on the CPU.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # fvcore's use of torch.jit
        from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis, parameter_count
    if boxes is not None:
        import torchvision  # noqa: F401  # cannot be imported while fvcore traces
    inputs: tuple = ([torch.zeros(clip.shape) for clip in clips],)
    inputs += () if boxes is None else (torch.zeros(boxes.shape),)
    was_training = model.training
    model.eval()
    macs, activations = FlopCountAnalysis(model, inputs), ActivationCountAnalysis(model, inputs)
    for operator in _NOT_MACS:
        macs.set_op_handle(operator, lambda *_: 0)
    for analysis in (macs, activations):
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    counts = (parameter_count(model), macs.by_module(), activations.by_module())
    model.train(was_training)
    return [
        ModuleCost(name, *(int(count[name]) for count in counts))
        for name, _ in model.named_modules()
    ]
