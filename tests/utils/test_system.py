"""What a system lacks is done in another way, or left out."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from slowfast.utils import system


def test_cores_that_the_system_cannot_tell_apart_are_all_of_the_machine(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert system.num_usable_cores() == 7


def test_a_processor_without_proc_has_a_name(monkeypatch):
    def read(*_words, **_keys):
        raise FileNotFoundError

    monkeypatch.setattr(system.Path, "read_text", read)
    monkeypatch.setattr(system.platform, "processor", lambda: "")
    monkeypatch.setattr(system.platform, "machine", lambda: "arm64")
    assert system.processor_name() == "arm64"


def test_signals_that_do_not_exist_are_left_out(monkeypatch):
    monkeypatch.delattr(signal, "SIGUSR1")
    assert system.known_signals("SIGUSR1", "SIGTERM") == (signal.SIGTERM,)


def test_ctrl_c_comes_at_the_end_of_the_block():
    def interrupted():
        with system.ctrl_c_later():
            signal.raise_signal(signal.SIGINT)
            steps.append("in the block")

    steps = []
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert steps == ["in the block"]


@pytest.mark.parametrize("name", ["ctrl_c_later", "ticking", "kept_handler"])
def test_blocks_run_without_what_they_need(monkeypatch, name):
    for missing in ("pthread_sigmask", "setitimer", "SIGCHLD"):
        monkeypatch.delattr(signal, missing)
    words = {"ticking": (0.001, pytest.fail), "kept_handler": ("SIGCHLD",)}.get(name, ())
    with getattr(system, name)(*words):
        time.sleep(0.01)


def test_ticks_come_until_one_raises():
    def tick():
        ticks.append(1)
        if len(ticks) == 3:
            raise TimeoutError

    ticks = []
    with pytest.raises(TimeoutError), system.ticking(0.002, tick):
        time.sleep(10)
    assert len(ticks) == 3


def test_another_thread_is_not_interrupted():
    def work():
        with system.ticking(0.001, lambda: ticks.append(1)):
            time.sleep(0.01)
        ended.append(True)

    ticks, ended = [], []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert (ticks, ended) == ([], [True])


def test_the_handler_of_a_signal_is_kept():
    def before(_signum, _frame):
        pass

    previous = signal.signal(signal.SIGTERM, before)
    try:
        with system.kept_handler("SIGTERM"):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        assert signal.getsignal(signal.SIGTERM) is before
    finally:
        signal.signal(signal.SIGTERM, previous)


def test_windows_hands_no_signal_on(monkeypatch):
    monkeypatch.setattr(os, "kill", pytest.fail)
    monkeypatch.setattr(os, "name", "nt")
    system.send_signal(os.getpid(), signal.SIGINT)


def test_a_process_is_alive_until_it_ends():
    process = subprocess.Popen(["sleep", "100"])
    assert system.is_alive(process.pid)
    process.kill()
    process.wait()
    assert not system.is_alive(process.pid)


@pytest.mark.parametrize("has_groups", [True, False])
def test_a_group_is_ended_with_those_that_it_started(monkeypatch, has_groups):
    if not has_groups:
        monkeypatch.delattr(os, "killpg")
    with subprocess.Popen(
        ["sh", "-c", "sleep 100 & echo $!; wait"],
        start_new_session=True,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        child = int(process.stdout.readline())
        system.kill_group(process)
    assert process.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 10
    while system.is_alive(child) and not _is_zombie(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _is_zombie(pid):
    import psutil

    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_only_linux_ends_a_process_with_its_parent(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert system.end_with_parent() is None


def test_windows_maps_no_files_into_memory(monkeypatch):
    monkeypatch.setattr(os, "name", "nt")
    assert not system.can_map_files()
