"""The optimizer, and which weight decay and learning rate each parameter gets."""

from collections.abc import Iterable

import torch
from torch import nn, optim
from torch.nn.modules.batchnorm import _NormBase

from slowfast.config.node import ConfigNode
from slowfast.utils.registry import Registry

OPTIMIZERS = Registry("SOLVER.OPTIMIZING_METHOD")
GROUP_RULES = ("name", "type")
_CLASSIFIER = "head.projection"


def param_groups(
    model: nn.Module,
    *,
    weight_decay: float,
    bn_weight_decay: float,
    group_by: str,
    zero_wd_1d: bool,
    head_lr_factor: float,
) -> list[dict]:
    """Groups for a torch optimizer: batch norm, the rest, and 1-d parameters that are not decayed.

    With a `head_lr_factor` other than 1 the classifier's parameters follow in groups of their own,
    which have it as "lr_factor" (see `set_learning_rate`).

    Batch norm is found by the module's type, or by "bn" in the parameter's name, as the released
    VoV3D weights were trained: there `a.1` and `c.1` were decayed with the rest. Frozen parameters
    and empty groups are left out.
    """
    if group_by not in GROUP_RULES:
        raise ValueError(f"BN.GROUP_BY: {group_by!r} is not one of {list(GROUP_RULES)}")
    bn_names = _bn_parameter_names(model, group_by)
    decays = (bn_weight_decay, weight_decay, 0.0)
    groups = [{"params": [], "weight_decay": decay} for decay in decays]
    if head_lr_factor != 1:
        groups += [{**group, "params": [], "lr_factor": head_lr_factor} for group in groups]
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    for name, parameter in trained.items():
        if name in bn_names:
            index = 0
        elif zero_wd_1d and (parameter.ndim <= 1 or name.endswith(".bias")):
            index = 2
        else:
            index = 1
        if head_lr_factor != 1 and name.startswith(f"{_CLASSIFIER}."):
            index += len(decays)
        groups[index]["params"].append(parameter)
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in trained.values()), "groups are no partition"
    return [group for group in groups if group["params"]]


def set_learning_rate(optimizer: optim.Optimizer, lr: float) -> None:
    """Give every group the learning rate `lr`, times its "lr_factor" where it has one."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_factor", 1.0)


def _bn_parameter_names(model: nn.Module, group_by: str) -> set[str]:
    if group_by == "name":
        return {name for name, _ in model.named_parameters() if "bn" in name}
    return {
        f"{prefix}.{name}" if prefix else name
        for prefix, module in model.named_modules()
        if isinstance(module, _NormBase)
        for name, _ in module.named_parameters(recurse=False)
    }


@OPTIMIZERS.register("sgd")
def build_sgd(cfg: ConfigNode, groups: list[dict]) -> optim.Optimizer:
    """SGD with (Nesterov) momentum."""
    solver = cfg.SOLVER
    if solver.NESTEROV and (solver.MOMENTUM <= 0 or solver.DAMPENING != 0):
        raise ValueError(
            f"SOLVER.NESTEROV: True needs SOLVER.MOMENTUM > 0 (is {solver.MOMENTUM}) and "
            f"SOLVER.DAMPENING 0 (is {solver.DAMPENING})"
        )
    return optim.SGD(
        groups,
        lr=solver.BASE_LR,
        momentum=solver.MOMENTUM,
        dampening=solver.DAMPENING,
        nesterov=solver.NESTEROV,
    )


@OPTIMIZERS.register("adam")
def build_adam(cfg: ConfigNode, groups: list[dict]) -> optim.Optimizer:
    """Adam; weight decay is added to the gradient."""
    return optim.Adam(groups, lr=cfg.SOLVER.BASE_LR, betas=tuple(cfg.SOLVER.BETAS))


@OPTIMIZERS.register("adamw")
def build_adamw(cfg: ConfigNode, groups: list[dict]) -> optim.Optimizer:
    """AdamW; weight decay shrinks the weights themselves."""
    return optim.AdamW(groups, lr=cfg.SOLVER.BASE_LR, betas=tuple(cfg.SOLVER.BETAS))


def build_optimizer(cfg: ConfigNode, model: nn.Module) -> optim.Optimizer:
    """The config's optimizer over the parameters of `model` that are not frozen."""
    builder = OPTIMIZERS.get(cfg.SOLVER.OPTIMIZING_METHOD)
    groups = param_groups(
        model,
        weight_decay=cfg.SOLVER.WEIGHT_DECAY,
        bn_weight_decay=cfg.BN.WEIGHT_DECAY,
        group_by=cfg.BN.GROUP_BY,
        zero_wd_1d=cfg.SOLVER.ZERO_WD_1D_PARAM,
        head_lr_factor=cfg.SOLVER.HEAD_LR_FACTOR,
    )
    if not groups:
        raise ValueError(f"TRAIN.FREEZE: {cfg.TRAIN.FREEZE} leaves no parameter to train")
    return builder(cfg, groups)


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
        nn.utils.clip_grad_norm_(parameters, norm)
    return total_norm
