import json
import math

import pytest

from slowfast.runtime.run_log import RunLog


def refuse(constant):
    raise AssertionError(f"{constant} is not JSON")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_number_that_json_cannot_hold_is_null(tmp_path, value):
    log = RunLog(tmp_path, tensorboard_dir=tmp_path / "tensorboard")
    log.write({"_type": "train_iter", "grad_norm": value, "loss": 1.23456789}, step=1)
    log.close()
    line = json.loads((tmp_path / "log.jsonl").read_text(), parse_constant=refuse)
    assert line == {"_type": "train_iter", "grad_norm": None, "loss": 1.23457}
