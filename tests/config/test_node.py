import copy
import logging
import os
import pickle
from pathlib import Path

import pytest

from slowfast.config.defaults import get_cfg


def merge(tmp_path: Path, text: str):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    cfg = get_cfg()
    cfg.merge_from_file(path)
    return cfg


def merge_error(tmp_path: Path, text: str) -> str:
    with pytest.raises(ValueError) as caught:
        merge(tmp_path, text)
    return str(caught.value)


def override_error(*words) -> str:
    with pytest.raises(ValueError) as caught:
        get_cfg().merge_from_list(list(words))
    return str(caught.value)


def test_file_replaces_defaults(tmp_path):
    cfg = merge(tmp_path, "TRAIN:\n  BATCH_SIZE: 4\nNUM_GPUS: 0\n")
    assert (cfg.TRAIN.BATCH_SIZE, cfg.NUM_GPUS) == (4, 0)


def test_defaults_stay_untouched_by_a_merge(tmp_path):
    merge(tmp_path, "NUM_GPUS: 0\n")
    assert get_cfg().NUM_GPUS == 1


def test_unknown_key_names_file_line_and_nearest_key(tmp_path):
    message = merge_error(tmp_path, "TRAIN:\n  ENABLE: True\n  BACH_SIZE: 4\n")
    assert f"{tmp_path / 'run.yaml'}:3: TRAIN.BACH_SIZE is not a known key" in message
    assert "TRAIN.BATCH_SIZE" in message


def test_all_unknown_keys_are_named_at_once(tmp_path):
    message = merge_error(tmp_path, "TRIAN:\n  BATCH_SIZE: 4\nNUM_GPU: 1\n")
    assert "TRAIN.BATCH_SIZE" in message and "NUM_GPUS" in message


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("BATCH_SIZE", "TRAIN.BATCH_SIZE"),
        ("train.batch_size", "TRAIN.BATCH_SIZE"),
        ("DATA.NUM_CLASSES", "MODEL.NUM_CLASSES"),
        ("TRAIN.BATCH_SIZE.X", "TRAIN.BATCH_SIZE"),
        ("X3D.CHANNELWISE_3X3X3", "X3D.CHANNELWISE_3x3x3"),
    ],
)
def test_near_names_by_section_case_and_spelling(typed, meant):
    assert meant in override_error(typed, "4")


def test_nothing_is_set_when_one_key_is_wrong():
    cfg = get_cfg()
    with pytest.raises(ValueError):
        cfg.merge_from_list(["NUM_GPUS", "0", "NUM_GPU", "0"])
    assert cfg == get_cfg()


def test_section_in_place_of_key_lists_its_keys():
    assert "'MEAN'" in override_error("DATA", "1")


@pytest.mark.parametrize(
    ("key", "word", "value"),
    [
        ("SOLVER.WEIGHT_DECAY", "5e-5", 5e-5),
        ("SOLVER.WARMUP_EPOCHS", "3", 3.0),
        ("DATA.SAMPLING_RATE", "5", 5),
        ("DATA.SAMPLING_RATE", "5.0", 5),
        ("DATA.SAMPLING_RATE", 2.5, 2.5),
        ("SOLVER.STEPS", "[0, 35]", [0, 35]),
        ("SOLVER.STEPS", "0,35", [0, 35]),
        ("SOLVER.LRS", ["1e-5", 1], [1e-5, 1]),
        ("SOLVER.BETAS", "[0.9, 0.95]", (0.9, 0.95)),
        ("SOLVER.CLIP_GRAD_L2NORM", "1", 1.0),
        ("TRAIN.ENABLE", "false", False),
        ("TRAIN.FREEZE", "['s1']", ["s1"]),
        ("TRAIN.FREEZE", "[s1,s2]", ["s1", "s2"]),
        ("TRAIN.FREEZE", "none", []),
        ("OUTPUT_DIR", "2024", "2024"),
        ("DATA.PATH_LABEL_SEPARATOR", ",", ","),
        ("TEST.CHECKPOINT_FILE_PATH", "a=b/1e5", "a=b/1e5"),
    ],
)
def test_words_take_the_type_of_the_default(key, word, value):
    cfg = get_cfg()
    cfg.merge_from_list([key, word])
    for part in key.split("."):
        cfg = cfg[part]
    assert cfg == value and type(cfg) is type(value)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("MODEL.NUM_CLASSES", "[97, 300]", [97, 300]),
        ("MODEL.NUM_CLASSES", (97, 300), [97, 300]),
        ("MODEL.NUM_CLASSES", "[97]", 97),
        ("MODEL.NUM_CLASSES", 12, 12),
        ("TRAIN.CLASS_WEIGHTS", "balanced", "balanced"),
        ("TRAIN.CLASS_WEIGHTS", "[1, 2e-1]", [1, 0.2]),
        ("TRAIN.CLASS_WEIGHTS", "", ""),
    ],
)
def test_some_keys_take_a_list_or_a_single_value(key, value, expected):
    cfg = get_cfg()
    cfg.merge_from_list(["MODEL.NUM_CLASSES", [1, 2], "TRAIN.CLASS_WEIGHTS", [1.0], key, value])
    section, name = key.split(".")
    assert cfg[section][name] == expected
    again = get_cfg()
    again.merge_from_other_cfg(cfg)
    assert again[section][name] == expected


def test_blank_words_between_overrides_do_not_count():
    cfg = get_cfg()
    cfg.merge_from_list([" ", "NUM_GPUS", "0", " ", "", "DATA.PATH_LABEL_SEPARATOR", " ", "\n"])
    cfg.merge_from_list(["TRAIN.DATASET", ""])
    assert (cfg.NUM_GPUS, cfg.DATA.PATH_LABEL_SEPARATOR, cfg.TRAIN.DATASET) == (0, " ", "")


def test_optional_number_can_be_set_and_unset():
    cfg = get_cfg()
    cfg.merge_from_list(["SOLVER.CLIP_GRAD_VAL", "0.5"])
    cfg = cfg.clone()
    cfg.merge_from_list(["SOLVER.CLIP_GRAD_VAL", "None"])
    assert cfg.SOLVER.CLIP_GRAD_VAL is None


@pytest.mark.parametrize(
    ("key", "word", "expected"),
    [
        ("TRAIN.BATCH_SIZE", "many", "a whole number"),
        ("TRAIN.BATCH_SIZE", "1.5", "a whole number"),
        ("TRAIN.BATCH_SIZE", "True", "a whole number"),
        ("TRAIN.BATCH_SIZE", "None", "a whole number"),
        ("DATA.SAMPLING_RATE", "True", "a whole number or a number"),
        ("TRAIN.ENABLE", "1", "True or False"),
        ("SOLVER.BASE_LR", "fast", "a number"),
        ("SOLVER.CLIP_GRAD_VAL", "fast", "a number"),
        ("DATA.MEAN", "0.5", "a list, e.g. [0.45, 0.45, 0.45]"),
        ("TRAIN.FREEZE", "s1", "a list; on a command line in quotes, e.g. '[1, 2]' or "),
        ("OUTPUT_DIR", 5, "text"),
    ],
)
def test_wrong_type_names_key_value_and_type(key, word, expected):
    message = override_error(key, word)
    assert f"{key}: {word!r} is not {expected}" in message


def test_empty_value_of_a_text_key_is_empty_text(tmp_path):
    assert merge(tmp_path, "DATA:\n  PATH_PREFIX:\n").DATA.PATH_PREFIX == ""


@pytest.mark.parametrize("words", [["NUM_GPUS"], ["NUM_GPUS", "0", "SOLVER.STEPS"]])
def test_odd_number_of_words_is_an_error(words):
    assert "pairs KEY VALUE" in override_error(*words)


def test_equals_sign_is_an_error():
    assert "without '='" in override_error("NUM_GPUS=0")


def test_known_unsupported_key_is_dropped_with_one_warning(tmp_path, caplog):
    cfg = merge(tmp_path, "TRAIN:\n  CHECKPOINT_TYPE: caffe2\n")
    cfg.merge_from_list(["TRAIN.CHECKPOINT_TYPE", "pytorch"])
    assert cfg == get_cfg()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "run.yaml:2: TRAIN.CHECKPOINT_TYPE is not supported: the kind of file is" in caplog.text


def test_every_unsupported_key_is_named(tmp_path, caplog):
    merge(
        tmp_path,
        "MASK:\n  ENABLE: True\nMVIT: {REV: {RES_PATH: conv}}\nBENCHMARK: {LOG_PERIOD: 1}\n",
    )
    named = [record.getMessage().split()[1] for record in caplog.records]
    assert named == ["MASK.ENABLE", "MVIT.REV.RES_PATH", "BENCHMARK.LOG_PERIOD"]


def test_base_file_comes_first(tmp_path):
    (tmp_path / "base.yaml").write_text("NUM_GPUS: 4\nNUM_SHARDS: 2\n")
    cfg = merge(tmp_path, "NUM_GPUS: 0\n_BASE_: base.yaml\n")
    assert (cfg.NUM_GPUS, cfg.NUM_SHARDS) == (0, 2)


def test_later_base_file_wins(tmp_path):
    (tmp_path / "a.yaml").write_text("NUM_GPUS: 4\n")
    (tmp_path / "b.yaml").write_text("NUM_GPUS: 2\n")
    assert merge(tmp_path, "_BASE_: [a.yaml, b.yaml]\n").NUM_GPUS == 2


def test_base_that_stands_twice_is_told_from_a_list(tmp_path):
    message = merge_error(tmp_path, "_BASE_: a.yaml\n_BASE_: b.yaml\n")
    assert "run.yaml:2: _BASE_ stands here a second time, with 'b.yaml'" in message
    assert message.endswith("several files are a list")


def test_mistake_in_a_base_file_names_that_file(tmp_path):
    (tmp_path / "base.yaml").write_text("NUM_GPU: 4\n")
    assert f"{tmp_path / 'base.yaml'}:1" in merge_error(tmp_path, "_BASE_: base.yaml\n")


def test_base_files_in_a_circle_are_an_error(tmp_path):
    assert "leads back" in merge_error(tmp_path, "_BASE_: run.yaml\n")


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("A: [1\nB: 2\n", 2, "not valid YAML"),
        ("NUM_GPUS: 1\n\tNUM_SHARDS: 1\n", 2, "not valid YAML"),
        ("- 1\n- 2\n", 1, "expected lines KEY: VALUE"),
        ("TRAIN: {ENABLE: True}\nTRAIN: {}\n", 2, "stands here a second time"),
        ("? [a]\n: 1\n", 1, "expected lines KEY: VALUE"),
        ("NUM_GPUS: !!int abc\n", 1, "NUM_GPUS: invalid literal"),
        ("NUM_GPUS: 2024-13-45\n", 1, "NUM_GPUS: month must be in 1..12"),
        ("SOLVER: {STEPS: " + 40 * "[" + 40 * "]" + "}", 1, "more than 30 levels deep, or in"),
        ("SOLVER: &a {STEPS: [0], X: *a}\n", 1, "more than 30 levels deep, or in itself"),
        ("NUM_GPUS: !!python/object/apply:os.getpid []\n", 1, "not valid YAML"),
    ],
)
def test_broken_yaml_names_file_and_line(tmp_path, text, line, problem):
    message = merge_error(tmp_path, text)
    assert message.startswith(f"{tmp_path / 'run.yaml'}:{line}: ") and problem in message


def test_value_that_aliases_blow_up_is_refused(tmp_path):
    lines = ["A0: &a0 [" + ", ".join("x" * 10) + "]"]
    lines += [f"A{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 10) + "]" for n in range(1, 9)]
    assert "more than 50000 values" in merge_error(tmp_path, "\n".join(lines))


@pytest.mark.slow
@pytest.mark.parametrize("text", ["A: " + 5000 * "[", "A: [" + 60_000 * "1," + "]"])
def test_text_beyond_all_bounds_is_refused_at_its_line(tmp_path, text):
    message = merge_error(tmp_path, text)
    assert message.startswith(f"{tmp_path / 'run.yaml'}:1: ") and "more than" in message


def test_file_of_many_bytes_is_refused(tmp_path):
    message = merge_error(tmp_path, "# " + "x" * 2**20)
    assert "it has 1.0 MB, at most 1.0 MB are read" in message


@pytest.mark.parametrize("name", ["pipe", "/dev/zero", "~nobody_of_this_name/x.yaml", "a\\0b"])
def test_base_that_is_no_file_is_named(tmp_path, name):
    os.mkfifo(tmp_path / "pipe")
    message = merge_error(tmp_path, f'_BASE_: "{name}"\n')
    assert str(tmp_path / "run.yaml") in message or message.startswith(str(Path(tmp_path, name)))
    assert "\n" not in message


def test_bases_of_bases_without_end_are_refused(tmp_path):
    for number in range(12):
        (tmp_path / f"{number}.yaml").write_text(f"_BASE_: [{number + 1}.yaml, {number + 1}.yaml]")
    (tmp_path / "12.yaml").write_text("")
    assert "leads to more than 100 files" in merge_error(tmp_path, "_BASE_: 0.yaml\n")


def test_key_that_stands_twice_with_one_value_is_a_warning(tmp_path, caplog):
    cfg = merge(tmp_path, "SOLVER:\n  MOMENTUM: 0.8\n  MOMENTUM: 0.8\nNUM_GPUS: 0\n")
    assert (cfg.SOLVER.MOMENTUM, cfg.NUM_GPUS) == (0.8, 0)
    assert "run.yaml:3: SOLVER.MOMENTUM stands here again, as in line 2" in caplog.text


def test_key_that_stands_twice_with_two_values_shows_both(tmp_path):
    message = merge_error(tmp_path, "NUM_GPUS: 1\nNUM_GPUS: 2\n")
    assert f"{tmp_path / 'run.yaml'}:2: NUM_GPUS stands here a second time, with 2" in message
    assert "line 1 says 1" in message


def test_empty_value_of_a_list_key_is_the_empty_list(tmp_path):
    cfg = merge(tmp_path, "AVA:\n  TEST_PREDICT_BOX_LISTS:\nSOLVER: {BETAS: }\n")
    assert (cfg.AVA.TEST_PREDICT_BOX_LISTS, cfg.SOLVER.BETAS) == ([], ())


@pytest.mark.parametrize("text", ["None", "", "~", "null"])
def test_no_colour_jitter_may_be_written_as_none(tmp_path, text):
    assert merge(tmp_path, f"AUG: {{COLOR_JITTER: {text}}}\n").AUG.COLOR_JITTER == 0.0


def test_key_of_another_version_is_taken_under_its_name_here(tmp_path, caplog):
    assert merge(tmp_path, "BN:\n  FREEZE: True\n").MODEL.FROZEN_BN
    assert "run.yaml:2: BN.FREEZE is here MODEL.FROZEN_BN" in caplog.text


def test_long_values_are_shortened():
    for key in ("NUM_GPUS", "SOLVER.STEPS", "TRAIN.ENABLE", "X" * 100_000):
        assert len(override_error(key, "x" * 100_000)) < 500
    assert len(override_error("SOLVER.STEPS", "[" * 100_000)) < 500


def test_missing_file_and_directory_are_named(tmp_path):
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(ValueError, match="cannot read this config") as caught:
            get_cfg().merge_from_file(path)
        assert str(path) in str(caught.value)


def test_binary_file_is_named(tmp_path):
    (tmp_path / "run.yaml").write_bytes(bytes(range(256)))
    with pytest.raises(ValueError, match=r"run\.yaml.*YAML"):
        get_cfg().merge_from_file(tmp_path / "run.yaml")


def test_frozen_config_refuses_a_merge():
    cfg = get_cfg()
    cfg.freeze()
    with pytest.raises(AttributeError, match="frozen"):
        cfg.merge_from_list(["NUM_GPUS", "0"])


def test_other_config_is_merged():
    other = get_cfg()
    other.NUM_GPUS = 3
    cfg = get_cfg()
    cfg.merge_from_other_cfg(other)
    assert cfg.NUM_GPUS == 3


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda cfg: pickle.loads(pickle.dumps(cfg))])
def test_copies_keep_values_and_optional_keys(copied):
    cfg = copied(get_cfg())
    cfg.merge_from_list(["SOLVER.CLIP_GRAD_VAL", "1"])
    assert cfg.SOLVER.CLIP_GRAD_VAL == 1.0 and cfg.TRAIN == get_cfg().TRAIN


def test_open_section_takes_keys_of_the_user(tmp_path):
    cfg = merge(tmp_path, "USER:\n  MY: {TEXT: '3', RATE: 1e-3, LIST: [a, 1e-3]}\n  FLAG: true\n")
    cfg.merge_from_list(["USER.MY.KEY", "3", "USER.MY.RATE", "fast", "USER.NEW", "none"])
    assert cfg.USER == {
        "MY": {"TEXT": "3", "RATE": "fast", "LIST": ["a", 0.001], "KEY": 3},
        "FLAG": True,
        "NEW": None,
    }
    (tmp_path / "again.yaml").write_text(cfg.dump())
    assert merge(tmp_path, "_BASE_: again.yaml\n") == cfg
    assert get_cfg().USER == {}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["USER.A", "1", "USER.A.B", "2"], "USER.A.B is not a known key"),
        (["USER.A.B", "2", "USER.A", "1"], "USER.A is a section; its keys are ['B']"),
        (["USER..A", "1"], "USER..A is not a known key"),
        (["USER.A", "{1: 2}"], "USER.A: {1: 2} is not text, a number, True, False or a list"),
    ],
)
def test_open_section_has_sections_and_values_of_yaml(words, expected):
    assert expected in override_error(*words)


@pytest.mark.parametrize(("place", "key"), [("", "USER.WIDTH"), ("MY", "USER.MY.WIDTH")])
def test_key_of_the_user_that_is_not_set_is_named(place, key):
    cfg = get_cfg()
    cfg.merge_from_list(["USER.MY.A", 1])
    section = cfg.clone().USER.get_value(place)
    with pytest.raises(ValueError, match=f"^{key} is not set: add {key} VALUE$"):
        _ = section.WIDTH
    assert not hasattr(section, "WIDTH")
