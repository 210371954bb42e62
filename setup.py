"""What of this folder goes into a wheel; all else on the package stands in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["slowfast", "slowfast.*"]),
        "slowfast.configs",
        "slowfast.tools.files",
    ],
    # Beside the package here, inside it where it is installed: slowfast/shipped.py finds both.
    package_dir={"slowfast.configs": "configs", "slowfast.tools.files": "tools"},
    package_data={
        "slowfast": ["py.typed"],
        "slowfast.analysis": ["*/*.html", "*/*.css", "*/*.js"],
        "slowfast.configs": ["**/*.yaml"],
        "slowfast.zoo": ["*.yaml", "classes/*"],
    },
    include_package_data=False,
)
