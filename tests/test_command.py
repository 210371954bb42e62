"""The command `slowfast`."""

import re
import subprocess
import sys

import pytest

from slowfast import __main__ as command
from slowfast.utils.cli import as_typed, typed_as
from tests.helpers.paths import ROOT

HELP = """
import sys
sys.modules["torch"] = None  # importing it fails
from slowfast.__main__ import COMMANDS, main
for name in ["", *COMMANDS]:
    try:
        main([name, "-h"] if name else ["-h"])
    except SystemExit as end:
        assert end.code == 0, name
"""


@pytest.fixture
def given(monkeypatch):
    """Function (*words) -> the words that the tool gets."""
    from slowfast.tools import run_net

    seen = []
    monkeypatch.setattr(run_net, "main", lambda words: seen.append(words) or 0)

    def run(*words):
        assert command.main(words) == 0
        return seen[-1]

    return run


def test_every_tool_of_the_table_has_its_file():
    files = {path.stem for path in (ROOT / "tools").glob("*.py")}
    assert {tool.file for tool in command.COMMANDS.values()} <= files


def test_the_page_of_the_commands_has_a_row_for_each():
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert {*re.findall(r"^\| `(\w+)` \| ", page, re.MULTILINE)} == {*command.COMMANDS}


@pytest.mark.slow
def test_help_names_what_was_typed_and_does_without_torch():
    done = subprocess.run([sys.executable, "-c", HELP], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    usages = re.findall(r"^usage: slowfast (\w+)", done.stdout, re.MULTILINE)
    assert usages == ["COMMAND", *command.COMMANDS]
    assert "tools/" not in done.stdout


def test_train_trains_unless_the_user_says_otherwise(given):
    words = given("train", "--cfg", "x.yaml", "TRAIN.ENABLE", "False")
    assert words == ["TRAIN.ENABLE", "True", "--cfg", "x.yaml", "TRAIN.ENABLE", "False"]


def test_test_only_tests(given):
    words = given("test", "--cfg", "x.yaml")
    assert words == ["TRAIN.ENABLE", "False", "TEST.ENABLE", "True", "--cfg", "x.yaml"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("trian", "'trian' is not a command; did you mean train?"),
        ("qqq", "there are demo, train, "),
    ],
)
def test_a_wrong_name_is_answered_by_near_ones(word, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        command.main([word])
    assert message in capsys.readouterr().err


def test_no_name_shows_all(capsys):
    assert command.main([]) == 2
    output = capsys.readouterr().out
    assert all(f"\n  {name} " in output for name in command.COMMANDS)


def test_mistakes_name_the_commands_too(run_tool):
    code, output = run_tool(command, "predict", "--run", "nowhere", "x.mp4")
    assert code == 1 and "nowhere" in output and "tools/" not in output


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("python tools/run_net.py --cfg X.yaml", "slowfast train --cfg X.yaml"),
        ("write it with `tools/budget.py table`", "write it with `slowfast budget table`"),
        ("analyze.py {arrow}", "slowfast analyze {arrow}"),
        ("torchrun -n 4 tools/predict.py x", "torchrun -n 4 -m slowfast predict x"),
        ("tools/benchmark.py and my_net.py", "tools/benchmark.py and my_net.py"),
    ],
)
def test_texts_of_tools_get_the_names_of_the_command(text, typed):
    names = {"run_net": "train", "budget": "budget", "analyze": "analyze", "predict": "predict"}
    with typed_as("slowfast x", {file: f"slowfast {name}" for file, name in names.items()}):
        assert as_typed(text) == typed
    assert as_typed(text) == text
