import pytest
import torch
from torch import nn

from slowfast.models.families.x3d import X3DHead
from slowfast.models.heads import AveragePool, BasicHead, Classifier, MeanLogitsHead
from slowfast.models.network import StageSpec


def classifier(dim_in, activation="softmax", dropout_rate=0.0):
    return Classifier(dim_in, [5], dropout_rate=dropout_rate, activation=activation)


def head(activation="softmax", pool_size=(2, 2, 2), has_bn_lin5=False):
    torch.manual_seed(0)
    return X3DHead(
        StageSpec(depth=1, dim_inner=8, dim_out=4),
        pool=AveragePool(pool_size),
        classifier=classifier(16, activation),
        norm=nn.BatchNorm3d,
        has_bn_lin5=has_bn_lin5,
    )


def maps(frames, size):
    return [torch.randn(2, 4, frames, size, size, generator=torch.Generator().manual_seed(1))]


@pytest.mark.parametrize(("frames", "size"), [(2, 2), (4, 5), (1, 1), (2, 1)])
def test_larger_and_smaller_maps_give_one_row_per_clip(frames, size):
    assert head().eval()(maps(frames, size)).shape == (2, 5)


def test_scores_are_averaged_after_the_activation_in_evaluation():
    model = head().eval()
    logits = []
    model.projection.register_forward_hook(lambda *args: logits.append(args[2]))
    scores = model(maps(2, 3))
    assert logits[0].shape == (2, 1, 2, 2, 5)
    torch.testing.assert_close(scores, logits[0].softmax(-1).mean((1, 2, 3)))


def test_logits_are_averaged_in_training():
    model = head()
    logits = []
    model.projection.register_forward_hook(lambda *args: logits.append(args[2]))
    torch.testing.assert_close(model(maps(2, 3)), logits[0].mean((1, 2, 3)))


def test_s3d_averages_logits_before_the_activation():
    torch.manual_seed(0)
    model = MeanLogitsHead(AveragePool((2, 7, 7)), classifier(4))
    logits = []
    model.projection.register_forward_hook(lambda *args: logits.append(args[2]))
    scores = model.eval()(maps(3, 8))
    assert logits[0].shape == (2, 2, 2, 2, 5)
    torch.testing.assert_close(scores, logits[0].mean((1, 2, 3)).softmax(-1))
    torch.testing.assert_close(model.train()(maps(3, 8)), logits[0].mean((1, 2, 3)))


def test_activations_follow_their_names():
    logits = head("none").eval()(maps(2, 2))
    torch.testing.assert_close(head("sigmoid").eval()(maps(2, 2)), logits.sigmoid())
    torch.testing.assert_close(head("softmax").eval()(maps(2, 2)), logits.softmax(-1))


def test_scores_are_float32_under_autocast():
    model = head().eval()
    with torch.autocast("cpu", torch.bfloat16):
        assert model(maps(2, 2)).dtype == torch.float32


def test_lin5_has_batch_norm_when_asked():
    names = [name for name, _ in head(has_bn_lin5=True).named_children()]
    assert names == ["conv_5", "conv_5_bn", "lin_5", "lin_5_bn", "projection"]


def test_unknown_activation_names_the_key():
    with pytest.raises(ValueError, match="MODEL.HEAD_ACT: 'relu' is not one of .*softmax"):
        head("relu")


def basic_head(pools):
    torch.manual_seed(0)
    return BasicHead(pools, classifier([4, 4])).eval()


TWO_PATHWAYS = [AveragePool((2, 2, 2)), AveragePool((8, 2, 2), 4)]


@pytest.mark.parametrize(
    ("frames", "size", "positions"),
    [(2, 2, (1, 1, 1)), (2, 3, (1, 2, 2)), (3, 2, (2, 1, 1)), (1, 1, (1, 1, 1))],
)
def test_pathways_give_the_same_positions(frames, size, positions):
    model, logits = basic_head(TWO_PATHWAYS), []
    model.projection.register_forward_hook(lambda *args: logits.append(args[2]))
    scores = model([*maps(frames, size), *maps(4 * frames, size)])
    assert logits[0].shape == (2, *positions, 5)
    torch.testing.assert_close(scores, logits[0].softmax(-1).mean((1, 2, 3)))


def test_basic_head_pools_each_pathway_then_concatenates():
    slow, fast = *maps(2, 2), *maps(8, 2)
    model = basic_head(TWO_PATHWAYS)
    features = torch.cat([slow.mean((2, 3, 4)), fast.mean((2, 3, 4))], 1)
    torch.testing.assert_close(model([slow, fast]), model.projection(features).softmax(-1))


def test_a_pool_without_a_size_averages_whole_maps():
    inputs = [*maps(3, 5), *maps(12, 5)]
    expected = basic_head([AveragePool((3, 5, 5)), AveragePool((12, 5, 5), 4)])(inputs)
    torch.testing.assert_close(basic_head([AveragePool(None)] * 2)(inputs), expected)


def test_the_mode_of_the_head_decides_on_dropout_and_activation():
    torch.manual_seed(0)
    model = BasicHead([AveragePool(None)], classifier(4, dropout_rate=0.5))
    model.projection.eval()  # as TRAIN.FREEZE head.projection does
    dropped = [model(maps(2, 2)) for _ in range(4)]
    assert any(not torch.equal(dropped[0], other) for other in dropped)
    model.eval().projection.train()
    torch.testing.assert_close(model(maps(2, 2)).sum(1), torch.ones(2))
