import numpy as np
import pytest
import torch
from torch import nn

from slowfast.analysis.filters import by_stage, measure_filters, statistics, temporal_kernels
from slowfast.analysis.runs import parse_run


def test_offsets_are_counted_from_the_middle_and_share_the_energy():
    weight = torch.zeros(2, 3, 3, 1, 1)
    weight[:, :, 1] = 2
    weight[:, :, 2] = 1
    before, middle, after = statistics("a", [weight])
    assert [before.offset, middle.offset, after.offset] == [-1, 0, 1]
    assert (middle.mean, middle.std, middle.num_weights) == (2, 0, 6)
    assert [before.energy, middle.energy, after.energy] == pytest.approx([0, 0.8, 0.2])


def test_quantiles_are_those_of_numpy():
    weight = torch.randn(50, 1, 3, 1, 1, generator=torch.Generator().manual_seed(0))
    row = statistics("a", [weight])[0]
    assert row.quantiles[4] == pytest.approx(float(np.median(weight[:, 0, 0])))
    assert row.quantiles[-1] == pytest.approx(float(weight[:, 0, 0].max()))


def test_only_kernels_over_several_frames_count():
    model = nn.ModuleDict({"a": nn.Conv3d(1, 1, (1, 3, 3)), "b": nn.Conv3d(1, 1, (3, 1, 1))})
    assert list(temporal_kernels(model)) == ["b"]


def test_a_stage_joins_its_kernels_of_one_length():
    kernels = {name: torch.ones(1, 1, t, 1, 1) for name, t in (("s1.a", 3), ("s1.b", 3))}
    kernels["s1.c"] = torch.ones(1, 1, 5, 1, 1)
    groups = by_stage(kernels)
    assert {name: len(weights) for name, weights in groups.items()} == {
        "s1, 3 frames": 2,
        "s1, 5 frames": 1,
    }


def test_weights_are_those_of_the_file(make_run):
    folder = make_run("a")
    (path,) = (folder / "checkpoints").iterdir()
    state = torch.load(path, weights_only=True)["model_state"]
    rows = measure_filters(parse_run(str(folder)), [], merges=False)
    stem = [row for row in rows if row.layer == "s1.pathway0_stem.conv"]
    means = state["s1.pathway0_stem.conv.weight"].double().mean((0, 1, 3, 4))
    assert [row.mean for row in stem] == pytest.approx(means.tolist())


def test_a_network_without_temporal_kernels_is_named(make_run):
    resnet = {"DEPTH": 18, "TRANS_FUNC": "basic_transform", "WIDTH_PER_GROUP": 8}
    folder = make_run("flat", MODEL={"MODEL_NAME": "ResNet", "ARCH": "2d"}, RESNET=resnet)
    with pytest.raises(ValueError, match="flat: no convolution"):
        measure_filters(parse_run(str(folder)), [], merges=False)
