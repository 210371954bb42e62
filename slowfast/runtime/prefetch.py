"""Batches that come to a GPU while it computes the step before."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor


class SideStream:
    """Work for a GPU beside the stream in which it computes."""

    def __init__(self, device: torch.device):
        self._device = device
        self._stream = torch.cuda.Stream(device)

    def copy(self, tensor: Tensor) -> Tensor:
        """The tensor on the device, some time later; from pinned memory the host does not wait."""
        with torch.cuda.stream(self._stream):
            return tensor.to(self._device, non_blocking=True)

    def hand_over(self, tensors: Iterable[Tensor]) -> None:
        """Let what is computed from now on wait for copies, which are its own then.

        Their memory belongs to this stream: it must not be used again before the other one is done
        with it.
        """
        computing = torch.cuda.current_stream(self._device)
        computing.wait_stream(self._stream)
        for tensor in tensors:
            tensor.record_stream(computing)


class Prefetcher:
    """Copies batches to the device as soon as the host has them.

    The host is a step ahead of a GPU, so that a batch travels during the step before. Copied are
    the clips, as they come (uint8, a quarter of what they are after normalisation), and `keys`.
    `side`: None on the CPU, where batches stay as they are.
    """

    def __init__(self, side: SideStream | None, keys: Sequence[str]):
        self._side, self._keys = side, keys

    def __call__(self, groups: Iterable[tuple[dict, ...]]) -> Iterator[tuple[dict, ...]]:
        """The batches of each step, on the device."""
        for batches in groups:
            yield batches if self._side is None else tuple(map(self._moved, batches))

    def _moved(self, batch: dict) -> dict:
        clips = [self._side.copy(clip) for clip in batch["clips"]]
        moved = {key: self._side.copy(batch[key]) for key in self._keys}
        self._side.hand_over([*clips, *moved.values()])
        return {**batch, **moved, "clips": clips}


def make_prefetcher(device: torch.device, keys: Sequence[str]) -> Prefetcher:
    """One for batches with tensors under `keys` beside the clips."""
    return Prefetcher(SideStream(device) if device.type == "cuda" else None, keys)
