import pytest
import torch
from torch import nn

from slowfast.engine.run import freeze_batch_norm, freeze_modules, refuse_single_values
from slowfast.engine.train import train


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


class _Pooled(nn.Module):
    """Two batch norms: before a pool over everything, and after it."""

    def __init__(self):
        super().__init__()
        self.bn, self.pooled_bn = nn.BatchNorm3d(2), nn.BatchNorm3d(2)

    def forward(self, clips, boxes):
        return self.pooled_bn(self.bn(clips[0]).mean((2, 3, 4), keepdim=True))


def test_batch_norm_that_one_clip_gives_one_value_is_named():
    inputs = ([torch.zeros(1, 2, 4, 8, 8, device="meta")], None)
    with pytest.raises(ValueError, match="TRAIN.BATCH_SIZE: .* BN.NUM_SPLITS.*; it is pooled_bn$"):
        refuse_single_values(_Pooled(), [], inputs, torch.device("cpu"))
    refuse_single_values(_Pooled(), ["pooled_bn"], inputs, torch.device("cpu"))


@pytest.mark.slow
def test_training_on_one_clip_of_one_position_is_refused_before_its_first_step(toy_cfg):
    small = ["DATA.NUM_FRAMES", 1, "DATA.TRAIN_CROP_SIZE", 32, "TRAIN.BATCH_SIZE", 1]
    with pytest.raises(ValueError, match="TRAIN.BATCH_SIZE: a batch norm .*; it is s5"):
        train(toy_cfg(*small))
