import pytest
import torch
from torch import nn

from benchmarks import model as benchmark_model
from slowfast.config.defaults import get_cfg

OPTS = {
    "S3D": ["S3D.WIDTH_FACTOR", 0.125],
    "VoV3D": ["VOV3D.INNER_CH", 8, "VOV3D.NUM_MODULES", [1, 1, 1, 1], "VOV3D.NUM_CONV", 2],
    "X3D": [
        "RESNET.TRANS_FUNC",
        "x3d_transform",
        "X3D.BOTTLENECK_FACTOR",
        2.25,
        "X3D.DEPTH_FACTOR",
        0.5,
    ],
}


def make_cfg(name: str):
    cfg = get_cfg()
    cfg.merge_from_list(["MODEL.MODEL_NAME", name, "DATA.INPUT_CHANNEL_NUM", [3], *OPTS[name]])
    cfg.merge_from_list(["MODEL.NUM_CLASSES", 4, "DATA.NUM_FRAMES", 4, "X3D.DIM_C5", 16])
    cfg.merge_from_list(["DATA.TRAIN_CROP_SIZE", 32, "MODEL.DROPOUT_RATE", 0.0])
    return cfg


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTS)
def test_plain_twin_has_the_same_outputs_and_gradients(name):
    ours, plain = benchmark_model.build_contenders(make_cfg(name), batch=2)
    for one in (ours, plain):
        one.model.double()
        one.clips = [clip.double() for clip in one.clips]
        one.model.train()(one.clips).square().sum().backward()
    assert benchmark_model.relative_difference(ours, plain) < 1e-8
    torch.testing.assert_close(ours.infer(), plain.infer())
    torch.testing.assert_close(
        {name: p.grad for name, p in ours.model.named_parameters()},
        {name: p.grad for name, p in plain.model.named_parameters()},
    )


def test_detection_network_is_measured_with_a_box_per_clip():
    cfg = make_cfg("X3D")
    cfg.merge_from_list(["DETECTION.ENABLE", True, "DETECTION.SPATIAL_SCALE_FACTOR", 32])
    ours, plain = benchmark_model.build_contenders(cfg, batch=2)
    ours.train_step()
    assert ours.infer().shape == plain.infer().shape == (2, 4)


def test_plain_twin_is_plain_and_contiguous():
    _, plain = benchmark_model.build_contenders(make_cfg("VoV3D"), batch=2)
    layers = [m for m in plain.model.modules() if isinstance(m, nn.Conv3d | nn.BatchNorm3d)]
    assert {type(layer) for layer in layers} == {nn.Conv3d, nn.BatchNorm3d}
    assert all(parameter.is_contiguous() for parameter in plain.model.parameters())


def test_our_weights_and_clips_are_channels_last():
    ours, _ = benchmark_model.build_contenders(make_cfg("X3D"), batch=2)
    convs = [m.weight for m in ours.model.modules() if isinstance(m, nn.Conv3d)]
    for tensor in [*convs, *ours.clips]:
        assert tensor.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.slow
def test_networks_that_differ_are_not_compared():
    ours, plain = benchmark_model.build_contenders(make_cfg("X3D"), batch=2)
    with torch.no_grad():
        next(plain.model.parameters()).mul_(2)
    with pytest.raises(RuntimeError, match="differ"):
        benchmark_model.measure(ours, plain, name="x3d", repeats=1)


@pytest.mark.slow
def test_tables(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(make_cfg("X3D").dump())
    sizes = {"batch": 2, "frames": 4, "crop": 32, "repeats": 1}
    table = benchmark_model.run_model(cfg=[str(path)], overrides=["MODEL.NUM_CLASSES", 5], **sizes)
    for words in ("small.yaml", "training step", "inference", "aten::", "everything else"):
        assert words in table


def test_ceilings_are_positive_rates():
    assert min(benchmark_model.machine_ceilings(repeats=2, size=8)) > 0
