import pytest

from tools import model_info


@pytest.mark.parametrize(
    "content, problem",
    [
        ("MODEL: [1\n", "not valid YAML"),
        ("MODEL:\n  NAME: x\n", "MODEL.NAME is not a known key"),
        ("TRAIN:\n  BATCH_SIZE: 0\n", "TRAIN.BATCH_SIZE: 0"),
        ("_BASE_: gone.yaml\n", "gone.yaml: cannot read"),
    ],
    ids=["YAML", "key", "value", "base"],
)
def test_mistake_names_the_config_once(run_tool, tmp_path, content, problem):
    path = tmp_path / "config.yaml"
    path.write_text(content)
    code, message = run_tool(model_info, path)
    assert code == 1 and problem in message and f"ValueError: {path}" in message
    assert message.count("config.yaml") == 1


@pytest.mark.slow
def test_table_by_module_sums_up(run_tool, toy_yaml):
    code, output = run_tool(model_info, toy_yaml, "--by-module", "--depth", 1)
    assert code == 0
    table = output.partition(f"\n{toy_yaml}\n")[2]
    lines = [line.split() for line in table.splitlines()[2:]]
    rows = {name: [float(cell) for cell in cells] for name, *cells in lines}
    whole = rows.pop("all")
    assert list(rows) == ["s1", "s2", "s3", "s4", "s5", "head"]
    for total, *parts in zip(whole, *rows.values(), strict=True):
        assert sum(parts) == pytest.approx(total, abs=0.002)
