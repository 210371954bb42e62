"""Networks of other projects: sizes, and float64 logits of weights under their released names.

tests/golden/comparison.json names the config and the overrides that build each of them; the numbers
lie in tests/golden/comparison, made by the public code that each file names.
"""

import functools
import json

import numpy as np
import pytest
import torch

from slowfast.checkpoint.initialize import load_for_test
from slowfast.config.cli import load_cfg
from slowfast.models import build_model
from slowfast.models.complexity import build_complexity
from tests.helpers.fills import any_weights, golden_value
from tests.helpers.paths import GOLDENS, ROOT

FOLDER = GOLDENS / "comparison"
BUILT_BY = json.loads((GOLDENS / "comparison.json").read_text(encoding="utf-8"))
FILES = sorted(path.name for path in FOLDER.glob("*.json"))
KINDS = ["golden", "golden_damped", "golden_damped_64x96"]


@functools.cache
def load(name):
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


OUTPUTS = [(name, kind) for name in FILES for kind in KINDS if kind in load(name)["outputs"]]


def config(name, *overrides):
    built_by = BUILT_BY[name]
    return load_cfg(str(ROOT / built_by["cfg"]), [*built_by["opts"], "NUM_GPUS", 0, *overrides])


def released_shapes(golden, kind):
    """Name -> shape under the released names, in order; some depend on the crop."""
    text = (FOLDER / "states" / golden["state"]).read_text(encoding="utf-8")
    text = text.replace("classes", str(golden["num_classes"]))
    lines = (f"{line} ".split(" ")[:2] for line in text.splitlines())
    shapes = {name: tuple(map(int, filter(None, sizes.split(",")))) for name, sizes in lines}
    outputs = golden["outputs"]
    of_crop = outputs[kind].get("shapes") or outputs.get("golden", {}).get("shapes", {})
    return {**shapes, **of_crop}


def filled_state(golden, kind):
    """A released checkpoint of fill A or B."""
    state = {}
    for name, shape in released_shapes(golden, kind).items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.zeros((), dtype=torch.int64)
            continue
        value = torch.from_numpy(np.asarray(golden_value(name, tuple(shape))))
        if kind != "golden" and value.ndim == 1 and name.endswith("weight"):
            value *= 0.3
        state[name] = value
    return state


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_parameters_and_macs_are_those_of_the_reference(name):
    golden = load(name)
    complexity = build_complexity(config(name))
    assert complexity.params == golden["num_params"]
    # fvcore rounds the products of einsum to four digits.
    assert complexity.macs_train == pytest.approx(golden["macs_train"], rel=1e-6)
    assert complexity.macs_test == pytest.approx(golden["macs_test"], rel=1e-6)


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize(("name", "kind"), OUTPUTS)
def test_logits_of_a_released_checkpoint_are_those_of_the_reference(name, kind, monkeypatch):
    golden, expected = load(name), load(name)["outputs"][kind]
    crop = expected["input"][-2]
    sizes = ["DATA.TRAIN_CROP_SIZE", crop, "DATA.TEST_CROP_SIZE", crop]
    with any_weights():
        model = build_model(config(name, *sizes, "MODEL.HEAD_ACT", "none")).double().eval()
    state = filled_state(golden, kind)  # not by way of a file, which tests of checkpoints read
    monkeypatch.setattr("slowfast.checkpoint.initialize.load", lambda _path: state)
    load_for_test(model, "released.pth")

    clip = torch.from_numpy(np.random.RandomState(0).standard_normal(expected["input"]))
    logits = model([clip.contiguous(memory_format=torch.channels_last_3d)])

    assert logits.argmax(1).tolist() == expected["argmax"]
    largest = max(abs(value) for row in expected["logits"] for value in row)
    close = {"rtol": 1e-8, "atol": 1e-8 * largest}
    torch.testing.assert_close(logits[:, :16].tolist(), expected["logits"], **close)
    statistics = [logits.mean().item(), logits.std(correction=0).item()]
    torch.testing.assert_close(statistics, [expected["mean"], expected["std"]], **close)
