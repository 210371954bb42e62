"""Programs of the project as a user starts them, on the synthetic set of moving squares."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.gpu_kit import ROOT, Place, Skip

DEMO = "demo/vov3d_motion.yaml"
_SHOWN = 6000


class Runs:
    """Starts programs, whose results lie in `place.folder`; what they print goes to the log."""

    def __init__(self, place: Place):
        self.place, self.videos = place, place.folder / "motion"
        self.num_gpus, self.num_workers = int(place.is_cuda), 3 if place.is_cuda else 0

    def start(self, *words, env: Mapping[str, str] | None = None) -> "Program":
        """A program, by its words, in the root of the project."""
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        threads = "2" if self.place.is_cuda else "1"
        own = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": threads}
        output = self.place.folder / f"output_{time.monotonic_ns()}.txt"
        command = [str(word) for word in words]
        print("$", " ".join(command), flush=True)
        with open(output, "w") as file:
            process = subprocess.Popen(
                command,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **own, **(env or {})},
                cwd=ROOT,
            )
        return Program(process, output)

    def tool(self, name: str, *words) -> str:
        """Output of a file of tools/; AssertionError unless it ends well."""
        return self.start(sys.executable, ROOT / "tools" / name, *words).wait()

    def net(
        self,
        name: str,
        *options,
        cfg: str = DEMO,
        before: tuple = (sys.executable,),
        epochs: int = 0,
    ) -> "Program":
        """tools/run_net.py, with results in the folder `name`; epochs 0: those of the recipe."""
        keys: dict[str, Any] = {
            "DATA.PATH_TO_DATA_DIR": self.videos,
            "NUM_GPUS": self.num_gpus,
            "OUTPUT_DIR": self.place.folder / name,
            "DATA_LOADER.NUM_WORKERS": self.num_workers,
        }
        if epochs:
            keys |= {"SOLVER.MAX_EPOCH": epochs, "SOLVER.WARMUP_EPOCHS": 0.0}
        if self.place.is_tiny:
            keys |= {"TRAIN.BATCH_SIZE": 8, "LOG_PERIOD": 1}
        words = [word for pair in keys.items() for word in pair]
        yaml = ROOT / "configs" / cfg
        return self.start(*before, ROOT / "tools/run_net.py", "--cfg", yaml, *words, *options)

    def results(self, name: str) -> dict:
        """Metrics of the test of a run."""
        return json.loads((self.place.folder / name / "test_results.json").read_text())

    def log_lines(self, name: str, kind: str) -> list[dict]:
        """Whole lines of a run's log, also while it is written."""
        path = self.place.folder / name / "log.jsonl"
        text = path.read_text() if path.exists() else ""
        lines = map(json.loads, text[: text.rfind("\n") + 1].splitlines())
        return [line for line in lines if line["_type"] == kind]

    def weights(self, name: str) -> Path:
        """The last checkpoint of a run."""
        folder = self.place.folder / name / "checkpoints"
        if found := sorted(folder.glob("checkpoint_epoch_*.pyth")):
            return found[-1]
        raise Skip(f"no checkpoint in {folder}")

    def script(self, name: str, text: str) -> Path:
        """A file that does `text`, and then is the program named behind it."""
        path = self.place.folder / f"{name}.py"
        lines = ["import runpy, sys, torch", text, "sys.argv = sys.argv[1:]"]
        lines += [
            "if __name__ == '__main__':",
            "    runpy.run_path(sys.argv[0], run_name=__name__)",
        ]
        path.write_text("\n".join(lines))
        return path


def torchrun(count: int, *script) -> tuple:
    """Words that start `count` processes of what follows."""
    launcher = (sys.executable, "-m", "torch.distributed.run", "--standalone")
    return (*launcher, f"--nproc_per_node={count}", *script)


class Program:
    """A program that runs."""

    def __init__(self, process: subprocess.Popen, output: Path):
        self.process, self._output = process, output

    def wait(self, code: int = 0) -> str:
        """All that it printed, when it has ended; AssertionError unless with this exit code."""
        self.process.wait()
        text = self._output.read_text(errors="replace")
        print(text[-_SHOWN:], flush=True)
        errors = re.findall(r"^.*\b\w*Error\b: .*$", text, re.M)
        why = " | ".join(errors[:2])[:600] or text[-600:]
        assert self.process.returncode == code, f"exit {self.process.returncode}: {why}"
        return text

    def stop_when(self, is_so: Callable[[], bool]) -> None:
        """Ask it to stop as soon as it is so."""
        while self.process.poll() is None:
            if is_so():
                self.process.terminate()
                return
            time.sleep(0.05)
