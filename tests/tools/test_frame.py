"""All tools alike: -h without torch, old spellings of options."""

import subprocess
import sys

import pytest

from slowfast.curation import check
from tests.helpers.paths import ROOT
from tools import analyze, average_results, benchmark, budget, convert_checkpoint, dataset, ensemble

COMMANDS = {
    "analyze": analyze._ANALYSES,
    "benchmark": benchmark._BENCHMARKS,
    "budget": budget._COMMANDS,
    "dataset": dataset._COMMANDS,
}
# Runs each tool that is named by a word TOOL or TOOL:COMMAND with -h.
HELP = """
import runpy, sys
sys.modules["torch"] = None  # importing it fails
for word in sys.argv[1:]:
    path, _, command = word.partition(":")
    sys.argv = [path, *([command] if command else []), "-h"]
    sys.path[0] = path.rpartition("/")[0]
    try:
        runpy.run_path(path, run_name="__main__")
    except SystemExit as end:
        assert end.code == 0, word
    else:
        raise AssertionError(word)
"""


@pytest.mark.slow
def test_help_of_every_tool_and_command_does_without_torch():
    words = []
    for path in sorted((ROOT / "tools").glob("*.py")):
        words += [str(path), *(f"{path}:{command}" for command in COMMANDS.get(path.stem, ()))]
    done = subprocess.run(
        [sys.executable, "-c", HELP, *words], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage: ") == len(words)


@pytest.fixture
def parsed(monkeypatch):
    """Function (tool, words) -> the arguments with which the tool would run."""

    def parse(tool, words):
        seen = []
        monkeypatch.setattr(tool, "run_tool", lambda run, args, **_: seen.append(args) or 0)
        assert tool.main(words.split()) == 0
        return vars(seen[0])

    return parse


@pytest.mark.parametrize(
    ("tool", "old", "new"),
    [
        (analyze, "arrow run --out DIR --opts RNG_SEED 7", "arrow run --output DIR RNG_SEED 7"),
        (average_results, "run --out X.csv", "run --output X.csv"),
        (ensemble, "run run2 --out X.csv", "run run2 --output X.csv"),
        (
            budget,
            "table --cfg x --checkpoint w --opts NUM_GPUS 0 --budgets 1G",
            "table --cfg x --checkpoint w --budgets 1G NUM_GPUS 0",
        ),
        (
            budget,
            "extract --cfg x --checkpoint w --output o --config 1,2,3",
            "extract --cfg x --checkpoint w --output o --at 1,2,3",
        ),
        (
            budget,
            "compare --cfg x --output o --adaptive w --configs 1,2,3",
            "compare --cfg x --output o --adaptive w --at 1,2,3",
        ),
    ],
)
def test_old_spellings_mean_the_same(parsed, tool, old, new):
    assert parsed(tool, old) == parsed(tool, new)


def test_the_output_of_a_conversion_may_stand_behind_the_input(parsed):
    old = parsed(convert_checkpoint, "in.pkl out.pyth --cfg x NUM_GPUS 0")
    new = parsed(convert_checkpoint, "in.pkl --output out.pyth --cfg x --opts NUM_GPUS 0")
    assert old == new
    for words in (["in.pkl"], ["in.pkl", "out.pyth", "--output", "out.pyth"]):
        with pytest.raises(SystemExit, match="2"):
            convert_checkpoint.main([*words, "--cfg", "x"])


def test_the_faults_that_fix_takes_are_those_of_the_check():
    assert dataset.FAULTS == check.KINDS
