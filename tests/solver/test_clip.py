import pytest
import torch
from torch import nn

from slowfast.solver.optimizer import clip_gradients


def _parameters():
    parameters = [
        nn.Parameter(torch.zeros(2)),
        nn.Parameter(torch.zeros(1)),
        nn.Parameter(torch.ones(3)),
    ]
    parameters[0].grad = torch.tensor([3.0, 0.0])
    parameters[1].grad = torch.tensor([-4.0])
    return parameters  # the last one has no gradient


def test_norm_is_returned_and_nothing_clipped():
    parameters = _parameters()
    assert clip_gradients(parameters, value=None, norm=None) == 5.0
    assert parameters[1].grad.item() == -4.0


def test_by_norm():
    parameters = _parameters()
    assert clip_gradients(iter(parameters), value=None, norm=1.0) == 5.0
    assert parameters[0].grad.tolist() == pytest.approx([0.6, 0.0], rel=1e-5)
    assert parameters[1].grad.item() == pytest.approx(-0.8, rel=1e-5)


def test_by_value():
    parameters = _parameters()
    assert clip_gradients(parameters, value=2.0, norm=None) == 5.0
    assert (parameters[0].grad.tolist(), parameters[1].grad.item()) == ([2.0, 0.0], -2.0)


def test_norm_of_a_broken_gradient_is_not_finite():
    parameters = _parameters()
    parameters[0].grad[0] = float("nan")
    assert not clip_gradients(parameters, value=None, norm=1.0).isfinite()
