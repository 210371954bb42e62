"""A script in place of run_net.py, which writes what a run of a known outcome would write."""

import pytest

from slowfast.analysis import jobs

# Accuracy is 100 * SOLVER.BASE_LR + the seed; a rate of 0.9 fails. Three epochs, each better.
SCRIPT = """
import csv, json, pathlib, sys, time
sys.path.insert(0, {root!r})
import yaml
from types import SimpleNamespace
keys = yaml.safe_load(open(sys.argv[2]))
folder, rate, seed = pathlib.Path(keys["OUTPUT_DIR"]), keys["SOLVER"]["BASE_LR"], keys["RNG_SEED"]
folder.mkdir(parents=True, exist_ok=True)
if rate == 0.9:
    sys.exit("ValueError: SOLVER.BASE_LR: 0.9 is too high")
(folder / "config.yaml").write_text(open(sys.argv[2]).read())
(folder / "begun").open("a").write("x")
with open(folder / "log.jsonl", "a") as log:
    for epoch in (1, 2, 3):
        value = 100 * rate + seed - 3 + epoch
        print(json.dumps({{"_type": "val_epoch", "epoch": epoch, "top1_acc": value}}), file=log)
        log.flush()
        time.sleep({pause})
results = {{"top1_acc": 100.0 * rate + seed, "loss": 1.0, "num_videos": 5}}
(folder / "test_results.json").write_text(json.dumps(results))
"""


@pytest.fixture
def fake_runs(tmp_path, monkeypatch):
    """Function (pause of an epoch in seconds), after which runs are those of the script."""
    from tests.helpers.paths import ROOT

    def make(pause=0.0):
        path = tmp_path / "fake_run.py"
        path.write_text(SCRIPT.format(root=str(ROOT), pause=pause))
        monkeypatch.setattr(jobs, "_RUN_NET", path)

    make()
    return make
