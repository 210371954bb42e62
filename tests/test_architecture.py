"""Who imports whom, where `cfg` occurs, what stays out of the package: from the syntax tree."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

FILES = sorted((ROOT / "slowfast").rglob("*.py"))

# A package imports only from packages further left.
LAYERS = [
    {"utils"},
    {"config"},
    {"models", "datasets", "solver", "checkpoint", "evaluation"},
    {"runtime"},
    {"tasks", "curation"},
    {"adaptive"},
    {"engine"},
    {"analysis"},
]
# The functions that take a whole config, beside those named build_*.
RUN_FUNCTIONS = {
    "adaptive": {"calibrate", "choose_point", "extract", "timing_device_name"},
    "curation": {"draw_contact_sheet"},
    "engine": {"freeze", "test", "train"},
    "runtime": {"launch", "_with_torchrun_sizes", "single_process"},
}


def layer(package: str) -> int:
    return next((number for number, names in enumerate(LAYERS) if package in names), -1)


def imported_packages(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Packages of slowfast that a file imports, with the line; "" for the top itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "slowfast":
            modules = [f"slowfast.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = ["." * node.level + (node.module or "")]
        else:
            continue
        for module in modules:
            parts = module.split(".")
            if parts[0] == "slowfast" or module.startswith("."):
                yield (parts[1] if len(parts) > 1 else ""), node.lineno


def import_mistakes(source: str, package: str) -> list[str]:
    """Imports that do not go left."""
    return [
        f"line {line}: {package} imports {imported or 'a relative module'}"
        for imported, line in imported_packages(ast.parse(source))
        if imported != package and not 0 <= layer(imported) < layer(package)
    ]


def cfg_mistakes(source: str, package: str) -> list[str]:
    """Parameters and attributes called cfg outside the functions that may have them."""
    allowed = RUN_FUNCTIONS.get(package, set())
    found = []

    def visit(node: ast.AST, is_allowed: bool) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            is_allowed = is_allowed or node.name.startswith("build_") or node.name in allowed
        names = {ast.arg: "arg", ast.Attribute: "attr"}
        if type(node) in names and getattr(node, names[type(node)]) == "cfg" and not is_allowed:
            found.append(f"line {node.lineno}: cfg outside build_* and {sorted(allowed)}")
        for child in ast.iter_child_nodes(node):
            visit(child, is_allowed)

    visit(ast.parse(source), package == "config")
    return found


def print_mistakes(source: str) -> list[str]:
    """Calls of print."""
    return [
        f"line {node.lineno}: print"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]


def torchvision_mistakes(source: str) -> list[str]:
    """Imports of torchvision that run when the file is imported."""
    found = []
    for node in ast.parse(source).body:
        modules = [alias.name for alias in getattr(node, "names", [])]
        modules.append(getattr(node, "module", None) or "")
        if isinstance(node, ast.Import | ast.ImportFrom):
            found += [f"line {node.lineno}: {m}" for m in modules if m.startswith("torchvision")]
    return found


def package_of(path: Path) -> str:
    parts = path.relative_to(ROOT / "slowfast").parts
    return parts[0] if len(parts) > 1 else ""


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("path", FILES, ids=names(FILES))
def test_file_keeps_to_the_architecture(path):
    source, package = path.read_text(encoding="utf-8"), package_of(path)
    assert import_mistakes(source, package) == []
    assert cfg_mistakes(source, package) == []
    assert print_mistakes(source) == []
    assert torchvision_mistakes(source) == []


def test_every_package_has_its_layer():
    packages = {package_of(path) for path in FILES} - {""}
    assert {package for package in packages if layer(package) < 0} == set()


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("utils", "from slowfast.config.defaults import get_cfg"),
        ("config", "import slowfast.models.build"),
        ("models", "from slowfast.datasets import transforms"),
        ("models", "from slowfast import engine"),
        ("engine", "from slowfast.analysis import complexity"),
        ("models", "def f():\n    from slowfast.solver import optimizer"),
        ("models", "from . import norm"),
        ("models", "import slowfast"),
    ],
)
def test_import_to_the_right_or_to_a_sibling_is_found(package, source):
    assert len(import_mistakes(source, package)) == 1


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("models", "from slowfast.models.norm import build_norm"),
        ("models", "from slowfast.config.node import ConfigNode"),
        ("engine", "import slowfast.models.build, torch"),
        ("models", "import slowfastish"),
    ],
)
def test_import_to_the_left_passes(package, source):
    assert import_mistakes(source, package) == []


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("models", "def make(cfg): pass"),
        ("models", "class A:\n    def __init__(self, *, cfg=None): pass"),
        ("models", "class A:\n    def __init__(self, c):\n        self.cfg = c"),
        ("models", "f = lambda cfg: cfg"),
        ("models", "def train(cfg): pass"),
        ("engine", "def step(cfg): pass"),
    ],
)
def test_cfg_in_the_wrong_place_is_found(package, source):
    assert len(cfg_mistakes(source, package)) == 1


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("models", "def build_norm(cfg):\n    return lambda cfg: cfg"),
        ("engine", "def train(cfg): pass"),
        ("config", "def check(cfg): pass"),
        ("engine", "cfg = 3\nprint(cfg)"),
    ],
)
def test_cfg_in_the_right_place_passes(package, source):
    assert cfg_mistakes(source, package) == []


def test_print_is_found():
    assert print_mistakes("def f():\n    print(1)\nlogger.print(2)") == ["line 2: print"]


def test_torchvision_is_found_only_at_the_top():
    source = "import torchvision.ops\ndef f():\n    import torchvision"
    assert torchvision_mistakes(source) == ["line 1: torchvision.ops"]
