"""hubconf.py, through torch.hub."""

import pytest
import torch

import hubconf
from slowfast.checkpoint import files
from slowfast.config.cli import load_cfg
from slowfast.models import build_model
from slowfast.zoo import hub, names
from slowfast.zoo.table import find_weights
from tests.helpers.paths import ROOT


def load(*words, **options):
    return torch.hub.load(str(ROOT), *words, source="local", **options)


def test_torch_hub_gives_the_network_of_a_recipe():
    assert load("x3d_xs", num_classes=7).head.projection.out_features == 7


@pytest.mark.parametrize("name", hubconf._RECIPES)
def test_every_entry_has_its_recipe_and_its_weights(name):
    recipe, published = hubconf._RECIPES[name]
    assert recipe in getattr(hubconf, name).__doc__
    assert load_cfg(recipe).MODEL.NUM_CLASSES == 400
    assert find_weights(published).config == recipe


@pytest.fixture
def weights(monkeypatch, tmp_path):
    """The tensors that the zoo gives for any name."""
    cfg, path = load_cfg("X3D_XS"), tmp_path / "x3d_xs.pyth"
    state = build_model(cfg).state_dict()
    files.save(path, {"model_state": state, "cfg": cfg.dump()})
    monkeypatch.setitem(names.SCHEMES, "zoo", "slowfast.zoo.hub:fetch")
    monkeypatch.setattr(hub, "fetch", lambda name: path)
    return state


@pytest.mark.slow
def test_pretrained_weights_are_those_of_the_zoo(weights):
    state = load("x3d_xs", pretrained=True).state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in state.items())


@pytest.mark.slow
def test_with_other_classes_the_classifier_alone_is_fresh(weights):
    state = load("x3d_xs", pretrained=True, num_classes=7).state_dict()
    other = [n for n, value in state.items() if not torch.equal(value, weights[n])]
    assert other == ["head.projection.weight", "head.projection.bias"]
