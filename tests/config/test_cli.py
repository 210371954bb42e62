import json
import os

import pytest
import yaml

from slowfast.config.cli import load_cfg, load_cfg_from_args, parse_args, save_run_config
from tests.helpers.paths import GOLDENS
from tests.helpers.slow import slow_but

RECIPES = json.loads((GOLDENS / "recipes.json").read_text())
SMALL = "DATA:\n  INPUT_CHANNEL_NUM: [3]\nNUM_GPUS: 0\n"


@pytest.fixture
def small(tmp_path) -> str:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return str(path)


def nested(flat: dict) -> dict:
    tree: dict = {}
    for key, value in flat.items():
        node = tree
        *sections, name = key.split(".")
        for section in sections:
            node = node.setdefault(section, {})
        node[name] = value
    return tree


@pytest.mark.parametrize(
    "words",
    [
        "--cfg x.yaml NUM_GPUS 0 LOG_PERIOD 5",
        "--cfg x.yaml --opts NUM_GPUS 0 LOG_PERIOD 5",
        "NUM_GPUS 0 --cfg x.yaml LOG_PERIOD 5",
        "NUM_GPUS 0 --cfg x.yaml --opts LOG_PERIOD 5",
        "--opts NUM_GPUS 0 --cfg=x.yaml --opts LOG_PERIOD 5",
    ],
)
def test_overrides_stand_anywhere(words):
    args = parse_args(words.split())
    assert (args.cfg, args.opts) == ("x.yaml", ["NUM_GPUS", "0", "LOG_PERIOD", "5"])


def test_flags_after_overrides_are_flags():
    args = parse_args("--cfg x.yaml NUM_GPUS 0 --shard_id 1 --num_shards 2".split())
    assert (args.opts, args.shard_id, args.num_shards) == (["NUM_GPUS", "0"], 1, 2)


def test_defaults_of_the_flags():
    args = parse_args(["--cfg", "x.yaml"])
    assert args.init_method == ""
    assert (args.opts, args.num_shards, args.shard_id) == ([], None, None)


def test_negative_value_is_a_value():
    args = parse_args("--cfg x.yaml SOLVER.BASE_LR -0.1".split())
    assert args.opts == ["SOLVER.BASE_LR", "-0.1"]


@pytest.mark.parametrize("words", ["", "NUM_GPUS 0", "--cfg x.yaml --num_shard 2", "--cfg"])
def test_bad_command_line_ends_with_code_2(words, capsys):
    with pytest.raises(SystemExit) as caught:
        parse_args(words.split())
    assert caught.value.code == 2 and "error" in capsys.readouterr().err


def test_overrides_and_flags_win_over_the_file(small):
    words = ["--cfg", small, "LOG_PERIOD", "3", "--num_shards", "2", "--shard_id", "1"]
    cfg = load_cfg_from_args(parse_args(words))
    assert (cfg.LOG_PERIOD, cfg.NUM_SHARDS, cfg.SHARD_ID) == (3, 2, 1)


def test_loaded_config_is_frozen(small):
    assert load_cfg(small).is_frozen()


@pytest.mark.parametrize("keys", [{"TRAIN": {"BATCH_SIZE": 6}}, {"TRAIN.BATCH_SIZE": 6}])
def test_a_dict_is_a_config(keys):
    cfg = load_cfg({"NUM_GPUS": 0, "DATA": {"INPUT_CHANNEL_NUM": [3]}, **keys}, ["LOG_PERIOD", 5])
    assert (cfg.TRAIN.BATCH_SIZE, cfg.LOG_PERIOD) == (6, 5)


def test_overrides_may_be_a_dict():
    words = ["SOLVER.MAX_EPOCH", 3, "TRAIN.BATCH_SIZE", 8]
    pairs = {"SOLVER.MAX_EPOCH": 3, "TRAIN.BATCH_SIZE": 8}
    assert load_cfg("demo/x3d_motion", pairs) == load_cfg("demo/x3d_motion", words)


def test_wrong_key_of_a_dict_is_named():
    with pytest.raises(ValueError, match=r"config: TRAIN\.BATCHSIZE is not a known key"):
        load_cfg({"TRAIN": {"BATCHSIZE": 6}})


def test_overrides_of_a_config_leave_it_alone(small):
    cfg = load_cfg(small)
    assert load_cfg(cfg, ["LOG_PERIOD", 5]).LOG_PERIOD == 5 != cfg.LOG_PERIOD


def test_paths_may_begin_with_the_home_folder(small, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    cfg = load_cfg(small, ["DATA.PATH_TO_DATA_DIR", "~/data", "OUTPUT_DIR", "~/runs/1"])
    assert (cfg.DATA.PATH_TO_DATA_DIR, cfg.OUTPUT_DIR) == ("/home/ada/data", "/home/ada/runs/1")


def test_loaded_config_is_checked(small):
    with pytest.raises(ValueError, match="LOG_PERIOD: 0 must be at least 1"):
        load_cfg(small, ["LOG_PERIOD", "0"])


@pytest.mark.parametrize("recipe", slow_but(list(RECIPES)[::10], RECIPES))
def test_published_recipe_loads_through_the_command_line(recipe, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(nested(RECIPES[recipe])))
    cfg = load_cfg_from_args(parse_args(["--cfg", str(path)]))
    assert cfg.TRAIN.BATCH_SIZE == RECIPES[recipe]["TRAIN.BATCH_SIZE"]
    assert cfg.SOLVER.WEIGHT_DECAY == float(RECIPES[recipe]["SOLVER.WEIGHT_DECAY"])


def test_there_are_68_recipes():
    assert len(RECIPES) == 68


def test_saved_config_loads_again(small, tmp_path):
    cfg = load_cfg(small, ["OUTPUT_DIR", str(tmp_path / "run"), "SOLVER.CLIP_GRAD_VAL", "2"])
    path = save_run_config(cfg, ["run_net.py", "--cfg", small])
    assert path == tmp_path / "run" / "config.yaml"
    assert load_cfg(path) == cfg


def test_saved_config_says_its_command(small, tmp_path):
    cfg = load_cfg(small, ["OUTPUT_DIR", str(tmp_path)])
    path = save_run_config(cfg, ["run_net.py", "--cfg", "my runs/x.yaml", "A\nB"])
    assert path.read_text().startswith("# Written by: run_net.py --cfg 'my runs/x.yaml' 'A B'\n")
    assert load_cfg(path) == cfg


def test_every_command_is_logged(small, tmp_path):
    cfg = load_cfg(small, ["OUTPUT_DIR", str(tmp_path)])
    save_run_config(cfg, ["first"])
    save_run_config(cfg, ["second"])
    lines = (tmp_path / "command.txt").read_text().splitlines()
    assert [line.split()[1] for line in lines] == ["first", "second"]


def test_other_config_of_an_earlier_run_is_kept(small, tmp_path):
    for period in (1, 2, 2, 3):
        cfg = load_cfg(small, ["OUTPUT_DIR", str(tmp_path), "LOG_PERIOD", str(period)])
        save_run_config(cfg, ["run_net.py"])
    names = ["config_1.yaml", "config_2.yaml", "config.yaml"]
    assert [load_cfg(tmp_path / name).LOG_PERIOD for name in names] == [1, 2, 3]
    assert sorted(path.name for path in tmp_path.glob("config*.yaml")) == sorted(names)


def test_command_and_values_may_hold_names_that_are_not_utf8(small, tmp_path):
    folder = tmp_path / os.fsdecode(b"run_\xe9")
    cfg = load_cfg(small, ["OUTPUT_DIR", str(folder)])
    for _ in range(2):
        path = save_run_config(cfg, ["run_net.py", "OUTPUT_DIR", str(folder)])
    assert load_cfg(path) == cfg
    lines = (folder / "command.txt").read_bytes().splitlines()
    assert len(lines) == 2 and all(os.fsencode(folder) in line for line in lines)
