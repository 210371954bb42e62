import pytest
from torch import nn

from slowfast.engine.run import freeze_batch_norm, freeze_modules


def _model():
    return nn.ModuleDict({"s1": nn.Linear(2, 2), "s10": nn.Linear(2, 2), "bn": nn.BatchNorm3d(2)})


def _trained(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_prefix_freezes_the_module_and_not_its_longer_namesake():
    model = _model()
    freeze_modules(model, ["s1"])
    assert _trained(model) == {"s10.weight", "s10.bias", "bn.weight", "bn.bias"}


def test_unknown_prefix_lists_the_names():
    with pytest.raises(ValueError, match=r"TRAIN.FREEZE: 's9' names no module.*'s1', 's10', 'bn'"):
        freeze_modules(_model(), ["s9"])


def test_frozen_batch_norm_has_no_gradients():
    model = _model()
    assert freeze_batch_norm(model) == ["bn"]
    assert "bn.weight" not in _trained(model)
