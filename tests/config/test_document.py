"""Help on config keys, in a terminal and in docs/config.md."""

import pytest

from slowfast.config.cli import parse_args
from slowfast.config.defaults import get_cfg
from slowfast.config.document import help_text, markdown, read_sections
from slowfast.config.node import ConfigNode
from tests.config.test_unsupported import REFERENCE, keys
from tests.helpers.paths import ROOT

SECTIONS = read_sections()
KEYS = {key.name: key for section in SECTIONS for key in section.keys}


def test_docs_are_made_from_the_defaults():
    stale = "docs/config.md is stale: python -m slowfast.config.document > docs/config.md"
    assert (ROOT / "docs/config.md").read_text() == markdown(), stale


def test_every_key_has_its_place_and_comment():
    assert sorted(KEYS) == sorted(keys(get_cfg()))
    assert [name for name, key in KEYS.items() if not key.comment] == []
    assert {section.name for section in SECTIONS} == {"", *_sections()}


def _sections(node: ConfigNode | None = None, prefix: str = "") -> set[str]:
    """Sections, and all those inside of them, the open ones without keys of their own too."""
    found = set()
    for name, value in (get_cfg() if node is None else node).items():
        if isinstance(value, dict):
            found |= {prefix + name, *_sections(value, f"{prefix}{name}.")}
    return found


def test_ours_are_the_keys_that_the_reference_lacks():
    marked = {
        key.name
        for section in SECTIONS
        for key in section.keys
        if key.comment.startswith("Ours. ") or section.comment.startswith("Ours, the whole section")
    }
    assert marked == set(KEYS) - REFERENCE


@pytest.mark.parametrize(
    ("name", "default", "allowed"),
    [
        ("TRAIN.BATCH_SIZE", 64, "a whole number, at least 1 and at most 1000000"),
        ("SOLVER.OPTIMIZING_METHOD", "sgd", "'sgd', 'adam' or 'adamw'"),
        ("SOLVER.CLIP_GRAD_VAL", None, "above 0, or None for no clipping"),
        ("AUG.ENABLE", False, "True or False"),
        ("AUG.RE_PROB", 0.25, "a number, within 0..1"),
        ("OUTPUT_DIR", ".", "text, not empty"),
        ("DATA.MEAN", [0.45, 0.45, 0.45], "a list"),
    ],
)
def test_key_has_its_default_and_limits(name, default, allowed):
    assert (KEYS[name].default, KEYS[name].allowed) == (default, allowed)


def test_comment_of_several_lines_is_joined():
    assert KEYS["MODEL.ARCH"].comment.endswith("i3d_nopool. Other models do not read it.")


@pytest.mark.parametrize("words", [["--help-config"], ["--cfg", "x.yaml", "--help-config"]])
def test_all_keys_are_printed(words, capsys):
    with pytest.raises(SystemExit) as caught:
        parse_args(words)
    text = capsys.readouterr().out
    assert caught.value.code == 0 and all(f"{name} = " in text for name in KEYS)
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("name", ["MIXUP", "mixup"])
def test_one_section_is_printed(name, capsys):
    with pytest.raises(SystemExit):
        parse_args(["--help-config", name])
    text = capsys.readouterr().out
    assert [line.split()[0] for line in text.splitlines() if " = " in line] == [
        key for key in KEYS if key.startswith("MIXUP.")
    ]


def test_one_key_is_printed():
    assert help_text("TRAIN.ENABLE") == (
        "TRAIN.ENABLE = True (True or False)\n    Train; False only tests.\n"
    )


def test_key_that_is_not_supported_has_its_reason():
    assert help_text("MVIT.REV.RES_PATH") == (
        "MVIT.REV.RES_PATH is not supported: reversible MViT is not part of this project\n"
    )


def test_wrong_section_names_the_near_ones(capsys):
    with pytest.raises(SystemExit) as caught:
        parse_args(["--help-config", "TRIAN"])
    error = capsys.readouterr().err
    assert caught.value.code == 2
    assert "'TRIAN' is not a section or key; did you mean TRAIN or TRN?" in error
    assert "The sections are BN" in error
