"""Batch norms folded into the convolutions before them: in evaluation both are one affine map."""

import copy
from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from slowfast.models.batch_norm import BatchNorm3d
from slowfast.models.conv import Conv3d
from slowfast.models.norm import SubBatchNorm3d, SyncBatchNorm3d
from slowfast.utils.meta import OPERATORS, PRODUCTS, QuickShapes

# Exact types: a subclass may compute something else.
_CONVS = (nn.Conv3d, Conv3d)
_NORMS = (nn.BatchNorm3d, BatchNorm3d, SubBatchNorm3d, SyncBatchNorm3d)


def fold_batch_norm(
    model: nn.Module, clips: Sequence[torch.Tensor], boxes: torch.Tensor | None = None
) -> nn.Module:
    """A copy of `model` for evaluation, whose batch norms are part of the convolutions before them.

    The order of layers is seen in one pass over `clips` and `boxes` (as `forward` takes them, e.g.
    those of build_meta_inputs) on the meta device, which computes nothing. A batch norm stays where
    no convolution of its own comes right before it, or where something else reads its output, too.
    """
    folded = copy.deepcopy(model).eval().requires_grad_(False)
    for conv_name, norm_name in batch_norms_after_convs(model, clips, boxes):
        _fold(folded.get_submodule(conv_name), folded.get_submodule(norm_name))
        parent, _, name = norm_name.rpartition(".")
        setattr(folded.get_submodule(parent), name, nn.Identity())
    return folded


@torch.no_grad()
def batch_norms_after_convs(
    model: nn.Module, clips: Sequence[torch.Tensor], boxes: torch.Tensor | None = None
) -> list[tuple[str, str]]:
    """Names (convolution, batch norm) of all pairs that only ever run one right after the other."""
    model = copy.deepcopy(model).to("meta").eval()
    order = _LayerOrder()
    for name, module in model.named_modules():
        if type(module) in _CONVS:
            module.register_forward_hook(order.after_conv(name))
        elif type(module) in _NORMS and module.track_running_stats:
            module.register_forward_pre_hook(order.before_norm(name))
            module.register_forward_hook(order.after_norm)
    with QuickShapes(OPERATORS | PRODUCTS), order:
        model([clip.to("meta") for clip in clips], None if boxes is None else boxes.to("meta"))
    # A layer that runs twice may follow another one the second time.
    calls, pairs = order.calls, order.pairs
    return [pair for pair in pairs if calls[pair[0]] == calls[pair[1]] == 1 > order.reads[pair[0]]]


class _LayerOrder(TorchFunctionMode):
    """Finds, by hooks, the batch norms that take the output of a convolution as it was made.

    reads: for each convolution how often something that is no batch norm took its output.
    """

    def __init__(self):
        super().__init__()
        self.pairs: list[tuple[str, str]] = []
        self.calls: Counter[str] = Counter()
        self.reads: Counter[str] = Counter()
        self._is_in_norm = False
        # id of an output: its convolution, the output itself (to keep the id its own), its version.
        self._made: dict[int, tuple[str, torch.Tensor, int]] = {}

    def after_conv(self, name: str) -> Callable:
        def hook(_module: nn.Module, _inputs: tuple, output: torch.Tensor) -> None:
            self.calls[name] += 1
            self._made[id(output)] = name, output, output._version

        return hook

    def before_norm(self, name: str) -> Callable:
        def hook(_module: nn.Module, inputs: tuple) -> None:
            self.calls[name] += 1
            self._is_in_norm = True
            conv, _, version = self._made.get(id(inputs[0]), ("", None, 0))
            # PyTorch counts changes in place: one more than at the convolution, and something came
            # in between, e.g. an activation.
            if conv and inputs[0]._version == version:
                self.pairs.append((conv, name))

        return hook

    def after_norm(self, _module: nn.Module, _inputs: tuple, _output: torch.Tensor) -> None:
        self._is_in_norm = False

    def __torch_function__(self, function: Callable, _types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        # A shape or a dtype is no reading: the fold keeps both.
        if isinstance(result, torch.Tensor | list | tuple) and not isinstance(result, torch.Size):
            for value in tree_leaves((args, kwargs)):
                if id(value) in self._made and not self._is_in_norm:
                    self.reads[self._made[id(value)][0]] += 1
        return result


@torch.no_grad()
def _fold(conv: nn.Conv3d, norm: nn.BatchNorm3d) -> None:
    """conv := norm(conv), computed in float64; the weight keeps its memory order."""
    scale = torch.rsqrt(norm.running_var.double() + norm.eps)
    shift = -norm.running_mean.double()
    if conv.bias is not None:
        shift = shift + conv.bias.double()
    if norm.affine:
        scale = scale * norm.weight.double()
    shift = shift * scale
    if norm.affine:
        shift = shift + norm.bias.double()
    weight = conv.weight.double() * scale[:, None, None, None, None]
    conv.weight = nn.Parameter(weight.to(conv.weight.dtype), requires_grad=False)
    conv.bias = nn.Parameter(shift.to(conv.weight.dtype), requires_grad=False)
