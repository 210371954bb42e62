import re

import pytest

from slowfast.config.defaults import get_cfg
from slowfast.config.node import ConfigNode
from slowfast.config.unsupported import RENAMED, UNSUPPORTED, unsupported_reason
from tests.helpers.paths import GOLDENS, ROOT

# Every key of PySlowFast and VoV3D.
REFERENCE = set((GOLDENS / "reference_keys.txt").read_text().split())
DEFAULTS = ROOT / "slowfast/config/defaults.py"


def keys(node: ConfigNode, prefix: str = ""):
    for name, value in node.items():
        if isinstance(value, ConfigNode):
            yield from keys(value, f"{prefix}{name}.")
        else:
            yield prefix + name


# Keys that EPIC-KITCHENS' fork of it added, and one that only its recipes have.
FORK = {"BN.FREEZE", "EPICKITCHENS.TRAIN_PLUS_VAL", "TRAIN.FINETUNE", "PREFETCH.NUM_LOADERS"}
OURS = set(keys(get_cfg()))


def test_every_reference_key_is_supported_or_listed():
    missing = sorted(REFERENCE - OURS - set(RENAMED))
    assert [key for key in missing if not unsupported_reason(key)] == []


def test_no_supported_key_is_listed():
    assert [key for key in sorted(OURS) if unsupported_reason(key)] == []


def test_every_listed_name_is_one_of_the_reference():
    def is_known(name: str) -> bool:
        return any(key.startswith(name.removesuffix("*")) for key in REFERENCE | FORK)

    assert [name for name in UNSUPPORTED if not is_known(name)] == []


def test_renamed_keys_of_others_have_a_key_of_ours():
    assert set(RENAMED) <= REFERENCE | FORK and set(RENAMED.values()) <= OURS


@pytest.mark.parametrize("key", ["TRAIN.BATCH_SIZE", "MVITX.DEPTH", "SOLVER.GAMMAS", "AVA2"])
def test_other_keys_have_no_reason(key):
    assert unsupported_reason(key) is None


def test_every_default_has_its_comment_line():
    lines = DEFAULTS.read_text().splitlines()
    assigned = [n for n, line in enumerate(lines) if re.match(r"_C\.\S+ = (?!ConfigNode)", line)]
    assert len(assigned) == len(OURS)
    assert [lines[n] for n in assigned if not lines[n - 1].startswith("# ")] == []
