import pytest
import torch
from torch import nn

from slowfast.models.norm import SubBatchNorm3d, SyncBatchNorm3d
from slowfast.solver.precise_bn import update_bn_stats


def _batches(count=5, size=4):
    generator = torch.Generator().manual_seed(0)
    return [
        [torch.randn(size, 3, 2, 4, 4, generator=generator) * (i + 1) + i] for i in range(count)
    ]


def _update(model, batches):
    update_bn_stats(model, batches, lambda clips: model(clips[0]))


NORMS = [nn.BatchNorm3d, SyncBatchNorm3d, lambda dim: SubBatchNorm3d(dim, 2)]


@pytest.mark.parametrize("norm", NORMS)
def test_statistics_are_those_of_all_values(norm):
    model = norm(3).train()
    batches = _batches()
    _update(model, batches)
    values = torch.cat([batch[0] for batch in batches])
    var, mean = torch.var_mean(values, (0, 2, 3, 4), correction=0)
    model.eval()
    torch.testing.assert_close(model.running_mean, mean)
    torch.testing.assert_close(model.running_var, var)


def test_batches_of_different_size_count_by_their_values():
    model = nn.BatchNorm3d(3)
    batches = _batches(size=4) + _batches(count=2, size=1)
    _update(model, batches)
    values = torch.cat([batch[0] for batch in batches])
    torch.testing.assert_close(model.running_mean, values.mean((0, 2, 3, 4)))


def test_agrees_with_fvcore():
    fvcore = pytest.importorskip("fvcore.nn.precise_bn")
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Conv3d(3, 4, 1), nn.BatchNorm3d(4), nn.ReLU(), nn.BatchNorm3d(4))
    theirs = nn.Sequential(nn.Conv3d(3, 4, 1), nn.BatchNorm3d(4), nn.ReLU(), nn.BatchNorm3d(4))
    theirs.load_state_dict(ours.state_dict())
    batches = _batches()
    _update(ours, batches)
    fvcore.update_bn_stats(theirs, [batch[0] for batch in batches], num_iters=len(batches))
    for name in ("running_mean", "running_var"):
        for index in (1, 3):
            torch.testing.assert_close(getattr(ours[index], name), getattr(theirs[index], name))


def test_frozen_layers_momentum_weights_and_mode_stay():
    model = nn.Sequential(nn.BatchNorm3d(3), nn.BatchNorm3d(3, momentum=0.3))
    model[0].eval()
    _update(model, _batches())
    assert model[0].running_mean.tolist() == [0.0] * 3
    assert model[1].momentum == 0.3 and model[1].training and not model[0].training
    assert model[1].weight.tolist() == [1.0] * 3
    assert not model[1]._forward_pre_hooks


def test_all_parts_of_sub_batch_norm_get_the_same_statistics():
    model = SubBatchNorm3d(3, 2).train()
    _update(model, _batches())
    first, second = model.split_running_mean.chunk(2)
    assert torch.equal(first, second) and torch.equal(first, model.running_mean)


def test_no_hooks_are_left_after_an_error():
    model = nn.BatchNorm3d(3)
    with pytest.raises(RuntimeError, match="boom"):
        update_bn_stats(model, [[]], _fail)
    assert not model._forward_pre_hooks


def test_a_forward_that_bypasses_the_model_is_noticed():
    with pytest.raises(AssertionError, match="forward"):
        update_bn_stats(nn.BatchNorm3d(3), _batches(), lambda clips: None)


def test_model_without_batch_norm_is_left_alone():
    _update(nn.Conv3d(3, 1, 1), _batches())


def _update_in_process(rank, folder):
    model = nn.BatchNorm3d(3)
    _update(model, _batches(count=5)[3 * rank :][:3])
    torch.save(model.state_dict(), folder / f"state_{rank}.pt")


@pytest.mark.slow
def test_processes_end_with_the_statistics_of_all(run_in_two, tmp_path):
    """Three batches for the first process, two for the second."""
    run_in_two(_update_in_process, tmp_path)
    states = [torch.load(tmp_path / f"state_{rank}.pt") for rank in range(2)]
    single = nn.BatchNorm3d(3)
    _update(single, _batches(count=5))
    for name in ("running_mean", "running_var"):
        assert torch.equal(states[0][name], states[1][name])
        torch.testing.assert_close(states[0][name], getattr(single, name))


def _fail(clips):
    raise RuntimeError("boom")
