import pytest

from slowfast.config.checks import check_cfg
from slowfast.config.defaults import get_cfg
from slowfast.config.derived import parse_budget


@pytest.mark.parametrize(
    ("text", "cost", "limit"),
    [
        ("10G", "gmacs", 10.0),
        ("4.5 G", "gmacs", 4.5),
        ("500M", "gmacs", 0.5),
        ("50ms", "latency_ms", 50.0),
        (".5 ms", "latency_ms", 0.5),
    ],
)
def test_a_budget_is_a_number_with_its_unit(text, cost, limit):
    budget = parse_budget(text)
    assert (budget.cost, budget.limit, budget.text) == (cost, limit, text)


@pytest.mark.parametrize(
    "text",
    ["10", "G", "0G", "-1G", "1e3M", "10 GB", "1G 2G", "nan", "1s", "50m", "9" * 400 + "G"],
)
def test_anything_else_is_an_error_that_says_the_form(text):
    with pytest.raises(ValueError, match="TEST.BUDGET: .*like 10G or 500M, or .* like 50ms"):
        parse_budget(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["TEST.BUDGET", "10"], "TEST.BUDGET: '10' is not a number"),
        (["TEST.BUDGET_TABLE", "x.json"], "TEST.BUDGET_TABLE: 'x.json' needs TEST.BUDGET"),
        (["TEST.BUDGET", "1G", "DETECTION.ENABLE", True], "must be empty with DETECTION.ENABLE"),
        (["DATA.SAMPLED_FRAMES", 4], "DATA.SAMPLED_FRAMES: 4 must be 0, or at least"),
    ],
)
def test_the_config_is_checked(options, message):
    cfg = get_cfg()
    cfg.merge_from_list(options)
    with pytest.raises(ValueError, match=message):
        check_cfg(cfg)


def test_numbers_of_a_yaml_stay_what_the_user_wrote(tmp_path):
    (tmp_path / "x.yaml").write_text("TEST: {BUDGET: 10G}")
    cfg = get_cfg()
    cfg.merge_from_file(tmp_path / "x.yaml")
    check_cfg(cfg)
    assert cfg.TEST.BUDGET == "10G"
