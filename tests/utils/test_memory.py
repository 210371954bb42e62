import subprocess
import sys
import textwrap

import pytest

from slowfast.utils import memory

# Page faults of ten blocks of 64 MB, one after the other.
FAULTS = """
    import resource
    import torch
    from slowfast.utils.memory import keep_freed_memory

    {call}
    torch.set_num_threads(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(2**24)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(call: str) -> int:
    code = textwrap.dedent(FAULTS).format(call=call)
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)


@pytest.mark.skipif(not memory.keep_freed_memory(), reason="needs glibc")
def test_freed_blocks_are_reused():
    assert page_faults("assert keep_freed_memory()") < page_faults("") / 4


def test_other_c_libraries_are_left_alone(monkeypatch):
    def missing(name):
        raise OSError(f"{name}: no such file")

    monkeypatch.setattr(memory.ctypes, "CDLL", missing)
    assert not memory.keep_freed_memory()
