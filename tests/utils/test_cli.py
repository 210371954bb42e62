"""The frame of the tools: words of a command line, mistakes, Ctrl-C."""

import argparse
import os
import sys

import pytest
import torch

from slowfast.utils import cli


@pytest.fixture
def parser():
    """Of a tool with inputs, an option of one value and one of several."""
    parser = cli.make_parser("A tool.")
    parser.add_argument("inputs", nargs="+")
    cli.add_cfg(parser)
    parser.add_argument("--budgets", nargs="+", type=float, default=[])
    parser.add_argument("--fix", nargs="*")
    parser.add_argument("--size", nargs=2)
    parser.add_argument("--force", action="store_true")
    cli.add_overrides(parser)
    return parser


@pytest.mark.parametrize(
    "words",
    [
        "a b --cfg X.yaml NUM_GPUS 0 SOLVER.BASE_LR -0.1",
        "a b NUM_GPUS 0 SOLVER.BASE_LR -0.1 --cfg X.yaml",
        "--cfg=X.yaml a b NUM_GPUS 0 SOLVER.BASE_LR -0.1",
        "--opts NUM_GPUS 0 --cfg X.yaml a b --opts SOLVER.BASE_LR -0.1",
        "a NUM_GPUS 0 --force b --cfg X.yaml SOLVER.BASE_LR -0.1",
        "a b --cfg X.yaml --size DATA.A DATA.B NUM_GPUS 0 SOLVER.BASE_LR -0.1",
        "a b --cfg X.yaml --fix NUM_GPUS 0 SOLVER.BASE_LR -0.1",
    ],
)
def test_overrides_begin_with_a_key_wherever_they_stand(parser, words):
    args = cli.parse(parser, words.split())
    assert (args.inputs, args.cfg) == (["a", "b"], "X.yaml")
    assert args.overrides == ["NUM_GPUS", "0", "SOLVER.BASE_LR", "-0.1"]


def test_blank_words_are_no_inputs(parser):
    words = ["a", " ", "--cfg", "X.yaml", "", "--opts", "DATA.PATH_LABEL_SEPARATOR", " "]
    args = cli.parse(parser, words)
    assert (args.inputs, args.overrides) == (["a"], words[-2:])


def test_an_option_of_several_values_ends_where_a_key_stands(parser):
    args = cli.parse(parser, "a --cfg x --budgets 1 2.5 DATA.NUM_FRAMES 4".split())
    assert (args.budgets, args.overrides) == ([1, 2.5], ["DATA.NUM_FRAMES", "4"])


def test_a_file_and_a_video_are_inputs_not_keys(parser, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "OUTPUT_DIR").mkdir()
    args = cli.parse(parser, "OUTPUT_DIR IMG_0001.MOV --cfg x".split())
    assert (args.inputs, args.overrides) == (["OUTPUT_DIR", "IMG_0001.MOV"], [])


def test_without_inputs_every_word_that_stands_alone_is_an_override():
    parser = cli.make_parser("A tool.")
    cli.add_cfg(parser)
    cli.add_overrides(parser)
    args = cli.parse(parser, "num_gpus 0 --cfg x".split())
    assert args.overrides == ["num_gpus", "0"]


def test_a_command_has_its_own_help(capsys):
    def add_size(parser):
        parser.add_argument("--size", type=cli.at_least(1))

    commands = {"draw": cli.Command("draw something", add_size, lambda args: None)}
    command, args = cli.parse_command("A tool.", commands, ["draw", "--size", "3"])
    assert command is commands["draw"] and args.size == 3
    for words, shown in ((["-h"], "draw something"), (["draw", "-h"], "--size")):
        with pytest.raises(SystemExit, match="0"):
            cli.parse_command("A tool.", commands, words)
        assert shown in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["paint"], ["draw", "--size", "0"], ["draw", "--siz", "1"]])
def test_a_command_line_that_makes_no_sense_ends_with_2(words):
    def add_size(parser):
        parser.add_argument("--size", type=cli.at_least(1))

    commands = {"draw": cli.Command("draw something", add_size, lambda args: None)}
    with pytest.raises(SystemExit, match="2"):
        cli.parse_command("A tool.", commands, words)


def raising(error):
    def run(_args):
        raise error

    return run


@pytest.mark.parametrize(
    ("run", "code", "line"),
    [
        (lambda args: None, 0, ""),
        (lambda args: 3, 3, ""),
        (raising(ValueError("too small")), 1, "ValueError: too small\n"),
        (raising(FileNotFoundError("gone")), 1, "FileNotFoundError: gone\n"),
        (raising(KeyboardInterrupt), 130, "interrupted\n"),
    ],
    ids=["done", "own code", "mistake", "file", "Ctrl-C"],
)
def test_every_end_has_its_exit_code_and_one_line(run, code, line, capfd):
    assert cli.run_tool(run, cli.make_parser("").parse_args([])) == code
    error = capfd.readouterr().err
    assert error.endswith(line) and error.count("\n") == bool(line)


def test_a_programmers_mistake_keeps_its_traceback():
    with pytest.raises(KeyError):
        cli.run_tool(raising(KeyError("x")), cli.make_parser("").parse_args([]))


def test_threads_are_those_of_the_run_alone():
    parser = cli.make_parser("")
    cli.add_threads(parser)
    seen = []
    before = torch.get_num_threads()
    args = parser.parse_args(["--threads", "3"])
    cli.run_tool(lambda args: seen.append(torch.get_num_threads()), args)
    assert seen == [3] and torch.get_num_threads() == before


def test_a_reader_that_left_is_no_mistake(monkeypatch, capfd):
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        code = cli.run_tool(lambda args: print("a line"), argparse.Namespace())
    assert code == cli.READER_LEFT and "BrokenPipe" not in capfd.readouterr().err
