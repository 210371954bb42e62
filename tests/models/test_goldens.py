"""Names, sizes and float64 outputs of the reference implementations (see tests/golden/models)."""

import functools
import json

import numpy as np
import pytest
import torch

from slowfast.config.derived import pathway_strides
from slowfast.models import build_model
from slowfast.models.complexity import build_complexity
from tests.helpers.configs import cfg_with
from tests.helpers.fills import any_weights, golden_value
from tests.helpers.paths import GOLDENS
from tests.helpers.slow import slow_but

GOLDEN = GOLDENS / "models"
FILES = sorted(path.name for path in GOLDEN.glob("*.json"))

# Every architecture once; the files left out repeat them with other heads, lengths and channels.
OUTPUTS = [
    ("vov3d__Kinetics__vov3d__vov3d_M.json", "golden"),
    ("vov3d__Kinetics__vov3d__vov3d_M.json", "golden_fully_conv"),
    ("vov3d__Kinetics__vov3d__vov3d_M.json", "golden_damped"),
    ("vov3d__SSv1__vov3d__vov3d_L_F16.json", "golden"),
    ("vov3d__SSv1__vov3d__vov3d_L_F16.json", "golden_damped"),
    ("sf__Kinetics__X3D_XS.json", "golden"),
    ("sf__Kinetics__X3D_XS.json", "golden_fully_conv"),
    ("sf__Kinetics__X3D_XS.json", "golden_damped"),
    ("vov3d__SSv1__x3d__x3d_M.json", "golden"),
    ("vov3d__SSv2__x3d__x3d_L.json", "golden_damped"),
    ("sf__Kinetics__C2D_8x8_R50.json", "golden_fully_conv"),
    ("sf__Kinetics__I3D_NLN_8x8_R50.json", "golden"),
    ("sf__Kinetics__SLOW_NLN_8x8_R50.json", "golden_damped"),
    ("sf__Kinetics__SLOWFAST_4x16_R50.json", "golden"),
    ("sf__Kinetics__SLOWFAST_8x8_R50.json", "golden_damped"),
    ("sf__Kinetics__I3D_8x8_R50.json", "golden"),
    ("sf__Kinetics__SLOW_4x16_R50.json", "golden"),
    ("sf__Kinetics__SLOW_8x8_R50.json", "golden_damped"),
    ("sf__SSv2__SLOWFAST_16x8_R50.json", "golden"),
    ("vov3d__SSv2__SLOWFAST_16x8_R50.json", "golden_damped"),
    ("sf__AVA__SLOW_8x8_R50_SHORT.json", "golden"),
    ("sf__AVA__SLOW_8x8_R50_SHORT.json", "golden_damped"),
    ("sf__AVA__SLOWFAST_32x2_R50_SHORT.json", "golden"),
    ("sf__AVA__SLOWFAST_32x2_R50_SHORT.json", "golden_damped"),
]
FAST_OUTPUTS = [
    ("vov3d__Kinetics__vov3d__vov3d_M.json", "golden"),
    ("sf__Kinetics__X3D_XS.json", "golden_fully_conv"),
    ("sf__Kinetics__X3D_XS.json", "golden_damped"),
    ("sf__Kinetics__SLOWFAST_4x16_R50.json", "golden"),
]
FAMILIES = [
    "sf__AVA__SLOWFAST_32x2_R50_SHORT.json",
    "sf__Kinetics__C2D_8x8_R50.json",
    "sf__Kinetics__I3D_NLN_8x8_R50.json",
    "sf__Kinetics__SLOWFAST_4x16_R50.json",
    "sf__Kinetics__SLOW_4x16_R50.json",
    "sf__Kinetics__X3D_XS.json",
    "vov3d__Kinetics__vov3d__vov3d_M.json",
]


def load(name):
    return json.loads((GOLDEN / name).read_text(encoding="utf-8"))


def config(golden, **overrides):
    return cfg_with({**golden["cfg"], **overrides})


def fill(model, *, is_damped):
    """Weight fill A, or B where it is damped."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            value = torch.from_numpy(np.asarray(golden_value(name, tuple(tensor.shape))))
            if is_damped and tensor.ndim == 1 and name.endswith("weight"):
                value *= 0.3
            if is_damped and "nonlocal" in name and name.endswith("conv_out.weight"):
                value *= 0.01
            tensor.copy_(value)


@pytest.mark.parametrize("name", slow_but(FAMILIES, FILES))
def test_state_dict_has_the_reference_names_order_and_shapes(name):
    golden = load(name)
    with torch.device("meta"):
        state = build_model(config(golden)).state_dict()
    text = (GOLDEN / golden["state"]).read_text(encoding="utf-8")
    text = text.replace("classes", str(golden["cfg"]["MODEL.NUM_CLASSES"]))
    assert [f"{key} {','.join(map(str, x.shape))}" for key, x in state.items()] == text.splitlines()


@functools.cache
def complexity_of(sizes):
    return build_complexity(config({"cfg": json.loads(sizes)}))


@pytest.mark.slow
@pytest.mark.parametrize("name", slow_but(FAMILIES, FILES))
def test_parameters_and_macs_are_those_of_the_reference(name):
    golden = load(name)
    # Files that differ only in these keys share one count.
    without = ("BN.", "DATA.REVERSE_INPUT_CHANNEL")
    sizes = {key: value for key, value in golden["cfg"].items() if not key.startswith(without)}
    complexity = complexity_of(json.dumps(sizes))
    assert complexity.params == golden["num_params"]
    assert complexity.macs_train == golden["macs_train"]
    assert complexity.macs_test == golden["macs_test"]


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize(("name", "kind"), slow_but(FAST_OUTPUTS, OUTPUTS))
def test_float64_output_is_that_of_the_reference(name, kind):
    golden = load(name)
    expected = golden["outputs"][kind]
    cfg = config(golden, **{"DATA.TRAIN_CROP_SIZE": expected["built_for"]})
    with any_weights():
        model = build_model(cfg).double().eval()
    fill(model, is_damped=kind == "golden_damped")
    frames = expected["frames"]
    shape = (2, 3, frames, expected["size"], expected["size"])
    clip = torch.from_numpy(np.random.RandomState(0).standard_normal(shape))
    if expected["reversed"]:
        clip = clip.flip(1)
    outputs = []
    model.head.projection.register_forward_hook(lambda *args: outputs.append(args[2]))

    clips = [
        clip[:, :, torch.linspace(0, frames - 1, frames // stride).long()]
        for stride in pathway_strides(cfg)
    ]
    # As the engine gives them, so that the fast formulations compute.
    features = model.forward_features(
        [clip.contiguous(memory_format=torch.channels_last_3d) for clip in clips]
    )
    boxes = torch.tensor(expected["boxes"]) if "boxes" in expected else None
    scores = model.head(features, boxes)
    model.head.projection.weight *= expected["head_scale"]
    model.head.projection.bias *= expected["head_scale"]
    scaled_scores = model.head(features, boxes)

    projection = outputs[0]
    assert list(projection.shape) == expected["shape"]
    flat = projection.flatten(1)
    assert flat.argmax(1).tolist() == expected["argmax"]
    close = {"rtol": 1e-8, "atol": 0.0}
    measured = torch.stack(
        [projection.mean(), projection.std(correction=0), projection.abs().max()]
    )
    reference = [expected["mean"], expected["std"], expected["absmax"]]
    torch.testing.assert_close(measured.tolist(), reference, **close)
    torch.testing.assert_close(flat[:, :16].tolist(), expected["projection"], **close)
    torch.testing.assert_close(scaled_scores[:, :16].tolist(), expected["final"], **close)
    torch.testing.assert_close(scores.sum().item(), expected["final_sum"], **close)
