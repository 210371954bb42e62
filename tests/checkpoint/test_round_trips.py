"""Our networks, written in the formats of others, come back equal."""

import pickle
import re

import pytest
import torch

from slowfast.checkpoint import files
from slowfast.checkpoint.initialize import initialize_from, load_for_test
from tests.helpers.published import assert_same_weights, build_thin
from tests.helpers.slow import slow, slow_but

NETWORKS = ["VoV3D-M", "X3D-M", "SlowFast", "I3D NLN"]


def _substitute(name, table):
    for pattern, replacement in table:
        name = re.sub(pattern, replacement, name)
    return name


def _to_caffe2(name):
    """Our name -> Caffe2's, for networks of 3, 4, 6, 3 blocks."""
    pathway = "t_" if "pathway1" in name or "_fuse" in name else ""
    kinds = {"running_mean": "rm", "running_var": "riv", "bias": "b", "weight": "w"}
    layer, _, kind = name.rpartition(".")
    kind = "s" if kind == "weight" and layer.endswith("bn") else kinds[kind]
    layer = _substitute(
        layer,
        [
            (r"s1_fuse\.conv_f2s", "pool1_subsample"),
            (r"s1_fuse\.bn", "pool1_subsample_bn"),
            (r"s2_fuse", "res2_2_fuse"),
            (r"s3_fuse", "res3_3_fuse"),
            (r"s4_fuse", "res4_5_fuse"),
            (r"_fuse\.conv_f2s", "_branch2c_bn_subsample"),
            (r"_fuse\.bn", "_branch2c_bn_subsample_bn"),
            (r"s1\.pathway\d_stem\.bn", "res_conv1_bn"),
            (r"s1\.pathway\d_stem\.conv", "conv1"),
            (r"s(\d)\.pathway\d_nonlocal(\d+)\.(?:conv_)?", r"nonlocal_conv\1_\2_"),
            (r"s(\d)\.pathway\d_res(\d+)\.", r"res\1_\2_"),
            (r"branch2\.se\.", "branch2b_bn_"),
            (r"branch2\.", "branch2"),
            (r"head\.projection", "pred"),
            (r"head\.", ""),
        ],
    )
    return f"{pathway}{layer}_{kind}"


def _to_pytorchvideo(name, *, is_slowfast=False, has_pool=False):
    """Our name -> pytorchvideo's; `has_pool`: block 2 is a pooling."""
    number = re.match(r"s(\d)", name)
    index = int(number[1]) - 1 if number else (6 if is_slowfast or has_pool else 5)
    index += has_pool and number is not None and index >= 2
    pathway = rf".multipathway_blocks.{name[10]}" if is_slowfast and "pathway" in name else ""
    is_x3d = "head.conv_5" in name or "stem.conv_xy" in name
    assert not (is_x3d and is_slowfast)
    rest = _substitute(
        name,
        [
            (r"^s\d_fuse\.conv_f2s", "multipathway_fusion.conv_fast_to_slow"),
            (r"^s\d_fuse\.bn", "multipathway_fusion.norm"),
            (r"^s1\.pathway\d_stem\.bn", "norm"),
            (r"^s1\.pathway\d_stem\.", ""),
            (r"^s\d\.pathway\d_res(\d+)\.", r"res_blocks.\1."),
            (r"branch1_bn", "branch1_norm"),
            (r"branch1\.", "branch1_conv."),
            (r"branch2\.([abc])_bn", r"branch2.norm_\1"),
            (r"branch2\.([abc])\.", r"branch2.conv_\1."),
            (r"branch2\.se\.fc1", "branch2.norm_b.1.block.0"),
            (r"branch2\.se\.fc2", "branch2.norm_b.1.block.2"),
            (r"head\.conv_5_bn", "pool.pre_norm"),
            (r"head\.conv_5", "pool.pre_conv"),
            (r"head\.lin_5", "pool.post_conv"),
            (r"head\.projection", "proj"),
        ],
    )
    return f"blocks.{index}{pathway}.{rest}"


def _x3d_to_pytorchvideo(name):
    spatial, temporal = "s1.pathway0_stem.conv_xy.weight", "s1.pathway0_stem.conv.weight"
    if name in (spatial, temporal):
        return f"blocks.0.conv.{'conv_t' if name == spatial else 'conv_xy'}.weight"
    name = _to_pytorchvideo(name)
    return re.sub(r"norm_b\.(?!1\.block)", "norm_b.0.", name)


def _written_by_caffe2(model, path):
    blobs = {
        _to_caffe2(name): value.numpy()
        for name, value in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    if "lin_5_w" in blobs:
        blobs["lin_5_w"] = blobs["lin_5_w"][..., 0, 0, 0]  # a linear layer there
    blobs |= {"lr": model.state_dict()["head.projection.bias"][:1].numpy(), "model_iter": 5}
    blobs["pred_w_momentum"] = blobs["pred_w"]
    path.write_bytes(pickle.dumps({"blobs": blobs}, protocol=2))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_saved_is_loaded(name, tmp_path):
    source, model = build_thin(name), build_thin(name)
    path = files.checkpoint_path(tmp_path, 3)
    files.save(path, {"epoch": 3, "model_state": source.state_dict()})
    report = load_for_test(model, path)
    assert_same_weights(model, source)
    assert report.layout == "PySlowFast" and len(report.loaded) == len(source.state_dict())


@pytest.mark.parametrize("name", slow_but(["Slow"], ["X3D-M", "SlowFast", "Slow", "I3D NLN"]))
@pytest.mark.parametrize("verb", [load_for_test, initialize_from])
def test_a_caffe2_pickle_of_our_weights_loads_back(name, verb, tmp_path):
    source, model = build_thin(name), build_thin(name)
    _written_by_caffe2(source, tmp_path / "weights.pkl")
    report = verb(model, tmp_path / "weights.pkl")
    assert_same_weights(model, source)
    assert report.layout == "Caffe2" and not report.unexpected and report.coverage == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "rename"),
    [
        ("X3D-M", _x3d_to_pytorchvideo),
        ("SlowFast", lambda name: _to_pytorchvideo(name, is_slowfast=True)),
        ("Slow", _to_pytorchvideo),
        ("C2D", lambda name: _to_pytorchvideo(name, has_pool=True)),
        ("I3D", lambda name: _to_pytorchvideo(name, has_pool=True)),
    ],
)
def test_weights_under_the_names_of_pytorchvideo_load_back(name, rename, tmp_path):
    source, model = build_thin(name), build_thin(name)
    state = {rename(n): value for n, value in source.state_dict().items()}
    files.save(tmp_path / "weights.pyth", {"model_state": state})
    report = load_for_test(model, tmp_path / "weights.pyth")
    assert_same_weights(model, source)
    assert report.layout == "pytorchvideo"


def _as_pyslowfast_sub_bn(model):
    """The state of a model with SubBN as PySlowFast has it: statistics in `x.bn`, `x.split_bn`."""
    state = model.state_dict()
    layers = [
        n.removesuffix("split_running_mean") for n in state if n.endswith("split_running_mean")
    ]
    renamed = {}
    for name, value in state.items():
        layer, _, kind = name.rpartition(".")
        if f"{layer}." in layers and kind.startswith("split_"):
            name = f"{layer}.split_bn.{kind.removeprefix('split_')}"
        elif f"{layer}." in layers and kind not in ("weight", "bias"):
            name = f"{layer}.bn.{kind}"
        renamed[name] = value
    return renamed, len(layers)


# PySlowFast's number of SubBN, and one more where the head has a batch norm (plain there).
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "count"),
    [("I3D NLN", 58), *slow([("X3D-M", 84), ("VoV3D-M", 134), ("SlowFast", 110)])],
)
def test_sub_batch_norm_and_plain_load_each_other(name, count, tmp_path):
    sub = build_thin(name, "BN.NORM_TYPE", "sub_batchnorm", "BN.NUM_SPLITS", 2)
    plain = build_thin(name)
    pyslowfast, num_layers = _as_pyslowfast_sub_bn(sub)
    assert num_layers == count
    for state in (sub.state_dict(), pyslowfast):
        target = build_thin(name)
        files.save(tmp_path / "sub.pyth", {"model_state": state})
        load_for_test(target, tmp_path / "sub.pyth")
        assert_same_weights(target, sub)
    files.save(tmp_path / "plain.pyth", {"model_state": plain.state_dict()})
    load_for_test(sub, tmp_path / "plain.pyth")
    assert_same_weights(sub, plain)
    split = {n: v for n, v in sub.state_dict().items() if "split_" in n}
    assert all(
        torch.equal(v, plain.state_dict()[n.replace("split_", "")].repeat(2))
        for n, v in split.items()
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", slow_but(["X3D-M"], NETWORKS))
def test_sub_batch_norm_and_plain_give_equal_outputs(name, tmp_path):
    sub = build_thin(name, "BN.NORM_TYPE", "sub_batchnorm", "BN.NUM_SPLITS", 2).double()
    plain = build_thin(name).double()
    files.save(tmp_path / "sub.pyth", {"model_state": sub.state_dict()})
    load_for_test(plain, tmp_path / "sub.pyth")
    clips = [torch.rand(2, 3, 8, 32, 32, dtype=torch.float64)]
    if name == "SlowFast":
        clips = [clips[0][:, :, ::4], clips[0]]
    with torch.no_grad():
        for found, expected in zip(
            plain.forward_features(clips), sub.forward_features(clips), strict=True
        ):
            assert found.std() > 0 and torch.equal(found, expected)
