import logging
import os

from slowfast.utils.logging import setup_logging


def test_file_name_that_is_not_utf8_is_logged(tmp_path, capfd, monkeypatch):
    # Without pytest's handler, whose text cannot be sent from one process to another.
    monkeypatch.setattr(logging.getLogger("slowfast"), "handlers", [])
    setup_logging(tmp_path, is_main=True)
    try:
        logging.getLogger("slowfast.test").info("%s", os.fsdecode(b"train_\xe9.mp4"))
    finally:
        setup_logging(None, is_main=True)  # closes the file
    assert r"train_\udce9.mp4" in (tmp_path / "stdout.log").read_text(encoding="utf-8")
