"""Activations that the backward pass computes again."""

import pytest
import torch
from torch import nn

from slowfast.models.build import MODELS, recompute
from tests.helpers.slow import slow
from tests.helpers.small_networks import clips, small_model

QUICK = ["SlowFast", "X3D"]
OTHERS = sorted(set(MODELS) - {*QUICK, "external", "MViT"})


def trained(family, **keys):
    """Gradients and buffers after a step with dropped activations, and branches where there are."""
    if family == "X3D":
        keys["MODEL.DROPCONNECT_RATE"] = 0.5
    model = small_model(family, **{"RESNET.DEPTH": 50 if family == "bLVNet" else 18, **keys})
    torch.manual_seed(0)
    output = model(clips(family, num=4))
    getattr(output, "logits", output).square().sum().backward()
    return [p.grad for p in model.parameters()], dict(model.named_buffers())


@pytest.mark.slow
@pytest.mark.parametrize("family", [*QUICK, *slow(OTHERS)])
def test_gradients_and_statistics_are_those_of_a_plain_step(family):
    (gradients, buffers), (others, again) = (
        trained(family, **{"MODEL.ACT_CHECKPOINT": is_on}) for is_on in (False, True)
    )
    torch.testing.assert_close(others, gradients, rtol=0, atol=0)
    torch.testing.assert_close(again, buffers, rtol=0, atol=0)


@pytest.mark.slow
def test_parts_of_the_batch_keep_their_statistics():
    keys = {"BN.NORM_TYPE": "sub_batchnorm", "BN.NUM_SPLITS": 2}
    (_, buffers), (_, again) = (
        trained("X3D", **keys, **{"MODEL.ACT_CHECKPOINT": is_on}) for is_on in (False, True)
    )
    torch.testing.assert_close(again, buffers, rtol=0, atol=0)


def test_only_the_ends_of_stages_are_kept():
    sizes = []
    for is_on in (False, True):
        model, kept = small_model("X3D", **{"MODEL.ACT_CHECKPOINT": is_on}), []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda x, kept=kept: kept.append(x.numel()) or x, lambda x: x
        ):
            model(clips("X3D"))
        sizes.append(sum(kept))
    assert sizes[1] < 0.3 * sizes[0]


def test_a_network_without_known_parts_is_refused():
    with pytest.raises(ValueError, match="MODEL.ACT_CHECKPOINT: True must be False with MODEL"):
        recompute(nn.Linear(1, 1), "external")
