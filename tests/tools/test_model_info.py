import sys

import pytest

from tools import model_info


@pytest.fixture
def run(monkeypatch):
    """Function (YAML file) -> the message with which the tool ends."""

    def call(path):
        monkeypatch.setattr(sys, "argv", ["model_info.py", str(path)])
        with pytest.raises(SystemExit) as end:
            model_info.main()
        return end.value.code

    return call


@pytest.mark.parametrize(
    "content, problem",
    [
        ("MODEL: [1\n", "not valid YAML"),
        ("MODEL:\n  NAME: x\n", "MODEL.NAME is not a known key"),
        ("TRAIN:\n  BATCH_SIZE: 0\n", "TRAIN.BATCH_SIZE: 0"),
        ("_BASE_: gone.yaml\n", "gone.yaml: cannot read"),
    ],
    ids=["YAML", "key", "value", "base"],
)
def test_mistake_names_the_config_once(run, tmp_path, content, problem):
    path = tmp_path / "config.yaml"
    path.write_text(content)
    message = run(path)
    assert problem in message and message.startswith(str(path))
    assert message.count("config.yaml") == 1
