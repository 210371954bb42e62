import pytest
import torch

from slowfast.config.cli import load_cfg
from slowfast.models import build_model
from slowfast.models.build import build_meta_inputs
from slowfast.models.complexity import count_by_module, count_macs, count_parameters
from tests.helpers.paths import ROOT


@pytest.mark.slow
@pytest.mark.parametrize("name", ["demo/s3d_g_motion", "tiny/ava"])
def test_fvcore_counts_as_we_do(name):
    cfg = load_cfg(ROOT / f"configs/{name}.yaml")
    model, inputs = build_model(cfg).train(), build_meta_inputs(cfg, 32)
    whole, *others = count_by_module(model, *inputs)
    assert model.training
    costs = {cost.name: cost for cost in others if cost.depth == 1}
    ours = count_macs(model.to("meta"), *inputs)
    assert {name: cost.macs for name, cost in costs.items()} == ours
    assert {name: cost.params for name, cost in costs.items()} == count_parameters(model)
    assert whole.macs == sum(ours.values()) and whole.depth == 0


@pytest.mark.slow
def test_activations_are_the_values_of_convolutions(toy_cfg):
    cfg = toy_cfg()
    model = build_model(cfg)
    sizes = []
    for module in model.modules():
        if isinstance(module, torch.nn.Conv3d | torch.nn.Linear):
            module.register_forward_hook(lambda _module, _args, out: sizes.append(out.numel()))
    model.eval()([torch.zeros(1, 3, 4, 32, 32)])
    expected = sum(sizes)
    assert count_by_module(build_model(cfg), *build_meta_inputs(cfg, 32))[0].activations == expected
