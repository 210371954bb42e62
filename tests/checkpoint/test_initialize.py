import logging
import re

import pytest
import torch
from torch import nn

from slowfast.checkpoint.classes import ClassList
from slowfast.checkpoint.files import CheckpointError
from slowfast.checkpoint.initialize import initialize_from, load_for_test
from slowfast.models.norm import SubBatchNorm3d
from tests.helpers.small_networks import Net, small_model


def _save(tmp_path, content):
    torch.save(content, tmp_path / "weights.pyth")
    return tmp_path / "weights.pyth"


def _assert_same(model, source, prefix=""):
    target = model.state_dict()
    for name, value in source.state_dict().items():
        if name.startswith(prefix) and not name.endswith("num_batches_tracked"):
            assert torch.equal(target[name], value), name


def test_everything_of_the_same_model_is_loaded(tmp_path):
    source, model = Net(), Net()
    report = initialize_from(model, _save(tmp_path, {"model_state": source.state_dict()}))
    _assert_same(model, source)
    assert len(report.loaded) == 15 and report.coverage == 1
    assert not (report.replaced or report.mismatched or report.missing or report.unexpected)


def test_a_wrapped_and_renamed_file_is_loaded(tmp_path):
    source, model = Net(), Net()
    state = {f"module.backbone.{name}": value for name, value in source.state_dict().items()}
    path = _save(tmp_path, {"state_dict": state})
    initialize_from(model, path, clear_name_patterns=[r"backbone\."])
    _assert_same(model, source)


def test_another_number_of_classes_gets_a_fresh_head(tmp_path):
    source, model = Net(num_classes=6), Net(num_classes=3)
    before = model.head.projection.weight.clone()
    report = initialize_from(model, _save(tmp_path, source.state_dict()))
    assert torch.equal(model.head.projection.weight, before)
    assert report.replaced == (
        "head.projection.weight ((6, 4) -> (3, 4))",
        "head.projection.bias ((6,) -> (3,))",
    )
    assert report.coverage == 1
    _assert_same(model, source, "head.conv")


def test_the_head_is_fresh_as_a_whole_when_one_tensor_differs(tmp_path):
    state = Net().state_dict()
    state["head.projection.bias"] = torch.zeros(7)
    model = Net()
    before = model.head.projection.weight.clone()
    report = initialize_from(model, _save(tmp_path, state))
    assert torch.equal(model.head.projection.weight, before) and len(report.replaced) == 2


def test_weights_without_a_head_are_enough(tmp_path):
    state = {n: v for n, v in Net().state_dict().items() if "projection" not in n}
    report = initialize_from(Net(), _save(tmp_path, state))
    assert report.missing == ("head.projection.weight", "head.projection.bias")


def test_other_shapes_in_the_backbone_count_as_not_loaded(tmp_path):
    model = Net()
    report = initialize_from(model, _save(tmp_path, Net(dim=5).state_dict()), min_coverage=0.1)
    assert report.mismatched[0] == "s1.0.weight ((5, 3, 1, 1, 1) -> (4, 3, 1, 1, 1))"
    assert len(report.mismatched) == 5 and report.coverage == pytest.approx(6 / 11)


def test_too_little_coverage_is_refused_and_changes_nothing(tmp_path):
    model = Net()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    path = _save(tmp_path, {**Net(dim=5).state_dict(), "s9.weight": torch.ones(1)})
    with pytest.raises(CheckpointError) as caught:
        initialize_from(model, path)
    message = str(caught.value)
    for text in (
        "TRAIN.CHECKPOINT_MIN_COVERAGE",
        str(path),
        "54.5%",
        "90%",
        "s1.0.weight",
        "s9.weight",
    ):
        assert text in message
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_counters_of_batches_may_be_missing(tmp_path):
    state = {n: v for n, v in Net().state_dict().items() if "num_batches" not in n}
    report = load_for_test(Net(), _save(tmp_path, state))
    assert not report.missing


def test_the_table_is_logged_and_shortens_long_lists(tmp_path, caplog):
    state = Net().state_dict() | {f"extra.{i}": torch.ones(1) for i in range(20)}
    with caplog.at_level(logging.INFO, "slowfast.checkpoint.initialize"):
        initialize_from(Net(), _save(tmp_path, state))
    assert "unexpected    20" in caplog.text
    assert "... and 12 more" in caplog.text


@pytest.mark.parametrize("verb", [initialize_from, load_for_test])
@pytest.mark.parametrize("kinds", [("sub", "plain"), ("plain", "sub"), ("sub", "sub")])
def test_sub_and_plain_batch_norm_load_each_other(tmp_path, kinds, verb):
    norms = {"sub": lambda dim: SubBatchNorm3d(dim, 2), "plain": nn.BatchNorm3d}
    source, model = (Net(norm=norms[kind]).eval() for kind in kinds)
    report = verb(model, _save(tmp_path, source.state_dict()))
    assert not report.missing and not report.unexpected
    clip = torch.rand(2, 3, 2, 2, 2)
    assert torch.equal(model.s1(clip), source.s1(clip))
    if kinds[1] == "sub":
        assert torch.equal(model.s2.split_running_mean, source.s2.running_mean.repeat(2))


@pytest.mark.parametrize("other", [Net(num_classes=4), Net(dim=5), nn.Linear(2, 2)])
def test_testing_refuses_the_checkpoint_of_another_model(tmp_path, other):
    path = _save(tmp_path, {"model_state": other.state_dict()})
    with pytest.raises(
        CheckpointError, match="weights.pyth: is a checkpoint of another model"
    ) as e:
        load_for_test(Net(), path)
    assert "mismatched" in str(e.value)


def test_testing_refuses_surplus_tensors(tmp_path):
    path = _save(tmp_path, Net().state_dict() | {"s5.weight": torch.ones(1)})
    with pytest.raises(CheckpointError, match="s5.weight"):
        load_for_test(Net(), path)


def test_a_file_without_weights_names_the_path(tmp_path):
    with pytest.raises(CheckpointError, match="weights.pyth: no model weights found"):
        initialize_from(Net(), _save(tmp_path, {"epoch": 3}))


class Halved(nn.BatchNorm3d):
    """Knows files whose weight is called `scale`, at twice the size."""

    def adapt_weights(self, state, prefix):
        scale = state.get(f"{prefix}scale")
        if scale is None:
            return {}, ""
        return {f"{prefix}scale": None, f"{prefix}weight": scale / 2}, "of its scales are halved"


def test_modules_adapt_the_weights_of_relatives(tmp_path, caplog):
    source, model = Net(), Net(norm=Halved)
    state = source.state_dict()
    state["s1.1.scale"] = 2 * state.pop("s1.1.weight")
    path = _save(tmp_path, state)
    report = initialize_from(model, path)
    _assert_same(model, source)
    assert report.identities == ("s1.1.weight",) and not report.unexpected
    assert f"{path}: 1 of its scales are halved" in caplog.text
    with pytest.raises(CheckpointError, match="s1.1.scale"):  # a test takes no changed weights
        load_for_test(Net(norm=Halved), path)


@pytest.fixture
def named(tmp_path):
    """A network of three named classes, and its file."""
    source = Net()
    content = {"model_state": source.state_dict(), "class_names": ["run", "eat", "sit"]}
    return source, _save(tmp_path, content)


def _classes(*names):
    return ClassList(names, [len(names)])


@pytest.mark.parametrize("verb", [initialize_from, load_for_test])
def test_classes_in_another_order_are_matched_by_name(named, verb, caplog):
    (source, path), model = named, Net()
    report = verb(model, path, classes=_classes("sit", "run", "eat"))
    rows = source.head.projection.weight[[2, 0, 1]]
    assert torch.equal(model.head.projection.weight, rows)
    assert torch.equal(model.head.projection.bias, source.head.projection.bias[[2, 0, 1]])
    assert report.class_names == ["sit", "run", "eat"]
    assert "3 of 3 classes have another number" in caplog.text


def test_other_classes_of_the_same_number_get_a_fresh_classifier(named, caplog):
    caplog.set_level(logging.INFO)
    (source, path), model = named, Net()
    fresh = model.head.projection.weight.clone()
    report = initialize_from(model, path, classes=_classes("run", "eat", "jump"))
    assert torch.equal(model.head.projection.weight, fresh) and len(report.replaced) == 2
    assert torch.equal(model.head.conv.weight, source.head.conv.weight)
    assert "the classifier starts fresh: 2 of the data's 3 class names" in caplog.text


def test_a_test_on_other_classes_is_refused_with_a_way_out(named):
    with pytest.raises(
        CheckpointError,
        match="(?s)2 of the data's 3 class names.*'sit'.*'jump'.*DATA.MATCH_CLASSES",
    ):
        load_for_test(Net(), named[1], classes=_classes("run", "eat", "jump"))


@pytest.mark.parametrize("verb", [initialize_from, load_for_test])
def test_without_classes_of_the_data_the_classifier_stays(named, verb):
    (source, path), model = named, Net()
    verb(model, path)
    _assert_same(model, source)


def _of_images(name, value):
    """A tensor of our MF-Net as the authors' network for images has it."""
    name = re.sub(r"^s1\.pathway0_stem\.", "conv1.", name)
    name = re.sub(r"^s5\.pathway0_tail\.", "tail.", name)
    name = name.replace("head.projection.", "classifier.")
    unit = re.compile(r"s(\d)\.pathway0_res(\d)\.(.+)")
    name = unit.sub(lambda m: f"conv{m[1]}.B{int(m[2]) + 1:02d}.conv_{m[3]}", name)
    return name, value.sum(2) if value.ndim == 5 else value


@pytest.mark.slow
def test_mfnet_starts_from_its_authors_weights_of_images(tmp_path):
    """Names and the division by the frames of a kernel are those of cypw/PyTorch-MFNet."""
    model = small_model("MFNet", **{"MODEL.NUM_CLASSES": 4})
    own = {name: value + 1 for name, value in small_model("MFNet").state_dict().items()}
    torch.save(dict(_of_images(*item) for item in own.items()), tmp_path / "MFNet2D.pth")
    report = initialize_from(model, tmp_path / "MFNet2D.pth")
    assert report.layout == "MF-Net" and not report.missing and not report.unexpected
    for name, value in model.state_dict().items():
        if not name.startswith("head."):
            expected = own[name].mean(2, keepdim=True) if value.ndim == 5 else own[name]
            torch.testing.assert_close(value, expected.expand_as(value))
