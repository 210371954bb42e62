"""tools/train.py: from a folder of videos to a tested network."""

import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import yaml

from slowfast.checkpoint import files
from slowfast.config.cli import load_cfg
from slowfast.datasets.synthetic import write_video
from tests.helpers.paths import ROOT
from tools import train as tool

QUICK = ["SOLVER.MAX_EPOCH", 2, "DATA.TRAIN_CROP_SIZE", 32, "DATA.TEST_CROP_SIZE", 32]
QUICK += ["DATA.TRAIN_JITTER_SCALES", "[32, 36]", "DATA_LOADER.NUM_WORKERS", 0]
QUICK += ["X3D.DIM_C5", 16, "X3D.DEPTH_FACTOR", 1.0, "TEST.REPORT", False, "NUM_GPUS", 0]


@pytest.fixture
def train(run_tool):
    """Function (words) -> (exit code, all that was printed)."""
    return partial(run_tool, tool)


@pytest.fixture(scope="session")
def colours(tmp_path_factory):
    """Folder of two classes of five videos, red and green ones, one of which is broken."""
    folder, rng = tmp_path_factory.mktemp("colours"), np.random.default_rng(0)
    for channel, name in enumerate(("red", "green")):
        (folder / name).mkdir()
        for number in range(5):
            frames = rng.integers(0, 120, (12, 32, 32, 3), dtype=np.uint8)
            frames[..., channel] += 100
            write_video(folder / name / f"{number}.mp4", frames)
    (folder / "red/4.mp4").write_bytes(b"no video")
    return folder


@pytest.mark.slow
def test_folder_becomes_a_tested_network_with_a_config_that_says_why(train, colours, tmp_path):
    run = tmp_path / "run"
    code, output = train(colours, "--out", run, *QUICK)
    assert code == 0, output
    assert "left out: red/4.mp4: InvalidDataError" in output and "Test on 2 videos" in output
    assert "(95 % interval " in output and "Warning: 2 test videos" in output
    assert (run / "lists/train.csv").read_text().count("\n") == 5
    assert "BASE_LR: 0.025  # from scratch: 0.1 for 16 clips" in (run / "own.yaml").read_text()
    cfg = load_cfg(run / "own.yaml")
    assert (cfg.MODEL.NUM_CLASSES, cfg.SOLVER.MAX_EPOCH) == (2, 2)
    assert yaml.safe_load((run / "config.yaml").read_text()) == yaml.safe_load(cfg.dump())

    # The same command goes on with the run; another one is refused.
    before = (run / "own.yaml").stat().st_mtime_ns
    code, output = train(colours, "--out", run, *QUICK)
    assert code == 0 and "nothing to train" in output
    assert (run / "own.yaml").stat().st_mtime_ns == before
    code, output = train(colours, "--out", run, *QUICK, "RNG_SEED", 3)
    assert code == 1 and "begun in another way (overrides:" in output

    # The network of its weights is fine-tuned, with early stages left as they are.
    given = ["SOLVER.MAX_EPOCH", 1, "DATA_LOADER.NUM_WORKERS", 0, "TEST.REPORT", False]
    given += ["NUM_GPUS", 0]
    code, output = train(colours, "--out", tmp_path / "tuned", "--from", run, *given)
    assert code == 0, output
    cfg = load_cfg(tmp_path / "tuned/own.yaml")
    assert cfg.TRAIN.CHECKPOINT_FILE_PATH == str(files.best_path(run))
    assert (cfg.X3D.DIM_C5, cfg.DATA.TRAIN_CROP_SIZE) == (16, 32)
    assert cfg.TRAIN.FREEZE == ["s1", "s2"] and cfg.SOLVER.HEAD_LR_FACTOR == 10


@pytest.mark.parametrize(
    "words",
    [["--cfg", "x.yaml", "A.B", "1"], ["--help-config"], ["TRAIN.ENABLE", "True", "--cfg=x"]],
)
def test_words_without_videos_are_for_a_config(monkeypatch, words):
    monkeypatch.setattr(tool.run_net, "main", lambda words: words)
    assert tool.main(words) == ["TRAIN.ENABLE", "True", *words]


def test_folder_of_another_run_is_refused(train, colours, tmp_path):
    (tmp_path / "config.yaml").touch()
    code, output = train(colours, "--out", tmp_path)
    assert code == 1 and "holds a run that was made with --cfg" in output


@pytest.mark.slow
def test_mistakes_are_said_before_torch_is_imported(colours):
    words = [str(colours), "MODEL.NUM_CLASSES", "7"]
    code = "import sys; from slowfast.tools import train\n"
    code += f"assert train.main({words}) == 1 and 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "MODEL.NUM_CLASSES: 7, but" in done.stderr and "has 2 classes: green, red" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "there is no folder or csv 'nowhere'"),
        (["NOWHERE.md"], "there is no folder or csv 'NOWHERE.md'"),
        (["X3D_S"], "X3D_S is a recipe: slowfast train --cfg X3D_S ..."),
        (["{}s"], "; did you mean {}"),
        (["{}", "--from", "{}"], "is no OUTPUT_DIR of a run"),
        (["{}", "--import", "no_net"], "IMPORTS: cannot import 'no_net'"),
        (["{}", "--from", "no.pyth"], "--from: there is no file no.pyth"),
        (["{}", "SOLVER.BASE_LRR", 1], "did you mean SOLVER.BASE_LR"),
        (["{}", "OUTPUT_DIR", "x"], "OUTPUT_DIR: 'x' is said by --out here"),
        (["{}", "--held-out", 0.9], "0.9 is not above 0, up to 0.4"),
        (["--cfg", "none.yaml"], "none.yaml"),
    ],
)
def test_mistake_is_named(train, colours, tmp_path, words, message):
    code, output = train(*(str(word).format(colours) for word in words))
    assert code in (1, 2) and message.format(colours) in output
