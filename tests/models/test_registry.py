"""Facts about every row of the table of models: a use works, or is refused with a reason."""

import io
import re
from copy import deepcopy
from functools import cache

import pytest
import torch
import torch.nn.functional as F

from slowfast.adaptive.table import build_costs
from slowfast.analysis.features import FeatureExtractor, some_layers
from slowfast.config.cli import load_cfg
from slowfast.export.formats import trace_program
from slowfast.models import MODELS, build_model
from slowfast.models.build import build_meta_inputs
from slowfast.models.complexity import count_macs, count_parameters
from slowfast.models.fold import fold_batch_norm
from slowfast.models.operating_point import OperatingPoint, build_full_point
from slowfast.models.slimmable import make_slimmable, narrow, width
from tests.helpers.paths import ROOT
from tests.helpers.slow import slow_but
from tests.helpers.small_networks import randomize_norms

CROP = 64


def recipes():
    """The first YAML of each family: a small one of the demo, else one of a dataset."""
    found = {}
    for folder in ("demo", "Kinetics", "SSv1"):
        paths = sorted((ROOT / "configs" / folder).rglob("*.yaml"))
        for path in sorted(paths, key=lambda path: "2d_" in path.name):  # 3D networks first
            text = path.read_text(encoding="utf-8")
            names = re.findall(r"(?m)^  MODEL_NAME: (\w+)$", text)
            if "\nADAPTIVE:" not in text:
                found |= {name: path for name in names if name not in found}
    return found


RECIPES = recipes()
SMALL = [name for name, path in RECIPES.items() if path.parent.name == "demo"]
OURS = sorted(set(MODELS) - {"external"})
each = pytest.mark.parametrize("family", sorted(MODELS))
FAST = ["TSM", "X3D", "MViT"]  # others are slow tests
each_of_ours = pytest.mark.parametrize("family", slow_but(FAST, OURS))
# Of layers of every kind: depthwise, shifted, relations, pyramid, pairs of frames, tokens.
EXPORTED = ["CSN", "MViT", "TPN", "TRN", "TSM", "bLVNet"]


def cfg_of(family, *options):
    """The family's recipe on the CPU; of a ResNet that is not small, fewer channels."""
    options = ["NUM_GPUS", "0", *map(str, options)]
    if family != "external":
        options += ["MODEL.DROPOUT_RATE", "0.0", "ADAPTIVE.CROPS", f"[{CROP}]"]
        options += [] if family in SMALL else ["RESNET.WIDTH_PER_GROUP", "16"]
    return load_cfg(RECIPES[family], options)


@cache
def on_meta(family):
    with torch.device("meta"):
        return build_model(cfg_of(family)).eval()


def on_cpu(family):
    torch.manual_seed(0)
    return randomize_norms(build_model(cfg_of(family, "MODEL.HEAD_ACT", "none")))


def clips_of(family):
    generator = torch.Generator().manual_seed(1)
    shapes = (clip.shape for clip in build_meta_inputs(cfg_of(family), CROP)[0])
    return [torch.randn(shape, generator=generator) for shape in shapes]


def assert_same(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def refusals(family, *options):
    """Lines of the error that a config gets."""
    try:
        cfg_of(family, *options)
    except ValueError as error:
        return str(error).splitlines()
    return []


def test_every_family_has_a_recipe():
    assert set(MODELS) - set(RECIPES) == set()


@each
def test_costs_follow_the_crop(family):
    cfg, model = cfg_of(family), on_meta(family)
    small, large = (
        sum(count_macs(model, *build_meta_inputs(cfg, crop)).values()) for crop in (CROP, 2 * CROP)
    )
    assert 2 * small < large


@each_of_ours
@torch.no_grad()
def test_folded_network_gives_the_same(family):
    model, clips = on_cpu(family), clips_of(family)
    assert_same(fold_batch_norm(model, clips)(clips), model(clips))


@pytest.mark.parametrize("family", slow_but([*FAST, "external"], sorted(MODELS)))
@torch.no_grad()
def test_network_can_be_narrowed_or_says_why_not(family):
    frames = build_full_point(cfg_of(family), CROP).frames
    options = ["ADAPTIVE.ENABLE", True, "ADAPTIVE.FRAMES", [frames]]
    if lines := refusals(family, *options):
        assert all("ADAPTIVE.ENABLE" in line and family in line for line in lines)
        return
    model, clips = on_cpu(family), clips_of(family)
    expected = model(clips)
    make_slimmable(model)
    assert model(clips).equal(expected)
    with width(model, 0.63):
        found = model(clips)
    cut = narrow(model, 0.63)
    assert_same(cut(clips), found)
    small, full = build_costs(
        cfg_of(family, *options), [OperatingPoint(share, frames, CROP) for share in (0.63, 1.0)]
    )
    assert small.gmacs < full.gmacs and small.params < full.params


@each
def test_one_narrow_network_can_be_built_or_says_why_not(family):
    if lines := refusals(family, "MODEL.WIDTH", 0.63):
        assert all("MODEL.WIDTH" in line and family in line for line in lines)
        return
    with torch.device("meta"):
        model = build_model(cfg_of(family, "MODEL.WIDTH", 0.63))
    assert sum(count_parameters(model).values()) < sum(count_parameters(on_meta(family)).values())


@pytest.mark.slow
@pytest.mark.parametrize("family", slow_but(["TSM", "X3D"], sorted(MODELS)))
def test_features_of_stages_and_of_the_classifier_can_be_had(family):
    model, inputs = on_meta(family), build_meta_inputs(cfg_of(family), CROP)
    for layer in some_layers(model):
        assert FeatureExtractor(model, layer)(*inputs).ndim == 2


@pytest.mark.slow
@pytest.mark.parametrize("family", EXPORTED)
@torch.no_grad()
def test_exported_network_gives_the_same_for_any_number_of_clips(family):
    model, clips = on_cpu(family), clips_of(family)
    shapes = [clip.shape for clip in clips]
    program = trace_program(model, shapes, is_dynamic=True, is_for_torch=family == "TSM").module()
    assert_same(program(*clips), model(clips))
    three = [torch.cat([clip, clip.flip(2), -clip]) for clip in clips]
    assert_same(program(*three), model(three))


@pytest.mark.slow
@each_of_ours
@pytest.mark.filterwarnings("ignore")
def test_network_can_be_written_for_onnx(family):
    file = io.BytesIO()
    torch.onnx.export(on_cpu(family), (clips_of(family),), file, dynamo=False)
    assert file.tell() > sum(count_parameters(on_meta(family)).values())


@pytest.mark.slow
@pytest.mark.parametrize("family", ["MViT", "TRN"])
def test_compiled_step_is_one_graph_and_learns_the_same(family):
    labels, (clips, *_) = torch.tensor([0, 1]), clips_of(family)
    clips, results = [torch.cat([clips, clips.flip(1)])], []
    plain = on_cpu(family).train()
    compiled = deepcopy(plain)
    compiled.compile(backend="eager", fullgraph=True)
    for model in (plain, compiled):
        torch.manual_seed(0)
        F.cross_entropy(model(clips), labels).backward()
        gradients = {name: x.grad for name, x in model.named_parameters() if x.grad is not None}
        results.append((gradients, dict(model.named_buffers())))
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-6)
