import torch

from slowfast.engine.step import SeededPasses
from slowfast.tasks import build_task


def test_sums_of_a_pass_are_over_all_that_is_labelled(toy_cfg):
    task = build_task(toy_cfg())
    make = SeededPasses(
        task, device=torch.device("cpu"), autocast=torch.autocast("cpu", enabled=False), seed=0
    )
    batch = {"clips": [torch.zeros(2, 3, 1, 1, 1)], "labels": torch.tensor([0, 1])}
    logits = torch.tensor([[2.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
    (forward,), count = make(lambda clips: logits, batch, (0, 0, 0))
    loss, sums = forward()
    assert count == 2 and all(value.dtype == torch.float64 for value in sums.values())
    expected = {"loss": 2 * loss.item(), "top1_acc": 100, "top5_acc": 200}
    assert {name: value.item() for name, value in sums.items()} == expected
