"""Runs of a study or a sweep before they are trained: their YAMLs, and whether they are done."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slowfast.analysis.jobs import Job
from slowfast.config.cli import load_cfg
from slowfast.config.derived import is_in, plain
from slowfast.config.node import ConfigNode, flatten
from slowfast.utils.io import write_lines

# Keys, or whole sections, that say where and on what a run is computed, not what.
MACHINE_KEYS = (
    *("OUTPUT_DIR", "NUM_GPUS", "NUM_SHARDS", "SHARD_ID", "DIST_BACKEND", "DATA_LOADER"),
    *("LOG_PERIOD", "LOG_MODEL_INFO", "TENSORBOARD", "TRACKER", "TRACKER_PROJECT"),
    *("DATA.PATH_TO_DATA_DIR", "DATA.PATH_PREFIX", "DATA.INDEX_FILE", "DATA.CACHE_DIR"),
    *("DATA.CACHE_GB", "TRAIN.CHECKPOINT_MINUTES", "TRAIN.KEEP_CHECKPOINTS", "TEST.REPORT"),
)


def find_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Say which keys have another value, but for those of the machine."""
    return [
        f"{key} {old[key]!r} -> {new[key]!r}"
        for key in new
        if key in old and plain(old[key]) != plain(new[key]) and not is_in(key, MACHINE_KEYS)
    ]


@dataclass(frozen=True)
class PlannedRun:
    """A run that is to be trained and tested. settings: values of its config by full key.

    Beside its OUTPUT_DIR are a YAML, which tools/run_net.py takes, and a log of what it prints.
    """

    name: str
    output_dir: Path
    settings: Mapping[str, Any]
    text: str

    @property
    def job(self) -> Job:
        """The process that trains and tests it."""
        names = (self.output_dir.with_name(self.output_dir.name + end) for end in (".yaml", ".log"))
        return Job(self.name, *names)

    @property
    def is_done(self) -> bool:
        """Whether it has been tested."""
        return (self.output_dir / "test_results.json").exists()

    def check_unchanged(self) -> None:
        """ValueError where it was begun with another config."""
        has_begun = self.is_done or any(self.output_dir.glob("checkpoints/*"))
        path = self.job.config
        if not (has_begun and path.is_file()):
            return
        changes = find_changes(dict(flatten(load_cfg(path))), self.settings)
        if changes:
            raise ValueError(
                f"{self.output_dir}: this run was begun with another config "
                f"({'; '.join(changes[:5])}); set it back, choose another folder, or remove this "
                "one"
            )

    def write(self) -> None:
        """Write its YAML."""
        self.job.config.parent.mkdir(parents=True, exist_ok=True)
        write_lines(self.job.config, self.text.splitlines())


def build_planned_run(name: str, cfg: ConfigNode) -> PlannedRun:
    """The run of a config, in its OUTPUT_DIR."""
    return PlannedRun(name, Path(cfg.OUTPUT_DIR), dict(flatten(cfg)), cfg.dump())
