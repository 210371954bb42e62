"""The tools without what Linux has and other systems lack: one process, from which that is hidden.

Nothing of this ran on macOS or Windows itself; see .github/workflows/tests.yml.
"""

import json
import os
import subprocess
import sys
import textwrap

import pytest

from tests.helpers.paths import ROOT

WINDOWS = ROOT / "tests" / "helpers" / "windows"
SCRIPT = """
import importlib, json, os, signal, sys, traceback
from pathlib import Path

def main():
    root, data, yaml, out = sys.argv[1:]
    sys.path.insert(0, f"{root}/tools")  # demo.py imports run_net.py
    files = sorted(Path(root, "tools").glob("[a-z]*.py"))
    run = ["--cfg", yaml, "SOLVER.MAX_EPOCH", "1", "DATA_LOADER.NUM_WORKERS", "1"]
    check = ["check", "--cfg", yaml, "--workers", "1", "--output", f"{out}/check"]
    facts = {f"{path.stem} -h": call(path.stem, "-h") for path in files}
    facts["check"] = call("dataset", *check)
    facts["train"] = call("run_net", *run, "TEST.ENABLE", "False")
    facts["predict"] = call("predict", f"{data}/test_0.mp4", "--run", f"{out}/run")
    facts["hidden"] = [hasattr(os, "fork"), hasattr(signal, "SIGALRM"), sys.platform, os.name]
    Path(out, "facts.json").write_text(json.dumps(facts))

def call(tool, *words):
    try:
        return importlib.import_module(f"tools.{tool}").main([*words])
    except SystemExit as end:
        return end.code
    except Exception:
        return traceback.format_exc()

if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
def test_help_check_training_and_prediction_need_nothing_that_windows_lacks(
    toy_set, toy_yaml, tmp_path
):
    script = tmp_path / "facts.py"
    script.write_text(textwrap.dedent(SCRIPT))
    words = [ROOT, toy_set, toy_yaml, tmp_path]
    ended = subprocess.run(
        [sys.executable, script, *map(str, words)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(WINDOWS), str(ROOT)])},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert facts.pop("hidden") == [False, False, "win32", "nt"]
    assert {name: fact for name, fact in facts.items() if fact} == {}, ended.stderr
    assert {"check", "train", "predict", "run_net -h"} <= set(facts)
