import yaml

from slowfast.config.defaults import get_cfg
from slowfast.config.node import flatten
from slowfast.config.public import public_config

SECRET = "/home/alice/secret"


def tree(values):
    nested = {}
    for key, value in values.items():
        *sections, name = key.split(".")
        node = nested
        for section in sections:
            node = node.setdefault(section, {})
        node[name] = value
    return yaml.safe_dump(nested)


def test_no_key_keeps_an_absolute_path():
    kinds = {str: SECRET, list: [SECRET], tuple: [SECRET]}
    keys = {k: kinds[type(v)] for k, v in flatten(get_cfg()) if type(v) in kinds}
    assert "alice" not in public_config(tree({**keys, "USER.MINE": SECRET}))


def test_keys_of_places_lose_relative_paths_too():
    places = ("OUTPUT_DIR", "DATA.PATH_TO_DATA_DIR", "TRAIN.CHECKPOINT_FILE_PATH")
    places += ("DATA.INDEX_FILE", "DATA.PATH_PREFIX", "TRACKER_PROJECT", "TEST.BUDGET_TABLE")
    text = public_config(tree(dict.fromkeys(places, "../alice")))
    assert "alice" not in text
    default = dict(flatten(get_cfg()))
    assert yaml.safe_load(text)["OUTPUT_DIR"] == default["OUTPUT_DIR"]


def test_all_other_values_stay():
    text = get_cfg().dump()
    assert yaml.safe_load(public_config(text)) == yaml.safe_load(text)
    assert yaml.safe_load(public_config("MODEL: {NUM_CLASSES: 7}"))["MODEL"]["NUM_CLASSES"] == 7
