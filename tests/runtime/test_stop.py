import os
import signal
import time

import pytest

from slowfast.runtime.stop import StopRequest


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_is_noted_and_handlers_are_restored(signum):
    before = signal.getsignal(signum)
    with StopRequest() as stop:
        assert not stop.signum
        os.kill(os.getpid(), signum)
        time.sleep(0.01)
        assert stop.signum == signum
    assert signal.getsignal(signum) is before


def test_second_signal_after_a_second_stops_at_once(monkeypatch):
    with pytest.raises(KeyboardInterrupt), StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        stop._time -= 2
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
