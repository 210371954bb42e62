"""Parts of a model that are not trained."""

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from slowfast.config.node import ConfigNode


def freeze_modules(model: nn.Module, prefixes: list[str]) -> list[str]:
    """Turn off the gradients of all modules whose name starts with a prefix; returns their names.

    "s1" means s1 and s1.*, not s10. ValueError when a prefix names nothing.
    """
    frozen = []
    for prefix in prefixes:
        found = {
            name: module
            for name, module in model.named_modules()
            if name == prefix or name.startswith(f"{prefix}.")
        }
        if not found:
            names = [name for name, _ in model.named_children()]
            raise ValueError(
                f"TRAIN.FREEZE: {prefix!r} names no module; the first level is {names}"
            )
        for module in found.values():
            module.requires_grad_(False)
        frozen += found
    return frozen


def freeze_batch_norm(model: nn.Module) -> list[str]:
    """Turn off the gradients of every batch norm; returns the names of these modules."""
    found = {name: m for name, m in model.named_modules() if isinstance(m, _NormBase)}
    for module in found.values():
        module.requires_grad_(False)
    return list(found)


def set_training(model: nn.Module, frozen: list[str]) -> None:
    """Put the model into training mode, but the modules called `frozen` into evaluation mode."""
    model.train()
    for name in frozen:
        model.get_submodule(name).eval()


def freeze(cfg: ConfigNode, model: nn.Module) -> list[str]:
    """Freeze what the config says; the names returned are for `set_training`."""
    frozen = freeze_modules(model, cfg.TRAIN.FREEZE)
    if cfg.MODEL.FROZEN_BN:
        frozen += freeze_batch_norm(model)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(f"TRAIN.FREEZE: {cfg.TRAIN.FREEZE} leaves nothing to train")
    return frozen
