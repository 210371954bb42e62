"""Tools, called in this process."""

import pytest


@pytest.fixture
def run_tool(capfd):
    """Function (tool, *words) -> (exit code, all that was printed)."""

    def run(tool, *words):
        try:
            code = tool.main([str(word) for word in words])
        except SystemExit as end:  # words that argparse refuses
            code = end.code
        captured = capfd.readouterr()
        return code, captured.out + captured.err

    return run
