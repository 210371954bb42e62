"""Facts on how a run was made that its config does not say: commit, machine, versions."""

import os
import platform
import subprocess
import sys
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from slowfast.utils.io import write_json
from slowfast.utils.system import processor_name

_PACKAGES = ("torch", "torchvision", "numpy", "av", "triton")
_ROOT = Path(__file__).parents[2]


def describe_environment() -> dict[str, Any]:
    """Of this process; the commit is null outside of a checkout."""
    import torch

    return {
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "commit": find_commit(_ROOT),
        "machine": {
            "host": platform.node(),
            "system": platform.platform(),
            "processor": processor_name(),
            "cores": os.cpu_count(),
            "gpus": [
                torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())
            ],
        },
        "versions": {"python": sys.version.split()[0], **_versions()},
    }


def find_commit(folder: Path) -> str | None:
    """Commit of the checkout at `folder`, "+ changes" where its files differ from it."""
    if not (folder / ".git").exists():
        return None
    try:
        commit, changes = (
            subprocess.run(
                ["git", "-C", str(folder), *words],
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
            ).stdout.strip()
            for words in (
                ["rev-parse", "--short=12", "HEAD"],
                ["status", "--porcelain", "--untracked-files=no"],
            )
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit} + changes" if changes else commit


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def write_environment(folder: str | Path) -> Path:
    """Write environment.json of a run."""
    path = Path(folder) / "environment.json"
    write_json(path, describe_environment())
    return path
