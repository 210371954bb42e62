"""The packets of a long video file, read from the disk where they are asked for."""

from itertools import chain

import av

from slowfast.datasets.video_index import VideoIndex

# How many keyframes earlier to seek when the container lands behind the one that was asked for.
_STEPS_BACK = (0, 1, 8, 10**9)


class PacketNotFound(Exception):
    """The file does not hold what its index says."""


class SoughtPackets:
    """Reads like a list of all packets, but holds one: any keyframe's, or the next after it."""

    def __init__(
        self, container: av.container.InputContainer, stream: av.VideoStream, index: VideoIndex
    ):
        self._container, self._stream, self._index = container, stream, index
        self._keys = {position: key for key, position in enumerate(index.key_packets)}
        self._packets = iter(())
        self._position, self._packet = -2, None

    def __len__(self) -> int:
        return self._index.num_packets

    def __getitem__(self, position: int) -> av.Packet:
        if position == self._position:
            return self._packet
        if position != self._position + 1:
            self._seek(self._keys[position])
        self._packet = next(self._packets, None)
        if self._packet is None:
            raise PacketNotFound(f"packet {position} of {len(self)}")
        self._position = position
        return self._packet

    def _seek(self, key: int) -> None:
        """Put the packet of keyframe `key` next."""
        time = self._index.key_times[key]
        for steps in _STEPS_BACK:
            target = self._index.key_times[max(0, key - steps)]
            self._container.seek(target, stream=self._stream)
            packets = (p for p in self._container.demux(self._stream) if p.size)
            for packet in packets:
                if packet.is_keyframe and packet.pts >= time:
                    if packet.pts == time:
                        self._packets = chain([packet], packets)
                        return
                    break
        raise PacketNotFound(f"keyframe {key} at time {time}")
