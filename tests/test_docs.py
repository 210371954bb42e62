"""Commands in README.md and docs/: the tools understand them, and the configs load with their keys.

A comment above a block, <!-- not run: WHY -->, leaves its programs of others alone; our own are
read all the same. <!-- run --> runs the block on tiny data.
"""

import importlib
import re
import shlex
import shutil
from pathlib import Path

import pytest

from slowfast import __main__ as command
from slowfast.config.cli import load_cfg
from slowfast.shipped import config_path
from tests.helpers.paths import ROOT
from tests.helpers.shell_blocks import commands_of, of_table, read_blocks
from tests.helpers.tested_run import write_tested_run

MADE = {"config.md", "models.md", "papers.md"}  # tests/tools/test_recipes.py has their commands
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = {path.relative_to(ROOT).as_posix(): path for path in PAGES if path.name not in MADE}
# Programs that are not ours.
OTHERS = {"git", "pip", "hf", "aws", "source", "ffmpeg", "python3", "docker"}
# Configs that stand for the reader's own: a recipe of their kind.
STAND_INS = {"A3D.yaml": "A3D_X3D_M", "START.yaml": "demo/x2d_motion"}
STAND_INS["mine.yaml"] = "demo/x3d_motion"


class Understood(Exception):
    """The words were parsed; nothing is run."""


@pytest.fixture
def parsed(monkeypatch):
    """Function (module, words) -> the arguments with which the tool would run."""
    seen = []

    def stop(run, args, **_):
        seen.append(args)
        raise Understood

    def parse(module, words):
        tool = importlib.import_module(module)
        for name in {module, "slowfast.tools.run_net"}:
            target = importlib.import_module(name)
            if hasattr(target, "run_tool"):
                monkeypatch.setattr(target, "run_tool", stop)
        with pytest.raises(Understood):
            tool.main(list(words))
        return seen[-1]

    return parse


def our_call(words: list[str]) -> tuple[str, list[str]] | None:
    """Module and words that a command calls, or None for a program that is not ours."""
    program, *words = without_launcher(words)
    if program == "slowfast" and words and not words[0].startswith("-"):
        tool = command.COMMANDS[words[0]]
        return f"slowfast.tools.{tool.file}", [*tool.words, *words[1:]]
    if program == "python" and words[0].startswith("tools/"):
        return f"slowfast.tools.{Path(words[0]).stem}", words[1:]
    return None


def without_launcher(words: list[str]) -> list[str]:
    """The command that torchrun, srun or sbatch start, spelled as without them."""
    if words[0] not in ("torchrun", "srun", "sbatch", "python"):
        return words
    if "--wrap" in words:
        return shlex.split(words[-1])
    for number, word in enumerate(words):
        if word == "slowfast":  # also behind python -m
            return words[number:]
        if word == "tools/slurm.sbatch":
            return ["slowfast", "train", *words[number + 1 :]]
        if word.startswith("tools/"):
            return ["python", *words[number:]]
    return words


def check_config(args) -> None:
    """Load the config that a tool would load; a file of the reader's own has a recipe's keys."""
    given = vars(args)
    configs = given.get("cfg") or given.get("recipe") or []
    if given.get("imports"):  # a module of the reader's own: tests/test_extend.py
        return
    for text in [configs] if isinstance(configs, str) else configs:
        if text.endswith(".yaml") and not (ROOT / text).exists():
            text = STAND_INS.get(Path(text).name, "X3D_S")
        load_cfg(config_path(text), given.get("overrides") or [])


@pytest.mark.parametrize("page", PAGES)
def test_commands_are_understood(page, tmp_path, parsed, monkeypatch):
    monkeypatch.chdir(ROOT)
    for block in read_blocks(PAGES[page]):
        for words in commands_of(block.text, tmp_path):
            place = f"{page}:{block.line}: {' '.join(words)}"
            check_words(words, block.note, place, parsed)


def check_words(words, note, place, parsed):
    """One command of a block."""
    if words[0] in OTHERS:
        assert note.startswith("not run: "), f"{place}: say above the block why it is not run"
    elif words[0] == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {word for word in words[1:] if "=" not in word} <= set(targets), place
    elif call := our_call(words):
        try:
            check_config(parsed(*call))
        except (SystemExit, ValueError) as error:
            pytest.fail(f"{place}: {error}")


@pytest.mark.parametrize(
    "words", of_table(ROOT / "README.md", "One command for each job"), ids=" ".join
)
def test_command_of_the_table_is_understood(words, parsed, monkeypatch):
    monkeypatch.chdir(ROOT)
    if call := our_call(words):
        check_config(parsed(*call))


@pytest.fixture
def desk(tmp_path, make_run, video_dir, monkeypatch):
    """Function (text) -> the current folder, with the runs and videos that the commands name."""
    monkeypatch.chdir(tmp_path)

    def lay_out(text):
        (tmp_path / "outputs").mkdir()
        for name in re.findall(r"outputs/(\w+)", text) or ["a", "b"]:
            if name == "mine":
                make_run("outputs/mine")
            else:
                write_tested_run(tmp_path / "outputs" / name, [n % 3 > 0 for n in range(12)])
        (tmp_path / "folder").mkdir()
        shutil.copy(video_dir / "video0.mp4", "clip.mp4")
        shutil.copy(video_dir / "video1.mp4", "folder")
        return tmp_path

    return lay_out


RUN = {
    f"{page}:{block.line}": block.text
    for page, path in PAGES.items()
    for block in read_blocks(path)
    if block.note == "run"
}


@pytest.mark.slow
@pytest.mark.parametrize("text", RUN.values(), ids=RUN)
def test_block_runs(text, desk):
    for words in commands_of(text, desk(text)):
        assert words[0] == "slowfast" and command.main(words[1:]) == 0, words


def test_pages_that_messages_name_exist():
    sources = [path for folder in ("slowfast", "tools") for path in (ROOT / folder).rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    named = set(re.findall(r"docs/[\w/-]+\.md", text))
    assert {page for page in named if not (ROOT / page).is_file()} == set() != named


def test_readme_is_an_entrance():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 150
    pictures = re.findall(r"\]\((docs/images/\S+\.png)\)", text)
    assert len(pictures) == 3
    assert all((ROOT / path).stat().st_size < 300_000 for path in pictures)


MODELS = re.findall(r"^\| .* \| `(Kinetics/\S+)` \| (.*) \|$", PAGES["README.md"].read_text(), re.M)


@pytest.mark.parametrize(("name", "cells"), MODELS, ids=dict(MODELS))
def test_numbers_of_the_model_table_are_those_of_all_recipes(name, cells):
    link = f"configs/{name}.yaml)"
    row = next(line for line in (ROOT / "docs/models.md").read_text().splitlines() if link in line)
    params, gmacs, top1, views = cells.split(" | ")
    assert f"{params} parameters" in row and gmacs in row
    assert re.search(rf"K400 top-1 {re.escape(top1)}\b[^)]*{views} views", row)
