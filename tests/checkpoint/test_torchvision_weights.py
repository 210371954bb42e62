"""Weights of torchvision's own networks in ours."""

import pytest
import torch
import torchvision

from slowfast.checkpoint import files
from slowfast.checkpoint.files import CheckpointError
from slowfast.checkpoint.initialize import convert_file, initialize_from
from slowfast.config.cli import load_cfg
from slowfast.models import build_model
from tests.helpers.published import CONFIGS
from tests.helpers.slow import slow


@pytest.fixture(scope="module")
def resnet50(tmp_path_factory):
    """A 2D ResNet-50 with random weights and statistics, float64, and its file."""
    torch.manual_seed(0)
    model = torchvision.models.resnet50().eval()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_mean"):
                tensor.normal_(std=0.1)
            elif tensor.ndim == 1 and not name.endswith("bias"):
                tensor.uniform_(0.5, 1.5)
    path = tmp_path_factory.mktemp("torchvision") / "resnet50.pth"
    torch.save(model.state_dict(), path)
    return model.double(), path


def _features_2d(model, images):
    """Maps before the average pool."""
    trunk = torch.nn.Sequential(*list(model.children())[:-2])
    return trunk(images)


# I3D pads time with zeros. Its kernels reach 2 frames in the stem and 3 in res2, then, at half the
# frame rate, 2 + 3 + 1 in res3 to res5. Of 40 frames, 20 after the pooling, numbers 9 and 10 see no
# padding. C2D never looks past a frame.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "num_frames", "valid", "num_inflated"),
    [
        ("c2d/C2D_8x8_R50.yaml", 4, slice(None), 53),
        *slow([("i3d/I3D_8x8_R50.yaml", 40, slice(9, 11), 53)]),
    ],
    ids=["C2D", "I3D"],
)
def test_equal_frames_give_the_features_of_the_2d_network(
    resnet50, path, num_frames, valid, num_inflated
):
    model_2d, weights = resnet50
    torch.manual_seed(1)
    model = build_model(load_cfg(CONFIGS / path)).eval()
    report = initialize_from(model, weights)
    assert report.layout == "torchvision" and report.coverage == 1
    assert len(report.inflated) == num_inflated and len(report.replaced) == 2
    image = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        expected = _features_2d(model_2d, image)
        (found,) = model.double().forward_features(
            [image[:, :, None].repeat(1, 1, num_frames, 1, 1)]
        )
    middle = found[:, :, valid]
    assert expected.std() > 0 and middle.shape[2] == 2
    expected = expected[:, :, None].expand_as(middle)
    assert (middle - expected).norm() < 1e-5 * expected.norm()
    torch.testing.assert_close(middle, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.slow
def test_the_classifier_of_the_2d_network_is_kept_when_the_classes_agree(resnet50):
    cfg = load_cfg(CONFIGS / "c2d/C2D_8x8_R50.yaml", ["MODEL.NUM_CLASSES", 1000])
    with torch.device("meta"):
        model = build_model(cfg)
    state, report = convert_file(model, resnet50[1])
    assert not report.replaced and "head.projection.weight" in report.loaded
    assert torch.equal(state["head.projection.weight"], resnet50[0].fc.weight.float())


def _video_file(name, tmp_path):
    model = getattr(torchvision.models.video, name)()
    files.save(tmp_path / f"{name}.pth", model.state_dict())
    return tmp_path / f"{name}.pth"


def _resnet18(*options):
    options = ["RESNET.DEPTH", 18, "RESNET.TRANS_FUNC", "basic_transform", *options]
    cfg = load_cfg(CONFIGS / "i3d/I3D_8x8_R50.yaml", options)
    with torch.device("meta"):
        return build_model(cfg)


# As starting points: R3D and MC3 take them as they are. The kernels 3x3x3 are where the shapes do
# not allow: layer1's second convolutions are 1x3x3 here.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "mismatched"),
    [
        ("mc3_18", ["MODEL.ARCH", "c2d_nopool"], "s2.pathway0_res0.branch2.b.weight"),
        *slow([("r3d_18", [], "s5.pathway0_res1.branch2.b.weight")]),
    ],
)
def test_video_resnets_are_loaded_where_shapes_allow(name, options, mismatched, tmp_path):
    path = _video_file(name, tmp_path)
    _, report = convert_file(_resnet18(*options), path, min_coverage=0.8)
    assert report.layout == "torchvision" and not report.unexpected and not report.missing
    assert any(line.startswith(mismatched) for line in report.mismatched)
    assert "s5.pathway0_res0.branch1.weight" in report.loaded


@pytest.mark.slow
def test_r2plus1d_is_refused(tmp_path):
    path = _video_file("r2plus1d_18", tmp_path)
    with pytest.raises(CheckpointError, match=r"r2plus1d_18.pth: this is torchvision's R\(2\+1\)D"):
        convert_file(_resnet18(), path)
