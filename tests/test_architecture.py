"""Shape of the package: who imports whom, where `cfg` occurs, how long functions and lists of
arguments are, how many files there are. All from the syntax trees of the files.
"""

import ast
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import pytest

from tests.helpers.paths import ROOT

# A package imports only from packages further left.
LAYERS = [
    {"shipped"},
    {"utils"},
    {"config"},
    {"zoo"},
    {"models", "datasets", "solver", "checkpoint", "evaluation"},
    {"runtime"},
    {"tasks", "curation"},
    {"adaptive"},
    {"export"},
    {"streams"},
    {"engine"},
    {"analysis"},
    {"own", "share", "sweep"},
    {"library"},
    {"tools", "__main__"},
]
# The functions that take a whole config, beside those named build_*.
RUN_FUNCTIONS = {
    "adaptive": {"calibrate", "extract", "load_for_evaluation"},
    "analysis": {"visualise"},
    "engine": {"begin", "test", "train"},
    "library": {"run_config", "_prepare", "_conclude", "_track_report", "_log_size"}
    | {"_warn_of_other_weights"},
    "runtime": {"launch", "launch_tool", "_run_as_main", "_with_torchrun_sizes"}
    | {"_on_usable_gpus", "single_process"},
}
MAX_CFG_FUNCTIONS = 133  # beside those of the families of networks, of which each has its own
MAX_MODULES = 345
MAX_LINES, MAX_LINES_OF_NINE_IN_TEN = 50, 20
MAX_ARGUMENTS = 8
MAX_FILES = 16  # of a folder, beside __init__.py; families of networks are one file each
MIN_LINES_OF_ONE_IMPORTER = 40
# One file a family of networks, a dataset, a format of checkpoints: short or not.
ONE_FILE_EACH = ("slowfast/models/families/", "slowfast/datasets/annotations/")
ONE_FILE_EACH += tuple(
    f"slowfast/checkpoint/{name}.py" for name in ("caffe2", "pytorchvideo", "segments")
)
CLAUSES = {"What", "Which", "Where", "How", "That", "Those", "Whose"}

FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
DOCUMENTED = ast.Module | ast.ClassDef | FUNCTIONS


@dataclass(frozen=True)
class File:
    """Source of a Python file, and its path from the root of the repository."""

    path: str
    source: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(self.tree))

    @property
    def package(self) -> str:
        """Package or module below slowfast; "" for the top itself and outside of it."""
        top, *parts = self.path.removesuffix("/__init__.py").removesuffix(".py").split("/")
        return parts[0] if top == "slowfast" and parts else ""

    @property
    def module(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def functions(self) -> Iterator[ast.FunctionDef]:
        return (node for node in self.nodes if isinstance(node, FUNCTIONS))

    def at(self, node: ast.AST, text: object) -> str:
        """`text` about a node, with the place to click on."""
        return f"{self.path}:{getattr(node, 'lineno', 1)} {text}"


def read_files(*folders: str) -> list[File]:
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [File(p.relative_to(ROOT).as_posix(), p.read_text(encoding="utf-8")) for p in paths]


FILES = read_files("slowfast")


def layer(package: str) -> int:
    return next((number for number, names in enumerate(LAYERS) if package in names), -1)


def imported_names(file: File) -> Iterator[tuple[ast.AST, str]]:
    """Dotted names that a file imports: modules, or names in them; relative ones begin with "."."""
    for node in file.nodes:
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from ((node, f"{module}.{alias.name}") for alias in node.names)


def import_mistakes(file: File) -> list[str]:
    """Imports that do not go left; the package's own __init__ names what is public."""
    found = []
    if file.path == "slowfast/__init__.py":
        return found
    for node, name in imported_names(file):
        top, package = [*name.split("."), ""][:2]
        is_left = package == file.package or 0 <= layer(package) < layer(file.package)
        if top in ("slowfast", "") and not (top and is_left):
            found.append(file.at(node, f"{file.package} imports {package or 'relatively'}"))
    return sorted(set(found))


def cfg_mistakes(file: File) -> list[str]:
    """Parameters and attributes called cfg outside the functions that may have them."""
    allowed = RUN_FUNCTIONS.get(file.package, set())
    found = []

    def visit(node: ast.AST, is_allowed: bool) -> None:
        if isinstance(node, FUNCTIONS):
            is_allowed = is_allowed or node.name.startswith("build_") or node.name in allowed
        names = {ast.arg: "arg", ast.Attribute: "attr"}
        if type(node) in names and getattr(node, names[type(node)]) == "cfg" and not is_allowed:
            found.append(file.at(node, f"cfg outside build_* and {sorted(allowed)}"))
        for child in ast.iter_child_nodes(node):
            visit(child, is_allowed)

    visit(file.tree, file.package == "config")
    return found


def print_mistakes(file: File) -> list[str]:
    """Calls of print."""
    calls = (node for node in file.nodes if isinstance(node, ast.Call))
    return [file.at(node, "print") for node in calls if getattr(node.func, "id", "") == "print"]


def torchvision_mistakes(file: File) -> list[str]:
    """Imports of torchvision that run when the file is imported."""
    return [
        file.at(node, name)
        for node, name in imported_names(file)
        if node in file.tree.body and name.startswith("torchvision")
    ]


def clause_mistakes(file: File) -> list[str]:
    """Docstrings that begin with a clause, not with a verb or a noun phrase."""
    documented = (node for node in file.nodes if isinstance(node, DOCUMENTED))
    lines = ((node, (ast.get_docstring(node) or "").partition("\n")[0]) for node in documented)
    return [
        file.at(node, line)
        for node, line in lines
        if "".join(line.split()[:1]).strip("`\"'.,:;*()") in CLAUSES
    ]


def argument_names(function: ast.FunctionDef) -> list[str]:
    """Names of all arguments without the self or cls in front, with *args and **kwargs."""
    spec = function.args
    found = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, spec.vararg, spec.kwarg]
    names = [argument.arg for argument in found if argument]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def num_lines(function: ast.FunctionDef) -> int:
    """Lines from `def` to the end of the body."""
    return function.end_lineno - function.lineno + 1


def long_functions(file: File) -> list[str]:
    """Functions of too many lines."""
    lengths = ((function, num_lines(function)) for function in file.functions)
    return [
        file.at(function, f"{function.name}: {length} lines")
        for function, length in lengths
        if length > MAX_LINES
    ]


def functions_of_many_arguments(file: File) -> list[str]:
    """Functions and constructors of too many arguments."""
    counts = ((function, len(argument_names(function))) for function in file.functions)
    return [
        file.at(function, f"{function.name}: {count} arguments")
        for function, count in counts
        if count > MAX_ARGUMENTS
    ]


def names_defined_again(file: File) -> list[str]:
    """Functions and classes of a module or class that a later one of the same name replaces.

    That is how a merge that went wrong, or a test that never runs, looks.
    """
    found = []
    for scope in (node for node in file.nodes if isinstance(node, ast.Module | ast.ClassDef)):
        seen = set()
        for node in scope.body:
            if isinstance(node, ast.ClassDef | FUNCTIONS):
                is_setter = any(ast.unparse(d).endswith(".setter") for d in node.decorator_list)
                if node.name in seen and not is_setter:
                    found.append(file.at(node, node.name))
                seen.add(node.name)
    return found


def cfg_functions(file: File) -> list[str]:
    """Functions with an argument called cfg."""
    return [
        file.at(function, function.name)
        for function in file.functions
        if "cfg" in argument_names(function)
    ]


def short_files_of_one_importer(files: list[File], importers: list[File]) -> list[str]:
    """Files of few lines that only one other file imports; those of no importer, too."""
    modules = {file.module: file for file in files}
    found = defaultdict(set)
    for importer in importers:
        for _, name in imported_names(importer):
            module = name if name in modules else name.rpartition(".")[0]
            if module in modules and module != importer.module:
                found[module].add(importer.path)
    return [
        f"{file.path}: {num_lines} lines, imported by {sorted(found[module])}"
        for module, file in modules.items()
        if (num_lines := len(file.source.splitlines())) < MIN_LINES_OF_ONE_IMPORTER
        and len(found[module]) < 2
        and not file.path.startswith(ONE_FILE_EACH)
        and not file.path.endswith("__init__.py")
    ]


def of_all(rule) -> list[str]:
    """Places of a rule's offenders in the whole package."""
    return [place for file in FILES for place in rule(file)]


def assert_at_most(limit: int, places: list[str]) -> None:
    assert len(places) <= limit, "\n".join([f"{len(places)}, allowed are {limit}:", *places])


@pytest.mark.parametrize(
    "rule",
    [
        import_mistakes,
        cfg_mistakes,
        print_mistakes,
        torchvision_mistakes,
        clause_mistakes,
        long_functions,
        functions_of_many_arguments,
        names_defined_again,
    ],
)
def test_no_file_breaks_the_rule(rule):
    assert_at_most(0, of_all(rule))


def test_nothing_is_defined_twice_in_tests_and_tools():
    files = read_files("tests", "tools", "benchmarks")
    assert_at_most(0, [place for file in files for place in names_defined_again(file)])


def test_every_package_has_its_layer():
    packages = {file.package for file in FILES} - {""}
    assert {package for package in packages if layer(package) < 0} == set()


def test_few_functions_take_a_config():
    found = [place for place in of_all(cfg_functions) if "/models/families/" not in place]
    assert_at_most(MAX_CFG_FUNCTIONS, found)


def test_nine_in_ten_functions_fit_a_screen():
    lengths = sorted(num_lines(function) for file in FILES for function in file.functions)
    assert lengths[math.ceil(0.9 * len(lengths)) - 1] <= MAX_LINES_OF_NINE_IN_TEN


def test_the_package_has_few_modules():
    assert len(FILES) <= MAX_MODULES


def test_no_folder_has_many_files():
    paths = [file.path for file in FILES if not file.path.endswith("__init__.py")]
    counts = Counter(path.rpartition("/")[0] for path in paths)
    del counts["slowfast/models/families"]
    assert {folder: count for folder, count in counts.items() if count > MAX_FILES} == {}


def test_short_files_have_several_importers():
    importers = [*FILES, *read_files("tools", "benchmarks")]
    assert_at_most(0, short_files_of_one_importer(FILES, importers))


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
        ("models", "from .norm import build_norm"),
        ("models", "import slowfast"),
    ],
)
def test_import_to_the_right_or_to_a_sibling_is_found(package, source):
    assert len(import_mistakes(File(f"slowfast/{package}/file.py", source))) == 1


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
    assert import_mistakes(File(f"slowfast/{package}/file.py", source)) == []


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
    assert len(cfg_mistakes(File(f"slowfast/{package}/file.py", source))) == 1


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
    assert cfg_mistakes(File(f"slowfast/{package}/file.py", source)) == []


LONG = "def long():\n" + "    pass\n" * MAX_LINES
FLAGS = ", ".join(f"is_{number}" for number in range(MAX_ARGUMENTS))


@pytest.mark.parametrize(
    ("rule", "source", "line"),
    [
        (print_mistakes, "def f():\n    print(1)\nlogger.print(2)", 2),
        (torchvision_mistakes, "import torchvision.ops\ndef f():\n    import torchvision", 1),
        (cfg_functions, "def f(x):\n    def build_g(x, *, cfg): pass\n    g = lambda cfg: 1", 2),
        (clause_mistakes, 'def f():\n    """Where it lies."""\ndef g():\n    """Places."""', 1),
        (clause_mistakes, '"""`What`, and why."""', 1),
        (long_functions, "def short():\n    pass\n\n" + LONG, 4),
        (functions_of_many_arguments, f"def f({FLAGS}): pass\ndef g(*, x, {FLAGS}): pass", 2),
        (names_defined_again, "class A:\n  def f(self): pass\n  def f(self): pass", 3),
        (functions_of_many_arguments, f"class A:\n  def __init__(self, {FLAGS}, **more): pass", 2),
    ],
)
def test_offender_is_found_once(rule, source, line):
    (place,) = rule(File("slowfast/models/file.py", source))
    assert place.startswith(f"slowfast/models/file.py:{line} ")


def test_short_file_of_one_importer_is_found():
    names = ["models/conv", "models/families/x3d", "models/build", "config/node"]
    imports = "from slowfast.models.conv import a\nfrom slowfast.models.families import x3d\n"
    imports += "from slowfast.config import node"
    files = [File(f"slowfast/{name}.py", "") for name in names]
    files[2] = File("slowfast/models/build.py", imports + "\n" * MIN_LINES_OF_ONE_IMPORTER)
    found = short_files_of_one_importer(files, [*files, File("tools/a.py", imports[-33:])])
    assert found == ["slowfast/models/conv.py: 0 lines, imported by ['slowfast/models/build.py']"]
