"""Reading of annotations by one process of each machine, for all of its processes."""

import gc
import logging
import os
import pickle
import socket
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from slowfast.datasets.packed_records import pack
from slowfast.datasets.records import Annotations
from slowfast.utils import distributed

logger = logging.getLogger(__name__)

_NAME = "annotations.pickle"


def read_once(read: Callable[[], Annotations]) -> Annotations:
    """Packed annotations that `read` returns, in memory that the processes of a machine share.

    The first process of each machine reads, and the others map its arrays; every process must call
    this together. Where the reader fails, or has no room for a file, each reads for itself.
    """
    if not distributed.is_distributed():
        return _packed(_without_collecting(read))
    machines = distributed.gather_objects(socket.gethostname())
    reader = machines.index(machines[distributed.rank()])
    if distributed.rank() != reader:
        return _from_other(read, reader)
    try:
        annotations = _packed(_without_collecting(read))
    except Exception:
        distributed.gather_objects("")  # the others wait for it
        raise
    with tempfile.TemporaryDirectory(prefix="slowfast_lists_") as folder:
        is_written = _write(annotations, Path(folder, _NAME))
        if any(distributed.gather_objects(folder if is_written else "")):
            # The reader's own arrays would be another copy.
            shared = _load(folder) if is_written else annotations
            distributed.barrier()  # all have mapped the files; now they may go
            return shared
    return annotations


def _from_other(read: Callable[[], Annotations], reader: int) -> Annotations:
    folders = distributed.gather_objects("")
    try:
        found = _load(folders[reader]) if folders[reader] else None
    except OSError as error:  # of a container with the name of another
        logger.debug("%s: not read (%s)", folders[reader], error)
        found = None
    if any(folders):
        distributed.barrier()
    return found or _packed(_without_collecting(read))


def _packed(annotations: Annotations) -> Annotations:
    return replace(annotations, records=pack(annotations.records))


def _without_collecting(read: Callable[[], Annotations]) -> Annotations:
    """Annotations that `read` returns, read while the garbage collector rests.

    It would look again and again at all lines, which is half of the time, and find no circle.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return read()
    finally:
        if was_enabled:
            gc.enable()


def _write(annotations: Annotations, path: Path) -> bool:
    try:
        with open(path, "wb") as file:
            pickle.dump(annotations, file)
    except OSError as error:
        logger.info("%s: not written, so that each process reads the lists (%s)", path, error)
        return False
    return True


def _load(folder: str) -> Annotations:
    with open(os.path.join(folder, _NAME), "rb") as file:
        return pickle.load(file)
