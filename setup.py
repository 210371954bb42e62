import re
from pathlib import Path

from setuptools import find_packages, setup

source = Path(__file__).with_name("slowfast") / "__init__.py"

setup(
    name="slowfast",
    version=re.search(r'__version__ = "(.+)"', source.read_text()).group(1),
    description="Train and compare efficient video networks",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["slowfast", "slowfast.*"]),
    install_requires=[
        "av>=17",
        "matplotlib",
        "numpy",
        "opencv-contrib-python-headless",
        "pyyaml",
        "scikit-learn",
        "scipy",
        "tabulate",
        "tensorboard",
        "torch>=2.6",
        "torchvision",
        "tqdm",
        "yacs",
    ],
    extras_require={"dev": ["fvcore", "pytest>=8", "ruff"]},
)
