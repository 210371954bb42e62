"""What is handed out: the archive of sources, and the wheel that is built from it."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name as canonical

import slowfast
from tests.helpers.paths import ROOT

# Older ones do not know how pyproject.toml names the licence.
pytest.importorskip("setuptools", "77", reason="needs setuptools 77: pip install -e '.[dev]'")

FOLDERS = ("benchmarks", "configs", "docs", "slowfast", "tests", "tools")


def setup(folder, *words):
    """Run setup.py of a folder."""
    command = [sys.executable, "setup.py", "-q", *map(str, words)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)


def python(site, folder, *words):
    """Output of Python in `folder`, with the packages of `site` first."""
    env = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def info(tmp_path_factory):
    """Folder of what setuptools finds out on the package."""
    folder = tmp_path_factory.mktemp("info")
    setup(ROOT, "egg_info", "--egg-base", folder)
    return folder / "slowfast.egg-info"


@pytest.fixture(scope="module")
def sources(info):
    """Names of the files in the archive of sources."""
    return (info / "SOURCES.txt").read_text().split("\n")


@pytest.fixture(scope="module")
def site(sources, tmp_path_factory):
    """Folder with the files of a wheel that was built from an unpacked archive of sources."""
    folder = tmp_path_factory.mktemp("unpacked")
    for name in sources:
        if name and not Path(name).is_absolute() and ".egg-info" not in name:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    setup(folder, "bdist_wheel", "--dist-dir", folder / "dist")
    (wheel,) = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder / "site")
    return folder / "site"


@pytest.mark.slow
def test_archive_of_sources_holds_all_that_the_tests_need(sources):
    kept = {"__pycache__", "site"}
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
    names = [path.relative_to(ROOT) for path in paths if path.suffix not in (".pyc", ".tmp")]
    needed = {name.as_posix() for name in names if not kept & set(name.parts)}
    needed |= {
        "constraints.txt",
        "Makefile",
        "README.md",
        "DATA.md",
        "INSTALL.md",
        "LICENSE",
        ".ci/run",
    }
    assert needed - set(sources) == set()


@pytest.mark.slow
def test_wheel_holds_package_recipes_and_tools_and_nothing_else(site):
    tops = {path.name for path in site.iterdir() if path.suffix != ".dist-info"}
    assert tops == {"slowfast"}
    package = site / "slowfast"
    names = {path.relative_to(package).as_posix() for path in package.rglob("*.*")}
    shipped = {"configs/Kinetics/x3d/X3D_S.yaml", "tools/files/run_net.py", "py.typed"}
    shipped |= {"zoo/weights.yaml", "zoo/classes/kinetics400.txt"}
    assert shipped <= names and "analysis/pages/page.css" in names
    count = len([*(ROOT / "configs").rglob("*.yaml")])
    assert len([*(package / "configs").rglob("*.yaml")]) == count


@pytest.mark.slow
def test_an_installed_package_finds_its_recipes_and_tools(site, tmp_path):
    output = python(site, tmp_path, "-m", "slowfast", "configs", "Kinetics/x3d/X3D_S")
    assert str(site / "slowfast/configs/Kinetics/x3d/X3D_S.yaml") in output
    output = python(site, tmp_path, "-c", "from slowfast.tools import demo; print(demo.CONFIG)")
    assert Path(output.strip()).is_file() and output.startswith(str(site))


@pytest.mark.slow
def test_constraints_have_all_direct_dependencies_of_ours(info):
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert {name for name in pinned if name != canonical(name)} == set()
    requires, section = (info / "requires.txt").read_text().splitlines(), ""
    for line in requires:
        section = line if line.startswith("[") else section
        requirement = None if line in ("", section) else Requirement(line)
        if requirement and section != "[track]" and requirement.name != "slowfast":
            assert pinned[canonical(requirement.name)] in requirement.specifier, line


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == slowfast.__version__


def test_the_workflow_tries_every_python_that_is_promised():
    workflow = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text())
    tried = workflow["jobs"]["fast"]["strategy"]["matrix"]["python"]
    text = (ROOT / "pyproject.toml").read_text()
    assert tried == re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text)
