"""The optimizer: the weight decay and learning rate of each parameter, and clipped gradients."""

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch
from torch import nn, optim
from torch.nn.modules.batchnorm import _NormBase

from slowfast.config.node import ConfigNode
from slowfast.solver.fused import begin_momentum, fit_layouts, is_fused
from slowfast.utils.classifier import classifier_name

GROUP_RULES = ("name", "type")


def param_groups(
    model: nn.Module,
    *,
    weight_decay: float,
    bn_weight_decay: float,
    group_by: str,
    zero_wd_1d: bool,
    head_lr_factor: float,
    layer_decay: float = 1.0,
) -> list[dict]:
    """Groups for a torch optimizer: batch norm, the rest, and what is not decayed.

    That is what `model.undecayed()` names, where it has this method, and with `zero_wd_1d` all 1-d
    parameters. Groups whose learning rate is not that of the optimizer have its factor as
    "lr_factor" (see `set_learning_rate`): `head_lr_factor` for the classifier, `layer_decay` for
    each step from the last layer down (see `layer_factors`). Frozen parameters and empty groups
    are left out. `group_by`: see BN.GROUP_BY.
    """
    bn_names = _bn_parameter_names(model, group_by)
    undecayed = model.undecayed() if hasattr(model, "undecayed") else set()
    factors = layer_factors(model, layer_decay)
    decays = (bn_weight_decay, weight_decay, 0.0)
    groups: dict[tuple[float, int], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        is_1d = parameter.ndim <= 1 or name.endswith(".bias")
        is_plain = name in undecayed or (zero_wd_1d and is_1d)
        kind = 0 if name in bn_names else 2 if is_plain else 1
        factor = factors.get(name, 1.0)
        if name.startswith(f"{classifier_name(model)}."):
            factor *= head_lr_factor
        if parameter.requires_grad:
            groups[factor, kind].append(parameter)
    # The classifier's last, and of each factor in the order of `decays`.
    order = sorted(groups, key=lambda key: (key[0] == head_lr_factor != 1, key[0], key[1]))
    return [
        {"params": groups[factor, kind], "weight_decay": decays[kind]}
        | ({"lr_factor": factor} if factor != 1 else {})
        for factor, kind in order
    ]


def layer_factors(model: nn.Module, decay: float) -> dict[str, float]:
    """Factor of the learning rate of each parameter: 1 for the last layer, `decay` for the next.

    {} with a decay of 1. Which layer a parameter is in says `model.layer_number(name)`; ValueError
    for a model without this method.
    """
    if decay == 1:
        return {}
    if not hasattr(model, "layer_number"):
        raise ValueError(
            f"SOLVER.LAYER_DECAY: {decay} must be 1 for a {type(model).__name__}: only MViT says "
            "how deep its parameters are"
        )
    numbers = {name: model.layer_number(name) for name, _ in model.named_parameters()}
    last = max(numbers.values())
    return {name: decay ** (last - number) for name, number in numbers.items()}


def set_learning_rate(optimizer: optim.Optimizer, lr: float) -> None:
    """Give every group the learning rate `lr`, times its "lr_factor" where it has one."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_factor", 1.0)


def parameter_names(optimizer: optim.Optimizer, model: nn.Module) -> list[str]:
    """Names of the parameters in the order in which the optimizer's state numbers them."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    return [names[p] for group in optimizer.param_groups for p in group["params"]]


def load_state_by_name(
    optimizer: optim.Optimizer, model: nn.Module, state: dict, names: Sequence[str]
) -> None:
    """Take over the momentum of each parameter of `names`, the parameters of `state` in order.

    Weight decay, momentum and all else of the groups stay as this optimizer was built. A parameter
    without a saved state, one that was frozen, begins without momentum. Tensors are copied: those
    of `state` may be pages of a file.
    """
    saved = {name: state["state"].get(number) for number, name in enumerate(names)}
    found = {
        number: saved[name]
        for number, name in enumerate(parameter_names(optimizer, model))
        if saved.get(name) is not None
    }
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": _copied(found), "param_groups": groups})
    fit_layouts(optimizer)
    begin_momentum(optimizer)


def _copied(states: dict[int, dict]) -> dict[int, dict]:
    return {
        number: {n: v.clone() if isinstance(v, torch.Tensor) else v for n, v in values.items()}
        for number, values in states.items()
    }


def _bn_parameter_names(model: nn.Module, group_by: str) -> set[str]:
    """Batch norm's parameters, found by the module's type or by "bn" in the parameter's name.

    By name is how the released VoV3D weights were trained: there `a.1` and `c.1`, batch norms by
    type, were decayed with the rest.
    """
    if group_by not in GROUP_RULES:
        raise ValueError(f"BN.GROUP_BY: {group_by!r} is not one of {list(GROUP_RULES)}")
    if group_by == "name":
        return {name for name, _ in model.named_parameters() if "bn" in name}
    return {
        f"{prefix}.{name}" if prefix else name
        for prefix, module in model.named_modules()
        if isinstance(module, _NormBase)
        for name, _ in module.named_parameters(recurse=False)
    }


def clip_gradients(
    parameters: Iterable[nn.Parameter], *, value: float | None, norm: float | None
) -> torch.Tensor:
    """Clip in place each gradient value to +-`value`, then their joint L2 norm to `norm`.

    None leaves that part out. Returns the L2 norm before any clipping, 0-d, for the log; it is not
    finite when a gradient is not.
    """
    parameters = [p for p in parameters if p.grad is not None]
    total_norm = nn.utils.get_total_norm([p.grad for p in parameters])
    if value is not None:
        nn.utils.clip_grad_value_(parameters, value)
    if norm is not None:
        now = total_norm if value is None else nn.utils.get_total_norm([p.grad for p in parameters])
        nn.utils.clip_grads_with_norm_(parameters, norm, now)
    return total_norm


def without_compiler(kind: type[optim.Optimizer]) -> Callable[..., optim.Optimizer]:
    """The same optimizer, which does not import PyTorch's compiler when it is made.

    PyTorch does so, for seconds and 150 MB, to keep the compiler out of these methods; no optimizer
    is compiled here.
    """
    names = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), methods)


def _check_nesterov(momentum: float, dampening: float) -> None:
    if momentum <= 0 or dampening != 0:
        raise ValueError(
            f"SOLVER.NESTEROV: True needs SOLVER.MOMENTUM > 0 (is {momentum}) and "
            f"SOLVER.DAMPENING 0 (is {dampening})"
        )


def build_optimizer(cfg: ConfigNode, model: nn.Module) -> optim.Optimizer:
    """The config's optimizer over the parameters of `model` that are not frozen.

    Weight decay is added to the gradient; with adamw it shrinks the weights themselves. On a GPU it
    is one of torch's fused ones.
    """
    solver = cfg.SOLVER
    sgd = partial(
        without_compiler(optim.SGD),
        momentum=solver.MOMENTUM,
        dampening=solver.DAMPENING,
        nesterov=solver.NESTEROV,
    )
    betas = tuple(solver.BETAS)
    makers = {
        "sgd": sgd,
        "adam": partial(without_compiler(optim.Adam), betas=betas),
        "adamw": partial(without_compiler(optim.AdamW), betas=betas),
    }
    method = solver.OPTIMIZING_METHOD
    if method not in makers:
        raise ValueError(f"SOLVER.OPTIMIZING_METHOD: {method!r} is not one of {sorted(makers)}")
    if method == "sgd" and solver.NESTEROV:
        _check_nesterov(solver.MOMENTUM, solver.DAMPENING)
    groups = param_groups(
        model,
        weight_decay=solver.WEIGHT_DECAY,
        bn_weight_decay=cfg.BN.WEIGHT_DECAY,
        group_by=cfg.BN.GROUP_BY,
        zero_wd_1d=solver.ZERO_WD_1D_PARAM,
        head_lr_factor=solver.HEAD_LR_FACTOR,
        layer_decay=solver.LAYER_DECAY,
    )
    if not groups:
        raise ValueError(f"TRAIN.FREEZE: {cfg.TRAIN.FREEZE} leaves no parameter to train")
    dampening = solver.DAMPENING if method == "sgd" else 0.0
    fused = is_fused(groups[0]["params"][0].device, dampening=dampening)
    optimizer = makers[method](groups, lr=solver.BASE_LR, **({"fused": True} if fused else {}))
    begin_momentum(optimizer)
    return optimizer
