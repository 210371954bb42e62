"""The table of published numbers, and what is made from it."""

import json
import re
import shlex

import pytest
import torch

from slowfast.config.cli import load_cfg
from slowfast.models import build_model
from tests.helpers.paths import GOLDENS, ROOT
from tests.models.test_a3d_tables import SLOW_GMACS, SLOWFAST_GMACS
from tools import recipes

ROWS = list(recipes.read_rows())
OF_CONFIGS = [row for row in ROWS if "config" in row]
COMPLEXITY = json.loads((GOLDENS / "complexity.json").read_text())
PATHS = recipes.recipes()
PAPER_RECIPES = json.loads((GOLDENS / "paper_recipes.json").read_text())


def row_id(row):
    return f"{row['source']}, {row['table']}, {row['name']}"


def rows(condition):
    chosen = [row for row in ROWS if condition(row)]
    return {"argvalues": chosen, "ids": list(map(row_id, chosen))}


def unit_of(printed):
    """One unit of the last printed place, by which papers round and truncate."""
    return 10.0 ** -len(printed.partition(".")[2])


def agrees(printed, counted):
    return abs(float(printed) - counted) <= unit_of(printed) + 1e-9


def gmacs(row):
    if "point" in row:
        width, frames, crop = row["point"].split(",")
        table = SLOWFAST_GMACS if "SLOWFAST" in row["config"] else SLOW_GMACS
        return table[float(width), int(frames), int(crop)]
    counted = COMPLEXITY[f"configs/{row['config']}.yaml"]
    return counted["macs_train" if row.get("crop") == "train" else "macs_test"] / 1e9


def params(row):
    return COMPLEXITY[f"configs/{row['config']}.yaml"]["params"] / 1e6


def load(row):
    """The config as the command of the row has it; a table of budgets does not train."""
    options = shlex.split(row.get("options", "")) + ["TRAIN.ENABLE", "False"] * ("point" in row)
    return load_cfg(ROOT / "configs" / f"{row['config']}.yaml", options)


@pytest.mark.parametrize("row", **rows(lambda row: True))
def test_row_has_one_thing_that_runs_it_or_says_what_is_missing(row):
    assert len(row.keys() & {"config", "command", "missing"}) == 1
    assert "data" in row or "config" not in row


@pytest.mark.parametrize("row", **rows(lambda row: "config" in row))
def test_config_of_a_row_loads_with_its_options(row, caplog):
    load(row)
    assert not caplog.records


@pytest.mark.parametrize("row", **rows(lambda row: "views" in row and "config" in row))
def test_config_of_a_row_is_tested_with_the_views_of_the_table(row):
    cfg = load(row)
    views = f"{cfg.TEST.NUM_ENSEMBLE_VIEWS} x {cfg.TEST.NUM_SPATIAL_CROPS}"
    assert views == row["views"] or "K clips" in row["name"] or row.get("is_recipe") == "False"


@pytest.mark.parametrize("row", **rows(lambda row: "gflops" in row and "config" in row))
def test_gflops_are_those_counted_here(row):
    assert agrees(row["gflops"], gmacs(row)) or "known" in row


WITH_NORM = rows(lambda row: {"params", "config"} <= row.keys() and row.get("norm") != "False")
WITHOUT_NORM = rows(lambda row: {"params", "config"} <= row.keys() and row.get("norm") == "False")


@pytest.mark.parametrize("row", **WITH_NORM)
def test_parameters_are_those_counted_here(row):
    assert agrees(row["params"], params(row)) or "known" in row


STATED = re.compile(r"# Size: .* \((?P<params>[\d.]+) M without batch norm\)")


@pytest.mark.parametrize("row", **WITHOUT_NORM)
def test_parameters_without_batch_norm_are_those_of_the_header(row):
    text = (ROOT / "configs" / f"{row['config']}.yaml").read_text()
    assert agrees(row["params"], float(STATED.search(text)["params"]))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({row["config"] for row in WITHOUT_NORM["argvalues"]}))
def test_header_states_the_parameters_without_batch_norm(name):
    path = ROOT / "configs" / f"{name}.yaml"
    with torch.device("meta"):
        model = build_model(load_cfg(path))
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm3d)]
    num_norm = sum(parameter.numel() for norm in norms for parameter in norm.parameters())
    counted = COMPLEXITY[f"configs/{name}.yaml"]["params"] - num_norm
    assert float(STATED.search(path.read_text())["params"]) * 1e6 == pytest.approx(
        counted, abs=5001
    )


@pytest.mark.parametrize("row", **rows(lambda row: "known" in row))
def test_known_disagreement_is_one(row):
    sizes = [agrees(row["gflops"], gmacs(row))]
    sizes += [agrees(row["params"], params(row))] if "params" in row else []
    assert not all(sizes)


@pytest.mark.parametrize("row", **rows(lambda row: "command" in row))
def test_command_of_a_row_is_a_tool_or_another_table(row):
    command = row["command"]
    if command.startswith("see "):
        assert any(other["table"] == command.removeprefix("see ") for other in ROWS)
    else:
        assert (ROOT / command.split()[1]).is_file()
        configs = re.findall(r"configs/\S+\.yaml", command)
        assert all((ROOT / config).is_file() for config in configs)


@pytest.mark.parametrize("path", PATHS, ids=recipes.name_of)
def test_header_has_the_published_numbers_of_the_table(path):
    block = re.search(recipes.PUBLISHED, path.read_text())[0]
    expected = recipes.published_block(path, ROWS)
    if expected:
        assert block == expected, "run: python tools/recipes.py headers"
    else:
        assert re.match("# Published: (no|nothing)", block)


@pytest.mark.parametrize("page", ["models", "papers"])
def test_page_is_made_from_the_table(page):
    made = recipes.models_page() if page == "models" else recipes.papers_page(ROWS)
    advice = f"run: python tools/recipes.py {page} > docs/{page}.md"
    assert (ROOT / "docs" / f"{page}.md").read_text() == made, advice


def values_of(group):
    return [(name, group["values"]) for name in group["configs"]]


@pytest.mark.parametrize(
    ("name", "values"), [item for group in PAPER_RECIPES for item in values_of(group)]
)
def test_recipe_has_the_values_of_its_paper(name, values):
    cfg = load_cfg(ROOT / "configs" / f"{name}.yaml")
    for key, value in values.items():
        section, _, leaf = key.rpartition(".")
        found = (cfg[section] if section else cfg)[leaf]
        assert found == (pytest.approx(value) if isinstance(value, float) else value), key
