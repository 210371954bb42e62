import pytest
import torch
from torch import nn

from slowfast.solver.ema import ModelEma


def _model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(2, 3, 1), nn.BatchNorm3d(3))


def _fill(model, value):
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.fill_(value)


def test_update_moves_parameters_and_copies_buffers():
    model = _model()
    _fill(model, 0)
    ema = ModelEma(model, decay=0.9)
    ema.num_updates = 10**6  # past the warm-up of the decay
    _fill(model, 1)
    ema.update(model)
    torch.testing.assert_close(ema.module[0].bias, torch.full((3,), 0.1))
    torch.testing.assert_close(ema.module[1].running_mean, torch.ones(3))


def test_first_updates_forget_the_start():
    model = _model()
    _fill(model, 0)
    ema = ModelEma(model, decay=0.9999)
    _fill(model, 1)
    ema.update(model)
    assert ema.module[0].bias[0] == pytest.approx(1 - 2 / 11)


def test_the_copy_is_in_evaluation_mode_and_apart():
    model = _model().train()
    ema = ModelEma(model, decay=0.9)
    _fill(model, 7)
    assert not ema.module.training and model.training
    assert not (ema.module[0].weight == 7).any()
    assert not any(p.requires_grad for p in ema.module.parameters())


def test_resumed_goes_on_as_if_uninterrupted():
    model = _model()
    whole = ModelEma(model, decay=0.99)
    _fill(model, 1)
    whole.update(model)
    resumed = ModelEma(_model(), decay=0.99)
    resumed.load_state_dict(whole.state_dict())
    _fill(model, 2)
    for ema in (whole, resumed):
        ema.update(model)
    assert torch.equal(whole.module[0].weight, resumed.module[0].weight)


@pytest.mark.parametrize("decay", [0.0, 1.0, -1])
def test_decay_must_lie_between_0_and_1(decay):
    with pytest.raises(ValueError, match="TRAIN.EMA_DECAY"):
        ModelEma(_model(), decay)
