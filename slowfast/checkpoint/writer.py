"""Writing checkpoints beside the training that goes on."""

import threading
from collections.abc import Callable
from typing import Any

import torch


class CheckpointWriter:
    """Writes one checkpoint after another in a thread, from a copy of the state.

    Training waits for the copy alone, and for an earlier checkpoint that is still being written.
    """

    def __init__(self):
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def submit(self, state: dict, write: Callable[[dict], object]) -> None:
        """Call `write` with a copy of `state`; raises what went wrong with the one before."""
        self.wait()
        copy = _on_cpu(state)
        self._thread = threading.Thread(target=self._run, args=(copy, write), name="checkpoint")
        self._thread.start()

    def wait(self) -> None:
        """Return when all is written; raises what went wrong."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _run(self, state: dict, write: Callable[[dict], object]) -> None:
        try:
            write(state)
        except BaseException as error:  # raised where it is waited for
            self._error = error


def _on_cpu(value: Any) -> Any:
    """A copy with tensors of its own in the memory of the processor."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _on_cpu(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_on_cpu(item) for item in value)
    return value
