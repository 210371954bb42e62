"""Options of DistributedDataParallel, in two processes."""

import pytest
import torch
from torch import nn

from slowfast.config.cli import load_cfg
from slowfast.engine.run import wrap_distributed
from slowfast.runtime.device import clip_layout, place_model
from slowfast.tasks import build_task

CPU = torch.device("cpu")
OPTIONS = {
    "plain": {},
    "view": {"gradient_as_bucket_view": True},
    "static": {"static_graph": True},
    "bfloat16": {"gradients": "bfloat16"},
}


def _gradients_of_two_steps(rank, folder):
    found = {}
    for name, options in OPTIONS.items():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv3d(2, 3, 3), nn.ReLU(), nn.Conv3d(3, 1, 1))
        network = wrap_distributed(model, CPU, **options)
        for step in range(2):
            model.zero_grad(set_to_none=True)
            x = torch.linspace(-1, 1, 250).view(1, 2, 5, 5, 5) * (rank + step + 1)
            network(x).square().mean().backward()
        found[name] = [parameter.grad.clone() for parameter in model.parameters()]
    if rank == 0:
        torch.save(found, folder / "gradients.pt")


@pytest.mark.slow
def test_gradients_are_the_same_but_for_their_number_type(run_in_two, tmp_path):
    run_in_two(_gradients_of_two_steps, tmp_path)
    found = torch.load(tmp_path / "gradients.pt")
    for name in ("view", "static"):
        assert all(map(torch.equal, found[name], found["plain"])), name
    torch.testing.assert_close(found["bfloat16"], found["plain"], rtol=2**-6, atol=1e-3)
    assert not all(map(torch.equal, found["bfloat16"], found["plain"]))


@pytest.mark.parametrize("name", ["contiguous", "channels_last_3d"])
def test_clips_and_weights_take_the_layout_that_is_asked_for(name, toy_cfg):
    layout = clip_layout(CPU, name)
    model = place_model(nn.Conv3d(2, 3, 3), CPU, name)
    assert model.weight.is_contiguous(memory_format=layout)
    task = build_task(toy_cfg("MEMORY_FORMAT", name))
    batch = {"clips": [torch.zeros(2, 3, 2, 4, 4)], "labels": torch.tensor([0, 1])}
    (clip,) = task.prepare(batch, CPU)["clips"]
    assert clip.is_contiguous(memory_format=layout)


def test_a_static_graph_is_refused_where_passes_differ(toy_yaml):
    words = ["DDP.STATIC_GRAPH", "True", "TRAIN.ACCUMULATION_STEPS", "2", "ADAPTIVE.ENABLE", "True"]
    with pytest.raises(ValueError, match=r"(?s)ADAPTIVE.ENABLE: True must be.*STEPS: 2 must be 1"):
        load_cfg(toy_yaml, words)
