"""The one dataset: records to clips. Splits differ in the views that are cut from a video."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from slowfast.datasets import sampling
from slowfast.datasets.readers import SizeRule, UnreadableVideo, Video, VideoIndex, open_video
from slowfast.datasets.records import Record
from slowfast.datasets.transforms import (
    TrainTransform,
    crop,
    jitter_size,
    resize,
    short_side_size,
    uniform_crop_offsets,
)
from slowfast.utils.batch_shape import BatchShape
from slowfast.utils.seeding import derive_seed

_MAX_TRIES = 20


class NoReadableVideo(ValueError):
    """A training sample and all its replacements are unreadable."""

    def __init__(self, message: str):
        # A DataLoader worker hands over its whole traceback as the message; its last part is what a
        # user needs.
        super().__init__(message.rpartition(f"{type(self).__name__}: ")[2])


class SampleKey(NamedTuple):
    """What a ClipDataset is indexed by: position `index` of the records, in some epoch.

    shape: of the batch that the sample belongs to; None leaves clips as the views make them.
    """

    epoch: int
    index: int
    shape: BatchShape | None = None


@dataclass
class Sample:
    """All views of one video: per pathway a tensor V,C,T,H,W; none when it is unreadable.

    index: position in the records of the video that was read. failures: (index, reason) of those
    that were not.
    """

    clips: list[torch.Tensor]
    label: int
    index: int
    failures: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True)
class ClipShape:
    """How many frames a clip has and how far apart they are, in frames at `target_fps`."""

    num_frames: int
    sampling_rate: int
    target_fps: float

    def span(self, fps: float) -> float:
        """Frames of a video of `fps` that the clip covers."""
        return sampling.clip_span(
            self.num_frames, self.sampling_rate, fps=fps, target_fps=self.target_fps
        )


class FrameLoader:
    """Reads frames as a C,T,H,W tensor, scaled by swscale while decoding, or else by torch."""

    def __init__(self, *, scale_while_decoding: bool):
        self.scale_while_decoding = scale_while_decoding

    def __call__(self, video: Video, indices: np.ndarray, size: SizeRule | None) -> torch.Tensor:
        frames = video.read(indices, size if self.scale_while_decoding else None)
        clip = torch.from_numpy(frames).permute(3, 0, 1, 2)  # T,H,W,C -> C,T,H,W
        if size is None or self.scale_while_decoding:
            return clip
        return resize(clip, size(*clip.shape[-2:]))


class TrainViews:
    """One clip at a random place of the video, then `transform`.

    jitter: (smallest, largest short side, draw in the inverse); None decodes at the video's own
    size.
    """

    num_views = 1

    def __init__(
        self,
        shape: ClipShape,
        load: FrameLoader,
        *,
        jitter: tuple[int, int, bool] | None,
        transform: TrainTransform,
    ):
        self.shape, self.load = shape, load
        self.jitter, self.transform = jitter, transform
        self.max_rate = shape.sampling_rate

    def resized(self, num_frames: int, crop_size: int) -> "TrainViews":
        """The same views with clips of another size, for multigrid training.

        The smallest short side shrinks with the crop. With fewer frames the step between them is
        drawn, up to where the clip spans as much of the video as before.
        """
        views = copy.copy(self)
        views.shape = replace(self.shape, num_frames=num_frames)
        views.max_rate = self.shape.sampling_rate * max(1, self.shape.num_frames // num_frames)
        views.transform = self.transform.with_crop(crop_size)
        if self.jitter is not None:
            smallest, largest, is_inverse = self.jitter
            smallest = round(smallest * crop_size / self.transform.crop_size)
            views.jitter = (smallest, largest, is_inverse)
        return views

    def __call__(self, video: Video, rng: np.random.Generator) -> list[torch.Tensor]:
        # A range of one number takes nothing from the generator.
        rate = int(rng.integers(self.shape.sampling_rate, self.max_rate, endpoint=True))
        span = replace(self.shape, sampling_rate=rate).span(video.index.fps)
        length = video.index.num_frames
        start = sampling.random_start(rng, length, span)
        indices = sampling.clip_indices(start, span, self.shape.num_frames, length)
        size = None if self.jitter is None else _short_side(jitter_size(rng, *self.jitter))
        return [self.transform(self.load(video, indices, size), rng)]


class EvalViews:
    """`num_clips` clips along the video times 1 (centre) or 3 crops along its longer side.

    View number = clip * num_crops + crop. All come from one pass over the file. Draws nothing.
    """

    def __init__(
        self,
        shape: ClipShape,
        load: FrameLoader,
        *,
        num_clips: int,
        num_crops: int,
        short_side: int,
        crop_size: int,
        reach_end: bool = False,
        reverse_time: bool = False,
    ):
        self.shape, self.load = shape, load
        self.num_clips = num_clips
        self.crops = (1,) if num_crops == 1 else (0, 1, 2)
        self.num_views = num_clips * num_crops
        self.short_side, self.crop_size = short_side, crop_size
        self.reach_end, self.reverse_time = reach_end, reverse_time

    def __call__(self, video: Video, _rng: np.random.Generator) -> list[torch.Tensor]:
        frames, clips = self.decode(video)
        height, width = frames.shape[-2:]
        views = []
        for places in clips:
            # Whole frames are gathered where they lie, T first; the crops are then mere views.
            clip = frames.transpose(0, 1)[places].transpose(0, 1)
            for number in self.crops:
                y, x = uniform_crop_offsets(height, width, self.crop_size, number)
                views.append(crop(clip, y, x, self.crop_size))
        return views

    def decode(self, video: Video) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The frames that some clip needs, C,T,H,W, scaled; and each clip's places among them."""
        clips = [self._indices(video.index, clip) for clip in range(self.num_clips)]
        needed = np.unique(np.concatenate(clips))
        places = [torch.from_numpy(np.searchsorted(needed, indices)) for indices in clips]
        return self.load(video, needed, _short_side(self.short_side)), places

    def _indices(self, index: VideoIndex, clip: int) -> np.ndarray:
        span = self.shape.span(index.fps)
        start = sampling.uniform_start(
            index.num_frames, span, clip, self.num_clips, reach_end=self.reach_end
        )
        indices = sampling.clip_indices(start, span, self.shape.num_frames, index.num_frames)
        return indices[::-1].copy() if self.reverse_time else indices


class ClipDataset(Dataset):
    """Clips of videos, indexed by a SampleKey or the like, or by i for epoch 0.

    Randomness comes from (seed, epoch, i) alone. `views(video, rng)` gives a list of clips C,T,H,W
    with values 0..255; `pack` turns each into its pathways. With `replace_unreadable` a drawn video
    takes the place of an unreadable one, else the sample has no clips.
    """

    def __init__(
        self,
        records: Sequence[Record],
        views: TrainViews | EvalViews,
        *,
        pack: Callable[[torch.Tensor], list[torch.Tensor]],
        replace_unreadable: bool,
        seed: int,
        class_names: list[str] | None = None,
    ):
        self.records, self.views, self.pack = records, views, pack
        self.replace_unreadable = replace_unreadable
        self.seed = seed
        self.class_names = class_names

    @property
    def num_views(self) -> int:
        """Clips per video."""
        return self.views.num_views

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: int | tuple) -> Sample:
        epoch, index, shape = SampleKey(*key) if isinstance(key, tuple) else SampleKey(0, key)
        cut_views = self.views
        if shape is not None:
            cut_views = self.views.resized(shape.num_frames, shape.crop_size)
        rng = np.random.default_rng(derive_seed("sample", self.seed, int(epoch), int(index)))
        failures: list[tuple[int, str]] = []
        for candidate in self._candidates(int(index), rng):
            record = self.records[candidate]
            try:
                with open_video(record.path) as video:
                    views = cut_views(video, rng)
            except UnreadableVideo as error:
                failures.append((candidate, str(error)))
                continue
            return Sample(self._pack(views), record.label, candidate, failures)
        if not self.replace_unreadable:
            return Sample([], self.records[index].label, int(index), failures)
        named = "\n".join(f"  {self.records[i].path}: {reason}" for i, reason in failures)
        raise NoReadableVideo(f"{len(failures)} videos in a row are unreadable:\n{named}")

    def _candidates(self, index: int, rng: np.random.Generator):
        yield index
        if self.replace_unreadable:
            others = rng.permutation(len(self.records))
            yield from others[others != index][: _MAX_TRIES - 1].tolist()

    def _pack(self, views: list[torch.Tensor]) -> list[torch.Tensor]:
        pathways = zip(*(self.pack(view) for view in views), strict=True)
        return [_stack(clips) for clips in pathways]


def _short_side(size: int) -> SizeRule:
    return lambda height, width: short_side_size(height, width, size)


def _stack(clips: Sequence[torch.Tensor]) -> torch.Tensor:
    """C,T,H,W clips as N,C,T,H,W in channels_last_3d memory, as decoded frames lie anyway."""
    channels, *rest = clips[0].shape
    stacked = torch.empty((len(clips), *rest, channels), dtype=clips[0].dtype)
    stacked = stacked.permute(0, 4, 1, 2, 3)  # N,T,H,W,C -> N,C,T,H,W
    for place, clip in zip(stacked, clips, strict=True):
        place.copy_(clip)
    return stacked
