"""Weights of torchvision's S3D and GoogLeNet in ours."""

import pytest
import torch
import torchvision
from torch import nn

from slowfast.checkpoint.files import CheckpointError
from slowfast.checkpoint.initialize import convert_file, initialize_from, load_for_test
from slowfast.models import build_model
from slowfast.models.families.s3d import ConvUnit, TimeSpec
from tests.helpers.configs import cfg_with


def build(*, num_classes=5, **keys):
    values = {"MODEL.MODEL_NAME": "S3D", "MODEL.NUM_CLASSES": num_classes}
    values |= {f"S3D.{key}": value for key, value in keys.items()}
    torch.manual_seed(1)
    return build_model(cfg_with({**values, "DATA.INPUT_CHANNEL_NUM": [3]}))


def _randomise_statistics(model):
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_mean"):
                tensor.normal_(std=0.1)
            elif tensor.ndim == 1 and not name.endswith("bias"):
                tensor.uniform_(0.5, 1.5)


@pytest.fixture(scope="module")
def googlenet(tmp_path_factory):
    """GoogLeNet in float64 with random weights and our max-pools, and its file.

    Its own pools begin at the first pixel.
    """
    torch.manual_seed(0)
    model = torchvision.models.googlenet(init_weights=False, num_classes=7).eval()
    _randomise_statistics(model)
    path = tmp_path_factory.mktemp("torchvision") / "googlenet.pth"
    torch.save(model.state_dict(), path)
    for number in (1, 2, 3):
        setattr(model, f"maxpool{number}", nn.MaxPool2d(3, 2, 1))
    model.maxpool4 = nn.MaxPool2d(2, 2)
    return model.double(), path


def _maps(model, name, image):
    """Output of the layer `name` of a network of images."""
    maps = []
    handle = model.get_submodule(name).register_forward_hook(lambda *args: maps.append(args[2]))
    with torch.no_grad():
        model(image)
    handle.remove()
    return maps[0]


@pytest.mark.slow
def test_file_of_torchvision_s_s3d_fits_to_the_last_tensor(tmp_path):
    theirs = torchvision.models.video.s3d()
    torch.save(theirs.state_dict(), tmp_path / "s3d.pth")
    model = build(num_classes=400, VARIANT="s3d")
    report = load_for_test(model, tmp_path / "s3d.pth")
    assert report.layout == "torchvision S3D" and report.coverage == 1
    weight = theirs.features[15].branch2[1][1][0].weight
    assert torch.equal(model.s5.pathway0_mixed5c.branch2.conv_t.weight, weight)
    assert torch.equal(model.head.projection.bias, theirs.classifier[1].bias)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keys", "num_made"),
    [
        ({"VARIANT": "i2d"}, 0),
        ({"VARIANT": "s3d"}, 5 * 20),
        ({"VARIANT": "s3d", "ALL_BRANCHES": True}, 5 * (2 + 9 * 4)),
        ({"VARIANT": "fast-s3d"}, 5 * 4),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)
def test_still_clip_has_the_maps_of_the_image(googlenet, keys, num_made):
    model_2d, path = googlenet
    model = build(**keys).eval()
    report = initialize_from(model, path)
    assert report.layout == "torchvision GoogLeNet" and report.coverage == 1
    assert len(report.identities) == num_made and len(report.replaced) == 2
    assert not (report.missing or report.unexpected or report.mismatched)
    image = torch.randn(1, 3, 64, 96, dtype=torch.float64)
    expected = _maps(model_2d, "inception5b", image)[:, :, None]
    clip = image[:, :, None].repeat(1, 1, 16, 1, 1)
    with torch.no_grad():
        (maps,) = model.double().forward_features([clip])
    assert maps.shape[2:] == (2, 2, 3) and expected.std() > 0
    assert (maps - expected).norm() < 1e-5 * expected.norm()


# I3D pads time with zeros: 3 frames in the stem, then 1 in conv2c, 3b and 3c at half the rate.
@pytest.mark.slow
def test_still_clip_has_the_maps_of_the_image_in_i3d_away_from_the_ends(googlenet):
    model_2d, path = googlenet
    model = build(VARIANT="i3d").eval()
    report = initialize_from(model, path)
    assert report.coverage == 1 and not report.identities
    image = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    expected = _maps(model_2d, "inception3b", image)[:, :, None]
    maps = [image[:, :, None].repeat(1, 1, 24, 1, 1)]
    with torch.no_grad():
        for stage in (model.s1, model.s2, model.s3):
            maps = stage.double()(maps)
    middle = maps[0][:, :, 5:7]
    assert (middle - expected).norm() < 1e-5 * expected.norm()
    assert (maps[0][:, :, :1] - expected).norm() > 1e-2 * expected.norm()


@pytest.mark.slow
def test_gates_are_not_in_the_file_and_listed(googlenet):
    with torch.device("meta"):
        model = build(VARIANT="s3d-g")
    _, report = convert_file(model, googlenet[1])
    assert len(report.missing) == 2 * 20 and all(".gate.fc." in name for name in report.missing)
    assert report.coverage > 0.9


@pytest.mark.slow
def test_name_that_matches_nothing_is_listed(googlenet, tmp_path):
    state = torch.load(googlenet[1])
    state["inception3a.branch5.conv.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "more.pth")
    _, report = convert_file(build(VARIANT="i2d"), tmp_path / "more.pth")
    assert report.unexpected == ("inception3a.branch5.conv.weight",)


@pytest.mark.slow
def test_i3d_does_not_become_separable(tmp_path):
    torch.save(build(VARIANT="i3d", WIDTH_FACTOR=0.125).state_dict(), tmp_path / "i3d.pth")
    with pytest.raises(CheckpointError, match="of the backbone, at least 90% are asked for"):
        convert_file(build(VARIANT="s3d", WIDTH_FACTOR=0.125), tmp_path / "i3d.pth")


@pytest.mark.slow
def test_separable_becomes_neither_3d_nor_silently_2d(tmp_path, caplog):
    models = {v: build(VARIANT=v, WIDTH_FACTOR=0.125) for v in ("i2d", "i3d", "s3d")}
    torch.save(models["s3d"].state_dict(), tmp_path / "s3d.pth")
    with pytest.raises(CheckpointError, match="at least 90% are asked for"):
        initialize_from(models["i3d"], tmp_path / "s3d.pth")
    _, report = convert_file(models["i3d"], tmp_path / "s3d.pth", min_coverage=0)
    assert "s5.pathway0_mixed5c.branch1.conv.weight" in report.missing
    assert len(report.missing) == 20 * 6 and not report.inflated and not caplog.records
    report = initialize_from(models["i2d"], tmp_path / "s3d.pth")
    assert report.coverage == 1
    assert "20 of its separable convolutions become 2D" in caplog.text


@pytest.mark.slow
def test_2d_stage_becomes_separable_and_learned_time_is_kept(tmp_path):
    """From Fast-S3D to S3D."""
    source, model = (build(VARIANT=v, WIDTH_FACTOR=0.125) for v in ("fast-s3d", "s3d"))
    torch.save(source.state_dict(), tmp_path / "fast.pth")
    report = initialize_from(model, tmp_path / "fast.pth")
    assert len(report.identities) == 5 * 16
    learned = source.s5.pathway0_mixed5b.branch1.conv_t.weight
    assert torch.equal(model.s5.pathway0_mixed5b.branch1.conv_t.weight, learned)
    clip = torch.randn(1, 3, 8, 32, 32)
    with torch.no_grad():
        expected, found = (m.eval().forward_features([clip])[0] for m in (source, model))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_identity_copies_frames_at_any_stride():
    time = TimeSpec(7, is_separable=True)
    unit = ConvUnit(3, 4, 3, time=time, stride=2, norm=nn.BatchNorm3d)
    state = {"a.conv.weight": torch.randn(4, 3, 1, 3, 3)}
    made, remark = unit.adapt_weights(state, "a.")
    x = torch.rand(2, 4, 9, 2, 2)
    y = nn.functional.conv3d(x, made["a.conv_t.weight"], stride=(2, 1, 1), padding=(3, 0, 0))
    assert torch.equal(y, x[:, :, ::2]) and not remark
    assert set(made) == {"a.conv_t.weight", *(f"a.bn_t.{k}" for k in ("weight", "bias"))} | {
        f"a.bn_t.running_{k}" for k in ("mean", "var")
    }
    assert unit.adapt_weights({**state, **made}, "a.") == ({}, "")
    assert unit.adapt_weights({}, "a.") == ({}, "")
