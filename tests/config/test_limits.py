"""Limits beside the defaults."""

import pickle

import pytest

from slowfast.config.checks import check_cfg
from slowfast.config.defaults import get_cfg
from slowfast.config.limits import Above, AtLeast, OneOf, Share
from slowfast.models.families.s3d import VARIANTS

LIMITS = {key: limit for key, _, limit in get_cfg().limits()}


def of_kind(kind: type) -> list[str]:
    return [key for key, limit in LIMITS.items() if isinstance(limit, kind)]


def mistakes(key, value) -> str:
    cfg = get_cfg()
    cfg.merge_from_list([key, value])
    with pytest.raises(ValueError) as caught:
        check_cfg(cfg)
    return str(caught.value)


@pytest.mark.parametrize("key", of_kind(OneOf))
def test_value_outside_its_list_is_named_with_the_list(key):
    values = list(LIMITS[key].values)
    wrong = -1 if isinstance(values[0], int) else "wrong"
    assert mistakes(key, wrong) == f"{key}: {wrong!r} is not one of {values}"


@pytest.mark.parametrize("key", of_kind(AtLeast))
def test_value_below_its_bound_is_named_with_the_bound(key):
    least = LIMITS[key].least
    assert mistakes(key, least - 1).startswith(f"{key}: ")
    assert f" must be at least {least}" in mistakes(key, least - 1)


@pytest.mark.parametrize("key", of_kind(Share))
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_share_outside_0_1_is_named(key, value):
    assert mistakes(key, value) == f"{key}: {value} must lie within 0..1"


@pytest.mark.parametrize("value", [0.0, 1.1, float("nan")])
def test_width_must_be_a_share_above_0(value):
    assert mistakes("MODEL.WIDTH", value) == f"MODEL.WIDTH: {value} must be above 0 and at most 1"


def test_kinds_and_numbers_of_limits():
    """The tests above are parametrised by these: an empty list of keys would pass unseen."""
    counts = [len(of_kind(kind)) for kind in (OneOf, AtLeast, Share, Above)]
    least = [24, 45, 12, 5]
    assert all(count >= at_least for count, at_least in zip(counts, least, strict=True)), counts


def test_none_passes_where_it_has_a_meaning():
    limit = LIMITS["SOLVER.CLIP_GRAD_VAL"]
    assert list(limit.mistakes(None)) == []
    assert list(limit.mistakes(0.0)) == ["0.0 must be above 0, or None for no clipping"]


def test_default_is_a_plain_value_and_its_limit_goes_with_copies():
    cfg = get_cfg()
    assert type(cfg.TRAIN.BATCH_SIZE) is int
    for copied in (cfg.clone(), pickle.loads(pickle.dumps(cfg))):
        copied.TRAIN.BATCH_SIZE = 0
        with pytest.raises(ValueError, match="^TRAIN.BATCH_SIZE: 0 must be at least 1 and at"):
            check_cfg(copied)


def test_variants_of_s3d_are_its_choices():
    assert LIMITS["S3D.VARIANT"].values == ("", *VARIANTS)
