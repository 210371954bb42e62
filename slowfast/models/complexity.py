"""Parameters, multiply-adds (MACs) and activations of a model, from shapes on the meta device."""

import math
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from slowfast.config.node import ConfigNode
from slowfast.models import build_model
from slowfast.models.build import build_meta_inputs
from slowfast.models.slimmable import SlimLayer
from slowfast.utils.meta import OPERATORS, PRODUCTS, QuickShapes

_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


@dataclass(frozen=True, slots=True)
class Complexity:
    """Parameters, and MACs for one clip (and one box) at the training and at the test crop."""

    params: int
    macs_train: int
    macs_test: int


def count_parameters(model: nn.Module) -> dict[str, int]:
    """Number of parameters of each top module, and of each parameter beside them."""
    own = {name: parameter.numel() for name, parameter in model.named_parameters(recurse=False)}
    return own | {
        name: sum(parameter.numel() for parameter in child.parameters())
        for name, child in model.named_children()
    }


@torch.no_grad()
def count_macs(
    model: nn.Module, clips: list[torch.Tensor], boxes: torch.Tensor | None = None
) -> dict[str, int]:
    """MACs of each top module in one evaluation pass over `clips` and `boxes`, on any device.

    Counted are convolutions, linear layers and matrix products outside of them. Convolutions count
    kernel and output shapes, whatever formulation computes them, taps on padding included.
    """
    counter = _MacCounter()
    top_modules = [name for name, _ in model.named_children()]
    handles = [
        getattr(model, name).register_forward_pre_hook(counter.enter_top(name))
        for name in top_modules
    ]
    for module in model.modules():
        if isinstance(module, _LAYERS):
            handles.append(module.register_forward_pre_hook(counter.enter_layer))
            handles.append(module.register_forward_hook(counter.leave_layer))
    was_training = model.training
    model.eval()
    try:
        with QuickShapes(OPERATORS | counter.products()), counter:
            model(clips, boxes)
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return {name: counter.macs[name] for name in top_modules}


class _MacCounter(TorchDispatchMode):
    """Adds up MACs per top module: layers by hooks, matrix products outside layers by operator."""

    def __init__(self):
        super().__init__()
        self.macs: Counter[str] = Counter()
        self._top = ""
        self._is_in_layer = False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: PyTorch would import its compiler, for seconds, to keep it out of here."""
        return False

    def enter_top(self, name: str):
        def hook(_module: nn.Module, _args: tuple) -> None:
            self._top = name

        return hook

    def enter_layer(self, _layer: nn.Module, _args: tuple) -> None:
        self._is_in_layer = True

    def leave_layer(self, layer: nn.Module, _args: tuple, out: torch.Tensor) -> None:
        self._is_in_layer = False
        # Each output value sums the products of one row of the weight: in / groups * kt * kh * kw.
        weight = layer.sliced_weight() if isinstance(layer, SlimLayer) else layer.weight
        self.macs[self._top] += out.numel() * math.prod(weight.shape[1:])

    def products(self) -> dict[Callable, Callable[..., Tensor | None]]:
        """The products of QuickShapes, which are counted here: their operators do not run."""
        return {function: partial(self._counted, function) for function in PRODUCTS}

    def _counted(self, function: Callable, x: Tensor, other: Tensor, *args, **kwargs):
        out = PRODUCTS[function](x, other, *args, **kwargs)
        if out is None or self._is_in_layer:
            return out
        if function is F.scaled_dot_product_attention:
            self.macs[self._top] += other.shape[-2] * (x.numel() + out.numel())
        else:
            self.macs[self._top] += out.numel() * x.shape[-1]
        return out

    def __torch_dispatch__(self, func, _types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        operator = func.overloadpacket
        if not self._is_in_layer and operator in _MATMULS:
            left = args[_MATMULS[operator]]
            self.macs[self._top] += out.numel() * left.shape[-1]
        elif operator in _ATTENTIONS:
            query, key = args[:2]  # the products with keys, and with as many values
            self.macs[self._top] += key.shape[-2] * (query.numel() + out[0].numel())
        return out


# Matrix product -> position of its left factor among the arguments.
_MATMULS = {
    torch.ops.aten.mm: 0,
    torch.ops.aten.bmm: 0,
    torch.ops.aten.addmm: 1,
    torch.ops.aten.baddbmm: 1,
}
# Attention in one operator; on the meta device it falls into its matrix products.
_ATTENTIONS = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu,
    torch.ops.aten._scaled_dot_product_flash_attention,
    torch.ops.aten._scaled_dot_product_efficient_attention,
    torch.ops.aten._scaled_dot_product_cudnn_attention,
}


def build_complexity(cfg: ConfigNode) -> Complexity:
    """Complexity of the model that `cfg` describes; takes no memory for weights or clips."""
    with torch.device("meta"):
        model = build_model(cfg)
    macs = [
        sum(count_macs(model, *build_meta_inputs(cfg, crop, num_frames=length)).values())
        for crop, length in (
            (cfg.DATA.TRAIN_CROP_SIZE, 0),
            (cfg.DATA.TEST_CROP_SIZE, cfg.TEST.WHOLE_VIDEO),
        )
    ]
    return Complexity(sum(count_parameters(model).values()), *macs)


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
    macs.set_op_handle("aten::scaled_dot_product_attention", _attention_macs)
    activations.set_op_handle("aten::scaled_dot_product_attention", _attention_activations)
    for analysis in (macs, activations):
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    counts = (parameter_count(model), macs.by_module(), activations.by_module())
    model.train(was_training)
    return [
        ModuleCost(name, *(int(count[name]) for count in counts))
        for name, _ in model.named_modules()
    ]


def _attention_macs(inputs: list, outputs: list) -> int:
    """Of attention as fvcore traces it: products with keys, and with as many values."""
    query, key, out = (value.type().sizes() for value in (*inputs[:2], outputs[0]))
    return key[-2] * (math.prod(query) + math.prod(out))


def _attention_activations(inputs: list, outputs: list) -> int:
    """Of the weights of all pairs, and of the output."""
    query, key, out = (value.type().sizes() for value in (*inputs[:2], outputs[0]))
    return math.prod(query[:-1]) * key[-2] + math.prod(out)
