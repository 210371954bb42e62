import json

import pytest

from slowfast.config.defaults import get_cfg
from slowfast.solver.lr_schedule import build_lr_schedule, cosine_lr, step_lr, with_warmup
from tests.helpers.paths import GOLDENS

TABLES = json.loads((GOLDENS / "lr.json").read_text())


def _cfg(**solver):
    cfg = get_cfg()
    for key, value in solver.items():
        cfg.SOLVER[key] = value
    return cfg


@pytest.mark.parametrize("name", TABLES)
def test_published_schedules(name):
    schedule = build_lr_schedule(_cfg(**TABLES[name]["solver"]))
    for epoch, expected in TABLES[name]["points"]:
        assert schedule(epoch) == pytest.approx(expected, rel=1e-12, abs=1e-18), epoch


def test_cosine_ends_at_end_lr():
    assert cosine_lr(10, base_lr=0.1, end_lr=0.01, max_epoch=10) == pytest.approx(0.01)


def test_step_changes_at_the_step_itself():
    rates = [step_lr(e, base_lr=1.0, steps=[0, 2], factors=[1, 0.1, 0.01]) for e in (0, 1.99, 2, 9)]
    assert rates == [1.0, 1.0, 0.1, 0.1]


def test_warmup_is_a_line_to_the_schedule():
    schedule = with_warmup(lambda epoch: 1.0 - epoch / 10, num_epochs=2, start_lr=0.0)
    assert [schedule(e) for e in (0, 1, 2, 5)] == pytest.approx([0.0, 0.4, 0.8, 0.5])


def test_num_shards_scale_all_rates():
    solver = {"BASE_LR": 0.1, "COSINE_END_LR": 0.001, "WARMUP_EPOCHS": 2.0, "MAX_EPOCH": 10}
    single = build_lr_schedule(_cfg(**solver))
    cfg = _cfg(**solver, BASE_LR_SCALE_NUM_SHARDS=True)
    cfg.NUM_SHARDS = 4
    scaled = build_lr_schedule(cfg)
    for epoch in (0, 1, 2, 7.5, 10):
        assert scaled(epoch) == pytest.approx(4 * single(epoch), rel=1e-12)


def test_unknown_policy_names_the_key():
    with pytest.raises(ValueError, match="SOLVER.LR_POLICY: 'linear'.*cosine"):
        build_lr_schedule(_cfg(LR_POLICY="linear"))


def test_cosine_after_a_warmup_of_all_epochs_is_refused():
    with pytest.raises(ValueError, match="SOLVER.WARMUP_EPOCHS"):
        build_lr_schedule(_cfg(COSINE_AFTER_WARMUP=True, WARMUP_EPOCHS=5.0, MAX_EPOCH=5))


def test_step_at_the_end_needs_no_rate_even_where_the_warmup_ends_there():
    solver = {"LR_POLICY": "steps_with_relative_lrs", "MAX_EPOCH": 3, "WARMUP_EPOCHS": 3.0}
    schedule = build_lr_schedule(_cfg(**solver, BASE_LR=1.0, STEPS=[0, 1, 3], LRS=[1, 0.5]))
    assert schedule(3) == 0.5
