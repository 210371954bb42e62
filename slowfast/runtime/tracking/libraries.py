"""Trackers that TRACKER names: one adapter and one row a library.

An adapter knows its library only. It may raise anything, wait for a network, or hang: `Tracker`
keeps that from the run.
"""

import csv
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

_DEFAULT_PROJECT = "slowfast"
_MOST_CHARACTERS = 500  # of a parameter in mlflow
_MOST_PARAMETERS = 100  # that mlflow takes at once


@dataclass(frozen=True)
class RunFacts:
    """Facts on a run that a tracker is told at its start.

    project: "" leaves it to the library. config: its keys, flat. id: of the tracker's run that goes
    on, "" for a new one.
    """

    name: str
    project: str
    config: Mapping[str, Any]
    folder: Path
    id: str = ""


class Library(Protocol):
    """Adapter to a tracker: one run of it."""

    def start(self, facts: RunFacts) -> str:
        """Begin a run, or go on with one; returns its id."""

    def values(self, kind: str, values: Mapping[str, float], step: int) -> None:
        """Add one point to the curves of `kind`, each of which has steps of its own."""

    def table(self, path: Path) -> None:
        """Add a csv with a header."""

    def file(self, path: Path) -> None:
        """Keep a file."""

    def finish(self, *, has_failed: bool) -> None:
        """Send what is left, and end this part of the run."""


class Wandb:
    """Weights & Biases; WANDB_MODE offline writes into OUTPUT_DIR/wandb only."""

    def start(self, facts: RunFacts) -> str:
        import wandb

        is_online = os.environ.get("WANDB_MODE", "online") == "online"
        # Asked for a key on a terminal, the run would wait for an answer.
        if is_online and not wandb.login(prompt=False):
            raise ConnectionError("there is no key of an account")
        self._run = wandb.init(
            project=facts.project or os.environ.get("WANDB_PROJECT", _DEFAULT_PROJECT),
            name=facts.name,
            id=facts.id or secrets.token_hex(4),
            resume="allow" if is_online else None,
            dir=str(facts.folder),
            config={key: _plain(value) for key, value in facts.config.items()},
            settings=wandb.Settings(console="off"),
        )
        self._kinds: set[str] = set()
        return self._run.id

    def values(self, kind: str, values: Mapping[str, float], step: int) -> None:
        if kind not in self._kinds:
            self._kinds.add(kind)
            self._run.define_metric(f"{kind}/*", step_metric=f"{kind}/step")
        self._run.log({f"{kind}/step": step, **_named(kind, values)})

    def table(self, path: Path) -> None:
        import wandb

        header, rows = read_table(path)
        self._run.log({path.stem: wandb.Table(header, rows, allow_mixed_types=True)})

    def file(self, path: Path) -> None:
        self._run.log_artifact(str(path), name=f"{path.stem}-{self._run.id}", type=path.stem)

    def finish(self, *, has_failed: bool) -> None:
        self._run.finish(exit_code=int(has_failed))


class Trackio:
    """Trackio, whose store is a folder of this machine (TRACKIO_DIR) or a Space."""

    def start(self, facts: RunFacts) -> str:
        import trackio

        # Its runs go on by their names, which must be unlike all others for that.
        name = facts.id or f"{facts.name}-{secrets.token_hex(3)}"
        self._run = trackio.init(
            project=facts.project or os.environ.get("TRACKIO_PROJECT", _DEFAULT_PROJECT),
            name=name,
            config={key: _plain(value) for key, value in facts.config.items()},
            resume="allow" if facts.id else "never",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        return name

    def values(self, kind: str, values: Mapping[str, float], step: int) -> None:
        self._run.log(_named(kind, values), step=step)

    def table(self, path: Path) -> None:
        import trackio

        header, rows = read_table(path)
        self._run.log({path.stem: trackio.Table(columns=header, data=rows)})

    def file(self, path: Path) -> None:
        self._run.log_artifact(str(path), name=f"{path.stem}-{_word(self._run.name)}")

    def finish(self, *, has_failed: bool) -> None:
        self._run.finish()


class Mlflow:
    """MLflow; MLFLOW_TRACKING_URI names its server, database or folder."""

    def start(self, facts: RunFacts) -> str:
        from mlflow import MlflowClient

        self._client = MlflowClient()
        if facts.id:
            self._id = facts.id
            self._client.update_run(self._id, status="RUNNING")
            return self._id
        environment = os.environ.get("MLFLOW_EXPERIMENT_NAME", _DEFAULT_PROJECT)
        name = facts.project or environment
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self._client.create_experiment(name)
        self._id = self._client.create_run(experiment, run_name=facts.name).info.run_id
        self._parameters(facts.config)
        return self._id

    def _parameters(self, config: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        found = [Param(key, str(value)[:_MOST_CHARACTERS]) for key, value in config.items()]
        for start in range(0, len(found), _MOST_PARAMETERS):
            self._client.log_batch(self._id, params=found[start : start + _MOST_PARAMETERS])

    def values(self, kind: str, values: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now, named = int(1000 * time.time()), _named(kind, values)
        metrics = [Metric(name, value, now, step) for name, value in named.items()]
        self._client.log_batch(self._id, metrics=metrics)

    def table(self, path: Path) -> None:
        self.file(path)  # its pages show a csv as a table

    def file(self, path: Path) -> None:
        self._client.log_artifact(self._id, str(path))

    def finish(self, *, has_failed: bool) -> None:
        self._client.set_terminated(self._id, "FAILED" if has_failed else "FINISHED")


@dataclass(frozen=True)
class Row:
    """An adapter, and what to do where its library fails."""

    adapter: type[Library]
    advice: str


LIBRARIES = {
    "wandb": Row(Wandb, "`wandb login` once, or WANDB_MODE=offline on a machine without network"),
    "trackio": Row(Trackio, "TRACKIO_DIR names a folder that can be written"),
    "mlflow": Row(
        Mlflow,
        "MLFLOW_TRACKING_URI names a server that runs, or sqlite:///mlflow.db (with the whole "
        "mlflow installed); file:mlruns needs MLFLOW_ALLOW_FILE_STORE=true",
    ),
}


def read_table(path: Path) -> tuple[list[str], list[list]]:
    """Header and rows of a csv; cells that are numbers as such."""
    with open(path, newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return header, [[_cell(text) for text in row] for row in rows]


def _cell(text: str) -> float | str | None:
    try:
        return float(text) if text else None
    except ValueError:
        return text


def _named(kind: str, values: Mapping[str, float]) -> dict[str, float]:
    return {f"{kind}/{key}": value for key, value in values.items()}


def _plain(value: Any) -> Any:
    """A value of the config as JSON can hold it."""
    return value if isinstance(value, bool | int | float | str) else str(value)


def _word(text: str) -> str:
    """The text as a name of letters, digits, dots and dashes."""
    return "".join(char if char.isalnum() or char in "._-" else "-" for char in text)
