"""Videos that are stored as one image file per frame."""

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FrameFiles:
    """The image files of a video in order, without a string for each where their names count up.

    pattern: path with a format field for the number, e.g. "/data/17/17_{:06d}.jpg"; its literal
    braces are doubled. first: number of the first file. names: all paths, where no pattern fits;
    pattern is then "". fps: frames per second; None means the rate that DATA.SAMPLING_RATE refers
    to, whatever it is.
    """

    pattern: str
    first: int
    count: int
    names: tuple[str, ...] = ()
    fps: float | None = None

    def __len__(self) -> int:
        return self.count

    def path(self, number: int) -> str:
        """Path of frame `number`, counted from 0."""
        return self.names[number] if self.names else self.pattern.format(self.first + number)


def frame_files(paths: Sequence[str]) -> FrameFiles:
    """`FrameFiles` of these paths, in their order; compact where the numbers count up by one."""
    number = re.search(r"\d+(?=\D*$)", paths[0]) if paths else None
    if number is not None:
        before, after = (
            text.replace("{", "{{").replace("}", "}}")
            for text in (paths[0][: number.start()], paths[0][number.end() :])
        )
        pattern = f"{before}{{:0{len(number[0])}d}}{after}"
        files = FrameFiles(pattern, int(number[0]), len(paths))
        if all(files.path(place) == path for place, path in enumerate(paths)):
            return files
    return FrameFiles("", 0, len(paths), tuple(paths))
