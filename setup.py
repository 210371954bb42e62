import re
from pathlib import Path

from setuptools import find_packages, setup

# Computes flow, and reads and writes videos that are folders of image files.
FLOW = ["opencv-contrib-python-headless"]

# Reads and writes weights as .safetensors.
SAFETENSORS = ["safetensors"]

# Reads videos in S3 and on web servers; other stores need their own package of fsspec (gcsfs, ...).
CLOUD = ["s3fs", "aiohttp"]

# Writes networks for other runtimes, runs them there, and quantises them.
EXPORT = ["onnx", "onnxruntime", "onnxscript", "openvino", "nncf"]

# Trackers of experiments, for TRACKER.
TRACK = ["mlflow", "trackio", "wandb"]

source = Path(__file__).with_name("slowfast") / "__init__.py"

setup(
    name="slowfast",
    version=re.search(r'__version__ = "(.+)"', source.read_text()).group(1),
    description="Train and compare efficient video networks",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["slowfast", "slowfast.*"]),
    package_data={"slowfast.analysis": ["*/*.html", "*/*.css", "*/*.js"]},
    install_requires=[
        "av>=17",
        "filelock",
        "fsspec",
        "fvcore",
        "jinja2>=3.1",
        "matplotlib",
        "numpy",
        "pillow",
        "psutil",
        "pyyaml",
        "scikit-learn",
        "scipy",
        "simplejson",
        "tabulate",
        "tensorboard",
        "torch>=2.6",
        "torchvision",
        "tqdm",
        "yacs",
    ],
    extras_require={
        "flow": FLOW,
        "safetensors": SAFETENSORS,
        "cloud": CLOUD,
        "export": EXPORT,
        "track": TRACK,
        "dev": [
            *(*FLOW, *SAFETENSORS, *CLOUD, *EXPORT),
            *("moto[server]", "pytest>=8", "pytest-xdist>=3.2", "ruff"),
        ],
    },
)
