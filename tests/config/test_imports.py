"""Modules outside the package: found, imported, and their rules heeded."""

import subprocess
import sys

import pytest

from slowfast.config.checks import check_cfg, register_exclusion, register_rule, rules
from slowfast.config.cli import import_modules, load_cfg, load_cfg_from_args, parse_args
from slowfast.config.defaults import get_cfg

RULE = """
from slowfast.config.checks import register_rule

@register_rule("USER", "LOG_PERIOD")
def check_mine(user, period):
    if user.get("LIMIT", period) < period:
        yield f"LOG_PERIOD: {period} must be at most USER.LIMIT {user.LIMIT}"
"""
SMALL = "DATA: {INPUT_CHANNEL_NUM: [3]}\nNUM_GPUS: 0\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, whose modules and rules are forgotten afterwards."""
    (tmp_path / "small.yaml").write_text(SMALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(rules, "_RULES", list(rules._RULES))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.mark.parametrize("is_package", [False, True])
def test_module_of_the_current_folder_is_imported_and_its_rule_holds(folder, is_package):
    path = folder / ("my_rules/__init__.py" if is_package else "my_rules.py")
    path.parent.mkdir(exist_ok=True)
    path.write_text(RULE)
    opts = ["IMPORTS", ["my_rules"], "LOG_PERIOD", 5, "USER.LIMIT"]
    assert load_cfg("small.yaml", [*opts, 5]).IMPORTS == ["my_rules"]
    with pytest.raises(ValueError, match="^LOG_PERIOD: 5 must be at most USER.LIMIT 4$"):
        load_cfg("small.yaml", [*opts, 4])


@pytest.mark.parametrize("path", ["plugins/my_file.py", "plugins/my_folder"])
def test_path_is_imported(folder, path):
    (folder / "plugins/my_folder").mkdir(parents=True)
    (folder / "plugins/my_file.py").touch()
    (folder / "plugins/my_folder/__init__.py").touch()
    import_modules([str(folder / path), path])
    assert path.split("/")[-1].removesuffix(".py") in sys.modules


def test_flags_add_to_the_modules_of_the_file(folder):
    for name in ("one", "two", "three"):
        (folder / f"module_{name}.py").touch()
    (folder / "small.yaml").write_text(f"{SMALL}IMPORTS: [module_one]\n")
    flags = ["--import", "module_two", "--import", "module_three", "--import", "module_one"]
    cfg = load_cfg_from_args(parse_args(["--cfg", "small.yaml", *flags]))
    assert cfg.IMPORTS == ["module_one", "module_two", "module_three"]


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("my_missing", None, r"cannot import 'my_missing': there is no module 'my_missing' in .*"),
        ("my_missing.part", None, r".* no module 'my_missing' in .*, install it, or give the path"),
        ("my_broken", "\n1 / 0", r".*my_broken.py:2: ZeroDivisionError: division by zero$"),
        ("my_syntax", "\n1 /", r".*'my_syntax': SyntaxError: invalid syntax .*line 2\)$"),
        ("my_needy", "import my_absent", r".*my_needy.py:1: ModuleNotFoundError: .*'my_absent'$"),
        ("./my_missing.py", None, r".*/my_missing.py: there is no such file or folder$"),
        ("./json.py", "", r".*/json.py: Python already has a module 'json' .*; rename yours$"),
        (3, None, r"3 is not the name of a module"),
        ("", None, r"'' is not the name of a module"),
    ],
)
def test_module_that_cannot_be_imported_is_a_sentence(folder, name, source, expected):
    if source is not None:
        (folder / f"{name.removesuffix('.py')}.py").write_text(source)
    with pytest.raises(ValueError, match=f"^IMPORTS: {expected}"):
        import_modules([name])


def test_config_alone_imports_no_torch():
    code = "import slowfast.config.cli, sys; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


def test_rule_gets_sections_and_values(folder):
    seen = []
    register_rule("SOLVER", "TRAIN.ENABLE")(lambda *values: seen.extend(values) or ["one", "two"])
    cfg = get_cfg()
    with pytest.raises(ValueError, match="^one\ntwo$"):
        check_cfg(cfg)
    assert seen == [cfg.SOLVER, True]


def test_exclusion_names_both_keys_and_the_reason(folder):
    register_exclusion("TRAIN.ENABLE", "TRAIN.FREEZE", "thaw it")
    cfg = get_cfg()
    check_cfg(cfg)
    cfg.TRAIN.FREEZE = ["s1"]
    expected = r"^TRAIN.FREEZE: \['s1'\] must be \[\] with TRAIN.ENABLE True: thaw it$"
    with pytest.raises(ValueError, match=expected):
        check_cfg(cfg)
